"""Loading: what can be missing or too small, and where the model is placed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backends.base import LoraFile, Preparing
from backends.errors import ModelUnavailable, OutOfMemory
from backends.local.families import CARD_NAME
from backends.local.loading import choose_device, choose_placement
from backends.local.pipeline import FluxRenderer
from tests.backends.local.drawing import Draw, Event, data, ignore, internals, settings

GB = 10**9


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
