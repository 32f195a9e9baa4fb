"""`/atelier defaults`: a form with a person's own defaults, for their eyes only."""

import asyncio
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    InputBlock,
    Option,
    PlainTextInputElement,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from backends.base import NAMED_SIZES, ModelName
from bot.commands.defaults import SOURCES, lines
from bot.communities import (
    Effective,
    MemberSettings,
    SettingsDamaged,
    SettingsRefused,
    Source,
)
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, pages
from bot.surfaces.slack.answers import press
from bot.surfaces.slack.desk import Desk, Handler, place_of
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import safe
from bot.surfaces.text import plain

SAVED: Final = "Your defaults are saved."
EVERYBODYS: Final = "What everybody has"
_RULE: Final = (
    "`/imagine` uses them where you say nothing. What a command says wins, and a preset wins over "
    "model, size and pictures."
)
_TITLE: Final = "Your defaults"
_SAVED: Final = "defaults_saved"
_CLEAR: Final = "defaults_clear"
_NOTHING: Final = "none"
_UNSET: Final = "-"
_SWITCHES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "private": {"on": "you alone, as a direct message", "off": "everybody in the channel"},
        "ping": {"on": "a ping for you", "off": "no ping"},
    }
)


async def show_defaults(desk: Desk, interaction: Interaction) -> None:
    """The subcommand."""
    looking = asyncio.create_task(_panel(desk, interaction))
    await pages.window(interaction, await interaction.bounded(looking))


# --- The form ---------------------------------------------------------------------------------


async def _panel(desk: Desk, interaction: Interaction, above: str = "") -> View:
    place, who = place_of(interaction), await desk.requester(interaction)
    try:
        mine = await desk.defaults.shown(place, who)
        models = await desk.defaults.models(place, who)
    except SettingsDamaged as error:
        clear = ActionsBlock(elements=[press(_CLEAR, "Clear all of mine")])
        blocks = [cards.section(safe(str(error), 1000)), clear]
        return View(type="modal", title=_TITLE, close="Close", blocks=blocks)
    return panel(mine, models, above)


def panel(mine: Effective[MemberSettings], models: tuple[ModelName, ...], above: str = "") -> View:
    """Every default with where it comes from, and a field for one's own; empty is no own."""
    shown = [
        f"*{line.label}:* {safe(line.value, 120)} · _{SOURCES[line.source]}_"
        for line in lines(mine)
    ]
    own = own_values(mine)
    sizes = f"{', '.join(list(NAMED_SIZES)[:2])}, 1024x768 or 16:9"
    fields = [
        _text("preset", "Preset", own["preset"], "dreamy, or several: dreamy+ink:0.6"),
        _text("size", "Size", own["size"], sizes),
        _menu("images", "Pictures at once", own["images"], {str(n): str(n) for n in range(1, 5)}),
        _menu("private", "Shown to", own["private"], _SWITCHES["private"]),
        _menu("ping", "When it is done", own["ping"], _SWITCHES["ping"]),
    ]
    if len(models) > 1 or own["model"]:
        known = dict.fromkeys((*models, *filter(None, [own["model"]])))
        fields.insert(2, _menu("model", "Model", own["model"], {name: name for name in known}))
    # Slack keeps what is written in a block of the same id, whatever the new form says.
    fresh = uuid.uuid4().hex[:8]
    for field in fields:
        field.block_id = f"{field.block_id}-{fresh}"
    blocks: list[Block] = [
        *([cards.section(above)] if above else []),
        cards.section("\n".join(["*In this workspace*", *shown])),
        cards.small([_RULE]),
        *fields,
    ]
    if any(own.values()):
        blocks.append(ActionsBlock(elements=[press(_CLEAR, "Clear all of mine")]))
    return View(
        type="modal",
        callback_id=str(CustomId(_SAVED)),
        title=_TITLE,
        submit="Save",
        close="Close",
        blocks=blocks,
    )


def own_values(mine: Effective[MemberSettings]) -> dict[str, str]:
    """What somebody has set themself, as they would write it; nothing for what they have not."""
    found = {}
    for name, source in mine.sources.items():
        value = getattr(mine.settings, name)
        if source is not Source.MEMBER:
            found[name] = ""
        elif isinstance(value, bool):
            found[name] = "on" if value else "off"
        else:
            found[name] = _NOTHING if value is None else str(value)
    return found


def _text(name: str, label: str, own: str, placeholder: str) -> InputBlock:
    element = PlainTextInputElement(
        action_id=name, max_length=100, initial_value=own or None, placeholder=placeholder
    )
    hint = f"Empty: {EVERYBODYS.lower()}. {_NOTHING}: none at all."
    return InputBlock(block_id=name, label=label, hint=hint, element=element, optional=True)


def _menu(name: str, label: str, own: str, choices: Mapping[str, str]) -> InputBlock:
    options = [Option(text=EVERYBODYS, value=_UNSET)]
    options += [Option(text=words, value=value) for value, words in choices.items()]
    first = next((one for one in options if one.value == own), options[0])
    element = StaticSelectElement(action_id=name, options=options, initial_option=first)
    return InputBlock(block_id=name, label=label, element=element, optional=True)


# --- What people do with it -------------------------------------------------------------------


async def _saved(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    changing = asyncio.create_task(_change(desk, interaction))
    try:
        view = await interaction.bounded(changing)
    except SettingsRefused as error:
        await _refused(interaction, error)
        return
    if interaction.acknowledged:  # it took so long that the form is closed by now
        await interaction.tell(SAVED)
    else:
        await interaction.ack(response_action="update", view=view.to_dict())


async def _change(desk: Desk, interaction: Interaction) -> View:
    """Set what differs from what is set, so that an old value in another field refuses nothing."""
    place, who = place_of(interaction), await desk.requester(interaction)
    own = own_values(await desk.defaults.shown(place, who))
    given = {
        name: "" if text.strip() == _UNSET else text.strip()
        for name, text in interaction.fields.items()
        if name in own
    }
    said = {name: text for name, text in given.items() if text != own[name]}
    await desk.defaults.change(place, who, said)
    return await _panel(desk, interaction, SAVED)


async def _refused(interaction: Interaction, error: SettingsRefused) -> None:
    """Say below the field that it is about why nothing was saved."""
    inputs = [block for block in interaction.view.get("blocks") or () if block.get("element")]
    named = [b["block_id"] for b in inputs if b["element"]["action_id"] in error.fields]
    if interaction.acknowledged or not named:
        await interaction.tell(safe(str(error), 1000))
    else:
        errors: dict[str, Any] = {named[0]: plain(str(error), 1000)}
        await interaction.ack(response_action="errors", errors=errors)


async def _clear(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    await interaction.ack()
    await desk.defaults.clear(place_of(interaction), await desk.requester(interaction))
    await pages.window(interaction, await _panel(desk, interaction, SAVED))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({_SAVED: _saved, _CLEAR: _clear})
