"""What a menu offers while somebody types: quickly, at most 100, and never an error."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

from bot.commands.presets import own_names
from bot.surfaces.slack import presets
from bot.surfaces.slack.desk import Desk
from bot.surfaces.slack.forms import option
from bot.surfaces.slack.interaction import Interaction

MOST: Final = 50
_TIMEOUT_S: Final = 2.0

log = structlog.get_logger()


async def suggest(desk: Desk, interaction: Interaction) -> None:
    """Answer a menu with what fits to the typed text."""
    typed = str(interaction.body.get("value") or "").strip()
    find = _FINDERS.get(str(interaction.body.get("action_id") or ""), _nothing)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            found = await find(desk, interaction, typed)
    except Exception as error:  # noqa: BLE001 - an error would show as an empty menu all the same
        log.warning("no suggestions", error=type(error).__name__)
        found = []
    options = [option(value, about) for value, about in found]
    await interaction.ack(options=[one.to_dict() for one in options if one is not None][:MOST])


Found = Iterable[tuple[str, str]]


async def _presets(desk: Desk, interaction: Interaction, typed: str) -> Found:
    """Presets for the last part of `dreamy+ink:0.6`."""
    before, plus, last = typed.rpartition("+")
    hits = await desk.registry.search.search(await desk.viewer(interaction), last.strip(), MOST)
    return [(f"{before}{plus}{hit.name}", hit.title or hit.model) for hit in hits]


async def _loras(desk: Desk, interaction: Interaction, typed: str) -> Found:
    """LoRAs by the beginning of their name, then by any part; a typed scale stays."""
    name, colon, scale = typed.lower().partition(":")
    ceiling = (await desk.viewer(interaction)).nsfw_ceiling
    fitting = [
        one
        for one in await desk.registry.loras.list()
        if name.strip() in one.name and one.nsfw <= ceiling
    ]
    fitting.sort(key=lambda one: (not one.name.startswith(name.strip()), one.name))
    return [(f"{one.name}{colon}{scale}", one.family.label) for one in fitting[:MOST]]


async def _one_preset(desk: Desk, interaction: Interaction, typed: str) -> Found:
    """Presets where only one can be meant."""
    hits = await desk.registry.search.search(await desk.viewer(interaction), typed, MOST)
    return [(hit.name, hit.title or hit.model) for hit in hits]


async def _own_presets(desk: Desk, interaction: Interaction, typed: str) -> Found:
    """Presets that belong to who types."""
    names = await own_names(desk.registry, await desk.viewer(interaction), typed)
    return [(name, "") for name in names[:MOST]]


async def _nothing(*_: Any) -> Found:
    return []


_ASKED: Final = {presets.ANY: _one_preset, presets.OWN: _own_presets}
_FINDERS: Final = {
    "preset": _presets,
    "loras": _loras,
    **{presets.menu(word): _ASKED[one.asks] for word, one in presets.COMMANDS.items() if one.asks},
}
