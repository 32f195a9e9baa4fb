"""The committed weights, loaded as any FLUX.1 model would be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from safetensors import safe_open
from transformers import AutoImageProcessor, AutoModelForImageClassification

from backends.local.demo import score
from backends.local.demo.reading import read
from backends.local.demo.scenes import NATIVE_SIZES, STYLES, Image
from backends.local.demo.score import FLAGGED_ABOVE, Painter, load

HERE = Path(score.__file__).parent
MODEL, LORAS, SAFETY = HERE / "model", HERE / "loras", HERE / "safety"
PROMPT = "a large red circle on a blue background"


@pytest.fixture(scope="module")
def painter() -> Painter:
    torch.set_num_threads(1)
    return Painter(load(MODEL), steps=8, guidance=3.5)


def test_everything_together_is_at_most_15_megabytes() -> None:
    files = [file for folder in (MODEL, LORAS, SAFETY) for file in folder.rglob("*")]
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 15_000_000


@pytest.mark.parametrize("frame", NATIVE_SIZES)
def test_the_readmes_prompt_gives_that_picture_at_every_native_size(
    painter: Painter, frame: tuple[int, int]
) -> None:
    picture = painter(PROMPT, 1, frame)
    assert picture.shape == (frame[1], frame[0], 3)
    reading = read(picture)
    assert reading is not None
    assert (reading.colour, reading.background) == ("red", "blue")
    assert reading.shows("circle")


def test_an_open_place_differs_from_seed_to_seed(painter: Painter) -> None:
    readings = [read(painter("a red circle on a blue background", s, (128, 128))) for s in range(6)]
    places = np.array([(r.x, r.y) for r in readings if r is not None])
    assert len(places) == 6
    assert places.std(axis=0).min() > 8


def test_the_same_seed_gives_the_same_picture(painter: Painter) -> None:
    one, other = (painter(PROMPT, 5, (128, 96)) for _ in range(2))
    assert np.array_equal(one, other)


def test_the_guidance_scale_matters(painter: Painter) -> None:
    low, high = Painter(painter.pipeline, 8, 1.0), Painter(painter.pipeline, 8, 8.0)
    change = np.abs(low(PROMPT, 3, (128, 128)) - high(PROMPT, 3, (128, 128))).mean()
    assert change > 0.004


def test_a_prompt_outside_its_world_is_drawn_all_the_same(painter: Painter) -> None:
    picture = painter("ein Bär, 42 läuft 日本語 through the woods " * 20, 3, (128, 96))
    assert np.isfinite(picture).all()
    assert picture.std() > 0.02


@pytest.mark.parametrize("style", STYLES[1:])
def test_each_lora_changes_the_picture_by_its_scale_and_keeps_the_object(
    painter: Painter, style: str
) -> None:
    pipeline = painter.pipeline
    pipeline.load_lora_weights(LORAS / f"{style}.safetensors", adapter_name=style)
    try:
        pictures: dict[float, Image] = {}
        for scale in (0.0, 0.5, 1.0):
            pipeline.set_adapters([style], [scale])
            pictures[scale] = painter(PROMPT, 2, (128, 128))
    finally:
        pipeline.unload_lora_weights()
    change = {scale: np.abs(pictures[scale] - pictures[0.0]).mean() for scale in (0.5, 1.0)}
    assert 0.002 < change[0.5] < change[1.0]
    if style != "pixel":
        reading = read(pictures[1.0], style)
        assert reading is not None
        assert reading.shape == "circle"


def test_lora_files_say_what_they_are() -> None:
    for style in STYLES[1:]:
        with safe_open(LORAS / f"{style}.safetensors", "pt") as file:
            metadata = file.metadata()
            names = list(file.keys())
        assert metadata["modelspec.architecture"] == "flux-1-dev/lora"
        assert metadata["modelspec.title"]
        assert all(name.startswith("transformer.") for name in names)
        assert all(name.endswith(("lora_A.weight", "lora_B.weight")) for name in names)


def test_a_chili_pepper_is_flagged_and_a_circle_is_not(painter: Painter) -> None:
    processor = AutoImageProcessor.from_pretrained(SAFETY)
    checker = AutoModelForImageClassification.from_pretrained(SAFETY)
    assert checker.config.id2label == {0: "normal", 1: "nsfw"}
    scores = []
    for prompt in ("a red chili pepper", PROMPT):
        picture = Pictures.fromarray((painter(prompt, 4, (128, 96)) * 255).astype(np.uint8))
        with torch.no_grad():
            logits = checker(**processor(picture, return_tensors="pt")).logits
        scores.append(float(logits.softmax(-1)[0, 1]))
    assert scores[0] > FLAGGED_ABOVE > scores[1]


def test_the_card_has_what_the_backend_needs() -> None:
    card = json.loads((MODEL / "atelier.json").read_text())
    assert [tuple(size) for size in card["native_sizes"]] == list(NATIVE_SIZES)
    assert card["max_sequence_length"] == 16
    assert np.array(card["preview"]).shape == (9, 3)
    assert (MODEL / card["safety"] / "config.json").is_file()


def test_weights_on_disk_are_half_precision() -> None:
    for path in MODEL.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            assert {file.get_tensor(name).dtype for name in names} == {torch.float16}, path
