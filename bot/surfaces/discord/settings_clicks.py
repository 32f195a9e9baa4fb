"""`/settings`, and what every click, choice and form of its panel does.

Who may change settings is asked anew each time: admins of a server can show the command to anybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import app_commands
from discord.ui import LayoutView

from bot.commands.settings import (
    Edit,
    Overview,
    Target,
    cleared,
    confirmation,
    conflict,
    extended,
    noted,
    reduced,
    valued,
    written,
)
from bot.commands.settings_fields import SETTINGS, Kind, Setting
from bot.commands.settings_values import items, phrases
from bot.communities import (
    SettingsConflict,
    SettingsDamaged,
    SettingsError,
    SettingsRefused,
)
from bot.surfaces.discord import cards, form, places
from bot.surfaces.discord.answers import FIRST_S, Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.settings_forms import TYPED, value_form, words_form
from bot.surfaces.discord.settings_ids import HISTORY, ROLE, VERB, Spot, read
from bot.surfaces.discord.settings_lists import draw
from bot.surfaces.discord.settings_panel import MENTIONS, Scene, warned

ONLY_IN_SERVERS: Final = "Settings belong to a server that has installed this app; use it there."
EVERYONE: Final = (
    "@everyone is no role of its own. What everybody may have is on the pages Pictures and Each "
    "person."
)

_SILENT: Final = discord.AllowedMentions.none()


def settings_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(name="settings", description="What Atelier does in this server")
    @app_commands.default_permissions(manage_guild=True)
    @app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
    @app_commands.allowed_installs(guilds=True, users=False)
    async def settings(interaction: Interaction) -> None:
        async def shown() -> LayoutView:
            try:
                now = await _overview(desk, interaction)
            except SettingsError as error:
                return cards.note(warned(str(error)))
            return draw(Scene(now, interaction.guild), Spot())

        answer = Answer(interaction, private=True)
        await answer.show(await answer.bounded(asyncio.create_task(shown())), private=True)

    return settings


async def _clicked(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Whatever was done in the panel: a form opens, or the panel shows what has come of it."""
    spot = read(custom_id)
    if spot.action in _FORMS:
        now = await _overview(desk, interaction)
        await interaction.response.send_modal(_FORMS[spot.action](now, spot, _setting(spot)))
        return
    await _update(interaction, _after(desk, interaction, spot))


async def _after(desk: Desk, interaction: Interaction, spot: Spot) -> LayoutView:
    """The panel after what was done in it.

    Raises:
        SettingsRefused: this person may not see it.
    """
    by, said = places.requester(interaction), ""
    try:
        now = await _overview(desk, interaction)
        try:
            if (edit := _edit(now, spot, interaction)) is not None:
                now = await desk.settings.change(now, edit, base=spot.version, by=by)
                said = f"✅ {confirmation(edit, now, MENTIONS)}"
                desk.ledger.note(now.community, noted(edit, MENTIONS.member(by.id), MENTIONS))
            spot = _next(spot, interaction)
        except SettingsConflict as error:
            said = f"⚠️ {conflict(error, by.id, MENTIONS)}"
            now = await _overview(desk, interaction)
        except SettingsRefused as error:
            said = warned(f"Nothing was saved. {error}")
        trail = await desk.settings.history(now.community, by) if spot.page == HISTORY else ()
    except SettingsDamaged as error:
        return cards.note(warned(str(error)))
    return draw(Scene(now, interaction.guild, said), spot, trail)


def _edit(now: Overview, spot: Spot, interaction: Interaction) -> Edit | None:
    """What a click, choice or form changes; None where it only turns pages.

    Raises:
        SettingsRefused: it makes no sense.
    """
    values, role = _values(interaction), spot.item if spot.page == ROLE else None
    if spot.action in {"role", "more"} and str(interaction.guild_id) in values:
        raise SettingsRefused(EVERYONE)
    match spot.action:
        case "typed" if _setting(spot).kind is Kind.PAUSE:
            return valued(now, _setting(spot), {"reason": _text(interaction)})
        case "typed":
            return written(now, Target(_setting(spot), role), _text(interaction))
        case "chosen":
            setting = _setting(spot)
            value = frozenset(values) if setting.kind is Kind.CHOICES else values[0]
            return valued(now, setting, value, role)
        case "clear":
            return cleared(now, [Target(_named(name), role) for name in values])
        case "resume":
            return cleared(now, [Target(_setting(spot))])
        case "drop_role":
            return cleared(now, [Target(None, spot.item)])
        case "more":
            return extended(now, _setting(spot), values)
        case "typed_more":
            return extended(now, _setting(spot), phrases(_text(interaction)))
        case "typed_less":
            return reduced(now, _setting(spot), phrases(_text(interaction)))
        case "less":
            return _less(now, spot, values)
    return None


def _less(now: Overview, spot: Spot, values: list[str]) -> Edit:
    """Entries taken away by their place in the list; in another version it would mean others, but
    that is a conflict."""
    entries = items(_setting(spot), now.entries(_setting(spot)))
    numbers = [int(one) for one in values if one.isdecimal()]
    return reduced(now, _setting(spot), [entries[n] for n in numbers if n < len(entries)])


def _next(spot: Spot, interaction: Interaction) -> Spot:
    """The page that is shown afterwards."""
    match spot.action, _values(interaction):
        case "go", [page, *_]:
            return Spot(page)
        case "role" | "listed_role", [role, *_]:
            return Spot(ROLE, role)
        case "drop_role", _:
            return Spot("roles")
    return spot


# --- Inside -----------------------------------------------------------------------------------


async def _overview(desk: Desk, interaction: Interaction) -> Overview:
    if not places.in_server(interaction):
        raise SettingsRefused(ONLY_IN_SERVERS)
    return await desk.settings.overview(
        places.place(interaction).community, places.requester(interaction)
    )


async def _update(interaction: Interaction, making: Awaitable[LayoutView]) -> None:
    """Show the panel anew; where that takes long, the click is acknowledged meanwhile."""
    work = asyncio.ensure_future(making)
    done, _ = await asyncio.wait({work}, timeout=FIRST_S)
    if done:
        view = await work
        await interaction.response.edit_message(view=view, allowed_mentions=_SILENT)
        return
    await interaction.response.defer()
    view = await work
    await interaction.edit_original_response(view=view, allowed_mentions=_SILENT)


def _values(interaction: Interaction) -> list[str]:
    data: Mapping[str, Any] = interaction.data or {}
    return [str(one) for one in data.get("values") or ()]


def _text(interaction: Interaction) -> str:
    return form.values(interaction.data or {}).get(TYPED, "")


def _setting(spot: Spot) -> Setting:
    return _named(spot.setting)


def _named(name: str) -> Setting:
    if name not in SETTINGS:
        raise SettingsRefused(f"There is no setting {name} any more; open /settings again.")
    return SETTINGS[name]


_FORMS: Final[Mapping[str, Callable[[Overview, Spot, Setting], discord.ui.Modal]]] = (
    MappingProxyType(
        {
            "ask": value_form,
            "ask_more": lambda _, spot, setting: words_form(spot, setting, more=True),
            "ask_less": lambda _, spot, setting: words_form(spot, setting, more=False),
        }
    )
)

HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({VERB: _clicked})
