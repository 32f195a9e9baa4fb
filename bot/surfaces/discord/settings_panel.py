"""The panel of `/settings`: one page of settings with what holds, where it comes from, and how to
change it. Lists, roles and the trail of changes are in `settings_lists`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import discord
from discord import ButtonStyle, ChannelType, SelectDefaultValue, SelectOption
from discord.ui import (
    ActionRow,
    Button,
    ChannelSelect,
    Container,
    Item,
    LayoutView,
    Section,
    Select,
    Separator,
    TextDisplay,
)

from bot.commands.settings import Overview
from bot.commands.settings_fields import PAGES, Kind, Setting, page, page_of, spoken
from bot.commands.settings_values import Mentions, in_words
from bot.policy import FlaggedRule
from bot.surfaces.discord.cards import layout
from bot.surfaces.discord.settings_ids import HISTORY, LIST, ROLE, Spot
from bot.surfaces.discord.text import plain, safe

DISCORDS_RULE: Final = (
    "-# Discord wants adult media in age-restricted channels only, and says that a spoiler does "
    "not replace that. Where members may draw such things, choose one of the other two rules."
)
_RULES: Final = (
    FlaggedRule.SPOILER,
    FlaggedRule.SPOILER_AGE_RESTRICTED,
    FlaggedRule.WITHHOLD,
)
"""Those that make sense on Discord."""
_WRITE: Final = (("view_channel", "View Channel"), ("send_messages", "Send Messages"))
_NEEDED: Final = {
    "log_channel": _WRITE,
    "report_channel": (*_WRITE, ("attach_files", "Attach Files")),
}
"""What the bot must be allowed to do in a channel: discord.py's names and Discord's."""
_MOST_SAID: Final = 500
_ROLE_ID: Final = re.compile(r"\brole (\d{15,20})\b")


def _mention(before: str) -> Any:
    return lambda one: f"<{before}{one}>" if one.isdecimal() else safe(one, 100)


MENTIONS: Final = Mentions(
    member=_mention("@"),
    role=_mention("@&"),
    channel=_mention("#"),
    text=lambda text: safe(text, 300),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a page is drawn from. `said` is what has just happened, already safe to show; `guild`
    is the server as far as the bot knows it."""

    now: Overview
    guild: discord.Guild | None
    said: str = ""


def panel(scene: Scene, spot: Spot) -> LayoutView:
    """A page of settings; one that is no more shows the first."""
    shown = page(spot.page) or PAGES[0]
    items: list[Item[Any]] = [TextDisplay(f"-# {shown.about}"), Separator()]
    for setting in shown.settings:
        items += field(scene, spot, setting)
    items += clearing(scene, spot, shown.settings)
    return framed(scene, spot, items)


def framed(scene: Scene, spot: Spot, items: Iterable[Item[Any]]) -> LayoutView:
    """A page between the menu of all pages and what was just said."""
    said = [TextDisplay[LayoutView](scene.said)] if scene.said else []
    head = TextDisplay[LayoutView]("### Settings of Atelier in this server")
    return layout(Container(head, ActionRow(_pages(spot)), *items, *said))


def field(scene: Scene, spot: Spot, setting: Setting) -> list[Item[Any]]:
    """A setting with its value, its source, and the button or menu that changes it."""
    now, role = scene.now, spot.item if spot.page == ROLE else None
    value = now.value(setting, role)
    lines = [
        f"**{setting.label}**: {in_words(setting, value, MENTIONS)} "
        f"*({now.source(setting, role, MENTIONS)})*",
        f"-# {setting.about}",
    ]
    if setting.kind is Kind.CHANNEL and (trouble := unheard(scene.guild, setting, value)):
        lines.append(trouble)
    if setting.name == "flagged":
        lines.append(DISCORDS_RULE)
    text = TextDisplay[LayoutView]("\n".join(lines))
    match setting.kind:
        case Kind.CHOICE:
            return [text, ActionRow(_choice(spot, setting, value))]
        case Kind.CHOICES:
            return [text, ActionRow(_choices(spot, setting, value))]
        case Kind.CHANNEL:
            return [text, ActionRow(_channel(scene, spot, setting, value))]
        case Kind.MEMBERS | Kind.ROLES | Kind.WORDS:
            return [_with(text, "Open", Spot(LIST, setting.name, version=now.version).to("show"))]
        case Kind.PAUSE if now.has(setting) and value is not None:
            return [_with(text, "Resume", spot.to("resume", setting.name))]
        case _ if setting.owner_only:
            return [text]
        case _:
            label = "Pause …" if setting.kind is Kind.PAUSE else "Change …"
            return [_with(text, label, spot.to("ask", setting.name))]


