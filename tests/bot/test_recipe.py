"""A picture carries what repeats it, and no pixel changes for that."""

import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from backends.base import ImageSize, LoraFile, Picture, Rendered, Verdict, parse_request
from bot import metadata
from bot.foreign_recipe import parse_infotext
from bot.recipe import (
    ForeignRecipe,
    Recipe,
    RecipeError,
    RecipeLora,
    embed,
    infotext,
    read,
    recipe_of,
)

NOISE = Image.effect_noise((63, 47), 90).convert("RGB")
GLASS = NOISE.copy()
GLASS.putalpha(Image.effect_noise((63, 47), 90))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PICTURES: Mapping[str, bytes] = {
    "png": saved(NOISE, "png"),
    "png with alpha": saved(GLASS, "png"),
    "png with a palette": saved(NOISE.quantize(16), "png", transparency=3),
    "jpeg": saved(NOISE, "jpeg"),
    "jpeg, progressive": saved(NOISE, "jpeg", progressive=True, comment=b"by hand"),
    "jpeg, grey, with a profile": saved(NOISE.convert("L"), "jpeg", icc_profile=b"p" * 70_000),
    "webp": saved(NOISE, "webp"),
    "webp with alpha": saved(GLASS, "webp"),
    "webp, lossless": saved(NOISE, "webp", lossless=True),
    "webp, lossless, with alpha": saved(GLASS, "webp", lossless=True),
    "webp, moving": saved(GLASS, "webp", save_all=True, append_images=[NOISE]),
}
RECIPE = Recipe(
    model="flux-1",
    weights="black-forest-labs/FLUX.1-dev",
    preset="dreamy@3",
    prompt="a „red” fox, it's 5:30\nin the snow 🦊",
    seed=2**63 - 1,
    width=63,
    height=47,
    requested=ImageSize(width=64, height=48),
    steps=28,
    guidance=3.5,
    loras=(
        RecipeLora(name="ghibli", sha256="ab" * 32, scale=0.8),
        RecipeLora(name="https://example.org/a/Ink Wash.safetensors", sha256="cd" * 32, scale=-1),
    ),
)
every_picture = pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES.keys())

words = st.text(max_size=200)
recipes = st.builds(
    Recipe,
    model=st.sampled_from(["flux-1", "flux-2"]),
    weights=st.sampled_from(["demo", "a/b, c: d"]),
    preset=st.none() | st.just("noir@12"),
    prompt=words,
    expanded=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
    width=st.integers(1, 14_142),
    height=st.integers(1, 14_142),
    steps=st.integers(1, 50),
    guidance=st.floats(0, 35),
    loras=st.lists(
        st.builds(
            RecipeLora,
            name=st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1),
            sha256=st.just("0a" * 32),
            scale=st.floats(-4, 4),
        ),
        max_size=3,
    ).map(tuple),
    acceleration=st.sampled_from(["none", "regular", "high"]),
)


def frames(data: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(data)) as image:
        pixels = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            pixels.append(image.mode.encode() + image.tobytes())
        return pixels


# --- Writing ----------------------------------------------------------------------------------


@every_picture
def test_what_was_embedded_is_read_back_and_no_pixel_has_changed(data: bytes) -> None:
    assert read(data) is None
    with_recipe = embed(data, RECIPE)
    assert read(with_recipe) == RECIPE
    assert frames(with_recipe) == frames(data)


@every_picture
def test_a_second_recipe_replaces_the_first_and_leaves_no_trace_of_it(data: bytes) -> None:
    other = RECIPE.model_copy(update={"prompt": "an owl", "seed": 1, "loras": ()})
    twice = embed(embed(data, RECIPE), other)
    assert read(twice) == other
    assert twice == embed(data, other)
    assert b"in the snow" not in twice
    assert "in the snow".encode("utf-16-be") not in twice


@every_picture
def test_equal_recipes_give_equal_bytes(data: bytes) -> None:
    again = Recipe.model_validate_json(RECIPE.model_dump_json())
    assert embed(data, again) == embed(data, RECIPE)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(recipes, st.sampled_from(sorted(PICTURES)))
def test_every_recipe_survives_every_format(recipe: Recipe, name: str) -> None:
    assert read(embed(PICTURES[name], recipe)) == recipe


def test_pillow_shows_the_text_and_the_document() -> None:
    with Image.open(io.BytesIO(embed(PICTURES["png"], RECIPE))) as image:
        assert image.info["parameters"] == infotext(RECIPE)
        assert Recipe.model_validate_json(image.info["atelier"]) == RECIPE
    for name in ("jpeg", "webp"):
        with Image.open(io.BytesIO(embed(PICTURES[name], RECIPE))) as image:
            exif = image.getexif().get_ifd(0x8769)
        assert exif[0x9286] == b"UNICODE\0" + infotext(RECIPE).encode("utf-16-be")
        assert exif[0x927C][16:] == RECIPE.model_dump_json().encode()


