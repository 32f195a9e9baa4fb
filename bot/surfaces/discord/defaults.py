"""`/defaults`: one panel with a person's own defaults, for their eyes only."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import ButtonStyle, SelectOption, TextStyle, app_commands
from discord.ui import ActionRow, Button, Item, Label, LayoutView, Modal, Select, TextInput

from backends.base import NAMED_SIZES, ModelName
from bot.commands.defaults import SOURCES, lines
from bot.communities import Effective, MemberSettings, SettingsDamaged, Source
from bot.surfaces.discord import cards, form, places
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.text import plain, safe

VERB: Final = "defaults"
_FORM: Final = "defaults_form"
_SAVED: Final = "defaults_saved"
_CLEAR: Final = "defaults_clear"
_ALL: Final = "all"
_NOTHING: Final = "none"


def defaults_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(
        name="defaults", description="What /imagine uses for you where you say nothing"
    )
    async def defaults(interaction: discord.Interaction[Any]) -> None:
        answer = Answer(interaction, private=True)
        looking = asyncio.create_task(_panel(desk, interaction))
        await answer.show(await answer.bounded(looking), private=True)

    return defaults


# --- The panel --------------------------------------------------------------------------------


async def _panel(desk: Desk, interaction: Interaction) -> LayoutView:
    place, requester = places.place(interaction), places.requester(interaction)
    try:
        mine = await desk.defaults.shown(place, requester)
        models = await desk.defaults.models(place, requester)
    except SettingsDamaged as error:
        return cards.note(safe(str(error), 1000), ActionRow(_button("Clear all", _CLEAR, _ALL)))
    return panel(mine, models, here=places.in_server(interaction))


def panel(
    mine: Effective[MemberSettings], models: tuple[ModelName, ...], *, here: bool
) -> LayoutView:
    """Every default with where it comes from, and what changes it. `here`: in a server."""
    settings = mine.settings
    own = [line for line in lines(mine) if line.source is Source.MEMBER]
    shown = [
        f"**{line.label}:** {safe(line.value, 120)} · *{SOURCES[line.source]}*"
        for line in lines(mine)
    ]
    where = "in this server" if here else "in direct messages and wherever no server is"
    text = "\n".join(
        [
            f"**Your defaults {where}**",
            *shown,
            "-# `/imagine` uses them where you say nothing. What a command says wins, and a preset "
            "wins over model, size and pictures.",
        ]
    )
    sizes = {name: f"{name}, {size}" for name, size in NAMED_SIZES.items()}
    current = next((name for name, size in NAMED_SIZES.items() if size == settings.size), None)
    rows: list[Item[Any]] = [
        _menu("size", "Size", {**sizes, _NOTHING: "The model's own"}, current or ""),
        _menu(
            "images",
            "Pictures at once",
            {str(n): str(n) for n in range(1, 5)},
            str(settings.images),
        ),
    ]
    if len(models) > 1:
        rows.append(_menu("model", "Model", {name: name for name in models}, settings.model))
    private, ping = settings.private, settings.ping
    rows.append(
        ActionRow(
            _button("Preset or exact size", _FORM),
            _button(
                "Show results to everybody" if private else "Show results to me alone",
                VERB,
                "private",
                "off" if private else "on",
            ),
            _button(
                "No pings" if ping else "Ping me when done", VERB, "ping", "off" if ping else "on"
            ),
        )
    )
    if own:
        clear = {line.name: plain(f"{line.label}: {line.value}", 100) for line in own}
        menu: Select[LayoutView] = Select(
            custom_id=str(CustomId(_CLEAR, "one")),
            placeholder="Clear one of yours",
            options=[
                SelectOption(label=label, value=name)
                for name, label in {**clear, _ALL: "All of mine"}.items()
            ],
        )
        rows.append(ActionRow(menu))
    return cards.note(text, *rows)


def _menu(name: str, label: str, choices: Mapping[str, str], current: str) -> ActionRow[LayoutView]:
    menu: Select[LayoutView] = Select(
        custom_id=str(CustomId(VERB, name)),
        placeholder=label,
        options=[
            SelectOption(label=f"{label}: {words}", value=value, default=value == current)
            for value, words in choices.items()
        ],
    )
    return ActionRow(menu)


def _button(label: str, verb: str, subject: str = "", argument: str = "") -> Button[LayoutView]:
    custom_id = str(CustomId(verb, subject, argument))
    return Button(label=label, style=ButtonStyle.secondary, custom_id=custom_id)


def _form(mine: Effective[MemberSettings]) -> Modal:
    modal = Modal(title="Your preset and size", custom_id=str(CustomId(_SAVED)))
    for name, label, about in (
        ("preset", "Preset", "One, or several: dreamy+ink:0.6. Empty: what everybody has"),
        ("size", "Size", "A name, pixels such as 1024x768, or 16:9. Empty: what everybody has"),
    ):
        own = mine.sources[name] is Source.MEMBER
        value = str(getattr(mine.settings, name) or _NOTHING) if own else None
        field: TextInput[Any] = TextInput(
            custom_id=name, style=TextStyle.short, default=value, required=False, max_length=100
        )
        modal.add_item(Label(text=label, description=about, component=field))
    modal.stop()  # the library need not keep it
    return modal


# --- What people do with it -------------------------------------------------------------------


async def _chosen(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """A menu's choice, or a button that says the value itself."""
    value = custom_id.argument or _value(interaction)
    await _change(desk, interaction, {custom_id.subject: value})


async def _open_form(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    mine = await desk.defaults.shown(places.place(interaction), places.requester(interaction))
    await interaction.response.send_modal(_form(mine))


async def _form_sent(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    fields = form.values(interaction.data or {})
    await _change(desk, interaction, {name: fields.get(name, "") for name in ("preset", "size")})


async def _clear(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    name = _ALL if custom_id.subject == _ALL else _value(interaction)
    await _change(desk, interaction, None if name == _ALL else {name: ""})


async def _change(desk: Desk, interaction: Interaction, said: Mapping[str, str] | None) -> None:
    """Make a change, or clear everything, and show the panel as it is then."""
    await interaction.response.defer()
    place, requester = places.place(interaction), places.requester(interaction)
    if said is None:
        await desk.defaults.clear(place, requester)
    else:
        await desk.defaults.change(place, requester, said)
    await interaction.edit_original_response(view=await _panel(desk, interaction))


def _value(interaction: Interaction) -> str:
    data: Mapping[str, Any] = interaction.data or {}
    return str((data.get("values") or [""])[0])


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {VERB: _chosen, _FORM: _open_form, _SAVED: _form_sent, _CLEAR: _clear}
)
