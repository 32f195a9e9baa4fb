"""What people write about a preset, and what it then says."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.commands.preset_body import CLEARABLE, BadPreset, Changes, changed
from bot.commands.prompt import PromptError
from bot.registry import Registry
from lora_registry.errors import BadName, UnknownLora
from lora_registry.models import (
    ChoiceVariable,
    FixedSeed,
    NumberVariable,
    PictureSize,
    PresetBody,
    PresetLora,
    RandomSeed,
    TextVariable,
    UserSeed,
)
from tests.bot.registries import opened
from tests.lora_registry import world

INK, OIL = world.lora("ink"), world.lora("oil")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        for record in (INK, OIL):
            await registry.loras.put(record, by="olga")
        yield registry


async def made(registry: Registry, body: PresetBody | None = None, **changes: Any) -> PresetBody:
    return await changed(registry, body or PresetBody(), Changes(**changes))


# --- Values -----------------------------------------------------------------------------------


async def test_everything_that_is_said_is_kept_and_nothing_else(registry: Registry) -> None:
    body = await made(
        registry,
        model="flux-1",
        loras=("ink:0.8", "oil"),
        template="{prompt}, {mood}",
        variables=("mood:choice:calm,stormy",),
        size="square_hd",
        steps=20,
        guidance=3.0,
        speed="regular",
        seed="7",
        images=2,
        tags=("Sea", "calm"),
        title="Dreamy",
        description="Soft.",
        licence="CC0-1.0",
        nsfw=1,
    )
    assert body == PresetBody(
        loras=(
            PresetLora(sha256=INK.sha256, name="ink", scale=0.8),
            PresetLora(sha256=OIL.sha256, name="oil"),
        ),
        template="{prompt}, {mood}",
        variables=(ChoiceVariable(name="mood", choices=("calm", "stormy"), default="calm"),),
        size=PictureSize(width=1024, height=1024),
        steps=20,
        guidance=3.0,
        speed="regular",
        seed=FixedSeed(seed=7),
        count=2,
        tags=("calm", "sea"),
        title="Dreamy",
        description="Soft.",
        licence="CC0-1.0",
        nsfw=1,
    )
    assert await made(registry, body) == body


async def test_loras_are_changed_by_name_and_zero_takes_one_out(registry: Registry) -> None:
    body = await made(registry, loras=("ink:0.8:none", "oil:0.3"))
    body = await made(registry, body, loras=("ink:0,5",))
    assert [(x.name, x.scale, x.triggers) for x in body.loras] == [
        ("ink", 0.5, "none"),
        ("oil", 0.3, None),
    ]
    assert [x.name for x in (await made(registry, body, loras=("ink:0",))).loras] == ["oil"]
    again = await made(registry, body, clear=("loras",), loras=("oil",))
    assert [(x.name, x.scale) for x in again.loras] == [("oil", 1.0)]


@pytest.mark.parametrize("name", [name for name in CLEARABLE if name != "variables"])
async def test_what_was_cleared_is_as_in_a_new_preset(registry: Registry, name: str) -> None:
    full = await made(
        registry,
        loras=("ink",),
        size="square",
        steps=9,
        guidance=2.0,
        speed="none",
        seed="user",
        images=3,
        tags=("sea",),
        title="A",
        description="B",
        licence="C",
    )
    cleared = await made(registry, full, clear=(name, name))
    field = CLEARABLE[name]
    assert getattr(full, field) != getattr(PresetBody(), field)
    assert cleared == full.model_copy(update={field: getattr(PresetBody(), field)})


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("mood:choice:calm, stormy", ChoiceVariable(name="mood", choices=("calm", "stormy"),
                                                    default="calm")),
        ("Mood:choice:calm,stormy=stormy", ChoiceVariable(name="mood", choices=("calm", "stormy"),
                                                          default="stormy")),
        ("mood:text", TextVariable(name="mood")),
        ("mood:text=the sea: grey", TextVariable(name="mood", default="the sea: grey")),
        ("mood:text:20=sea", TextVariable(name="mood", default="sea", longest=20)),
        ("mood:number:1..5=3", NumberVariable(name="mood", low=1, high=5, default=3, whole=True)),
        ("mood:number:0..1.5", NumberVariable(name="mood", low=0, high=1.5, default=0)),
        ("mood:number:-2..2=0", NumberVariable(name="mood", low=-2, high=2, default=0, whole=True)),
    ],
)  # fmt: skip
async def test_a_variable_is_written_in_one_word(
    registry: Registry, text: str, variable: object
) -> None:
    body = await made(registry, template="{prompt} {mood}", variables=(text,))
    assert body.variables == (variable,)


async def test_a_variable_is_replaced_by_its_name(registry: Registry) -> None:
    body = await made(
        registry, template="{prompt} {a} {b}", variables=("a:text", "b:text", "a:text=x")
    )
    assert [(one.name, one.default) for one in body.variables] == [("a", "x"), ("b", "")]


@pytest.mark.parametrize(
    ("text", "seed"), [("random", RandomSeed()), ("user", UserSeed()), ("12", FixedSeed(seed=12))]
)
async def test_a_seed_is_a_number_or_a_policy(registry: Registry, text: str, seed: object) -> None:
    assert (await made(registry, seed=text)).seed == seed


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 90}, "steps is 90; use 1 to 50."),
        ({"steps": 2, "model": "flux-2"}, "steps is 2; use 4 to 50."),
        ({"guidance": 40.0}, "guidance is 40.0; use 0 to 35."),
        ({"images": 9}, "images is 9; use 1 to 4."),
        ({"speed": "high"}, "speed is “high”; use none or regular."),
        ({"speed": "warp"}, "speed is “warp”; use none or regular."),
        ({"size": "128x128", "model": "flux-2"}, "flux-2 draws 512 to 2048 pixels a side."),
        ({"loras": ("ink:9",)}, "the scale of LoRA 1 is 9.0; use -4 to 4."),
        ({"loras": ("ink:x:y:z",)}, "--lora is “ink:x:y:z”; write NAME, NAME:SCALE"),
        ({"loras": ("inc",)}, "There is no LoRA inc here. Did you mean ink?"),
        ({"model": "sdxl"}, "--model is “sdxl”; use flux-1 or flux-2."),
        ({"seed": "-1"}, "--seed is “-1”; use a whole number, random or user."),
        ({"nsfw": 9}, "nsfw is 9; use 0 to 4."),
        ({"size": "huge"}, "--size is “huge”"),
        ({"template": "a tree"}, "The template must hold {prompt}."),
        ({"template": "{prompt} {mood}"}, "Declare mood as a variable"),
        ({"template": "{prompt} {"}, "Write {{ for a brace"),
        ({"variables": ("mood:text",)}, "Write {mood} into the template"),
        ({"variables": ("mood",)}, "--variable is “mood”. Write it as mood:choice:calm,stormy"),
        ({"variables": ("mood:choice:calm",)}, "The variable mood needs two choices or more."),
        ({"variables": ("n:number:1-5",)}, "The variable n needs a range."),
        ({"tags": ("a b",)}, "“a b” cannot be a name."),
        ({"title": "x" * 200}, "title is too long; shorten it to 120 characters."),
        ({"description": "a\x07b"}, "remove the character U+0007"),
        ({"clear": ("everything",)}, "“everything” cannot be cleared; use loras, variables"),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence(
    registry: Registry, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((BadPreset, BadName, UnknownLora, PromptError)) as refused:
        await made(registry, **changes)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith((".", "?"))