def test_a_picture_that_pillow_has_saved_again_keeps_its_recipe_and_takes_another() -> None:
    for name in ("jpeg", "webp"):
        with Image.open(io.BytesIO(embed(PICTURES[name], RECIPE))) as image:
            exif = image.getexif()
            exif.get_ifd(0x8769)
            exif[0x0131] = "Pillow"
            again = saved(image, name, exif=exif)
        assert read(again) == RECIPE
        other = RECIPE.model_copy(update={"seed": 5})
        assert read(embed(embed(again, RECIPE), other)) == other
        with Image.open(io.BytesIO(embed(again, other))) as image:
            assert image.getexif()[0x0131] == "Pillow"


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
@pytest.mark.parametrize("order", ["II", "MM"])
def test_what_else_a_picture_says_about_itself_stays(kind: str, order: str) -> None:
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif[0x0112], exif[0x010F] = 6, "A maker with a long name"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:20 12:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    data = saved(NOISE, kind, exif=exif, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    with Image.open(io.BytesIO(embed(data, RECIPE))) as image:
        found = image.getexif()
        assert (found[0x0112], found[0x010F]) == (6, "A maker with a long name")
        assert found.get_ifd(0x8769)[0x9003] == "2026:11:20 12:00:00"
        assert found.get_ifd(0x8825)[1] == "N"
        assert image.info["xmp"].startswith(b"<x:xmpmeta")
    assert read(embed(data, RECIPE)) == RECIPE


def test_a_recipe_too_long_for_jpeg_loses_its_text_first_and_is_then_refused() -> None:
    lora = RECIPE.loras[0]

    def recipe(loras: int) -> Recipe:
        return RECIPE.model_copy(update={"prompt": "鹿" * 5_000, "loras": (lora,) * loras})

    shortened = embed(PICTURES["jpeg"], recipe(350))
    assert read(shortened) == recipe(350)
    with Image.open(io.BytesIO(shortened)) as image:
        assert 0x9286 not in image.getexif().get_ifd(0x8769)
    with pytest.raises(RecipeError, match="64 KB of it; choose png or webp"):
        embed(PICTURES["jpeg"], recipe(700))
    assert read(embed(PICTURES["webp"], recipe(700))) == recipe(700)
    with pytest.raises(RecipeError, match="too long"):
        embed(PICTURES["png"], recipe(5_000))


def test_a_recipe_has_a_form_and_no_more() -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({**RECIPE.model_dump(), "job": "4711"})
    with pytest.raises(ValidationError):
        RECIPE.seed = 3  # type: ignore[misc]


# --- The text ---------------------------------------------------------------------------------


def test_infotext_is_what_a1111_would_write() -> None:
    assert infotext(RECIPE) == (
        "a „red” fox, it's 5:30\nin the snow 🦊 <lora:ghibli:0.8> <lora:Ink_Wash:-1>\n"
        "Steps: 28, Sampler: Euler, CFG scale: 3.5, Seed: 9223372036854775807, Size: 63x47, "
        "Model: black-forest-labs/FLUX.1-dev, "
        'Lora hashes: "ghibli: ababababab, Ink_Wash: cdcdcdcdcd", Version: Atelier'
    )


@given(recipes)
@example(RECIPE.model_copy(update={"prompt": "x\nSteps: 3, Seed: 4, Size: 5x6\nmore"}))
def test_our_own_infotext_fills_a_form(recipe: Recipe) -> None:
    found = parse_infotext(infotext(recipe))
    assert found is not None
    assert (found.seed, found.steps) == (recipe.seed, recipe.steps)
    assert (found.width, found.height) == (recipe.width, recipe.height)
    assert found.guidance == pytest.approx(recipe.guidance)
    assert found.model == recipe.weights


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.replace('"version":1', '"version":2'),
        lambda document: document.replace('"steps"', '"step"'),
        lambda document: document[:-1],
        lambda document: "[" * 100_000,
        lambda document: "\ufffd",
    ],
)
def test_a_newer_or_damaged_document_is_read_from_its_text(damage: Callable[[str], str]) -> None:
    data = metadata.write(PICTURES["png"], infotext(RECIPE), damage(RECIPE.model_dump_json()))
    found = read(data)
    assert isinstance(found, ForeignRecipe)
    assert found.prompt == RECIPE.prompt
    assert [(lora.name, lora.scale, lora.hash) for lora in found.loras] == [
        ("ghibli", 0.8, "ab" * 5),
        ("Ink_Wash", -1.0, "cd" * 5),
    ]


def test_a_recipe_from_a_file_has_no_characters_that_hide_or_reorder_text() -> None:
    document = RECIPE.model_dump_json().replace("in the snow", "in\\u0000 \u202ethe\\u001b snow")
    found = read(metadata.write(PICTURES["png"], "", document))
    assert found == RECIPE


