"""Save as preset: how a picture was drawn, without its prompt and seed, becomes a preset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backends.base import MODELS
from bot.commands import presets
from bot.commands.preset_beginnings import from_recipe
from bot.commands.preset_body import BadPreset, checked
from bot.commands.prompt import parse
from bot.foreign_recipe import ForeignRecipe
from bot.jobs.job import Job
from bot.recipe import Recipe
from bot.registry import Registry
from lora_registry.compose import UsedPreset, fill_templates
from lora_registry.errors import RegistryError, UnknownLora
from lora_registry.models import MAX_TEMPLATE, PresetBody, Viewer
from lora_registry.names import parse_composition
from lora_registry.revisions import Revision

NOT_DRAWN: Final = "Nothing was drawn here that could be saved."
_MARK: Final = "\0"
"""Stands for the prompt while templates are joined; no text of a preset can hold it."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture was drawn, ready to be given a name; `note` says what it was drawn with."""

    body: PresetBody
    note: str = ""


async def look_of_job(registry: Registry, viewer: Viewer, job: Job) -> Look:
    """The look of a job that the viewer may see.

    Its LoRAs have the scales with which they were drawn. Of the presets that it used and that the
    viewer may use, too, it keeps what they say beside LoRAs and settings: the template with its
    variables filled, trigger sets, licences, the NSFW level.

    Raises:
        BadPreset: it has no picture, or cannot be kept as a preset; says why.
    """
    if job.result is None or not job.result.pictures:
        raise BadPreset(NOT_DRAWN)
    body = await body_of_recipe(registry, job.result.pictures[0].recipe)
    if body.speed == MODELS[body.model].model_fields["acceleration"].default:
        body = body.model_copy(update={"speed": None})
    if job.preset is None:
        return Look(body)
    used = await _used(registry, viewer, job.preset)
    kept = {lora.sha256: lora for one in used for lora in one.body.loras}
    licences = " and ".join(dict.fromkeys(one.body.licence for one in used if one.body.licence))
    fields = body.model_dump() | {
        "template": _template(used, job),
        "loras": [
            lora.model_dump() | {"triggers": kept[lora.sha256].triggers}
            if lora.sha256 in kept
            else lora.model_dump()
            for lora in body.loras
        ],
        "licence": licences if len(licences) <= 120 else "",
        "nsfw": max((one.body.nsfw for one in used), default=0),
    }
    return Look(checked(fields), f"from a picture drawn with {job.preset}")


async def body_of_recipe(registry: Registry, recipe: Recipe | ForeignRecipe) -> PresetBody:
    """What a recipe says that others may draw with.

    Raises:
        BadPreset: it uses a LoRA that a preset cannot name, or cannot be drawn here.
    """
    try:
        return await from_recipe(registry, recipe)
    except UnknownLora:
        unknown = await _unknown(registry, recipe)
        raise BadPreset(
            "A preset keeps only LoRAs that this Atelier knows by name, and this picture was "
            f"drawn with {' and '.join(unknown)}. Whoever runs this Atelier can add that with "
            "`atelier lora add`; after that, save the picture again."
        ) from None


async def save(
    registry: Registry,
    viewer: Viewer,
    look: Look,
    *,
    name: str,
    title: str,
    template: str,
    handle: str,
) -> Revision:
    """Make a personal preset of a look.

    Raises:
        RegistryError: says what is wrong.
    """
    fields = look.body.model_dump() | {
        "title": title.strip(),
        "template": template.strip() or "{prompt}",
    }
    return await presets.create(
        registry, viewer, name, checked(fields), handle=handle, note=look.note
    )


# --- Steps ------------------------------------------------------------------------------------


async def _used(registry: Registry, viewer: Viewer, composition: str) -> list[UsedPreset]:
    """The presets that were used, as far as the viewer may use them now."""
    found = []
    for part in parse_composition(composition):
        try:
            revision = (await registry.resolver.resolve(viewer, part.reference)).revision
        except RegistryError:
            continue
        found.append(UsedPreset(part.reference.name, revision.body, part.multiplier))
    return found


def _template(used: Sequence[UsedPreset], job: Job) -> str:
    """The templates that were used as one, with what was filled in; the next one's around it."""
    asked = dict(parse(job.asked).variables) if job.asked else {}
    names = {variable.name for one in used for variable in one.body.variables}
    filled = {name: value for name, value in asked.items() if name in names}
    text = fill_templates(_MARK, used, filled)
    joined = text.replace("{", "{{").replace("}", "}}").replace(_MARK, "{prompt}")
    return joined if len(joined) <= MAX_TEMPLATE else "{prompt}"


async def _unknown(registry: Registry, recipe: Recipe | ForeignRecipe) -> list[str]:
    found = []
    for lora in recipe.loras:
        try:
            await registry.loras.find(getattr(lora, "sha256", None) or lora.name)
        except UnknownLora:
            found.append("a LoRA without a name" if lora.name == "inline" else lora.name)
    return found
