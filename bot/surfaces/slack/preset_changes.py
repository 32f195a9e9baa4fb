"""`/preset create`, `edit`, `fork`, `rename`, `history`, `delete`, `like`, and their buttons."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    Option,
    StaticSelectElement,
)

from bot.commands import curation, preset_text, presets
from bot.commands.preset_text import PresetText
from bot.commands.presets import Version
from bot.surfaces import preset_fields, preset_words
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, forms, preset_forms
from bot.surfaces.slack.answers import Shown, press, shown
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.preset_forms import Form, opened, submitted
from bot.surfaces.slack.text import moment, safe
from bot.surfaces.text import plain, whole_lines
from lora_registry.errors import Refused, RegistryError
from lora_registry.models import Viewer
from lora_registry.permissions import Action
from lora_registry.revisions import Revision

EDIT: Final = "preset_edit"
DELETE: Final = "preset_delete"
RESTORE: Final = "preset_restore"
LIKE: Final = "like"

MOST_REVISIONS: Final = 15
"""Revisions in a history; the menu below it has more."""
_MENU: Final = 100

Find = Callable[[Viewer], Awaitable[Shown]]


# --- Commands ---------------------------------------------------------------------------------


async def create(_: Desk, interaction: Interaction, name: str) -> None:
    """Open the form of a new preset, perhaps with its name."""
    view = new_form(PresetText(), name[: preset_fields.NAME.most]).view(forms.kept(interaction))
    await preset_forms.show(interaction, view)


async def edit(desk: Desk, interaction: Interaction, name: str) -> None:
    """Open the form of one's own preset."""

    async def form(seen: Viewer) -> Form:
        return _edit_form(await presets.changeable(desk.registry, seen, name, Action.EDIT))

    await opened(desk, interaction, form)


async def fork(desk: Desk, interaction: Interaction, words: str) -> None:
    """Copy a preset; without a second name a form asks for it."""
    source, _, name = words.partition(" ")

    async def form(seen: Viewer) -> Form:
        found = (await desk.registry.resolver.resolve(seen, source)).revision
        return _fork_form(found)

    async def made(seen: Viewer) -> Shown:
        handle = interaction.user_name
        copy = await presets.fork(desk.registry, seen, source, name.strip(), handle=handle)
        return about("Made", copy)

    if name.strip():
        await answered(desk, interaction, made)
    else:
        await opened(desk, interaction, form)


async def rename(desk: Desk, interaction: Interaction, words: str) -> None:
    """Give a preset another name; without one a form asks for it."""
    old, _, name = words.partition(" ")

    async def form(seen: Viewer) -> Form:
        preset = (await presets.changeable(desk.registry, seen, old, Action.EDIT)).preset
        return Form(CustomId(preset_forms.RENAMED, preset.id), {"name": preset.name})

    async def renamed(seen: Viewer) -> Shown:
        done = await curation.rename(desk.registry, seen, old, name.strip())
        return shown(safe(done.said, 1000))

    if name.strip():
        await answered(desk, interaction, renamed)
    else:
        await opened(desk, interaction, form)


async def history(desk: Desk, interaction: Interaction, name: str) -> None:
    """Show what each revision has changed."""

    async def found(seen: Viewer) -> Shown:
        return history_view(seen, await presets.history(desk.registry, seen, name))

    await answered(desk, interaction, found)


async def delete(desk: Desk, interaction: Interaction, name: str) -> None:
    """Ask whether one's own preset is to be deleted."""

    async def asked(seen: Viewer) -> Shown:
        return _really(await presets.changeable(desk.registry, seen, name, Action.DELETE))

    await answered(desk, interaction, asked)


async def like(desk: Desk, interaction: Interaction, name: str) -> None:
    """Like a preset, or no longer."""

    async def done(seen: Viewer) -> Shown:
        return await _liked(desk, seen, await presets.whole(desk.registry, seen, name))

    await answered(desk, interaction, done)


# --- Forms ------------------------------------------------------------------------------------


def new_form(text: PresetText, name: str = "") -> Form:
    """The form of a preset to be made."""
    return Form(CustomId(preset_fields.NEW), {"name": name, **dataclasses.asdict(text)})


