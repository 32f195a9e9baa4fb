"""The pages behind the panel of `/settings`: a list, the roles, one role, who has changed what."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import discord
from discord import SelectOption
from discord.ui import (
    ActionRow,
    Item,
    LayoutView,
    RoleSelect,
    Select,
    Separator,
    TextDisplay,
    UserSelect,
)

from bot.commands.settings import Entry
from bot.commands.settings_fields import FOR_ROLES, SETTINGS, Kind, Setting, labels, page_of
from bot.commands.settings_values import allowed, items
from bot.surfaces.discord.settings_ids import HISTORY, LIST, ROLE, Spot
from bot.surfaces.discord.settings_panel import (
    MENTIONS,
    Scene,
    clearing,
    field,
    framed,
    panel,
    press,
)
from bot.surfaces.discord.text import code, plain, safe, whole_lines

PER_PAGE: Final = 25
"""Entries of a list on one page: as many as a menu has."""
ROLES_PER_PAGE: Final = 10
_MOST_CHOSEN: Final = 25
_ROOM: Final = 3000
"""Characters for the trail of changes."""


def draw(scene: Scene, spot: Spot, trail: Sequence[Entry] = ()) -> LayoutView:
    """Whatever page this spot is on. `trail` is needed for that of changes alone."""
    spot = replace(spot, version=scene.now.version)
    if spot.page == LIST and spot.item in SETTINGS:
        return _list(scene, spot)
    if spot.page == ROLE and spot.item:
        return _role(scene, spot)
    if spot.page == HISTORY:
        return _history(scene, spot, trail)
    return _roles(scene, spot) if spot.page == "roles" else panel(scene, spot)


# --- Lists ------------------------------------------------------------------------------------


def _list(scene: Scene, spot: Spot) -> LayoutView:
    """A part of a list, with ways to add to it and to take from it."""
    setting, now = SETTINGS[spot.item], scene.now
    entries = items(setting, now.entries(setting))
    spot, shown = _part(spot, entries, PER_PAGE)
    more = now.added_by_owner(setting)
    source = f"and {more:,} by the owner of this Atelier" if more else now.source(setting)
    head = f"**{setting.label}**: {len(entries):,} *({source})*\n-# {setting.about}"
    parts: list[Item[Any]] = [TextDisplay(head)]
    if shown:
        parts.append(TextDisplay(_numbered(setting, shown, spot.offset)))
        parts.append(ActionRow(_taking(scene, spot, setting, shown)))
    buttons = []
    if setting.kind is Kind.WORDS:
        buttons.append(press("Add …", spot.to("ask_more", setting.name)))
        if entries:
            buttons.append(press("Take away …", spot.to("ask_less", setting.name)))
    else:
        parts.append(ActionRow(_adding(spot, setting)))
    buttons += _turning(spot, len(entries), PER_PAGE)
    back = Spot(page_of(setting.name).key, version=now.version)
    parts.append(ActionRow(*buttons, press("Back", str(back))))
    return framed(scene, spot, parts)


def _numbered(setting: Setting, shown: Sequence[str], start: int) -> str:
    """Entries with their numbers. Words stand in a block, where no markup counts."""
    if setting.kind is Kind.WORDS:
        return code("\n".join(f"{n}. {plain(one, 100)}" for n, one in _counted(shown, start)))
    mention = MENTIONS.role if setting.kind is Kind.ROLES else MENTIONS.member
    return "\n".join(f"{n}. {mention(one)}" for n, one in _counted(shown, start))


def _taking(scene: Scene, spot: Spot, setting: Setting, shown: Sequence[str]) -> Select[LayoutView]:
    """The menu that takes entries away, by their numbers: nobody knows the names of members who
    have left."""
    options = [
        SelectOption(label=plain(f"{n}. {_name(scene.guild, setting, one)}", 100), value=str(n - 1))
        for n, one in _counted(shown, spot.offset)
    ]
    return Select(
        custom_id=spot.to("less", setting.name),
        placeholder="Take away",
        options=options,
        max_values=len(options),
    )


def _adding(spot: Spot, setting: Setting) -> UserSelect[LayoutView] | RoleSelect[LayoutView]:
    given: dict[str, Any] = {
        "custom_id": spot.to("more", setting.name),
        "placeholder": "Add",
        "max_values": _MOST_CHOSEN,
    }
    return RoleSelect(**given) if setting.kind is Kind.ROLES else UserSelect(**given)


# --- Roles ------------------------------------------------------------------------------------


def _roles(scene: Scene, spot: Spot) -> LayoutView:
    """The roles with limits of their own; any role can be chosen to give it some."""
    setting, now = SETTINGS["roles"], scene.now
    roles = tuple(sorted(now.roles, key=lambda role: (len(role), role)))
    spot, shown = _part(spot, roles, ROLES_PER_PAGE)
    head = (
        f"**{setting.label}**: {len(roles):,} *({now.source(setting)})*\n"
        f"-# {page_of(setting.name).about}"
    )
    parts: list[Item[Any]] = [TextDisplay(head)]
    if shown:
        lines = [
            f"{n}. {MENTIONS.role(role)}: {allowed(now.roles[role], FOR_ROLES) or 'nothing'}"
            for n, role in _counted(shown, spot.offset)
        ]
        parts.append(TextDisplay("\n".join(lines)))
        menu: Select[LayoutView] = Select(
            custom_id=spot.to("listed_role"),
            placeholder="Change one of these",
            options=[
                SelectOption(
                    label=plain(f"{n}. {_name(scene.guild, setting, role)}", 100), value=role
                )
                for n, role in _counted(shown, spot.offset)
            ],
        )
        parts.append(ActionRow(menu))
    parts.append(
        ActionRow(
            RoleSelect[LayoutView](
                custom_id=spot.to("role"), placeholder="Choose any role to give it limits"
            )
        )
    )
    if turning := _turning(spot, len(roles), ROLES_PER_PAGE):
        parts.append(ActionRow(*turning))
    return framed(scene, spot, [*parts, *clearing(scene, spot, (setting,))])


def _role(scene: Scene, spot: Spot) -> LayoutView:
    """What one role may."""
    head = (
        f"**What {MENTIONS.role(spot.item)} may**\n-# Of everybody's limit and those of all of a "
        "person's roles, the most generous one holds."
    )
    parts: list[Item[Any]] = [TextDisplay(head), Separator()]
    for setting in FOR_ROLES:
        parts += field(scene, spot, setting)
    parts += clearing(scene, spot, FOR_ROLES)
    back = Spot("roles", version=scene.now.version)
    buttons = [press("Back", str(back))]
    if spot.item in scene.now.roles:
        buttons.append(press("Take this role off", spot.to("drop_role")))
    return framed(scene, spot, [*parts, ActionRow(*buttons)])


# --- Who has changed what ---------------------------------------------------------------------


def _history(scene: Scene, spot: Spot, trail: Sequence[Entry]) -> LayoutView:
    """The last changes, as many as have room."""
    lines = [
        f"<t:{int(one.at)}:f> {_who(one.by)}: {safe(labels(one.fields), 600) or 'everything reset'}"
        for one in trail
    ]
    shown = whole_lines(lines, _ROOM) or "Nothing was changed yet."
    left_out = len(trail) - (shown.count("\n") + 1 if trail else 0)
    head = "**Changes**\n-# The latest first, 20 at most. Only what was changed is kept, not how."
    parts: list[Item[Any]] = [TextDisplay(head), TextDisplay(shown)]
    if left_out:
        parts.append(TextDisplay(f"-# {left_out} older ones have no room here."))
    return framed(scene, spot, parts)


def _who(by: str) -> str:
    return MENTIONS.member(by) if by.isdecimal() else "the owner of this Atelier"


# --- Inside -----------------------------------------------------------------------------------


def _part(spot: Spot, entries: Sequence[str], size: int) -> tuple[Spot, Sequence[str]]:
    """The entries shown; the last ones where there are fewer than there were."""
    last = max(len(entries) - 1, 0) // size * size
    start = min(spot.offset // size * size, last)
    return replace(spot, offset=start), entries[start : start + size]


def _counted(shown: Sequence[str], start: int) -> list[tuple[int, str]]:
    return list(enumerate(shown, start + 1))


def _turning(spot: Spot, total: int, size: int) -> list[Any]:
    """Buttons to the pages before and after this one, where there are more than one."""
    if total <= size:
        return []
    before, after = spot.offset - size, spot.offset + size
    return [
        press("Previous", replace(spot, offset=max(before, 0)).to("show"), disabled=before < 0),
        press("Next", replace(spot, offset=after).to("show"), disabled=after >= total),
    ]


def _name(guild: discord.Guild | None, setting: Setting, one: str) -> str:
    """The entry as a menu can show it, which knows no mentions."""
    if setting.kind in (Kind.ROLES, Kind.ALLOWANCES) and guild is not None and one.isdecimal():
        role = guild.get_role(int(one))
        return one if role is None else role.name
    return one
