"""What a new instance begins with: the demo model's LoRAs, and a few presets made of them.

Everything is brought in once and then belongs to the operator: what was ever brought in is written
down by name, so nothing comes back that was deleted, and nothing is overwritten that was changed.
A later version brings in what is new in it.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from backends.local.families import DEMO_LORAS
from bot.owner import owner_viewer
from bot.registry import Registry
from lora_registry.errors import NameTaken, UnknownLora
from lora_registry.models import ChoiceVariable, PictureSize, PresetBody, PresetLora
from lora_registry.permissions import PUBLIC
from lora_registry.sources.reference import LocalRef
from lora_registry.store import Draft

HANDLE: Final = "atelier"
"""The owner of what comes with Atelier, and the name before the slash; nobody else gets it."""

_LORAS: Final = ("glow", "outline", "pixel", "stripes")
_COLOURS: Final = ("red", "green", "blue", "yellow", "white", "black", "purple", "orange")
_SQUARE: Final = PictureSize(width=512, height=512)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Preset:
    """A preset whose LoRAs are named; `loras` are scales by name."""

    body: PresetBody
    loras: Mapping[str, float] = field(default_factory=dict)


def _preset(
    title: str,
    description: str,
    template: str = "{prompt}",
    *,
    loras: Mapping[str, float] | None = None,
    **settings: object,
) -> _Preset:
    texts = {"title": title, "description": description, "template": template}
    shared = {"licence": "Apache-2.0", "tags": ("demo", "shapes")}
    body = PresetBody.model_validate({**texts, **shared, **settings})
    return _Preset(body, loras or {})


_PRESETS: Final[Mapping[str, _Preset]] = {
    "lantern": _preset(
        "Lantern",
        "A shape that shines out of the dark. Write the shape alone: “a large yellow star”.",
        "{prompt} on a black background",
        loras={"glow": 0.6},
        size=_SQUARE,
        guidance=3.5,
    ),
    "comic": _preset(
        "Comic",
        "A bold line around the shape, and stripes. Made of two LoRAs.",
        loras={"outline": 0.8, "stripes": 0.8},
    ),
    "badge": _preset(
        "Badge",
        "One shape on a plain ground. Write its name alone, “star”, and choose size and colours.",
        "{size} {colour} {prompt} on a {ground} background",
        variables=(
            ChoiceVariable(name="size", choices=("large", "small"), default="large"),
            ChoiceVariable(name="colour", choices=_COLOURS, default="red"),
            ChoiceVariable(name="ground", choices=_COLOURS, default="white"),
        ),
        size=_SQUARE,
    ),
    "mosaic": _preset("Mosaic", "Drawn in coarse squares.", loras={"pixel": 1.0}, size=_SQUARE),
    "quick": _preset(
        "Quick", "Few steps, for trying out prompts.", steps=4, guidance=3.0, size=_SQUARE
    ),
}


async def install_demo(registry: Registry) -> None:
    """Bring in what this instance has never had; where that is nothing, it costs one read.

    Raises:
        DatabaseError: the registry cannot be read or written.
    """
    had = {row["name"] for row in await registry.database.rows("SELECT name FROM content")}
    loras = [name for name in _LORAS if f"lora/{name}" not in had]
    presets = [name for name in _PRESETS if f"preset/{name}" not in had]
    if not loras and not presets:
        return
    hashes = {name: await asyncio.to_thread(_sha256, _file(name)) for name in _LORAS}
    for name in loras:
        await _bring_lora(registry, name, hashes[name])
    for name in presets:
        await _bring_preset(registry, name, hashes)
    await _write_down(registry, [f"lora/{x}" for x in loras] + [f"preset/{x}" for x in presets])


async def _bring_lora(registry: Registry, name: str, sha256: str) -> None:
    if await registry.loras.get(sha256) is not None:
        return
    candidate = await registry.places.describe(LocalRef(str(_file(name))))
    try:
        await registry.loras.put(candidate.record(name, sha256), candidate.source, by=HANDLE)
    except NameTaken as error:
        log.info("a LoRA of the demo stays out", lora=name, why=str(error))


async def _bring_preset(registry: Registry, name: str, hashes: Mapping[str, str]) -> None:
    preset = _PRESETS[name]
    loras = tuple(
        PresetLora(sha256=hashes[lora], name=lora, scale=scale)
        for lora, scale in preset.loras.items()
    )
    body = preset.body.model_copy(update={"loras": loras})
    draft = Draft(owner=HANDLE, handle=HANDLE, name=name, body=body, places=(PUBLIC,))
    try:
        await registry.presets.install(owner_viewer(), [draft])
    except (NameTaken, UnknownLora) as error:
        log.info("a preset of Atelier's stays out", preset=name, why=str(error))


async def _write_down(registry: Registry, names: Sequence[str]) -> None:
    async with registry.database.write() as sql:
        await sql.executemany(
            "INSERT OR IGNORE INTO content (name) VALUES (?)", [(name,) for name in names]
        )


def _file(name: str) -> Path:
    return DEMO_LORAS / f"{name}.safetensors"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
