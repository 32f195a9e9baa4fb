"""Wishes for more of what was drawn."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import GenerationRequest, ImageSize, parse_request
from bot.commands.again import (
    Again,
    Draft,
    Guidance,
    LoraScale,
    Retry,
    vary,
    wish_of,
    wish_of_recipe,
)
from bot.commands.prompt import NamedLora, Wish, parse, render
from bot.foreign_recipe import ForeignLora, ForeignRecipe
from bot.jobs.job import Job, JobState
from bot.recipe import Recipe, RecipeLora
from tests.fakes.jobs import JOB


def job(**fields: object) -> Job:
    request: GenerationRequest = parse_request({"prompt": "a cat", "seed": 7, **fields})
    return replace(
        JOB,
        request=request,
        backend="demo",
        state=JobState.DELIVERED,
    )


FULL = {
    "image_size": {"width": 640, "height": 512},
    "num_inference_steps": 9,
    "guidance_scale": 2.5,
    "num_images": 2,
    "loras": [{"path": "glow", "scale": 0.7}, {"path": "ink", "scale": 1.0}],
}


def test_the_command_of_a_job_reads_back_as_the_same_wish() -> None:
    wish = wish_of(job(**FULL))
    assert parse(render(wish)) == wish
    assert wish == Wish(
        prompt="a cat",
        preset="none",
        loras=(NamedLora("glow", 0.7), NamedLora("ink", 1.0)),
        size=ImageSize(width=640, height=512),
        steps=9,
        guidance=2.5,
        seed=7,
        images=2,
        model="flux-1",
    )


def test_what_differs_from_the_usual_is_said() -> None:
    wish = wish_of(job(model="flux-2", acceleration="high", output_format="webp"))
    assert (wish.speed, wish.format) == ("high", "webp")
    usual = wish_of(job(model="flux-2"))
    assert (usual.speed, usual.format, usual.images) == (None, None, 1)


def test_again_changes_the_seed_alone() -> None:
    wishes = [vary(job(**FULL), Again()) for _ in range(20)]
    assert len({wish.seed for wish in wishes}) == 20
    assert {replace(wish, seed=7) for wish in wishes} == {wish_of(job(**FULL))}


def test_a_retry_is_the_very_same() -> None:
    assert vary(job(**FULL), Retry()) == wish_of(job(**FULL))


@pytest.mark.parametrize(
    ("model", "steps", "half"), [("flux-1", 28, 14), ("flux-1", 1, 1), ("flux-2", 5, 4)]
)
def test_a_draft_has_half_the_steps_that_the_model_allows(
    model: str, steps: int, half: int
) -> None:
    draft = vary(job(model=model, num_inference_steps=steps), Draft())
    assert (draft.steps, draft.seed) == (half, 7)


@pytest.mark.parametrize(
    ("model", "guidance", "by", "then"),
    [
        ("flux-1", 3.5, 0.5, 4.0),
        ("flux-1", 3.5, -0.5, 3.0),
        ("flux-1", 34.8, 0.5, 35.0),
        ("flux-2", 0.2, -0.5, 0.0),
        ("flux-2", 19.9, 0.5, 20.0),
    ],
)
def test_guidance_stays_inside_what_the_model_takes(
    model: str, guidance: float, by: float, then: float
) -> None:
    assert vary(job(model=model, guidance_scale=guidance), Guidance(by)).guidance == then


@pytest.mark.parametrize(
    ("model", "scale", "by", "then"),
    [("flux-1", 0.7, 0.1, 0.8), ("flux-1", -3.95, -0.1, -4.0), ("flux-2", 0.05, -0.1, 0.0)],
)
def test_one_lora_changes_and_stays_inside_what_the_model_takes(
    model: str, scale: float, by: float, then: float
) -> None:
    loras = [{"path": "glow", "scale": scale}, {"path": "ink"}]
    varied = vary(job(model=model, loras=loras), LoraScale("glow", by))
    assert varied.loras == (NamedLora("glow", then), NamedLora("ink", 1.0))


def test_a_recipe_of_ours_gives_everything_back() -> None:
    recipe = Recipe(
        model="flux-1",
        weights="demo",
        prompt="a cat",
        seed=7,
        width=128,
        height=96,
        requested=ImageSize(width=1024, height=768),
        steps=9,
        guidance=2.5,
        loras=(RecipeLora(name="glow", sha256="0" * 64, scale=0.7),),
    )
    assert wish_of_recipe(recipe) == Wish(
        prompt="a cat",
        preset="none",
        loras=(NamedLora("glow", 0.7),),
        size=ImageSize(width=1024, height=768),
        steps=9,
        guidance=2.5,
        seed=7,
        images=1,
        model="flux-1",
    )


def test_a_foreign_recipe_leaves_open_what_it_does_not_say() -> None:
    recipe = ForeignRecipe(
        source="a1111", prompt="a\ncat", steps=20, width=512, loras=(ForeignLora(name="ink"),)
    )
    assert wish_of_recipe(recipe) == Wish(prompt="a cat", loras=(NamedLora("ink", 1.0),), steps=20)


@given(
    st.builds(
        ForeignRecipe,
        source=st.just("a1111"),
        prompt=st.text(max_size=60),
        seed=st.none() | st.integers(0, 2**63 - 1),
        steps=st.none() | st.integers(1, 100),
        guidance=st.none() | st.floats(0, 30),
        loras=st.lists(
            st.builds(ForeignLora, name=st.text(min_size=1, max_size=20), scale=st.floats(-4, 4))
        ).map(tuple),
    )
)
def test_the_command_for_any_foreign_recipe_can_be_read_again(recipe: ForeignRecipe) -> None:
    wish = wish_of_recipe(recipe)
    if wish.prompt:
        assert parse(render(wish)).seed == recipe.seed
