"""A card in a real browser, as members see it."""

from pathlib import Path

import pytest
from PIL import Image

from tests.scenarios.discord.pictures import Camera, chromium
from tests.scenarios.discord.simulated import simulated

pytestmark = pytest.mark.browser

SEED = 100 * 256 + 200
COLOUR = (200, 100, 0)
"""What the stub draws with this seed."""


def seen(path: Path) -> int:
    """How many pixels of a screenshot show the picture."""
    with Image.open(path) as image:
        data = image.convert("RGB").tobytes()
    pixels = zip(data[::3], data[1::3], data[2::3], strict=True)
    return sum(all(abs(a - b) < 8 for a, b in zip(p, COLOUR, strict=True)) for p in pixels)


async def test_a_picture_is_seen_but_not_the_one_behind_a_spoiler(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _), chromium() as browser:
        camera = Camera(s, browser, tmp_path)
        clear = await camera.take(await s.drawn(s.ana, "a cat", seed=SEED), "clear")
        hidden = await camera.take(await s.drawn(s.ana, "flagged", seed=SEED), "hidden")
        assert seen(clear) > 30 * 30
        assert seen(hidden) == 0
