"""Looking at what the demo model has drawn."""

from typing import Final

from PIL import Image

RED: Final = (220, 40, 40)
BLUE: Final = (45, 80, 220)


def colour(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place; `x` and `y` are 0 to 1."""
    found = picture.convert("RGB").getpixel((int(picture.width * x), int(picture.height * y)))
    assert isinstance(found, tuple)
    return found


def near(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two colours look alike."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < 60


def striped(picture: Image.Image) -> bool:
    """Whether the shape has stripes: along one of its middle lines, light and dark alternate."""
    width, height = picture.size
    grey = picture.convert("L")
    across = grey.crop((width // 2, height // 4, width // 2 + 1, height * 3 // 4))
    along = grey.crop((width // 4, height // 2, width * 3 // 4, height // 2 + 1))
    return any(max(line) - min(line) > 40 for line in (across.tobytes(), along.tobytes()))
