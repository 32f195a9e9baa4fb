"""Tiny models of the real classes, built once; torch is loaded only by tests that draw."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends.base import LoraFile
from tests.backends.local.drawing import Draw, ignore, settings

# As in the drawing process, and read once, when torch is loaded.
os.environ["MKL_CBWR"] = "AUTO,STRICT"

if TYPE_CHECKING:
    from torch import Tensor

    from backends.local.lora_names import LayerNames
    from backends.local.pipeline import FluxRenderer


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random FLUX.1 pipeline."""
    from tests.fakes.tiny_flux import save_pipeline

    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny-flux")


@pytest.fixture(scope="session")
def red_checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that calls mostly red pictures `nsfw`."""
    from tests.fakes.tiny_checker import save_red_checker

    return save_red_checker(tmp_path_factory.mktemp("models") / "red-checker")


@pytest.fixture(scope="session")
def renderer(tiny_flux: Path, red_checker: Path) -> "FluxRenderer":
    """A renderer of the tiny pipeline, loaded, with a preview for every step."""
    from backends.local.pipeline import FluxRenderer

    loaded = FluxRenderer(settings(tiny_flux, red_checker, preview_interval=0))
    loaded.load(ignore)
    return loaded


@pytest.fixture
def draw(renderer: "FluxRenderer") -> Draw:
    return Draw(renderer)


@pytest.fixture(scope="session")
def names() -> "LayerNames":
    """The layer names of the tiny pipeline."""
    from backends.local.lora_names import LayerNames
    from tests.fakes.tiny_flux import build_pipeline

    tiny = build_pipeline()
    return LayerNames("FLUX.1", tiny.transformer, tiny.text_encoder)


@pytest.fixture
def reference() -> "dict[str, Tensor]":
    """A LoRA of the tiny pipeline in diffusers' layout, with a layer of every sort."""
    from tests.fakes.lora_layouts import reference_factors
    from tests.fakes.tiny_flux import build_pipeline

    return reference_factors(build_pipeline().transformer)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., LoraFile]:
    """Writes tensors as a LoRA file."""
    from tests.fakes.tiny_flux import save_lora

    def file(
        factors: "dict[str, Tensor]",
        scale: float = 1.0,
        metadata: Mapping[str, str] | None = None,
    ) -> LoraFile:
        path = save_lora(tmp_path / f"{len(list(tmp_path.iterdir()))}.st", factors, metadata)
        return LoraFile("ghibli", hashlib.sha256(path.read_bytes()).hexdigest(), path, scale)

    return file


@pytest.fixture
def lora(write: Callable[..., LoraFile]) -> Callable[..., LoraFile]:
    """Makes LoRAs that change the tiny pipeline plainly, another one for each seed."""
    from tests.fakes.tiny_flux import build_pipeline, random_lora

    def make(seed: int = 1, scale: float = 1.0, strength: float = 1.0) -> LoraFile:
        factors = random_lora(build_pipeline().transformer, seed=seed)
        named = {f"transformer.{name}": tensor * strength for name, tensor in factors.items()}
        return write(named, scale)

    return make
