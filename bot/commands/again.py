"""From something that was drawn to the wish for something like it.

Every surface's buttons (Again, Edit, Vary, Draft, Try again) and every recipe that comes back in a
picture end up here as a `Wish`.
"""

import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from backends.base import MODELS, GenerationRequest, ImageSize, bounds
from bot.commands.prompt import (
    MAX_PROMPT,
    NO_PRESET,
    NamedLora,
    PromptError,
    Wish,
    parse,
    parse_loras,
)
from bot.foreign_recipe import ForeignRecipe
from bot.jobs.job import Job
from bot.recipe import Recipe

Value = TypeVar("Value")

SEEDS: Final = 2**32
"""Seeds that we choose ourselves stay short enough to be typed."""


def new_seed() -> int:
    return secrets.randbelow(SEEDS)


@dataclass(frozen=True, slots=True)
class Again:
    """The same with a new seed."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The very same, after it failed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The same seed in half the steps."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """The same seed with more or less guidance."""

    by: float


@dataclass(frozen=True, slots=True)
class LoraScale:
    """The same seed with one LoRA stronger or weaker."""

    name: str
    by: float


Variation = Again | Retry | Draft | Guidance | LoraScale


def wish_of(job: Job) -> Wish:
    """The wish that gives the same job to anybody, whatever their own defaults are; of what those
    do not hold, the usual is left unsaid.

    Where presets were used it has the prompt and LoRAs as they were typed, and the presets with
    their revisions: the request's prompt has the presets' words already.
    """
    request = job.request
    usual = MODELS[request.model].model_fields
    typed = Wish(
        prompt=_one_line(request.prompt),
        preset=NO_PRESET,
        loras=tuple(NamedLora(lora.path, lora.scale) for lora in request.loras),
    )
    return replace(
        typed if job.asked is None else parse(job.asked),
        size=request.image_size,
        steps=request.num_inference_steps,
        guidance=request.guidance_scale,
        seed=request.seed,
        images=request.num_images,
        model=request.model,
        speed=_unusual(request.acceleration, usual["acceleration"].default),
        expand=request.enable_prompt_expansion or None,
        format=_unusual(request.output_format, usual["output_format"].default),
    )


def vary(job: Job, variation: Variation) -> Wish:
    """The wish for a variation; values stay inside what the model takes."""
    wish = wish_of(job)
    match variation:
        case Again():
            return replace(wish, seed=new_seed())
        case Retry():
            return wish
        case Draft():
            return replace(wish, steps=_within(job.request, "num_inference_steps", 0.5))
        case Guidance(by=by):
            limits = bounds(job.request.model, "guidance_scale")
            changed = round(job.request.guidance_scale + by, 4)
            return replace(wish, guidance=min(max(changed, limits.low), limits.high))
        case LoraScale(name=name, by=by):
            low = 0.0 if job.request.model == "flux-2" else -4.0
            now = {lora.path: lora.scale for lora in job.request.loras}
            if name not in now:
                return wish
            louder = NamedLora(name, min(max(round(now[name] + by, 4), low), 4.0))
            said = tuple(louder if lora.name == name else lora for lora in wish.loras)
            # A preset's LoRA is changed by naming it: the command wins over the preset.
            return replace(wish, loras=said if louder in said else (*said, louder))


def wish_of_recipe(recipe: Recipe | ForeignRecipe) -> Wish:
    """The wish that a picture's recipe stands for; what it does not say is left open."""
    if isinstance(recipe, Recipe):
        size = recipe.requested or ImageSize(width=recipe.width, height=recipe.height)
        return Wish(
            prompt=_one_line(recipe.prompt),
            preset=NO_PRESET,
            loras=_sayable(NamedLora(lora.name, lora.scale) for lora in recipe.loras),
            size=size,
            steps=recipe.steps,
            guidance=recipe.guidance,
            seed=recipe.seed,
            images=1,
            model=recipe.model,
        )
    sized = recipe.width is not None and recipe.height is not None
    return Wish(
        prompt=_one_line(recipe.prompt),
        loras=_sayable(NamedLora(lora.name, lora.scale) for lora in recipe.loras),
        size=ImageSize.model_validate({"width": recipe.width, "height": recipe.height})
        if sized
        else None,
        steps=recipe.steps,
        guidance=recipe.guidance,
        seed=recipe.seed,
    )


def _sayable(loras: Iterable[NamedLora]) -> tuple[NamedLora, ...]:
    """Leave out names from elsewhere that no command can hold; we could not know them anyway."""
    found = []
    for lora in loras:
        with contextlib.suppress(PromptError):
            if parse_loras(str(lora)) == (lora,):
                found.append(lora)
    return tuple(found)


def _within(request: GenerationRequest, field: str, factor: float) -> int:
    limits = bounds(request.model, field)
    value = getattr(request, field) * factor
    return int(min(max(value, limits.low), limits.high))


def _unusual(value: Value, default: object) -> Value | None:
    return None if value == default else value


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_PROMPT]
