"""Drawing with a tiny FLUX.1 of the real classes: what is drawn, reported, cancelled, refused."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import nn

from backends.base import (
    Capabilities,
    GenerationRequest,
    LoraFile,
    ModelSupport,
    Preparing,
    Rendered,
    Started,
    Step,
    Verdict,
    parse_request,
)
from backends.errors import BackendError, LoraRejected, ModelUnavailable, OutOfMemory
from backends.local.backend import LocalBackend
from backends.local.families import CARD_NAME, RendererSettings
from backends.local.loading import choose_device, choose_placement
from backends.local.messages import RendererSpec
from backends.local.pipeline import FluxRenderer
from backends.local.renderer import Emit, RenderCancelled
from tests.fakes.tiny_flux import build_pipeline, random_lora, save_lora

Event = Preparing | Started | Step
Draw = Callable[..., Rendered]

GB = 10**9


def ask(**fields: object) -> GenerationRequest:
    small = {
        "prompt": "a large red circle on a blue background",
        "image_size": {"width": 64, "height": 64},
        "num_inference_steps": 4,
        "seed": 7,
        "output_format": "png",
    }
    return parse_request({**small, **fields})


def settings(folder: Path, checker: Path, **others: object) -> dict[str, object]:
    return {"model": str(folder), "safety_model": str(checker), **others}


def ignore(_event: object) -> None:
    pass


def never() -> bool:
    return False


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.fixture(scope="module")
def renderer(tiny_flux: Path, red_checker: Path) -> FluxRenderer:
    made = FluxRenderer(settings(tiny_flux, red_checker, preview_interval=0))
    made.load(ignore)
    return made


@pytest.fixture
def draw(renderer: FluxRenderer) -> Draw:
    def draw(
        *loras: LoraFile, emit: Emit = ignore, cancelled: Callable[[], bool] = never, **fields: Any
    ) -> Rendered:
        return renderer.render(ask(**fields), loras, emit, cancelled)

    return draw


def data(rendered: Rendered) -> list[bytes]:
    return [picture.data for picture in rendered.pictures]


def internals(renderer: FluxRenderer) -> Any:
    """The diffusers pipeline inside of a loaded renderer."""
    assert renderer._model is not None
    return renderer._model.pipeline


@pytest.fixture
def lora(tmp_path: Path) -> Callable[..., LoraFile]:
    def make(seed: int = 1, scale: float = 1.0, strength: float = 1.0) -> LoraFile:
        factors = random_lora(build_pipeline().transformer, seed=seed)
        factors = {f"transformer.{name}": tensor * strength for name, tensor in factors.items()}
        path = save_lora(tmp_path / f"{seed}.safetensors", factors)
        return LoraFile("ghibli", hashlib.sha256(path.read_bytes()).hexdigest(), path, scale)

    return make


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


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
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


def test_steps_are_counted_over_all_pictures_after_the_start(draw: Draw) -> None:
    events: list[Event] = []
    draw(emit=events.append, num_images=2, num_inference_steps=3)
    assert events[0] == Started()
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.index, step.total) for step in steps] == [(n, 6) for n in range(1, 7)]
    assert len(events) == 7
    # The last step of a picture is followed by the picture itself.
    assert [step.preview is None for step in steps] == [False, False, True] * 2


def test_previews_come_closer_to_what_is_drawn(draw: Draw, renderer: FluxRenderer) -> None:
    events: list[Event] = []
    size = {"width": 128, "height": 96}
    pipeline = internals(renderer)
    seen: list[torch.Tensor] = []
    decode = pipeline.vae.decode

    def watched(latents: torch.Tensor, **options: object) -> object:
        seen.append(latents)
        return decode(latents, **options)

    pipeline.vae.decode = watched
    try:
        draw(emit=events.append, image_size=size, num_inference_steps=10)
    finally:
        del pipeline.vae.decode
    config = pipeline.vae.config
    latents = (seen[0][0] - config.shift_factor) * config.scaling_factor
    assert renderer._model is not None
    final = opened(renderer._model.preview.jpeg(latents, (128, 96)))
    previews = [
        opened(event.preview) for event in events if isinstance(event, Step) and event.preview
    ]
    assert all(preview.size == (128, 96) for preview in previews)
    wanted = np.asarray(final, np.float64)
    distance = [float(np.abs(np.asarray(p, np.float64) - wanted).mean()) for p in previews]
    thirds = [sum(distance[start : start + 3]) for start in (0, 3, 6)]
    assert thirds[0] > thirds[1] > thirds[2]
    assert distance[-1] < 0.5 * distance[0]


def test_previews_are_paced(tiny_flux: Path, red_checker: Path) -> None:
    events: list[Event] = []
    slow = FluxRenderer(settings(tiny_flux, red_checker, preview_interval=3600))
    slow.render(ask(num_inference_steps=8), [], events.append, never)
    previews = [event.preview for event in events if isinstance(event, Step)]
    assert previews[0] is not None
    assert previews[1:] == [None] * 7


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


def test_a_picture_of_invalid_numbers_is_an_error_not_a_black_square(
    draw: Draw, lora: Callable[..., LoraFile]
) -> None:
    base = data(draw())
    with pytest.raises(BackendError, match="invalid numbers; lower the scales of the LoRAs"):
        draw(lora(seed=3, strength=1e30))
    assert data(draw()) == base


# --- Cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "steps"), [(0, 0), (1, 0), (2, 0), (5, 0), (6, 1), (7, 1), (11, 2)]
)
def test_a_cancelled_job_stops_at_once_and_the_next_is_as_good_as_new(
    draw: Draw, lora: Callable[..., LoraFile], after: int, steps: int
) -> None:
    """It is asked before and after the LoRAs, before each of four blocks and after each step."""
    style = lora()
    base, styled = data(draw()), data(draw(style))
    asked = 0
    events: list[Event] = []

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    with pytest.raises(RenderCancelled):
        draw(style, emit=events.append, cancelled=cancelled)
    assert asked == after + 1
    assert sum(isinstance(event, Step) for event in events) == steps
    assert data(draw()) == base
    assert data(draw(style)) == styled


def test_a_job_is_cancelled_between_two_loras_too(
    draw: Draw, lora: Callable[..., LoraFile]
) -> None:
    base = data(draw())
    first, second = lora(31), lora(32)
    events: list[Event] = []
    with pytest.raises(RenderCancelled):
        draw(first, second, emit=events.append, cancelled=lambda: bool(events))
    assert events == [Preparing("loading the LoRA ghibli")]
    assert data(draw()) == base
    assert data(draw(second)) != base


def test_nothing_stays_behind_in_the_transformer_after_a_job(
    draw: Draw, renderer: FluxRenderer
) -> None:
    def hooks() -> int:
        modules: Iterator[nn.Module] = internals(renderer).transformer.modules()
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    before = hooks()
    draw()
    with pytest.raises(RenderCancelled):
        draw(cancelled=lambda: True)
    assert hooks() == before


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
        "hint": "It draws shapes.",
    }
    (folder / CARD_NAME).write_text(json.dumps(card))
    return FluxRenderer({"model": str(folder), "preview_interval": 0})


def test_a_card_sets_sizes_tokens_previews_checker_name_and_hint(carded: FluxRenderer) -> None:
    events: list[Event] = []
    request = ask(image_size="landscape_4_3", prompt="a cat riding a bicycle")
    rendered = carded.render(request, [], events.append, never)
    (picture,) = rendered.pictures
    assert (picture.width, picture.height) == (96, 64)
    assert (rendered.weights, rendered.hint) == ("Tiny demo", "It draws shapes.")
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


# --- What can be missing ----------------------------------------------------------------------


def test_a_name_that_is_no_folder_and_no_hub_id_is_said_so(red_checker: Path) -> None:
    renderer = FluxRenderer(settings(Path("no/such/folder"), red_checker))
    with pytest.raises(ModelUnavailable, match="ATELIER_LOCAL_MODEL is “no/such/folder”, which is"):
        renderer.load(ignore)


def test_damaged_weights_are_said_so(tiny_flux: Path, red_checker: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_flux, tmp_path / "damaged")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match=r"model in damaged cannot be loaded .*Download"):
        FluxRenderer(settings(folder, red_checker)).load(ignore)


def test_a_preview_table_for_another_model_is_said_so(
    tiny_flux: Path, red_checker: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_flux, tmp_path / "model")
    (folder / CARD_NAME).write_text(json.dumps({"preview": [[0, 0, 0]] * 17}))
    with pytest.raises(ModelUnavailable, match=r"preview in atelier\.json has 17 rows, .* needs 5"):
        FluxRenderer(settings(folder, red_checker)).load(ignore)


def test_weights_of_another_shape_are_said_so(
    tiny_flux: Path, red_checker: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_flux, tmp_path / "mixed")
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_attention_heads": 4}))
    with pytest.raises(ModelUnavailable, match="model in mixed cannot be loaded"):
        FluxRenderer(settings(folder, red_checker)).load(ignore)


def test_loading_tells_what_it_does_and_happens_once(tiny_flux: Path, red_checker: Path) -> None:
    events: list[Event] = []
    renderer = FluxRenderer(settings(tiny_flux, red_checker))
    renderer.load(events.append)
    assert events == [Preparing("loading tiny-flux")]
    renderer.load(events.append)
    assert len(events) == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_an_exhausted_memory_names_the_size_and_the_fix(
    error: Exception, draw: Draw, renderer: FluxRenderer, lora: Callable[..., LoraFile]
) -> None:
    base = data(draw())
    vae = internals(renderer).vae

    def full(*_args: object, **_options: object) -> None:
        raise error

    vae.decode = full
    try:
        with pytest.raises(OutOfMemory, match=r"of 64x64 pixels .* a smaller size\.$"):
            draw()
        with pytest.raises(OutOfMemory, match="a smaller size or fewer LoRAs"):
            draw(lora())
    finally:
        del vae.decode
    assert data(draw()) == base


def test_an_unforeseen_error_is_not_hidden(draw: Draw, renderer: FluxRenderer) -> None:
    vae = internals(renderer).vae

    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("a kernel that does not exist")

    vae.decode = fail
    try:
        with pytest.raises(RuntimeError, match="a kernel that does not exist"):
            draw()
    finally:
        del vae.decode


# --- Devices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "placement"),
    [(80, "resident"), (39, "resident"), (36, "offloaded"), (30, "offloaded")],
)
def test_flux_1_is_placed_by_the_gpus_free_memory(free: int, placement: str) -> None:
    total, largest = int(31.4 * GB), int(23.8 * GB)
    assert choose_placement(total, largest, free * GB) == placement


def test_a_gpu_that_is_too_small_is_said_so() -> None:
    with pytest.raises(ModelUnavailable, match="needs 29 GB of free GPU memory and 24 GB are free"):
        choose_placement(int(31.4 * GB), int(23.8 * GB), 24 * GB)


def test_the_device_is_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_a_gpu_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0").index == 0
    with pytest.raises(ModelUnavailable, match="set to cuda:1, but torch finds 1 GPUs"):
        choose_device("cuda:1")