def clearing(scene: Scene, spot: Spot, settings: Sequence[Setting]) -> list[Item[Any]]:
    """The menu that gives back what was set here, if anything was."""
    role = spot.item if spot.page == ROLE else None
    own = [one for one in settings if scene.now.has(one, role) and not one.owner_only]
    if not own:
        return []
    menu: Select[LayoutView] = Select(
        custom_id=spot.to("clear"),
        placeholder="Set back what was set here"
        if role is None
        else "Set back to what everybody has",
        options=[SelectOption(label=one.label, value=one.name) for one in own],
        max_values=len(own),
    )
    return [ActionRow(menu)]


def press(label: str, custom_id: str, *, disabled: bool = False) -> Button[LayoutView]:
    """A button of the panel."""
    return Button(label=label, style=ButtonStyle.secondary, custom_id=custom_id, disabled=disabled)


def unheard(guild: discord.Guild | None, setting: Setting, channel: str | None) -> str | None:
    """Why nothing that the bot writes would arrive in a channel, and what to do about it."""
    if channel is None or guild is None or guild.me is None or not channel.isdecimal():
        return None
    found = guild.get_channel(int(channel))
    if found is None:
        return "⚠️ There is no such channel here any more; choose another one."
    granted = found.permissions_for(guild.me)
    missing = [f"“{name}”" for flag, name in _NEEDED[setting.name] if not getattr(granted, flag)]
    if not missing:
        return None
    wanted = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
    return f"⚠️ I lack permissions there. Give me {wanted} in the settings of {found.mention}."


def warned(sentence: str) -> str:
    """A sentence about what went wrong, safe to show; a role in it is shown by its name."""
    return "⚠️ " + _ROLE_ID.sub(r"<@&\1>", safe(spoken(sentence), _MOST_SAID))


# --- Inside -----------------------------------------------------------------------------------


def _pages(spot: Spot) -> Select[LayoutView]:
    """The menu of pages. What belongs to a page of its own shows that page as chosen."""
    chosen = page_of(spot.item).key if spot.page == LIST else spot.page
    chosen = "roles" if chosen == ROLE else chosen
    options = [
        SelectOption(
            label=one.label,
            value=one.key,
            description=plain(one.about, 100),
            default=one.key == chosen,
        )
        for one in PAGES
    ]
    trail = SelectOption(
        label="Changes",
        value=HISTORY,
        description="Who has changed what",
        default=chosen == HISTORY,
    )
    return Select(custom_id=spot.to("go"), placeholder="Page", options=[*options, trail])


def _with(text: TextDisplay[LayoutView], label: str, custom_id: str) -> Section[LayoutView]:
    return Section(text, accessory=press(label, custom_id))


def _choice(spot: Spot, setting: Setting, value: object) -> Select[LayoutView]:
    """One of a few. What is chosen already is offered even where it makes no sense here."""
    offered = [
        (one, words)
        for one, words in setting.choices.items()
        if setting.name != "flagged" or one in _RULES or one == value
    ]
    options = [
        SelectOption(
            label=words if words == one else words[:1].upper() + words[1:],
            value=str(one),
            default=one == value,
        )
        for one, words in offered
    ]
    return Select(custom_id=spot.to("chosen", setting.name), options=options)


def _choices(spot: Spot, setting: Setting, value: frozenset[str]) -> Select[LayoutView]:
    options = [
        SelectOption(label=words, value=one, default=one in value)
        for one, words in setting.choices.items()
    ]
    return Select(
        custom_id=spot.to("chosen", setting.name), options=options, max_values=len(options)
    )


def _channel(
    scene: Scene, spot: Spot, setting: Setting, value: str | None
) -> ChannelSelect[LayoutView]:
    known = (
        scene.guild is not None
        and value is not None
        and value.isdecimal()
        and scene.guild.get_channel(int(value)) is not None
    )
    kind = discord.SelectDefaultValueType.channel
    return ChannelSelect(
        custom_id=spot.to("chosen", setting.name),
        placeholder="Choose a channel",
        channel_types=[ChannelType.text, ChannelType.news],
        default_values=[SelectDefaultValue(id=int(value or 0), type=kind)] if known else [],
    )
