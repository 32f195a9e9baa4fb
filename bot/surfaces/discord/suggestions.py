"""What is offered while somebody types: quickly, at most 25, and never an error."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import discord
import structlog
from discord.app_commands import Choice

from backends.base import NAMED_SIZES
from bot.commands.presets import own_names
from bot.surfaces.discord.desk import Desk
from bot.surfaces.discord.text import plain

MOST: Final = 25
LONGEST: Final = 100
LOOSE: Final = "a file in the LoRA folder"
_TIMEOUT_S: Final = 2.0
_FRESH_S: Final = 20.0

log = structlog.get_logger()

Choices = list[Choice[str]]


@dataclass(frozen=True, slots=True)
class _Lora:
    """A LoRA that can be named; `about` is said beside it."""

    name: str
    about: str
    nsfw: int = 0


class Suggestions:
    """Suggestions for the options of `/imagine`. LoRAs come from memory, read anew in between."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._loras: tuple[_Lora, ...] | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def presets(self, interaction: discord.Interaction[Any], current: str) -> Choices:
        """Presets for the last part of `dreamy+ink:0.6`."""
        before, plus, last = current.rpartition("+")
        return await self._found(interaction, last, f"{before}{plus}")

    async def one_preset(self, interaction: discord.Interaction[Any], current: str) -> Choices:
        """Presets where only one can be meant."""
        return await self._found(interaction, current)

    async def own_presets(self, interaction: discord.Interaction[Any], current: str) -> Choices:
        """Presets that belong to who types."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                seen = await self._desk.viewer(interaction)
                names = await own_names(self._desk.registry, seen, current)
        except Exception as error:  # noqa: BLE001 - an error would show as silence all the same
            log.warning("no suggestions", error=type(error).__name__)
            return []
        return [Choice(name=name, value=name) for name in names[:MOST]]

    async def loras(self, interaction: discord.Interaction[Any], current: str) -> Choices:
        """LoRAs for the last entry of `ghibli:0.8, ink`; its scale stays."""
        before, comma, last = current.rpartition(",")
        name, colon, scale = last.strip().partition(":")
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                ceiling = (await self._desk.viewer(interaction)).nsfw_ceiling
                known = await self._known()
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("no suggestions", error=type(error).__name__)
            return []
        typed = name.strip().lower()
        named = {entry.partition(":")[0].strip() for entry in before.split(",")}
        fitting = [
            one
            for one in known
            if typed in one.name.lower() and one.nsfw <= ceiling and one.name not in named
        ]
        fitting.sort(key=lambda one: (not one.name.lower().startswith(typed), one.name))
        lead = f"{before}{comma} " if comma else ""
        return _choices((f"{lead}{one.name}{colon}{scale}", one.about) for one in fitting[:MOST])

    async def sizes(self, _: discord.Interaction[Any], current: str) -> Choices:
        """Sizes by name; what else was typed is left as it is."""
        typed = current.strip().lower().replace(" ", "_")
        return _choices(
            (name, str(size)) for name, size in NAMED_SIZES.items() if typed in name or not typed
        )

    async def _found(
        self, interaction: discord.Interaction[Any], text: str, lead: str = ""
    ) -> Choices:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                seen = await self._desk.viewer(interaction)
                hits = await self._desk.registry.search.search(seen, text.strip(), MOST)
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("no suggestions", error=type(error).__name__)
            return []
        return _choices(
            (f"{lead}{hit.name}", f"{hit.title}, {hit.model}" if hit.title else hit.model)
            for hit in hits
        )

    async def _known(self) -> tuple[_Lora, ...]:
        """All LoRAs as of a short while ago; only who types first waits for them."""
        stale = time.monotonic() - self._read_at > _FRESH_S
        if self._reading is None and (self._loras is None or stale):
            self._reading = asyncio.create_task(self._read())
        if self._loras is None and self._reading is not None:
            await asyncio.shield(self._reading)
        return self._loras or ()

    async def _read(self) -> None:
        """Read the registry's LoRAs and what else lies in the folder."""
        try:
            records = await self._desk.registry.loras.list()
            names = {record.name for record in records}
            loose = sorted(set(await self._desk.lora_files()) - names)
            self._loras = (
                *(
                    _Lora(one.name, ", ".join((one.family.label, *one.words()[:3])), one.nsfw)
                    for one in records
                ),
                *(_Lora(name, LOOSE) for name in loose),
            )
            self._read_at = time.monotonic()
        except Exception as error:  # noqa: BLE001 - what was read before goes on being offered
            log.warning("LoRAs not read", error=type(error).__name__)
        finally:
            self._reading = None


def _choices(found: Any) -> Choices:
    """Choices whose value fits; a longer one would be refused, and with it all others."""
    return [
        Choice(name=plain(f"{value} ({about})", LONGEST), value=value)
        for value, about in found
        if 0 < len(value) <= LONGEST
    ][:MOST]
