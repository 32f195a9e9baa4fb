"""The 400 prompts that the demo model is judged by, kept out of its training.

``python -m backends.local.demo.prompts`` writes ``prompts.json`` anew: a seeded, shuffled draw,
half of it full prompts, half leaving place, size or both open. The training material skips every
scene whose words are among them.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from backends.local.demo.vocabulary import COLOURS, PLACES, SHAPES, SIZES, Words

FILE: Final = Path(__file__).with_name("prompts.json")
SEED: Final = 20_261_120
FULL: Final = 200


@cache
def held_out() -> tuple[Words, ...]:
    """The words of the 400 prompts, full ones first."""
    return tuple(Words(**entry) for entry in json.loads(FILE.read_text()))


def draw_prompts() -> list[Words]:
    """The seeded draw behind ``prompts.json``; equal numbers of every shape in each half."""
    rng = np.random.default_rng(SEED)
    full, opened = [], []
    for shape, share in zip(SHAPES, _shares(FULL), strict=True):
        pairs = [(c, b) for c in COLOURS for b in COLOURS if c != b]
        named = [
            Words(shape, c, b, p, s) for (c, b), p, s in itertools.product(pairs, PLACES, SIZES)
        ]
        no_size = [Words(shape, c, b, p, None) for (c, b), p in itertools.product(pairs, PLACES)]
        no_place = [Words(shape, c, b, None, s) for (c, b), s in itertools.product(pairs, SIZES)]
        neither = [Words(shape, c, b) for c, b in pairs]
        full += [named[i] for i in rng.choice(len(named), share, replace=False)]
        for pool, part in zip(
            (no_size, no_place, neither),
            (share // 3, share // 3, share - 2 * (share // 3)),
            strict=True,
        ):
            opened += [pool[i] for i in rng.choice(len(pool), part, replace=False)]
    return full + opened


def _shares(count: int) -> list[int]:
    return [count * (i + 1) // len(SHAPES) - count * i // len(SHAPES) for i in range(len(SHAPES))]


if __name__ == "__main__":
    FILE.write_text(json.dumps([asdict(words) for words in draw_prompts()], indent=0) + "\n")