def _edit_form(head: Revision) -> Form:
    """The form remembers on which revision it was opened, so that no change is lost to another."""
    custom_id = CustomId(preset_fields.EDITED, head.preset.id, str(head.rev))
    return Form(custom_id, dataclasses.asdict(preset_text.text_of(head.body)))


def _fork_form(source: Revision) -> Form:
    custom_id = CustomId(preset_fields.FORK, source.preset.id, str(source.rev))
    return Form(custom_id, {"name": source.preset.name})


async def _open_edit(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def form(seen: Viewer) -> Form:
        head = await presets.revision_of(desk.registry, seen, custom_id.subject)
        presets.require(seen, Action.EDIT, head.preset)
        return _edit_form(head)

    await opened(desk, interaction, form)


async def _fork(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Ask for a name, or copy the revision under the name that was given."""
    preset_id, rev = custom_id.subject, int(custom_id.argument)

    async def form(seen: Viewer) -> Form:
        return _fork_form(await presets.revision_of(desk.registry, seen, preset_id, rev))

    async def copy(seen: Viewer, values: Mapping[str, str]) -> Shown:
        name, handle = values["name"], interaction.user_name
        made = await presets.fork_of(desk.registry, seen, preset_id, rev, name, handle=handle)
        return about("Made", made)

    if interaction.body.get("type") == "view_submission":
        await submitted(desk, interaction, custom_id, copy)
    else:
        await opened(desk, interaction, form)


async def _renamed(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def rename(seen: Viewer, values: Mapping[str, str]) -> Shown:
        preset = (await presets.revision_of(desk.registry, seen, custom_id.subject)).preset
        done = await curation.rename(desk.registry, seen, preset.reference, values["name"])
        return shown(safe(done.said, 1000))

    await submitted(desk, interaction, custom_id, rename)


async def _created(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def make(seen: Viewer, values: Mapping[str, str]) -> Shown:
        name, handle = values["name"], interaction.user_name
        text = _text(PresetText(), values)
        return about("Made", await preset_text.make(desk.registry, seen, name, text, handle=handle))

    await submitted(desk, interaction, custom_id, make)


async def _edited(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    preset_id, base = custom_id.subject, int(custom_id.argument)

    async def revise(seen: Viewer, values: Mapping[str, str]) -> Shown:
        before = await presets.revision_of(desk.registry, seen, preset_id, base)
        text = _text(preset_text.text_of(before.body), values)
        made = await preset_text.revise(desk.registry, seen, preset_id, base, text)
        return about("Changed" if made.rev != base else "Nothing to change in", made)

    await submitted(desk, interaction, custom_id, revise)


def _text(before: PresetText, values: Mapping[str, str]) -> PresetText:
    """What was written; what had no field in the form stays."""
    names = [field.name for field in dataclasses.fields(PresetText)]
    return dataclasses.replace(before, **{name: values[name] for name in names if name in values})


# --- Answers ----------------------------------------------------------------------------------


def about(did: str, revision: Revision) -> Shown:
    """What became of a preset; `did` begins the sentence."""
    preset, rev = revision.preset, str(revision.rev)
    return shown(
        f"{did} *{safe(preset.reference, 100)}* (revision {rev}).",
        cards.small([f"`/imagine a cat --preset {preset.name}` draws with it."]),
        ActionsBlock(
            elements=[
                press("preset_use", "Draw with it", preset.id, rev, "primary"),
                press("preset_card", "Show", preset.id, rev),
                press(EDIT, "Edit", preset.id, rev),
            ]
        ),
    )


def history_view(seen: Viewer, versions: Sequence[Version], said: str | None = None) -> Shown:
    """A history, with a menu for who may restore; `said` stands above it."""
    head = versions[0].revision
    preset = head.preset
    lines = [
        *([said] if said else []),
        f"*{safe(preset.reference, 100)}*",
        *map(_line, versions[:MOST_REVISIONS]),
    ]
    blocks: list[Block] = []
    if len(versions) > MOST_REVISIONS:
        blocks.append(
            cards.small([f"{len(versions) - MOST_REVISIONS} earlier ones are not shown."])
        )
    with contextlib.suppress(RegistryError):
        presets.require(seen, Action.EDIT, preset)
        if len(versions) > 1:
            blocks.append(ActionsBlock(elements=[_earlier(head, versions[1 : _MENU + 1])]))
    return shown(whole_lines(lines, 2900), *blocks)


def _line(version: Version) -> str:
    revision = version.revision
    what = safe(preset_words.changes(version), 120)
    made = f"• *{revision.rev}* · {moment(revision.created_at)}"
    return f"{made} · {what}" if what else made


def _earlier(head: Revision, versions: Sequence[Version]) -> StaticSelectElement:
    return StaticSelectElement(
        action_id=str(CustomId(RESTORE, head.preset.id, str(head.rev))),
        placeholder="Restore an earlier revision",
        options=[
            Option(
                text=f"Revision {one.revision.rev}",
                value=str(one.revision.rev),
                description=plain(", ".join(one.changes), forms.LABEL) or None,
            )
            for one in versions
        ],
    )


def _really(head: Revision) -> Shown:
    """A button that asks once more."""
    preset = head.preset
    button = ButtonElement(
        text="Delete it",
        style="danger",
        action_id=str(CustomId(DELETE, preset.id, str(head.rev))),
        confirm=ConfirmObject(
            title=f"Delete {plain(preset.name, 60)}?",
            text=f"It goes with {preset_words.revisions(preset)}, for good.",
            confirm="Delete it",
            deny="Keep it",
            style="danger",
        ),
    )
    return shown(
        f"Delete *{safe(preset.reference, 100)}* with {preset_words.revisions(preset)}, for good? "
        "Pictures that were drawn with it stay, and so do copies that others have made.",
        ActionsBlock(elements=[button]),
    )


async def _liked(desk: Desk, seen: Viewer, preset: Revision) -> Shown:
    now = await presets.like(desk.registry, seen, preset)
    return shown(preset_words.liking(f"*{safe(preset.preset.reference, 100)}*", now))


# --- Clicks -----------------------------------------------------------------------------------


async def _like(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    rev = int(custom_id.argument) if custom_id.argument.isdecimal() else None

    async def done(seen: Viewer) -> Shown:
        preset = await presets.revision_of(desk.registry, seen, custom_id.subject, rev)
        return await _liked(desk, seen, preset)

    await answered(desk, interaction, done)


async def _delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deleted(seen: Viewer) -> Shown:
        head = await presets.revision_of(desk.registry, seen, custom_id.subject)
        if str(head.rev) != custom_id.argument:
            raise Refused(preset_words.NOT_ASKED)
        await presets.delete(desk.registry, seen, head)
        return shown(f"*{safe(head.preset.reference, 100)}* is deleted.")

    await answered(desk, interaction, deleted, replace=True)


async def _restore(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    chosen, base = int(interaction.chosen), int(custom_id.argument)
    preset_id = custom_id.subject

    async def restored(seen: Viewer) -> Shown:
        made = await presets.restore_on(desk.registry, seen, preset_id, chosen, base)
        said = f"Revision {chosen} is restored as revision {made.rev}."
        return history_view(seen, await presets.history_of(desk.registry, seen, preset_id), said)

    await answered(desk, interaction, restored, replace=True)


async def answered(
    desk: Desk, interaction: Interaction, find: Find, *, replace: bool = False
) -> None:
    """Answer privately, with `replace` in the place of the message with the click.

    Raises:
        RegistryError, SettingsError: says why not.
    """

    async def found() -> Shown:
        return await find(await desk.viewer(interaction))

    answer = await interaction.bounded(asyncio.create_task(found()))
    await answer.answer(interaction, replace=replace)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        EDIT: _open_edit,
        preset_fields.FORK: _fork,
        preset_fields.NEW: _created,
        preset_fields.EDITED: _edited,
        preset_forms.RENAMED: _renamed,
        DELETE: _delete,
        RESTORE: _restore,
        LIKE: _like,
    }
)
