"""Procedural scenes: one object on a plain background, drawn from signed distances.

Numpy only. A scene's free numbers (where exactly, how large exactly) are a continuous function of
its ``Dice``, three standard normal numbers, so that a picture is fully told by (words, dice, size).
The trainer reads the same dice from the diffusion noise; see ``docs/demo-model.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backends.local.demo.vocabulary import COLOURS, PEPPER, Words

Image = NDArray[np.floating[Any]]
"""Height x width x 3, values 0 to 1."""
Dice = tuple[float, float, float]
"""Standard normal numbers for x, y and radius."""

NATIVE_SIZES: Final = ((128, 128), (128, 96), (96, 128), (144, 80), (80, 144))
"""(width, height) in pixels; the model is trained on these and on no other."""
STYLES: Final = ("plain", "outline", "stripes", "glow", "pixel")

_SMALL, _LARGE = 0.18, 0.25  # radius relative to the square root of the area
_SIZE_JITTER = 0.06
_MARGIN = 3.0  # pixels between object and frame
_PLACE_OFFSET, _PLACE_JITTER = 0.27, 0.022  # relative to that side


@dataclass(frozen=True, slots=True)
class Scene:
    """One object, completely determined. ``x``, ``y`` and ``radius`` are pixels."""

    shape: str
    colour: str
    background: str
    x: float
    y: float
    radius: float


def cumulative(value: float) -> float:
    """The standard normal distribution function: makes a normal number an even one (0 to 1)."""
    return 0.5 * (1.0 + math.erf(value / math.sqrt(2.0)))


def compose(words: Words, dice: Dice, frame: tuple[int, int]) -> Scene:
    """The scene for ``words`` in a ``frame`` of (width, height) pixels.

    Named place or size: the dice jitter a little around it. Left open: the object may lie anywhere
    inside the frame, at any size between small and large, evenly. Shape and colours must be named;
    a missing one raises ValueError.
    """
    shape, colour, background = words.shape, words.colour, words.background
    if shape is None or colour is None or background is None:
        raise ValueError(f"{words} leaves shape or a colour open; name all three")
    place, size = words.place, words.size
    width, height = frame
    even_x, even_y, even_r = (cumulative(value) for value in dice)
    unit = math.sqrt(width * height)
    if size is None:
        radius = unit * (_SMALL + (_LARGE - _SMALL) * even_r)
    else:
        radius = unit * (_SMALL if size == "small" else _LARGE)
        radius *= 1.0 + _SIZE_JITTER * (2.0 * even_r - 1.0)
    x = _coordinate(width, radius, {"left": -1, "right": 1}.get(place or ""), place, even_x)
    y = _coordinate(height, radius, {"top": -1, "bottom": 1}.get(place or ""), place, even_y)
    return Scene(shape, colour, background, x, y, radius)


def _coordinate(
    side: int, radius: float, direction: int | None, place: str | None, even: float
) -> float:
    reach = side / 2 - radius - _MARGIN
    if place is None:
        return side / 2 + reach * (2.0 * even - 1.0)
    jitter = _PLACE_JITTER * side
    offset = (direction or 0) * min(_PLACE_OFFSET * side, reach - jitter)
    return side / 2 + offset + jitter * (2.0 * even - 1.0)


def place_centre(place: str, radius: float, frame: tuple[int, int]) -> tuple[float, float]:
    """Where the centre of an object of ``radius`` pixels is meant to be, without jitter."""
    width, height = frame
    return (
        _coordinate(width, radius, {"left": -1, "right": 1}.get(place), place, 0.5),
        _coordinate(height, radius, {"top": -1, "bottom": 1}.get(place), place, 0.5),
    )


def draw(scene: Scene, frame: tuple[int, int], style: str = "plain") -> Image:
    """Paints ``scene`` anti-aliased into a ``frame`` of (width, height) pixels."""
    width, height = frame
    colour, background = _rgb(scene.colour), _rgb(scene.background)
    canvas: Image = np.broadcast_to(background, (height, width, 3)).astype(np.float32)
    if style == "stripes":
        canvas = _mix(canvas, stripe_tone(scene.background), _stripes(frame))
    if style == "glow":
        light = colour if colour.max() > 0.2 else np.ones(3, np.float32)
        canvas = _mix(canvas * GLOW_DARKNESS, light, _halo(scene, frame))
    if style == "outline":
        canvas = _mix(canvas, _ink(scene), coverage(scene, frame, style))
        inner = _distance(scene.shape, *_grid(scene, frame), scene.radius) + OUTLINE / 2
        canvas = _mix(canvas, colour, _inside(inner))
    else:
        canvas = _mix(canvas, colour, coverage(scene, frame))
    if scene.shape == PEPPER:
        x, y = _grid(scene, frame)
        shine = _inside(_strand(x, y, scene.radius, _PEPPER_SHINE))
        canvas = _mix(canvas, 0.5 + 0.5 * _rgb("red"), shine)
        canvas = _mix(canvas, _rgb("green"), _inside(_strand(x, y, scene.radius, _PEPPER_STEM)))
    if style == "pixel":
        blocks = canvas.reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3))
        canvas = np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)
    return canvas


def coverage(scene: Scene, frame: tuple[int, int], style: str = "plain") -> Image:
    """Height x width share (0 to 1) of each pixel that the object covers.

    With its outline in that style, and with the brighter part of its halo when it glows.
    """
    distance = _distance(scene.shape, *_grid(scene, frame), scene.radius)
    wider = {"outline": OUTLINE / 2, "glow": HALO * scene.radius * math.log(0.9 / 0.6)}
    return _inside(distance - wider.get(style, 0.0))


HALO: Final = 0.45
"""How far a halo reaches, relative to the radius; its brightness is 0.9 exp(-distance / reach)."""
OUTLINE: Final = 4.0
"""Width of the outline style's line in pixels, its middle on the edge."""
GLOW_DARKNESS: Final = 0.35
"""What the glow style leaves of the background's brightness."""


