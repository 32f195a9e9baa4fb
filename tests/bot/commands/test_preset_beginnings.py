"""A preset begins with a file that holds one, or with a picture."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from backends.base import ImageSize
from bot import recipe
from bot.commands.preset_beginnings import from_json, from_picture
from bot.commands.preset_body import BadPreset
from bot.recipe import Recipe, RecipeError, RecipeLora
from bot.registry import Registry
from lora_registry.errors import RegistryError, UnknownLora
from lora_registry.models import FixedSeed, PictureSize, PresetBody, PresetLora
from tests.bot.registries import opened
from tests.lora_registry import world

INK, OIL = world.lora("ink"), world.lora("oil")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        for record in (INK, OIL):
            await registry.loras.put(record, by="olga")
        yield registry


# --- Files ------------------------------------------------------------------------------------


async def test_a_preset_is_read_back_from_what_was_written(registry: Registry) -> None:
    lora = PresetLora(sha256=INK.sha256, name="ink", scale=0.8)
    body = PresetBody(loras=(lora,), steps=9, seed=FixedSeed(seed=5))
    document = body.model_dump_json()
    assert await from_json(registry, document) == body
    assert await from_json(registry, json.dumps({"body": json.loads(document)})) == body


async def test_a_lora_may_be_written_by_its_name(registry: Registry) -> None:
    body = await from_json(registry, '{"loras": [{"name": "Ink", "scale": 0.5}]}')
    assert body.loras == (PresetLora(sha256=INK.sha256, name="ink", scale=0.5),)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("", "The file is no JSON"),
        ("[1]", "The file holds no JSON object"),
        ('{"stepz": 3}', "A preset has no stepz; leave it out."),
        ('{"steps": "many"}', "steps is “many”; use a whole number."),
        ('{"loras": [{"name": "nobody"}]}', "There is no LoRA nobody here."),
        ('{"loras": [5]}', "loras.0"),
        ('{"loras": 5}', "loras"),
        ('{"model": []}', "model"),
        ('{"size": {"width": 5}}', "size.height is missing."),
        ("[" * 100_000, "The file is no JSON"),
    ],
)
async def test_a_file_that_is_no_preset_is_refused_in_a_sentence(
    registry: Registry, document: str, sentence: str
) -> None:
    with pytest.raises(RegistryError) as refused:
        await from_json(registry, document)
    assert sentence in str(refused.value)


def picture(texts: dict[str, str] | None = None) -> bytes:
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, text in (texts or {}).items():
        info.add_text(key, text)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


RECIPE = Recipe(
    model="flux-1",
    weights="demo",
    prompt="a secret place",
    seed=5,
    width=128,
    height=96,
    requested=ImageSize(width=1024, height=768),
    steps=12,
    guidance=2.5,
    loras=(RecipeLora(name="was-called-so", sha256=INK.sha256, scale=0.7),),
)


async def test_a_picture_gives_its_look_and_keeps_its_prompt(registry: Registry) -> None:
    body = await from_picture(registry, recipe.embed(picture(), RECIPE))
    assert body == PresetBody(
        loras=(PresetLora(sha256=INK.sha256, name="ink", scale=0.7),),
        size=PictureSize(width=1024, height=768),
        steps=12,
        guidance=2.5,
        speed="none",
    )


async def test_another_programs_picture_is_read_by_hash_and_name(registry: Registry) -> None:
    parameters = (
        "a tree <lora:ink_v2:0.6> <lora:oil:1>\nSteps: 9, CFG scale: 3, Seed: 4, Size: 64x96, "
        f'Lora hashes: "ink_v2: {INK.sha256[:10]}"'
    )
    body = await from_picture(registry, picture({"parameters": parameters}))
    assert [(one.name, one.scale) for one in body.loras] == [("ink", 0.6), ("oil", 1.0)]
    assert (body.steps, body.size) == (9, PictureSize(width=64, height=96))


async def test_a_picture_with_an_unknown_lora_is_refused_by_its_name(registry: Registry) -> None:
    lora = RecipeLora(name="lost", sha256="ab" * 32, scale=1)
    unknown = RECIPE.model_copy(update={"loras": (lora,)})
    with pytest.raises(UnknownLora, match=r"lost \(abababababab…\)"):
        await from_picture(registry, recipe.embed(picture(), unknown))


async def test_a_picture_without_a_recipe_makes_no_preset(registry: Registry) -> None:
    with pytest.raises(BadPreset, match="no recipe"):
        await from_picture(registry, picture())
    with pytest.raises(RecipeError):
        await from_picture(registry, b"no picture at all")
