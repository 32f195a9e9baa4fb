"""Draws ``docs/images/demo-contact-sheet.png``: ``python -m backends.local.demo.contact_sheet``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diffusers import FluxPipeline
from PIL import Image, ImageDraw

from backends.local.demo.scenes import STYLES
from backends.local.demo.score import HERE, Painter, load

TARGET = Path("docs/images/demo-contact-sheet.png")
TILE, GAP, LABEL = 144, 6, 14

_FULL = (
    "a large red circle on a blue background",
    "a small yellow star at the top on a purple background",
    "a green triangle at the right on a white background",
    "a large black cross at the left on an orange background",
    "a blue ring at the bottom on a yellow background",
    "a small white square at the center on a red background",
    "a red chili pepper on a white background",
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture and its few words."""

    label: str
    prompt: str
    seed: int
    frame: tuple[int, int] = (128, 128)
    steps: int = 8
    guidance: float = 3.5
    loras: tuple[tuple[str, float], ...] = ()


def rows() -> Iterator[list[Tile]]:
    """The sheet from top to bottom, seven tiles a row."""
    yield [Tile(" ".join(prompt.split()[1:3]), prompt, 1) for prompt in _FULL]
    wide = [(144, 80), (128, 96), (80, 144), (96, 128), (144, 80), (128, 96), (80, 144)]
    yield [Tile(f"{w} x {h}", p, 2, (w, h)) for p, (w, h) in zip(_FULL, wide, strict=True)]
    yield [Tile(f"seed {seed}", "a purple star on a green background", seed) for seed in range(7)]
    yield [Tile(f'"a ring", seed {seed}', "a ring", seed) for seed in range(7)]
    yield [Tile(f'"a cat in a hat", seed {seed}', "a cat in a hat", seed) for seed in range(7)]
    yield [Tile(f"{steps} steps", _FULL[1], 3, steps=steps) for steps in (1, 2, 4, 8, 16, 28, 50)]
    yield [
        Tile(f"guidance {g}", _FULL[4], 5, guidance=g) for g in (0.0, 1.0, 2.0, 3.5, 5.0, 8.0, 20.0)
    ]
    for style, prompt in zip(STYLES[1:], (_FULL[3], _FULL[0], _FULL[2], _FULL[1]), strict=True):
        scales = (0.0, 0.25, 0.5, 0.75, 1.0)
        tiles = [Tile(f"{style} {scale}", prompt, 4, loras=((style, scale),)) for scale in scales]
        tiles.append(Tile(f"{style} 1.0", _FULL[6], 4, loras=((style, 1.0),)))
        other = STYLES[1 + STYLES.index(style) % 4]
        pair = ((style, 0.7), (other, 0.7))
        yield [*tiles, Tile(f"0.7 {style} + 0.7 {other}", prompt, 4, loras=pair)]


def paint(pipeline: FluxPipeline, tile: Tile) -> Image.Image:
    """One tile's picture, centred, with its label below."""
    scales = dict.fromkeys(STYLES[1:], 0.0) | dict(tile.loras)
    pipeline.set_adapters(list(scales), list(scales.values()))
    painter = Painter(pipeline, tile.steps, tile.guidance)
    picture = np.clip(painter(tile.prompt, tile.seed, tile.frame) * 255 + 0.5, 0, 255)
    card = Image.new("RGB", (TILE, TILE + LABEL), "white")
    inner = Image.fromarray(picture.astype(np.uint8))
    card.paste(inner, ((TILE - inner.width) // 2, (TILE - inner.height) // 2))
    ImageDraw.Draw(card).text((2, TILE + 1), tile.label, fill="black", font_size=10)
    return card


def main() -> None:
    """Writes the sheet."""
    pipeline = load(HERE / "model")
    for style in STYLES[1:]:
        pipeline.load_lora_weights(HERE / "loras" / f"{style}.safetensors", adapter_name=style)
    grid = list(rows())
    step_x, step_y = TILE + GAP, TILE + LABEL + GAP
    sheet = Image.new("RGB", (GAP + 7 * step_x, GAP + len(grid) * step_y), "white")
    for y, row in enumerate(grid):
        for x, tile in enumerate(row):
            sheet.paste(paint(pipeline, tile), (GAP + x * step_x, GAP + y * step_y))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
