"""Save as preset: how a job was drawn becomes a preset of one's own."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import ImageSize, Verdict, parse_request
from bot.commands import presets, saving
from bot.commands.preset_body import BadPreset
from bot.commands.saving import look_of_job
from bot.jobs.job import Job, JobState, Result, StoredPicture
from bot.recipe import ForeignRecipe, Recipe, RecipeLora
from bot.registry import Registry
from lora_registry.errors import NameTaken
from lora_registry.models import (
    ChoiceVariable,
    PictureSize,
    PresetBody,
    RandomSeed,
    TriggerSet,
)
from tests.bot.registries import ANNA, BOB, opened
from tests.fakes.jobs import JOB
from tests.lora_registry import world

INK = world.lora("ink", triggers=(TriggerSet(name="wash", words=("wash",)),))
OIL = world.lora("oil")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        for record in (INK, OIL):
            await registry.loras.put(record, by="olga")
        yield registry


def drawn(*loras: RecipeLora, preset: str | None = None, asked: str | None = None) -> Job:
    recipe = Recipe(
        model="flux-1",
        weights="demo",
        prompt="a secret place",
        seed=5,
        width=32,
        height=24,
        requested=ImageSize(width=640, height=480),
        steps=9,
        guidance=2.5,
        loras=loras,
    )
    picture = StoredPicture(
        key="1.png", format="png", width=32, height=24, seed=5, verdict=Verdict.CLEAR, recipe=recipe
    )
    return replace(
        JOB,
        requester="anna",
        request=parse_request({"prompt": "a secret place", "seed": 5, "num_images": 2}),
        backend="demo",
        preset=preset,
        asked=asked,
        state=JobState.DELIVERED,
        result=Result(pictures=(picture,), prompt="a secret place", weights="demo", seconds=1.0),
    )


def lora(record: Any, scale: float = 1.0, name: str | None = None) -> RecipeLora:
    return RecipeLora(name=name or record.name, sha256=record.sha256, scale=scale)


async def test_a_preset_keeps_how_it_was_drawn_and_neither_prompt_nor_seed(
    registry: Registry,
) -> None:
    look = await look_of_job(registry, ANNA, drawn(lora(INK, 0.7, name="was-called-so")))
    assert look.body == PresetBody(
        loras=(world.using(INK, 0.7),),
        size=PictureSize(width=640, height=480),
        steps=9,
        guidance=2.5,
        seed=RandomSeed(),
    )
    made = await saving.save(
        registry, ANNA, look, name="Dreamy", title=" Soft ", template="", handle="anna"
    )
    assert made.reference == "@anna/dreamy@1"
    assert made.body == look.body.model_copy(update={"title": "Soft"})
    assert "secret" not in made.body.model_dump_json()
    with pytest.raises(NameTaken):
        await saving.save(
            registry, ANNA, look, name="dreamy", title="", template="{prompt}", handle="anna"
        )


async def test_a_job_with_presets_keeps_their_words_as_they_were_filled(
    registry: Registry,
) -> None:
    ground = ChoiceVariable(name="ground", choices=("blue", "black"), default="blue")
    first = PresetBody(
        loras=(world.using(INK, 1.0, triggers="wash"),),
        template="{prompt} on {ground} {{paper}}",
        variables=(ground,),
        licence="CC0",
        nsfw=1,
    )
    await presets.create(registry, ANNA, "flat", first, handle="anna")
    second = PresetBody(template="a print of {prompt}", licence="CC0")
    await presets.create(registry, ANNA, "print", second, handle="anna")
    used = "@anna/flat@1:0.5+@anna/print@1"
    asked = f"a secret place --preset {used} --var ground=black --lora oil:0.3"
    job = drawn(lora(INK, 0.5), lora(OIL, 0.3), preset=used, asked=asked)
    look = await look_of_job(registry, ANNA, job)
    assert look.body.template == "a print of {prompt} on black {{paper}}"
    assert look.body.variables == ()
    assert look.body.loras == (world.using(INK, 0.5, triggers="wash"), world.using(OIL, 0.3))
    assert (look.body.licence, look.body.nsfw, look.body.steps) == ("CC0", 1, 9)
    assert look.note == f"from a picture drawn with {used}"

    # Presets that somebody may not use keep their words to themselves.
    other = await look_of_job(registry, BOB, job)
    assert other.body.template == "{prompt}"
    assert [(one.name, one.scale) for one in other.body.loras] == [("ink", 0.5), ("oil", 0.3)]


async def test_templates_that_are_too_long_together_are_left_out(registry: Registry) -> None:
    for name in ("one", "two"):
        body = PresetBody(template="{prompt} " + "x" * 2000)
        await presets.create(registry, ANNA, name, body, handle="anna")
    job = drawn(preset="@anna/one@1+@anna/two@1", asked="a cat --preset @anna/one@1+@anna/two@1")
    assert (await look_of_job(registry, ANNA, job)).body.template == "{prompt}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://example.com/a.safetensors", "drawn with https://example.com/a.safetensors."),
        ("inline", "drawn with a LoRA without a name."),
        ("loose/file", "drawn with loose/file."),
    ],
)
async def test_a_lora_that_the_registry_does_not_know_is_named(
    registry: Registry, name: str, said: str
) -> None:
    job = drawn(lora(OIL), RecipeLora(name=name, sha256="ab" * 32, scale=1))
    with pytest.raises(BadPreset) as refused:
        await look_of_job(registry, ANNA, job)
    assert said in str(refused.value)
    assert "atelier lora add" in str(refused.value)


async def test_a_picture_of_another_program_is_read_too(registry: Registry) -> None:
    recipe = ForeignRecipe.model_validate(
        {"source": "a1111", "steps": 9, "loras": [{"name": "oil", "scale": 0.5}]}
    )
    body = await saving.body_of_recipe(registry, recipe)
    assert body == PresetBody(loras=(world.using(OIL, 0.5),), steps=9)
    unknown = recipe.model_copy(
        update={"loras": (recipe.loras[0].model_copy(update={"name": "lost"}),)}
    )
    with pytest.raises(BadPreset, match="drawn with lost"):
        await saving.body_of_recipe(registry, unknown)


async def test_what_was_not_drawn_cannot_be_saved(registry: Registry) -> None:
    with pytest.raises(BadPreset, match="Nothing was drawn here"):
        await look_of_job(registry, ANNA, replace(drawn(), result=None))
