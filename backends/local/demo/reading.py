"""Reads a picture of the demo world back: which object, what colour, where, how well drawn.

No trained judge: the object's mask is compared with every shape of the renderer, drawn at the
best place and size. So a blob is no circle, and the same reading of a true render is the yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from backends.local.demo.scenes import (
    GLOW_DARKNESS,
    Image,
    Scene,
    coverage,
    place_centre,
    stripe_tone,
)
from backends.local.demo.vocabulary import COLOURS, PLACES, SHAPES

GOOD_EDGE: Final = 1.5
"""How many pixels the edge may be off, on average, for a shape to count as drawn."""
# Half of each shape's larger side, relative to its radius: where the search for a fit starts.
_EXTENT: Final = {
    "circle": 0.95,
    "square": 0.82,
    "triangle": 0.98,
    "ring": 0.97,
    "cross": 0.95,
    "star": 0.97,
}
_PALETTE: Final = np.asarray(list(COLOURS.values()), np.float32) / 255
_NAMES: Final = tuple(COLOURS)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a picture shows: the shape that fits best, and how well.

    ``edge`` is the area that is drawn wrongly, stray spots included, divided by the length of the
    true edge: pixels.
    """

    shape: str
    colour: str
    background: str
    x: float
    y: float
    radius: float
    edge: float

    def place(self, frame: tuple[int, int]) -> str:
        """The named place whose centre is nearest."""
        return min(
            PLACES,
            key=lambda place: np.hypot(
                *np.subtract(place_centre(place, self.radius, frame), (self.x, self.y))
            ),
        )

    def shows(self, shape: str) -> bool:
        """Whether this is ``shape``, drawn well."""
        return self.shape == shape and self.edge <= GOOD_EDGE


def read(picture: Image, style: str = "plain") -> Reading | None:
    """Reads height x width x 3 values (0 to 1); None when there is no object at all.

    ``style`` tells what the strokes of that LoRA look like. Neither "pixel" nor a chili pepper can
    be read.
    """
    height, width = picture.shape[:2]
    border = np.concatenate(
        [
            picture[:2].reshape(-1, 3),
            picture[-2:].reshape(-1, 3),
            picture[:, :2].reshape(-1, 3),
            picture[:, -2:].reshape(-1, 3),
        ]
    )
    background = _background(border, style)
    tones = _tones(background, style)
    apart = np.min([np.linalg.norm(picture - tone, axis=2) for tone in tones], axis=0)
    if style == "stripes":
        apart = np.minimum(apart, _from_line(picture, *tones))
    if (apart > 0.2).sum() < 30:
        return None
    colour = _colour(picture[apart > 0.6 * np.percentile(apart, 99.5)])
    from_object = np.linalg.norm(picture - _PALETTE[_NAMES.index(colour)], axis=2)
    mask = apart / (apart + from_object + 1e-6)
    if style == "outline":  # the line is no part of the colour, but of the object
        mask = apart / (apart + 0.12)
    low, high = (0.5, 0.7) if style == "glow" else (0.2, 0.8)  # haze is no object
    mask = np.clip((mask - low) / (high - low), 0.0, 1.0)
    start = _box(mask)
    if start is None:
        return None
    x, y, extent = start
    fits = [
        _fit(
            Scene(shape, colour, background, x, y, extent / _EXTENT[shape]),
            mask,
            (width, height),
            style,
        )
        for shape in SHAPES
    ]
    _, scene = max(fits, key=lambda fit: fit[0])
    drawn = style if style in ("outline", "glow") else "plain"
    return Reading(
        scene.shape,
        colour,
        background,
        float(scene.x),
        float(scene.y),
        float(scene.radius),
        _edge(coverage(scene, (width, height), drawn), mask),
    )


def _edge(true: Image, mask: Image) -> float:
    length = np.hypot(*np.gradient(true)).sum()
    return float(np.abs(true - mask).sum() / length)


def _background(border: Image, style: str) -> str:
    if style == "stripes":
        pairs = [_from_line(border[None], *_tones(name, style)).mean() for name in _NAMES]
        ends = [
            min(np.linalg.norm(border - tone, axis=1).min() for tone in _tones(name, style))
            for name in _NAMES
        ]
        return _NAMES[int(np.argmin(np.asarray(pairs) + ends))]
    dim = GLOW_DARKNESS if style == "glow" else 1.0
    middle = np.median(border, axis=0)
    return _NAMES[int(np.argmin(np.linalg.norm(_PALETTE * dim - middle, axis=1)))]


def _tones(background: str, style: str) -> list[Image]:
    tone = _PALETTE[_NAMES.index(background)]
    if style == "stripes":
        return [tone, stripe_tone(background)]
    return [tone * GLOW_DARKNESS if style == "glow" else tone]


def _colour(pixels: Image) -> str:
    return _NAMES[int(np.argmin(np.linalg.norm(_PALETTE - np.median(pixels, axis=0), axis=1)))]


def _from_line(picture: Image, start: Image, end: Image) -> Image:
    along = np.clip(((picture - start) @ (end - start)) / ((end - start) @ (end - start)), 0, 1)
    distance: Image = np.linalg.norm(picture - (start + along[..., None] * (end - start)), axis=-1)
    return distance


def _box(mask: Image) -> tuple[float, float, float] | None:
    rows, columns = np.nonzero((mask > 0.5).sum(1) > 1)[0], np.nonzero((mask > 0.5).sum(0) > 1)[0]
    if not len(rows) or not len(columns):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) / 2


def _fit(scene: Scene, mask: Image, frame: tuple[int, int], style: str) -> tuple[float, Scene]:
    """Climbs to the place and size of the best overlap, in steps of 4 pixels down to 1/4."""
    drawn = style if style in ("outline", "glow") else "plain"
    best = _overlap(coverage(scene, frame, drawn), mask)
    step = 4.0
    while step > 0.2:
        moved = False
        for dx, dy, dr in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)):
            other = replace(
                scene,
                x=scene.x + dx * step,
                y=scene.y + dy * step,
                radius=max(4.0, scene.radius + dr * step),
            )
            value = _overlap(coverage(other, frame, drawn), mask)
            if value > best:
                best, scene, moved = value, other, True
        if not moved:
            step /= 2
    return best, scene


def _overlap(one: Image, other: Image) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())
