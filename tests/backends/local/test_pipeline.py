"""Drawing with a tiny FLUX.1 of the real classes: the same request gives the same picture."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from backends.base import (
    Capabilities,
    LoraFile,
    ModelSupport,
    Preparing,
    Rendered,
    Started,
    Step,
    Verdict,
    parse_request,
)
from backends.errors import LoraRejected
from backends.local.backend import LocalBackend
from backends.local.demo.vocabulary import HINT
from backends.local.families import CARD_NAME, RendererSettings
from backends.local.messages import RendererSpec
from backends.local.pipeline import FluxRenderer
from tests.backends.local.drawing import (
    Draw,
    Event,
    ask,
    data,
    ignore,
    internals,
    never,
    opened,
    settings,
)
from tests.fakes.tiny_flux import save_lora

# --- The same request, the same bytes ---------------------------------------------------------


def test_the_picture_is_what_diffusers_itself_draws(draw: Draw, tiny_flux: Path) -> None:
    stock = FluxPipeline.from_pretrained(tiny_flux, local_files_only=True, dtype=torch.float32)
    stock.set_progress_bar_config(disable=True)
    expected = stock(
        "a large red circle on a blue background",
        width=64,
        height=64,
        num_inference_steps=4,
        guidance_scale=3.5,
        generator=torch.Generator("cpu").manual_seed(7),
    ).images[0]
    (picture,) = draw().pictures
    assert opened(picture.data).tobytes() == expected.tobytes()


def test_the_same_request_gives_the_same_bytes_and_another_one_others(draw: Draw) -> None:
    first = data(draw())
    assert data(draw()) == first
    assert data(draw(seed=8)) != first
    assert data(draw(prompt="a small blue star on a white background")) != first
    assert data(draw(num_inference_steps=5)) != first
    assert data(draw(guidance_scale=1.0)) != first
    assert data(draw()) == first


async def test_the_drawing_process_draws_the_same_bytes(
    draw: Draw, lora: Callable[..., LoraFile], tiny_flux: Path, red_checker: Path
) -> None:
    style = lora()
    expected = draw(style, num_images=2)
    model = ModelSupport(formats=frozenset({"png"}), sides=(16, 1024))
    backend = LocalBackend(
        "local",
        RendererSpec(
            "backends.local.pipeline:FluxRenderer",
            RendererSettings(model=str(tiny_flux), safety_model=str(red_checker)).model_dump(),
        ),
        Capabilities({"flux-1": model}, slots=1),
    )
    events = [event async for event in backend.run(ask(num_images=2), [style])]
    await backend.close()
    rendered = events[-1]
    assert isinstance(rendered, Rendered)
    assert rendered.pictures == expected.pictures
    assert any(isinstance(event, Step) for event in events)


def test_four_pictures_are_the_four_single_ones_of_the_next_seeds(draw: Draw) -> None:
    four = draw(num_images=4)
    assert [picture.seed for picture in four.pictures] == [7, 8, 9, 10]
    singles = [data(draw(seed=seed))[0] for seed in (7, 8, 9, 10)]
    assert data(four) == singles
    assert len(set(singles)) == 4


def test_a_seed_is_chosen_when_none_is_given_and_repeats_the_picture(draw: Draw) -> None:
    first, second = draw(seed=None), draw(seed=None)
    (picture,) = first.pictures
    assert picture.seed != second.pictures[0].seed
    assert 0 <= picture.seed < 2**53
    assert data(draw(seed=picture.seed)) == data(first)


@pytest.mark.parametrize("seed", [0, 2**63 - 4])
def test_the_smallest_and_the_largest_seed_are_honoured(draw: Draw, seed: int) -> None:
    assert [picture.seed for picture in draw(seed=seed).pictures] == [seed]


# --- What is reported -------------------------------------------------------------------------


def test_sizes_are_rounded_down_and_the_true_ones_reported(draw: Draw) -> None:
    (picture,) = draw(image_size={"width": 72, "height": 100}).pictures
    assert (picture.width, picture.height) == (64, 96)
    assert opened(picture.data).size == (64, 96)


@pytest.mark.parametrize("output_format", ["jpeg", "png", "webp"])
def test_every_format_is_written_without_metadata_and_always_alike(
    draw: Draw, output_format: str
) -> None:
    rendered = draw(output_format=output_format)
    (picture,) = rendered.pictures
    image = opened(picture.data)
    assert image.format == output_format.upper()
    assert picture.format == output_format
    assert (image.mode, image.size) == ("RGB", (64, 64))
    assert not image.getexif()
    assert data(draw(output_format=output_format)) == data(rendered)
    exact = np.asarray(opened(data(draw())[0]), np.int16)
    assert np.abs(np.asarray(image, np.int16) - exact).mean() < 20


def test_timings_name_every_stage(draw: Draw) -> None:
    timings = draw(num_images=2).timings
    assert list(timings) == ["load", "loras", "encode", "denoise", "decode", "safety", "save"]
    assert all(seconds >= 0 for seconds in timings.values())
    assert timings["denoise"] > timings["decode"] > 0


def test_what_was_drawn_and_with_what_is_told(draw: Draw) -> None:
    rendered = draw(prompt="any words")
    assert (rendered.prompt, rendered.weights, rendered.hint) == ("any words", "tiny-flux", None)


def test_a_prompt_is_encoded_once_for_all_pictures_and_later_jobs(
    draw: Draw, renderer: FluxRenderer
) -> None:
    count = 0

    def counted(*_args: object) -> None:
        nonlocal count
        count += 1

    hook = internals(renderer).text_encoder_2.register_forward_hook(counted)
    try:
        draw(prompt="a prompt that nobody has used before", num_images=3)
        draw(prompt="a prompt that nobody has used before", seed=99)
        assert count == 1
        for number in range(8):
            draw(prompt=f"prompt number {number}", num_inference_steps=1)
        draw(prompt="a prompt that nobody has used before")
        assert count == 10
    finally:
        hook.remove()
    assert "nobody" not in repr(list(renderer._prompts))


# --- The checker ------------------------------------------------------------------------------


def test_pictures_carry_the_checkers_verdict_and_score(draw: Draw) -> None:
    pictures = draw(num_images=3).pictures
    for picture in pictures:
        assert picture.score is not None
        flagged = picture.score > 0.85
        assert picture.verdict is (Verdict.FLAGGED if flagged else Verdict.CLEAR)


def test_with_the_checker_off_pictures_are_unchecked(draw: Draw) -> None:
    (picture,) = draw(enable_safety_checker=False).pictures
    assert (picture.verdict, picture.score) == (Verdict.UNCHECKED, None)


def test_without_a_checker_pictures_are_drawn_unchecked(tiny_flux: Path, tmp_path: Path) -> None:
    bare = FluxRenderer(settings(tiny_flux, tmp_path / "no checker"))
    (picture,) = bare.render(ask(), [], ignore, never).pictures
    assert (picture.verdict, picture.score) == (Verdict.UNCHECKED, None)


# --- LoRAs ------------------------------------------------------------------------------------


def test_a_lora_changes_the_picture_by_its_scale_and_nothing_afterwards(
    draw: Draw, lora: Callable[..., LoraFile]
) -> None:
    base = data(draw())
    events: list[Event] = []
    full = data(draw(lora(21), emit=events.append))
    half = data(draw(lora(21, scale=0.5)))
    assert len({*base, *full, *half}) == 3
    assert events[:2] == [Preparing("loading the LoRA ghibli"), Started()]
    assert data(draw(lora(21, scale=0))) == base
    assert data(draw()) == base
    assert data(draw(lora(21))) == full


def test_a_lora_that_does_not_fit_is_refused_and_the_next_job_is_drawn(
    draw: Draw, tmp_path: Path
) -> None:
    base = data(draw())
    stranger = {"lora_unet_x.lora_A.weight": torch.ones(1, 2)}
    stranger["lora_unet_x.lora_B.weight"] = torch.ones(2, 1)
    path = save_lora(tmp_path / "stranger.safetensors", stranger)
    with pytest.raises(LoraRejected, match=r"none of its layers fits FLUX\.1"):
        draw(LoraFile("stranger", "ab" * 32, path, 1.0))
    assert data(draw()) == base


# --- Model folders with a card ----------------------------------------------------------------


@pytest.fixture(scope="module")
def carded(
    tiny_flux: Path, red_checker: Path, tmp_path_factory: pytest.TempPathFactory
) -> FluxRenderer:
    home = tmp_path_factory.mktemp("demo")
    folder = shutil.copytree(tiny_flux, home / "model")
    shutil.copytree(red_checker, home / "safety")
    card = {
        "name": "Tiny demo",
        "native_sizes": [[64, 64], [96, 64]],
        "max_sequence_length": 20,
        "preview": [[0, 0, 0]] * 4 + [[1, 0, 0]],
        "safety": "../safety",
        "hint": "demo",
    }
    (folder / CARD_NAME).write_text(json.dumps(card))
    return FluxRenderer({"model": str(folder), "preview_interval": 0})


def test_a_card_sets_sizes_tokens_previews_checker_name_and_hint(carded: FluxRenderer) -> None:
    events: list[Event] = []
    request = ask(image_size="landscape_4_3", prompt="a cat riding a bicycle")
    rendered = carded.render(request, [], events.append, never)
    (picture,) = rendered.pictures
    assert (picture.width, picture.height) == (96, 64)
    assert (rendered.weights, rendered.hint) == ("Tiny demo", HINT)
    assert picture.score is not None
    assert [embedding.sequence.shape[1] for embedding in carded._prompts.values()] == [20]
    (first, *_) = [e.preview for e in events if isinstance(e, Step) and e.preview]
    red, green, blue = np.asarray(opened(first)).mean((0, 1))
    assert red > 240
    assert max(green, blue) < 15


def test_a_prompt_inside_of_the_models_world_gets_no_hint(carded: FluxRenderer) -> None:
    assert carded.render(ask(), [], ignore, never).hint is None


def test_a_request_for_flux_2_is_drawn_as_well(carded: FluxRenderer) -> None:
    request = parse_request({"model": "flux-2", "prompt": "a red circle", "seed": 1})
    assert carded.render(request, [], ignore, never).pictures[0].format == "png"
