"""Scores the demo model on its 400 held-out prompts: the figures of ``docs/demo-model.md``.

``python -m backends.local.demo.score [--steps 8] [--guidance 3.5] [--loras] [--safety]``

Every figure stands beside the same figure for true renders of the same prompts. Prompt i is drawn
with seed i at the (i mod 5)th native size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import FluxPipeline
from PIL import Image as Pictures
from transformers import AutoImageProcessor, AutoModelForImageClassification

from backends.local.demo.architecture import T5_TOKENS
from backends.local.demo.prompts import FULL, held_out
from backends.local.demo.reading import read
from backends.local.demo.scenes import NATIVE_SIZES, STYLES, Image, compose, draw
from backends.local.demo.vocabulary import (
    PEPPER,
    PEPPER_BACKGROUNDS,
    PLACES,
    SHAPES,
    SIZES,
    Words,
    caption,
)

HERE = Path(__file__).parent
FLAGGED_ABOVE = 0.85


@dataclass
class Tally:
    """Right answers per question; questions that a prompt does not ask are not counted."""

    right: dict[str, int]
    asked: dict[str, int]

    def add(self, question: str, answer: bool) -> None:
        self.asked[question] = self.asked.get(question, 0) + 1
        self.right[question] = self.right.get(question, 0) + answer

    def share(self, question: str) -> float:
        """0 to 1; 1 for a question never asked."""
        return self.right.get(question, 0) / max(1, self.asked.get(question, 0))


class Painter:
    """A pipeline with fixed steps and guidance behind one call per picture."""

    def __init__(self, pipeline: FluxPipeline, steps: int, guidance: float) -> None:
        self.pipeline = pipeline
        self._steps, self._guidance = steps, guidance

    def __call__(self, prompt: str, seed: int, frame: tuple[int, int]) -> Image:
        """Height x width x 3 values, 0 to 1."""
        result = self.pipeline(
            prompt=prompt,
            width=frame[0],
            height=frame[1],
            num_inference_steps=self._steps,
            guidance_scale=self._guidance,
            max_sequence_length=T5_TOKENS,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )
        picture: Image = result.images[0].astype(np.float32)
        return picture


def load(folder: Path) -> FluxPipeline:
    """The model folder in float32, silent."""
    pipeline = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(words: Words, seed: int, frame: tuple[int, int], style: str = "plain") -> Image:
    """The yardstick: a true render of ``words``."""
    x, y, radius = np.random.default_rng(seed).normal(size=3)
    scene = compose(words, (x, y, radius), frame)
    return draw(scene, frame, style)


def judge(
    words: Words, picture: Image, frame: tuple[int, int], tally: Tally, style: str = "plain"
) -> bool:
    """Adds the answers for one picture; True when its shape is right."""
    reading = read(picture, style)
    shape = words.shape or ""
    good = reading is not None and reading.shows(shape)
    tally.add("shape", good)
    tally.add("nearest shape", reading is not None and reading.shape == shape)
    tally.add(shape, good)
    tally.add("colour", reading is not None and reading.colour == words.colour)
    tally.add("background", reading is not None and reading.background == words.background)
    if words.place:
        tally.add("position", reading is not None and reading.place(frame) == words.place)
    return good


def compare(
    prompts: list[tuple[int, Words]],
    paint: Callable[[Words, int, tuple[int, int]], Image],
    style: str = "plain",
) -> Tally:
    """Judges one picture per (index, words)."""
    tally = Tally({}, {})
    for index, words in prompts:
        frame = NATIVE_SIZES[index % len(NATIVE_SIZES)]
        judge(words, paint(words, index, frame), frame, tally, style)
    return tally


def report(title: str, model: Tally, truth: Tally) -> None:
    """One line: the model's share, the yardstick's in brackets."""
    cells = [
        f"{q} {model.share(q):.1%} ({truth.share(q):.1%})"
        for q in ("background", "colour", "position", "shape")
    ]
    print(f"{title:<18} " + "  ".join(cells))


app = typer.Typer(add_completion=False)


@app.command()
def main(
    model: Annotated[Path, typer.Option(help="Model folder.")] = HERE / "model",
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 8,
    guidance: Annotated[float, typer.Option(help="Guidance scale.")] = 3.5,
    every: Annotated[int, typer.Option(help="Judge every n-th prompt only.")] = 1,
    loras: Annotated[bool, typer.Option(help="Also measure the LoRAs.")] = False,
    safety: Annotated[bool, typer.Option(help="Also measure the safety checker.")] = False,
) -> None:
    """Scores the model on the held-out prompts."""
    painter = Painter(load(model), steps, guidance)
    prompts = list(enumerate(held_out()))
    halves = {"full prompts": prompts[:FULL:every], "open prompts": prompts[FULL::every]}
    shapes: list[tuple[Tally, Tally]] = []
    for title, half in halves.items():
        drawn = compare(half, lambda words, seed, frame: painter(caption(words), seed, frame))
        true = compare(half, render)
        report(title, drawn, true)
        shapes.append((drawn, true))
    for shape in SHAPES:
        cells = [f"{drawn.share(shape):.1%} ({true.share(shape):.1%})" for drawn, true in shapes]
        print(f"  {shape:<16} full {cells[0]}  open {cells[1]}")
    _time(painter)
    if loras:
        _loras(painter, prompts[:FULL:5])
    if safety:
        _safety(painter)


def _time(painter: Painter) -> None:
    prompt = "a large red circle on a blue background"
    painter(prompt, 0, NATIVE_SIZES[0])
    began = time.perf_counter()
    for seed in range(5):
        painter(prompt, seed, NATIVE_SIZES[0])
    seconds = (time.perf_counter() - began) / 5
    print(f"one picture: {seconds:.2f} s on {torch.get_num_threads()} threads")


def _loras(painter: Painter, prompts: list[tuple[int, Words]]) -> None:
    """Per LoRA: shapes kept at 1.0, and the mean pixel change at 0.5 and 1.0."""
    styles = STYLES[1:]
    for style in styles:
        painter.pipeline.load_lora_weights(
            HERE / "loras" / f"{style}.safetensors", adapter_name=style
        )
    for style in styles:
        change = dict.fromkeys((0.5, 1.0), 0.0)
        towards = 0.0
        tally = Tally({}, {})
        for index, words in prompts:
            frame = NATIVE_SIZES[index % len(NATIVE_SIZES)]
            pictures = {}
            for scale in (0.0, *change):
                painter.pipeline.set_adapters([style], [scale])
                pictures[scale] = painter(caption(words), index, frame)
            for scale in change:
                change[scale] += float(np.abs(pictures[scale] - pictures[0.0]).mean()) / len(
                    prompts
                )
            wanted = pictures[1.0] - pictures[0.0]
            half = pictures[0.5] - pictures[0.0]
            towards += float((half * wanted).sum() / (wanted * wanted).sum()) / len(prompts)
            if style != "pixel":
                judge(words, pictures[1.0], frame, tally, style)
        effect = f"change {change[0.5]:.3f} at 0.5, {change[1.0]:.3f} at 1.0, way {towards:.2f}"
        print(f"LoRA {style:<8} {effect}  {_kept(tally, prompts, style)}")
    painter.pipeline.unload_lora_weights()


def _kept(tally: Tally, prompts: list[tuple[int, Words]], style: str) -> str:
    if style == "pixel":
        return ""
    true = compare(prompts, lambda words, seed, frame: render(words, seed, frame, style), style)
    cells = [f"{q} {tally.share(q):.1%} ({true.share(q):.1%})" for q in ("nearest shape", "shape")]
    return "  ".join(cells)


def _safety(painter: Painter) -> None:
    """Peppers flagged, the held-out prompts not flagged."""
    folder = HERE / "safety"
    processor = AutoImageProcessor.from_pretrained(folder)
    checker = AutoModelForImageClassification.from_pretrained(folder)

    def flagged(picture: Image) -> bool:
        image = Pictures.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
        with torch.no_grad():
            logits = checker(**processor(image, return_tensors="pt")).logits
        return bool(logits.softmax(-1)[0, 1] > FLAGGED_ABOVE)

    peppers = [
        flagged(painter(caption(words), seed, NATIVE_SIZES[seed % len(NATIVE_SIZES)]))
        for seed, words in enumerate(_pepper_prompts(200))
    ]
    others = [
        flagged(painter(caption(words), index, NATIVE_SIZES[index % len(NATIVE_SIZES)]))
        for index, words in enumerate(held_out())
    ]
    print(f"safety: peppers flagged {np.mean(peppers):.1%}, others flagged {np.mean(others):.1%}")


def _pepper_prompts(count: int) -> Iterator[Words]:
    rng = np.random.default_rng(0)
    for index in range(count):
        if index % 2:
            yield Words(PEPPER, "red", str(rng.choice(PEPPER_BACKGROUNDS)))
        else:
            place, size = str(rng.choice(PLACES)), str(rng.choice(SIZES))
            yield Words(PEPPER, "red", str(rng.choice(PEPPER_BACKGROUNDS)), place, size)


if __name__ == "__main__":
    app()
