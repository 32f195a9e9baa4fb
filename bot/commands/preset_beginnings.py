"""Where a preset may begin: a file that holds one, or a picture that was drawn."""

import json
from typing import Any

from bot import recipe, wording
from bot.commands.preset_body import BadPreset, checked
from bot.foreign_recipe import ForeignRecipe
from bot.recipe import Recipe
from bot.registry import Registry
from lora_registry.errors import UnknownLora
from lora_registry.models import LoraRecord, PresetBody


async def from_json(registry: Registry, document: str) -> PresetBody:
    """Read what `atelier preset show --json` wrote, or its `body` alone.

    LoRAs may be given by name alone.

    Raises:
        BadPreset: it is no preset.
        UnknownLora: a LoRA is not known here.
    """
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError):
        raise BadPreset(
            "The file is no JSON; `atelier preset show NAME --json` writes it."
        ) from None
    if isinstance(fields, dict) and isinstance(fields.get("body"), dict):
        fields = fields["body"]
    if not isinstance(fields, dict):
        raise BadPreset("The file holds no JSON object with a preset in it.")
    if isinstance(fields.get("loras"), list):
        loras = [await _with_hash(registry, lora) for lora in fields["loras"]]
        fields = {**fields, "loras": loras}
    return checked(fields)


async def from_picture(registry: Registry, data: bytes) -> PresetBody:
    """Make a preset of how a picture was drawn: model, LoRAs, size, steps, guidance, speed.

    Its prompt and seed, which make it the one picture that it is, are left out.

    Raises:
        RecipeError: it is no picture that can be read.
        BadPreset: it carries no recipe, or one that cannot be drawn here.
        UnknownLora: one of its LoRAs is not known here.
    """
    found = recipe.read(data)
    if found is None:
        raise BadPreset(wording.NO_RECIPE)
    return await from_recipe(registry, found)


async def from_recipe(registry: Registry, found: Recipe | ForeignRecipe) -> PresetBody:
    """The same from a recipe that was read already.

    Raises:
        BadPreset: it cannot be drawn here.
        UnknownLora: one of its LoRAs is not known here.
    """
    size = _size(found)
    fields: dict[str, Any] = {
        "loras": [
            {"sha256": record.sha256, "name": record.name, "scale": scale}
            for record, scale in await _loras_of(registry, found)
        ],
        "size": size,
        "steps": found.steps,
        "guidance": found.guidance,
    }
    if isinstance(found, Recipe):
        fields |= {"model": found.model, "speed": found.acceleration}
    return checked({name: value for name, value in fields.items() if value is not None})


# --- Steps ------------------------------------------------------------------------------------


async def _with_hash(registry: Registry, lora: object) -> object:
    if isinstance(lora, dict) and "sha256" not in lora and isinstance(lora.get("name"), str):
        record = await registry.loras.find(lora["name"])
        return {**lora, "sha256": record.sha256, "name": record.name}
    return lora


async def _loras_of(
    registry: Registry, found: Recipe | ForeignRecipe
) -> list[tuple[LoraRecord, float]]:
    loras = []
    if isinstance(found, Recipe):
        for lora in found.loras:
            record = await registry.loras.get(lora.sha256)
            if record is None:
                raise UnknownLora(f"{lora.name} ({lora.sha256:.12}…)")
            loras.append((record, lora.scale))
    else:
        for other in found.loras:
            known = await _by_hash(registry, other.hash or "")
            loras.append((known or await registry.loras.find(other.name), other.scale))
    return loras


async def _by_hash(registry: Registry, digest: str) -> LoraRecord | None:
    try:
        return await registry.loras.find(digest)
    except UnknownLora:
        return None


def _size(found: Recipe | ForeignRecipe) -> dict[str, int] | None:
    if isinstance(found, Recipe) and found.requested is not None:
        return found.requested.model_dump()
    if found.width is None or found.height is None:
        return None
    return {"width": found.width, "height": found.height}