# --- From a job -------------------------------------------------------------------------------


def rendered(*seeds: int, width: int = 1024) -> Rendered:
    pictures = (Picture(b"", "png", width, 768, seed, Verdict.CLEAR) for seed in seeds)
    return Rendered(tuple(pictures), prompt="a fox, drawn", weights="demo")


def lora_file(name: str) -> LoraFile:
    return LoraFile(name=name, sha256="ab" * 32, path=Path("unused"), scale=0.5)


def test_a_recipe_describes_what_was_drawn_not_what_was_typed() -> None:
    request = parse_request({"prompt": "a fox", "seed": 7, "num_images": 2})
    first, second = (recipe_of(request, [], rendered(7, 8), n, preset="noir@2") for n in (0, 1))
    assert first.prompt == "a fox, drawn"
    assert first.preset == "noir@2"
    assert (first.seed, second.seed) == (7, 8)
    assert (second.index, second.num_images) == (0, 1)
    assert first.requested is None
    assert (first.steps, first.guidance) == (28, 3.5)


def test_a_picture_of_a_batch_equals_the_same_picture_alone() -> None:
    batch = parse_request({"prompt": "a fox", "seed": 7, "num_images": 2})
    alone = parse_request({"prompt": "a fox", "seed": 8})
    assert recipe_of(batch, [], rendered(7, 8), 1) == recipe_of(alone, [], rendered(8), 0)


def test_pictures_that_share_one_seed_are_told_apart_by_their_place() -> None:
    request = parse_request({"prompt": "a fox", "seed": 7, "num_images": 3})
    recipe = recipe_of(request, [], rendered(7, 7, 7), 2)
    assert (recipe.seed, recipe.index, recipe.num_images) == (7, 2, 3)


def test_the_true_size_is_kept_beside_the_one_that_was_asked_for() -> None:
    request = parse_request({"prompt": "a fox", "image_size": {"width": 1030, "height": 768}})
    recipe = recipe_of(request, [], rendered(7), 0)
    assert (recipe.width, recipe.height) == (1024, 768)
    assert recipe.requested == ImageSize(width=1030, height=768)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("ghibli", "ghibli"),
        ("owner/repo", "owner/repo"),
        ("https://me:secret@host.example/a.safetensors?token=secret#x", "https://host.example/a.safetensors"),
        ("https://host.example/a@b.safetensors", "https://host.example/a@b.safetensors"),
        ("data:application/octet-stream;base64,c2VjcmV0", "inline"),
    ],
)  # fmt: skip
def test_what_a_link_holds_for_its_owner_alone_stays_out_of_the_picture(
    name: str, public: str
) -> None:
    request = parse_request({"prompt": "a fox", "seed": 7})
    recipe = recipe_of(request, [lora_file(name)], rendered(7), 0)
    assert recipe.loras == (RecipeLora(name=public, sha256="ab" * 32, scale=0.5),)
    assert b"secret" not in embed(PICTURES["png"], recipe)


# --- Files from strangers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"%PDF-1.7", b"\x89PNG", b"\xff\xd8", b"RIFF", b"RIFF\0\0\0\0WAVE"]
)
def test_what_is_no_picture_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(RecipeError, match="no PNG, JPEG or WebP picture"):
        read(data)
    with pytest.raises(RecipeError, match="no PNG, JPEG or WebP picture"):
        embed(data, RECIPE)


@every_picture
def test_a_cut_file_is_refused_or_read_wherever_it_is_cut(data: bytes) -> None:
    whole = embed(data, RECIPE)
    for end in [*range(0, 1_500, 7), *range(1_500, len(whole), 997)]:
        harmless(whole[:end])


def harmless(data: bytes) -> None:
    """Reading gives any result or our sentence; what takes a recipe gives it back."""
    with suppress(RecipeError):
        read(data)
    with suppress(RecipeError):
        assert read(embed(data, RECIPE)) == RECIPE


mutations = st.lists(
    st.tuples(st.integers(0, 1_200), st.binary(max_size=12)), min_size=1, max_size=8
)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(sorted(PICTURES)), mutations, st.booleans())
def test_a_mutated_picture_raises_nothing_but_a_sentence(
    name: str, changes: list[tuple[int, bytes]], insert: bool
) -> None:
    data = bytearray(embed(PICTURES[name], RECIPE))
    for at, piece in changes:
        data[at : at if insert else at + len(piece)] = piece
    harmless(bytes(data))


@settings(max_examples=400)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\xff\0\0\0WEBP"]),
    st.binary(),
)
def test_random_bytes_raise_nothing_but_a_sentence(head: bytes, tail: bytes) -> None:
    harmless(head + tail)
