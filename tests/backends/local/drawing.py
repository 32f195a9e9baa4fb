"""What tests of drawing share: small requests, a way to draw them, a look at the pictures."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from backends.base import (
    GenerationRequest,
    LoraFile,
    Preparing,
    Rendered,
    Started,
    Step,
    parse_request,
)
from backends.local.renderer import Emit, Renderer

Event = Preparing | Started | Step


def ask(**fields: object) -> GenerationRequest:
    """A request that is drawn in the blink of an eye."""
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
    """Listen to nothing."""


def never() -> bool:
    """Do not cancel."""
    return False


@dataclass(frozen=True)
class Draw:
    """Draws `ask(**fields)` with a renderer that is already loaded."""

    renderer: Renderer

    def __call__(
        self,
        *loras: LoraFile,
        emit: Emit = ignore,
        cancelled: Callable[[], bool] = never,
        **fields: Any,
    ) -> Rendered:
        return self.renderer.render(ask(**fields), loras, emit, cancelled)


def data(rendered: Rendered) -> list[bytes]:
    return [picture.data for picture in rendered.pictures]


def opened(encoded: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(encoded))
    image.load()
    return image


def internals(renderer: Any) -> Any:
    """The diffusers pipeline inside of a loaded `FluxRenderer`."""
    return renderer._model.pipeline
