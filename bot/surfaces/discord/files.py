"""Makes a picture fit into what Discord takes: PNG, then WebP, then JPEG, then smaller."""

import io
from dataclasses import dataclass, field
from typing import Final

from PIL import Image

from bot.recipe import Recipe, RecipeError, embed

_QUALITIES: Final = (("WEBP", 92), ("WEBP", 80), ("JPEG", 85), ("JPEG", 70))
_SHRINK: Final = 0.75
_SMALLEST: Final = 64
"""Pixels of the longer side below which a picture is not worth sending."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture as it is sent; `change` says what was done to it, or None."""

    data: bytes = field(repr=False)
    suffix: str
    change: str | None = None


class TooLarge(Exception):
    """Nothing of this picture fits."""


def fit(data: bytes, output_format: str, recipe: Recipe, limit: int) -> Fitted:
    """Bring a picture below `limit` bytes, its recipe inside. Takes long: call it in a thread.

    Raises:
        TooLarge: not even a tiny JPEG fits.
    """
    if len(data) <= limit:
        return Fitted(data, "jpg" if output_format == "jpeg" else output_format)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        image = opened.convert("RGB")
    size = f"{limit / 2**20:.3g} MB"
    while max(image.size) >= _SMALLEST:
        whole = image.size == (opened.width, opened.height)
        for kind, quality in _QUALITIES:
            smaller = _encoded(image, kind, quality, recipe)
            if len(smaller) <= limit:
                name = {"WEBP": "WebP", "JPEG": "JPEG"}[kind]
                scaled = "" if whole else f" of {image.width}x{image.height}"
                change = f"sent as {name}{scaled} to fit Discord's {size}"
                return Fitted(smaller, "webp" if kind == "WEBP" else "jpg", change)
        image = image.resize(
            (max(1, round(image.width * _SHRINK)), max(1, round(image.height * _SHRINK)))
        )
    raise TooLarge(size)


def _encoded(image: Image.Image, kind: str, quality: int, recipe: Recipe) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    try:
        return embed(buffer.getvalue(), recipe)
    except RecipeError:
        return buffer.getvalue()
