"""The recipe of a picture: what repeats it, written into the file and read back.

A file carries the recipe twice: as A1111's infotext, which most programs show, and as our own JSON,
which is exact. `bot/metadata/` knows where in the bytes, `bot/foreign_recipe.py` reads what other
programs wrote.
"""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backends.base import (
    MAX_SEED,
    Acceleration,
    GenerationRequest,
    ImageSize,
    LoraFile,
    ModelName,
    Rendered,
)
from bot import metadata
from bot.foreign_recipe import (
    MAX_PROMPT,
    CleanText,
    ForeignLora,
    ForeignRecipe,
    parse_comfy,
    parse_infotext,
)
from bot.metadata import RecipeError

__all__ = [
    "ForeignLora",
    "ForeignRecipe",
    "Recipe",
    "RecipeError",
    "RecipeLora",
    "embed",
    "infotext",
    "read",
    "recipe_of",
]

_Name = Annotated[CleanText, Field(min_length=1, max_length=1_000)]


class RecipeLora(BaseModel):
    """A LoRA that was applied; `name` is what the person called it, `sha256` is what it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scale: float = Field(ge=-4, le=4, allow_inf_nan=False)


class Recipe(BaseModel):
    """All that repeats one picture. It names no job, time or person: equal requests, equal bytes.

    `weights` is what the backend loaded, `prompt` the text that was drawn, `width` and `height` are
    the picture's own, `requested` the size that was asked for where it differs. The picture is
    number `index` (from 0) of `num_images` drawn from `seed`; 0 of 1 where it has its own seed.
    Text read from a file has lost its control characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    app: Literal["atelier"] = "atelier"
    version: Literal[1] = 1
    model: ModelName
    weights: _Name
    preset: _Name | None = Field(None, description="name@revision")
    prompt: Annotated[CleanText, Field(max_length=MAX_PROMPT)]
    expanded: bool = False
    seed: int = Field(ge=0, le=MAX_SEED)
    index: int = Field(0, ge=0, le=3)
    num_images: int = Field(1, ge=1, le=4)
    width: int = Field(ge=1, le=65_535)
    height: int = Field(ge=1, le=65_535)
    requested: ImageSize | None = None
    steps: int = Field(ge=1, le=1_000)
    guidance: float = Field(ge=0, le=1_000, allow_inf_nan=False)
    loras: tuple[RecipeLora, ...] = ()
    acceleration: Acceleration = "none"


def recipe_of(
    request: GenerationRequest,
    loras: Sequence[LoraFile],
    rendered: Rendered,
    index: int,
    *,
    preset: str | None = None,
) -> Recipe:
    """Describe picture `index` of a result. `preset` is `name@revision`."""
    picture = rendered.pictures[index]
    size = ImageSize(width=picture.width, height=picture.height)
    # Some services give one seed for a whole batch: then the place in it is part of the recipe.
    shared = sum(other.seed == picture.seed for other in rendered.pictures) > 1
    return Recipe(
        model=request.model,
        weights=rendered.weights,
        preset=preset,
        prompt=rendered.prompt[:MAX_PROMPT],
        expanded=request.enable_prompt_expansion,
        seed=picture.seed,
        index=index if shared else 0,
        num_images=len(rendered.pictures) if shared else 1,
        width=size.width,
        height=size.height,
        requested=request.image_size if request.image_size != size else None,
        steps=request.num_inference_steps,
        guidance=request.guidance_scale,
        loras=tuple(
            RecipeLora(name=_public_name(lora.name), sha256=lora.sha256, scale=lora.scale)
            for lora in loras
        ),
        acceleration=request.acceleration,
    )


def embed(data: bytes, recipe: Recipe) -> bytes:
    """Return the picture with the recipe in it, instead of one that it may have had.

    Pixels and everything else in the file keep their bytes. A millisecond's work per megabyte.

    Raises:
        RecipeError: no sound PNG, JPEG or WebP, or a recipe that its format cannot hold (64 KB in
            JPEG, which takes some two hundred LoRAs). The picture itself is fine to deliver.
    """
    return metadata.write(data, infotext(recipe), recipe.model_dump_json())


def read(data: bytes) -> Recipe | ForeignRecipe | None:
    """Read our own recipe, else what A1111 or ComfyUI left; None where there is none.

    The file may come from anybody: a recipe is a claim, not a proof. One that a newer Atelier
    wrote, or that was damaged, is read from its infotext.

    Raises:
        RecipeError: no sound PNG, JPEG or WebP, or too large; never anything else.
    """
    texts = metadata.read(data)
    if texts.document:
        try:
            return Recipe.model_validate_json(texts.document)
        except ValidationError:
            pass
    foreign = parse_infotext(texts.parameters) if texts.parameters else None
    return foreign or (parse_comfy(texts.prompt) if texts.prompt else None)


def infotext(recipe: Recipe) -> str:
    """Write the recipe the way A1111 does, so that its many readers fill their forms from it."""
    tags = "".join(f" <lora:{_tag(lora)}:{lora.scale:.10g}>" for lora in recipe.loras)
    settings = {
        "Steps": recipe.steps,
        "Sampler": "Euler",
        "CFG scale": f"{recipe.guidance:.10g}",
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model": recipe.weights,
    }
    if recipe.loras:
        # Ten digits of the file's hash are Civitai's AutoV2, by which its search finds a LoRA.
        hashes = (f"{_tag(lora)}: {lora.sha256[:10]}" for lora in recipe.loras)
        settings["Lora hashes"] = ", ".join(hashes)
    settings["Version"] = "Atelier"
    line = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in settings.items())
    return f"{recipe.prompt}{tags}\n{line}"


def _tag(lora: RecipeLora) -> str:
    """Name a LoRA as its file would be: no folders, no ending, nothing that ends a tag."""
    stem = re.split(r"[\\/]", lora.name.rstrip("/"))[-1].removesuffix(".safetensors")
    return re.sub(r"[\s,:<>\"]+", "_", stem)[:100] or lora.sha256[:10]


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n"]', value) else value


def _public_name(name: str) -> str:
    """Keep what a link may hold for its owner alone (credentials, query) out of the picture."""
    if name.startswith("data:"):
        return "inline"
    if "://" in name:
        name = re.sub(r"://[^/@]*@", "://", re.split(r"[?#]", name)[0])
    return name[:1_000]
