"""The views of `/atelier settings`: pages of settings, a list, user groups, who has changed what.

A view knows by its private metadata which page it is and of which version of the settings, so that
it goes on working after a restart and nobody overwrites what they have not seen. Pages have at
most 40 of the 100 blocks of a view.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    Option,
    PlainTextObject,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.commands.settings import Entry, Overview
from bot.commands.settings_fields import (
    FOR_ROLES,
    LISTS,
    PAGES,
    Kind,
    Setting,
    labels,
    page,
    page_of,
)
from bot.commands.settings_values import allowed, in_words, items
from bot.surfaces.ids import CustomId
from bot.surfaces.slack.cards import section, small
from bot.surfaces.slack.settings_inputs import group_input, inputs, less_input, more_input
from bot.surfaces.slack.settings_words import HERE, SEEN, SLACKS_RULE, words
from bot.surfaces.slack.text import moment, safe
from bot.surfaces.text import plain, whole_lines

VERB: Final = "settings"
SAVE: Final = "save"
TITLE: Final = "Settings"
LIST: Final = "list"
"""The page of one list; its item is the setting's name."""
ROLE: Final = "role"
"""The page of one user group; its item is the group's id."""
HISTORY: Final = "history"
PER_PAGE: Final = 25
"""Entries of a list, or user groups, on one page."""
_PARAGRAPH: Final = 2900
_LONGEST_ID: Final = 60
"""Characters of a user group's id that fit into a button's; Slack's own are far shorter."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the settings, and the version that is shown. `offset` is the first entry of a
    list; `channel` is where it was opened.
    """

    page: str = PAGES[0].key
    item: str = ""
    offset: int = 0
    version: int = 0
    channel: str = ""

    def to(self, shown: str, item: str = "") -> "Spot":
        """Another page."""
        return replace(self, page=shown, item=item, offset=0)


