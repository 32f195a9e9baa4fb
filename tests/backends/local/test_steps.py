"""Steps: how they are counted, what previews show, how a job is cancelled between them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backends.base import LoraFile, Preparing, Started, Step
from backends.errors import BackendError
from backends.local.pipeline import FluxRenderer
from backends.local.renderer import RenderCancelled
from tests.backends.local.drawing import (
    Draw,
    Event,
    ask,
    data,
    internals,
    never,
    opened,
    settings,
)


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


def test_a_picture_of_invalid_numbers_is_an_error_not_a_black_square(
    draw: Draw, lora: Callable[..., LoraFile]
) -> None:
    base = data(draw())
    with pytest.raises(BackendError, match="invalid numbers; lower the scales of the LoRAs"):
        draw(lora(seed=3, strength=1e30))
    assert data(draw()) == base


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