def stripe_tone(background: str) -> Image:
    """The second tone of the stripes style: the background, paler if dark and darker if pale."""
    tone = _rgb(background)
    ink = _rgb("white") if tone.mean() < 0.5 else _rgb("black")
    return tone + 0.45 * (ink - tone)


def _ink(scene: Scene) -> Image:
    """Black, or the next colour that is not taken."""
    taken = (scene.colour, scene.background)
    return _rgb(next(name for name in ("black", "white", "red") if name not in taken))


def _stripes(frame: tuple[int, int]) -> Image:
    width, height = frame
    phase = np.add.outer(np.arange(height), np.arange(width)).astype(np.float32) % 16
    band: Image = np.clip(np.abs(phase - 7.5) - 3.5, 0.0, 1.0)
    return band


def _halo(scene: Scene, frame: tuple[int, int]) -> Image:
    distance = _distance(scene.shape, *_grid(scene, frame), scene.radius)
    return 0.9 * np.exp(-np.maximum(distance, 0.0) / (HALO * scene.radius))


def _grid(scene: Scene, frame: tuple[int, int]) -> tuple[Image, Image]:
    width, height = frame
    xs = np.arange(width, dtype=np.float32) + 0.5 - scene.x
    ys = np.arange(height, dtype=np.float32) + 0.5 - scene.y
    x, y = np.meshgrid(xs, ys)
    return x, y


def _distance(shape: str, x: Image, y: Image, radius: float) -> Image:
    """Pixels to the shape's edge, negative inside. Corners are sharp."""
    rho = np.hypot(x, y)
    if shape == "circle":
        return rho - 0.95 * radius
    if shape == "ring":
        return np.abs(rho - 0.72 * radius) - 0.25 * radius
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.82 * radius
    if shape == "cross":
        long, arm = 0.95 * radius, 0.32 * radius
        across = np.maximum(np.abs(x) - long, np.abs(y) - arm)
        return np.minimum(across, np.maximum(np.abs(x) - arm, np.abs(y) - long))
    if shape == "triangle":  # equilateral, its bounding box centred
        apex, base, half = -0.87 * radius, 0.83 * radius, 0.98 * radius
        slope = (np.abs(x) * (base - apex) - (y - apex) * half) / math.hypot(half, base - apex)
        below: Image = np.maximum(slope, y - base)
        return below
    if shape == "star":
        sector = np.abs((np.arctan2(x, -y) + math.pi / 5) % (2 * math.pi / 5) - math.pi / 5)
        tip = 1.02 * radius
        dent = 0.47 * tip
        dent_x, dent_y = dent * math.cos(math.pi / 5), dent * math.sin(math.pi / 5)
        length = math.hypot(dent_x - tip, dent_y)
        along, across = rho * np.cos(sector), rho * np.sin(sector)
        return ((along - tip) * dent_y - across * (dent_x - tip)) / length
    if shape == PEPPER:
        return _strand(x, y, radius, _PEPPER_BODY)
    raise ValueError(f"shape is {shape!r}; the demo model knows no such shape")


# x, y and thickness along the middle line, relative to the radius, from thick end to tip
_PEPPER_BODY: Final = ((0.42, -0.52, 0.30), (0.62, 0.45, 0.42), (-0.88, 0.62, 0.05))
_PEPPER_STEM: Final = ((0.30, -0.92, 0.08), (0.34, -0.80, 0.10), (0.42, -0.60, 0.19))
_PEPPER_SHINE: Final = ((0.50, -0.42, 0.06), (0.54, 0.00, 0.08), (0.24, 0.26, 0.05))


def _strand(
    x: Image, y: Image, radius: float, bend: tuple[tuple[float, float, float], ...]
) -> Image:
    """Distance to circles strung along a quadratic Bezier curve (x, y, thickness)."""
    start, control, end = np.asarray(bend, np.float32) * radius
    distance = np.full_like(x, np.inf)
    for t in np.linspace(0.0, 1.0, 24):
        px, py, thick = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
        distance = np.minimum(distance, np.hypot(x - px, y - py) - thick)
    return distance


def _inside(distance: Image) -> Image:
    """Coverage of a pixel by the inside of an edge ``distance`` pixels away: 0 to 1."""
    covered: Image = np.clip(0.5 - distance, 0.0, 1.0)
    return covered


def _mix(below: Image, above: Image, share: Image) -> Image:
    return below + share[..., None] * (above - below)


def _rgb(colour: str) -> Image:
    return np.asarray(COLOURS[colour], np.float32) / 255.0