def spot_of(kept: Mapping[str, Any]) -> Spot:
    """Where somebody is; what is not understood any more is the first page."""
    known = {one.name: type(one.default) for one in fields(Spot)}
    given = {name: value for name, value in kept.items() if name in known}
    if any(type(value) is not known[name] for name, value in given.items()):
        return Spot()
    return Spot(**given)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page is drawn from. `said` is what has just happened, safe to show. `unheard` are
    sentences about channels by their ids; `trail` is needed for the page of changes alone.
    """

    now: Overview
    said: str = ""
    unheard: Mapping[str, str] | None = None
    trail: Sequence[Entry] = ()


def draw(scene: Scene, spot: Spot) -> View:
    """Whatever page this spot is on."""
    spot = replace(spot, version=scene.now.version)
    if spot.page == LIST and spot.item in HERE:
        return _list(scene, spot, HERE[spot.item])
    if spot.page == ROLE and spot.item:
        return _role(scene, spot)
    if spot.page == HISTORY:
        return _view(scene, spot, _history(scene.trail), submit=None)
    if spot.page == "roles":
        return _roles(scene, spot)
    shown = page(spot.page) or PAGES[0]
    blocks: list[Block] = [small([words(shown.about)])]
    for one in shown.settings:
        blocks += _setting(scene, HERE[one.name])
    return _view(scene, replace(spot, page=shown.key, item=""), blocks)


def note(text: str) -> View:
    """A sentence in place of a page."""
    return View(type="modal", title=TITLE, close="Close", blocks=[section(text)])


def press(label: str, action: str, argument: str = "", **how: Any) -> ButtonElement:
    """A button of the form."""
    return ButtonElement(text=label, action_id=str(CustomId(VERB, action, argument)), **how)


# --- Pages ------------------------------------------------------------------------------------


def _setting(scene: Scene, setting: Setting) -> Iterable[Block]:
    """The fields of a setting, or where it is set."""
    now = scene.now
    value = now.value(setting)
    head = (
        f"*{setting.label}*: {in_words(setting, value, SEEN)} _({now.source(setting, None, SEEN)})_"
    )
    if setting.owner_only:
        return [section(f"{head}\n{setting.about}")]
    if setting.kind in LISTS:
        button = press("Open", "open", setting.name)
        text = section(f"{head}\n{setting.about}")
        text.accessory = button
        return [text]
    shown: list[Block] = [*inputs(now, setting)]
    if setting.kind is Kind.CHANNEL and value is not None:
        unheard = (scene.unheard or {}).get(value)
        shown.append(small([f"Now: {head}", *([f"⚠️ {unheard}"] if unheard else [])]))
    if setting.name == "flagged":
        shown.append(small([SLACKS_RULE]))
    return shown


def _list(scene: Scene, spot: Spot, setting: Setting) -> View:
    """A part of a list, with a field to add to it and one to take from it."""
    now = scene.now
    entries = items(setting, now.entries(setting))
    spot, shown = _part(spot, entries)
    more = now.added_by_owner(setting)
    source = f"and {more:,} by the owner of this Atelier" if more else now.source(setting)
    blocks: list[Block] = [
        section(f"*{setting.label}*: {len(entries):,} _({source})_\n{setting.about}")
    ]
    if shown:
        blocks.append(_numbered(setting, shown, spot.offset))
        blocks += _turning(spot, len(entries))
    blocks.append(more_input(setting))
    if shown:
        names = {n - 1: f"{n}. {one}" for n, one in enumerate(shown, spot.offset + 1)}
        blocks.append(less_input(names))
    blocks.append(ActionsBlock(elements=[press("Back", "go", page_of(setting.name).key)]))
    return _view(scene, spot, blocks)


def _roles(scene: Scene, spot: Spot) -> View:
    """The user groups with limits of their own; any can be named to give it some."""
    setting, now = HERE["roles"], scene.now
    roles = sorted(now.roles, key=lambda role: (len(role), role))
    spot, shown = _part(spot, roles)
    about = words(page_of("roles").about)
    head = f"*{setting.label}*: {len(roles):,} _({now.source(setting)})_\n{about}"
    blocks: list[Block] = [section(head)]
    for role in shown:
        own = allowed(now.roles[role], FOR_ROLES) or "nothing"
        text = section(f"{SEEN.role(role)}: {safe(own, 1000)}")
        if len(role) <= _LONGEST_ID:
            text.accessory = press("Open", "group", role)
        blocks.append(text)
    blocks += _turning(spot, len(roles))
    blocks.append(group_input())
    return _view(scene, spot, blocks, submit="Open")


def _role(scene: Scene, spot: Spot) -> View:
    """What one user group may."""
    blocks: list[Block] = [section(f"Limits of {SEEN.role(spot.item)}; empty is as for everybody")]
    for one in FOR_ROLES:
        blocks += inputs(scene.now, HERE[one.name], spot.item)
    back = press("Back", "go", "roles")
    if spot.item in scene.now.roles:
        drop = press("Take its limits away", "drop", style="danger")
        blocks.append(ActionsBlock(elements=[back, drop]))
    else:
        blocks.append(ActionsBlock(elements=[back]))
    return _view(scene, spot, blocks)


def _history(trail: Sequence[Entry]) -> list[Block]:
    """The last changes, as many as have room."""
    lines = [f"{moment(one.at)} {_who(one.by)}: {_what(one)}" for one in trail]
    shown = whole_lines(lines, _PARAGRAPH) or "Nothing was changed yet."
    about = "The latest first, 20 at most. Only what was changed is kept, not how."
    blocks: list[Block] = [small([about]), section(shown)]
    if left_out := len(trail) - (shown.count("\n") + 1 if trail else 0):
        blocks.append(small([f"{left_out} older ones have no room here."]))
    return blocks


# --- Inside -----------------------------------------------------------------------------------


def _view(
    scene: Scene, spot: Spot, blocks: Sequence[Block], *, submit: str | None = "Save"
) -> View:
    """A page below the menu of all pages and what was just said."""
    said = [section(scene.said[:_PARAGRAPH])] if scene.said else []
    return View(
        type="modal",
        callback_id=str(CustomId(VERB, SAVE)),
        private_metadata=json.dumps(asdict(spot)),
        title=TITLE,
        submit=submit,
        close="Close",
        blocks=[ActionsBlock(elements=[_pages(spot)]), *said, *blocks],
    )


def _pages(spot: Spot) -> StaticSelectElement:
    """The menu of pages. What belongs to a page of its own shows that page as chosen."""
    chosen = page_of(spot.item).key if spot.page == LIST else spot.page
    chosen = "roles" if chosen == ROLE else chosen
    options = [
        Option(text=words(one.label), value=one.key, description=plain(words(one.about), 75))
        for one in PAGES
    ]
    options.append(Option(text="Changes", value=HISTORY, description="Who has changed what"))
    first = next(one for one in options if one.value == chosen)
    action = str(CustomId(VERB, "go"))
    return StaticSelectElement(action_id=action, options=options, initial_option=first)


def _numbered(setting: Setting, shown: Sequence[str], start: int) -> SectionBlock:
    """Entries with their numbers. Words stand as they are, where no markup counts."""
    numbers = enumerate(shown, start + 1)
    if setting.kind is Kind.WORDS:
        lines = [f"{n}. {plain(one, 100)}" for n, one in numbers]
        return SectionBlock(text=PlainTextObject(text="\n".join(lines), emoji=False))
    mention = SEEN.role if setting.kind is Kind.ROLES else SEEN.member
    return section(whole_lines([f"{n}. {mention(one)}" for n, one in numbers], _PARAGRAPH))


def _part(spot: Spot, entries: Sequence[str]) -> tuple[Spot, Sequence[str]]:
    """The entries shown; the last ones where there are fewer than there were."""
    last = max(len(entries) - 1, 0) // PER_PAGE * PER_PAGE
    start = min(spot.offset // PER_PAGE * PER_PAGE, last)
    return replace(spot, offset=start), entries[start : start + PER_PAGE]


def _turning(spot: Spot, total: int) -> list[Block]:
    """Buttons to what stands before and after, where there is any."""
    before, after = spot.offset - PER_PAGE, spot.offset + PER_PAGE
    buttons = [press("Previous", "turn", str(before))] if before >= 0 else []
    buttons += [press("Next", "turn", str(after))] if after < total else []
    return [ActionsBlock(elements=buttons)] if buttons else []


def _what(entry: Entry) -> str:
    return safe(words(labels(entry.fields)), 600) or "everything reset"


def _who(by: str) -> str:
    return SEEN.member(by) if by.isalnum() and by[:1] in {"U", "W"} else "the owner of this Atelier"
