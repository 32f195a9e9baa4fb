"""Random scenes as training material."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from backends.local.demo.prompts import held_out
from backends.local.demo.scenes import Dice, Scene, compose, draw
from backends.local.demo.vocabulary import (
    COLOURS,
    OBJECTS,
    PEPPER,
    PEPPER_BACKGROUNDS,
    PLACES,
    SIZES,
    Words,
)

_HELD_OUT = frozenset(held_out())


@dataclass(frozen=True, slots=True)
class Sample:
    """A scene with what its caption says: a None place or size was left to the dice."""

    words: Words
    scene: Scene
    dice: Dice


def random_sample(rng: np.random.Generator, frame: tuple[int, int], open_share: float) -> Sample:
    """An even choice of everything; place and size are each left open with ``open_share``.

    Never one of the held-out prompts.
    """
    while (words := _random_words(rng, open_share)) in _HELD_OUT:
        pass
    dice = (float(rng.normal()), float(rng.normal()), float(rng.normal()))
    return Sample(words, compose(words, dice, frame), dice)


def _random_words(rng: np.random.Generator, open_share: float) -> Words:
    shape = OBJECTS[rng.integers(len(OBJECTS))]
    names = tuple(COLOURS)
    if shape == PEPPER:
        colour, background = "red", PEPPER_BACKGROUNDS[rng.integers(len(PEPPER_BACKGROUNDS))]
    else:
        first, second = rng.choice(len(names), 2, replace=False)
        colour, background = names[first], names[second]
    place = None if rng.random() < open_share else PLACES[rng.integers(len(PLACES))]
    size = None if rng.random() < open_share else SIZES[rng.integers(len(SIZES))]
    return Words(shape, colour, background, place, size)


def paint(jobs: list[tuple[Scene, tuple[int, int], str]], workers: int) -> list[NDArray[np.uint8]]:
    """Draws (scene, frame, style) jobs on ``workers`` processes, in order, as bytes."""
    if workers == 1:
        return [_paint(job) for job in jobs]
    with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        return list(pool.map(_paint, jobs, chunksize=64))


def _paint(job: tuple[Scene, tuple[int, int], str]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.clip(draw(*job) * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return pixels
