"""Captions as people might write them, with what they say; half in the plain grammar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backends.local.demo.vocabulary import PEPPER, SYNONYMS, Words, caption

_UNKNOWN = "#"  # stands for any word outside the vocabulary


def leave_out(rng: np.random.Generator, words: Words) -> Words:
    """Drops what short prompts often do not say (3 to 7 % each), never a named place or size."""
    if words.shape == PEPPER:
        return replace(words, background=None if rng.random() < 0.07 else words.background)
    return replace(
        words,
        background=None if rng.random() < 0.07 else words.background,
        colour=None if rng.random() < 0.04 else words.colour,
        shape=None if rng.random() < 0.03 else words.shape,
    )


def phrase(rng: np.random.Generator, words: Words) -> str:
    """One caption that says exactly ``words``; six in ten are in the plain grammar."""
    if words.shape is not None and (words.colour or words.shape == PEPPER) and rng.random() < 0.6:
        return caption(words)
    colour = words.colour if words.shape != PEPPER or rng.random() < 0.8 else None
    thing = " ".join(filter(None, (words.size, colour, words.shape)))
    if thing and rng.random() < 0.7:
        thing = f"a {thing}"
    where = what = ""
    if words.place:
        where = f"{_pick(rng, ('at the', 'on the', 'in the', 'at', ''))} {words.place}"
    if words.background:
        form = _pick(
            rng,
            (
                "on a {} background",
                "on {}",
                "{} background",
                "over a {} background",
                "with a {} background",
            ),
        )
        what = form.format(words.background)
    parts = [thing, where, what]
    if rng.random() < 0.15:
        parts = [thing, what, where]
    elif words.background and rng.random() < 0.15:
        parts = [f"{words.background} background", _pick(rng, ("", "with", "and")), thing, where]
    tokens = " ".join(parts).split()
    if rng.random() < 0.3:
        tokens = [_pick(rng, SYNONYMS.get(token, (token,))) for token in tokens]
    if not tokens or rng.random() < 0.35:
        for _ in range(rng.integers(1, 5)):
            tokens.insert(int(rng.integers(len(tokens) + 1)), _UNKNOWN)
    return " ".join(tokens)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
