"""The renderer and the reader of its pictures."""

import numpy as np
import pytest

from backends.local.demo.reading import read
from backends.local.demo.scenes import NATIVE_SIZES, STYLES, compose, cumulative, draw
from backends.local.demo.vocabulary import OBJECTS, PLACES, SHAPES, SIZES, Words

MIDDLE = (0.0, 0.0, 0.0)


@pytest.mark.parametrize("frame", NATIVE_SIZES)
@pytest.mark.parametrize("style", STYLES)
def test_every_object_is_painted_inside_its_frame(frame: tuple[int, int], style: str) -> None:
    for shape in OBJECTS:
        for dice in (MIDDLE, (3.0, 3.0, 3.0), (-3.0, -3.0, 3.0)):
            scene = compose(Words(shape, "red", "blue"), dice, frame)
            picture = draw(scene, frame, style)
            assert picture.shape == (frame[1], frame[0], 3)
            assert picture.min() >= 0.0
            assert picture.max() <= 1.0
            assert scene.x - 0.9 * scene.radius > 0
            assert scene.x + 0.9 * scene.radius < frame[0]


@pytest.mark.parametrize("style", ["plain", "outline", "stripes"])
def test_reading_a_true_render_gives_back_what_was_painted(style: str) -> None:
    rng = np.random.default_rng(7)
    for index, shape in enumerate(SHAPES):
        for place in PLACES:
            frame = NATIVE_SIZES[(index + PLACES.index(place)) % len(NATIVE_SIZES)]
            size = SIZES[index % 2]
            words = Words(shape, "yellow", "purple", place, size)
            x, y, radius = rng.normal(size=3)
            scene = compose(words, (x, y, radius), frame)
            reading = read(draw(scene, frame, style), style)
            assert reading is not None
            assert reading.shows(shape)
            assert reading.background == "purple"
            assert reading.colour == "yellow" or style == "outline"  # the line hides the colour
            assert reading.place(frame) == place
            assert reading.x == pytest.approx(scene.x, abs=1.0)
            assert reading.radius == pytest.approx(scene.radius, abs=1.5)


def test_a_blob_is_no_shape_and_an_empty_picture_shows_nothing() -> None:
    frame = (128, 128)
    circle = draw(compose(Words("circle", "red", "white"), MIDDLE, frame), frame)
    away = draw(compose(Words("circle", "red", "white"), (0.5, 0.4, 0.0), frame), frame)
    blob = np.minimum(circle, away)
    reading = read(blob)
    assert reading is not None
    assert not any(reading.shows(shape) for shape in SHAPES)
    assert read(np.full((128, 128, 3), 0.5)) is None


def test_an_open_place_reaches_all_over_the_frame() -> None:
    low = compose(Words("circle", "red", "white"), (-3.0, -3.0, 0.0), (128, 96))
    high = compose(Words("circle", "red", "white"), (3.0, 3.0, 0.0), (128, 96))
    assert high.x - low.x > 60
    assert high.y - low.y > 30


def test_an_unnamed_colour_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="name all three"):
        compose(Words("circle", None, "white"), MIDDLE, (128, 128))


def test_the_distribution_function_is_the_standard_one() -> None:
    assert cumulative(0.0) == pytest.approx(0.5)
    assert cumulative(1.959964) == pytest.approx(0.975, abs=1e-6)
