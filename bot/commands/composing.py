"""Presets, LoRAs and a prompt become the fields of a request, and what is to be told beside it.

What is said later wins: the community's and the member's defaults, then presets, then the command.
`lora_registry.compose` has the rule for LoRAs, trigger words and templates.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from backends.base import ModelName
from bot import wording
from bot.commands.prompt import NO_PRESET, NamedLora, Wish, render
from bot.communities import MemberSettings
from bot.database import DatabaseError
from bot.registry import Registry
from lora_registry.compose import Asked, Composition, UsedPreset, compose
from lora_registry.errors import BadComposition, UnknownLora
from lora_registry.models import FixedSeed, LoraRecord, Viewer
from lora_registry.names import Part, Reference, format_composition, parse_composition
from lora_registry.resolve import Resolved

_EXPANDED: Final = 5000
"""Characters that a prompt may have after templates and trigger words; what a request takes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Composed:
    """What a wish comes to. `fields` are those of a request that somebody has decided.

    `preset` names what was used, each with its revision; `asked` is the command that asks for the
    same again, with those revisions. `uses` are the ids of the presets, to be counted.
    """

    fields: Mapping[str, Any]
    preset: str | None = None
    asked: str | None = None
    notes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Used:
    """One preset of a wish, resolved."""

    part: Part
    resolved: Resolved

    @property
    def name(self) -> str:
        return self.part.reference.name

    @property
    def pinned(self) -> Part:
        revision = self.resolved.revision
        preset = revision.preset
        return Part(Reference(preset.name, preset.handle, revision.rev), self.part.multiplier)


@dataclass(frozen=True, slots=True)
class _Loras:
    """LoRAs of a command: those that the registry knows, and names and addresses of others."""

    known: tuple[Asked, ...] = ()
    others: tuple[NamedLora, ...] = ()


class Architectures(Protocol):
    """Knows the model whose LoRAs fit the weights that answer for a model."""

    def __call__(self, model: ModelName) -> ModelName: ...


@dataclass(frozen=True, slots=True)
class Composer:
    """Puts wishes together with what the registry has."""

    registry: Registry

    async def compose(
        self, wish: Wish, mine: MemberSettings, viewer: Viewer, architecture: Architectures
    ) -> Composed:
        """Resolve names and merge everything.

        Raises:
            RegistryError: a preset is not there, may not be used, or does not go together; says so.
        """
        used = await self._resolve(wish.preset or mine.preset, viewer)
        loras = await self._split(wish.loras)
        presets = [UsedPreset(u.name, u.resolved.revision.body, u.part.multiplier) for u in used]
        hashes = {lora.sha256 for one in presets for lora in one.body.loras}
        model = wish.model or (presets[0].body.model if presets else mine.model)
        done = compose(
            wish.prompt,
            presets=presets,
            explicit=loras.known,
            records=await self.registry.loras.records(hashes),
            values=dict(wish.variables),
            model=model if wish.model or not presets else None,
            architecture=architecture(model),
        )
        if len(done.prompt) > _EXPANDED:
            raise BadComposition(
                f"With its presets the prompt has {len(done.prompt):,} characters; shorten it so "
                f"that they come to at most {_EXPANDED:,}."
            )
        pinned = format_composition(tuple(u.pinned for u in used)) if used else None
        return Composed(
            fields=_fields(wish, mine, done, loras.others),
            preset=pinned,
            asked=render(replace(wish, preset=pinned)) if used else None,
            notes=_notes(used, done),
            uses=tuple(u.resolved.revision.preset.id for u in used),
        )

    async def require_usable(self, viewer: Viewer, name: str) -> None:
        """Let pass a LoRA of the registry that may be used here, and every name of others.

        Raises:
            RegistryError: says why it may not be used.
        """
        if (record := await self._record(name)) is not None:
            await self.registry.require_usable(viewer, record)

    async def count(self, uses: tuple[str, ...]) -> None:
        """Count that these presets were used; what goes wrong is only logged."""
        if not uses:
            return
        try:
            await self.registry.people.count_uses(Counter(uses))
        except DatabaseError as error:
            log.warning("uses of presets not counted", error=str(error))

    async def _resolve(self, text: str | None, viewer: Viewer) -> list[_Used]:
        if text is None or text.strip().lower() == NO_PRESET:
            return []
        return [
            _Used(part, await self.registry.resolver.resolve(viewer, part.reference))
            for part in parse_composition(text)
        ]

    async def _split(self, loras: tuple[NamedLora, ...]) -> _Loras:
        known: list[Asked] = []
        others: list[NamedLora] = []
        for lora in loras:
            record = await self._record(lora.name)
            if record is None:
                others.append(lora)
            else:
                known.append(Asked(record, lora.scale))
        return _Loras(tuple(known), tuple(others))

    async def _record(self, name: str) -> LoraRecord | None:
        try:
            return await self.registry.loras.find(name)
        except UnknownLora:
            return None


def _fields(
    wish: Wish, mine: MemberSettings, done: Composition, others: tuple[NamedLora, ...]
) -> dict[str, Any]:
    """The request's fields, as far as anybody has said something."""
    size = wish.size or done.size or mine.size
    seed = done.seed.seed if isinstance(done.seed, FixedSeed) else None
    chosen = {
        "model": done.model,
        "prompt": done.prompt,
        "image_size": size.model_dump() if size else None,
        "num_inference_steps": _first(wish.steps, done.steps),
        "guidance_scale": _first(wish.guidance, done.guidance),
        "seed": _first(wish.seed, seed),
        "num_images": _first(wish.images, done.count, mine.images),
        "loras": [
            *({"path": lora.name, "scale": lora.scale} for lora in done.loras),
            *({"path": one.name, "scale": _first(one.scale, 1.0)} for one in others),
        ],
        "acceleration": wish.speed or done.speed,
        "enable_prompt_expansion": wish.expand,
        "output_format": wish.format,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _first(*said: float | None) -> float | None:
    return next((value for value in said if value is not None), None)


def _notes(used: list[_Used], done: Composition) -> tuple[str, ...]:
    shadows = [notice for u in used if (notice := u.resolved.notice) is not None]
    return (
        *shadows,
        *([wording.trigger_words(done.added)] if done.added else []),
        *([wording.missing_loras(done.missing)] if done.missing else []),
    )
