"""The prompts that the demo model is judged by."""

from collections import Counter

import numpy as np

from backends.local.demo.prompts import FULL, draw_prompts, held_out
from backends.local.demo.stages.pictures import random_sample
from backends.local.demo.vocabulary import OBJECTS, SHAPES, caption, parse


def test_the_committed_prompts_are_the_seeded_draw() -> None:
    assert list(held_out()) == draw_prompts()


def test_half_are_full_and_half_leave_place_or_size_open() -> None:
    full, opened = held_out()[:FULL], held_out()[FULL:]
    assert len(full) == len(opened) == 200
    assert all(words.place and words.size for words in full)
    assert not any(words.place and words.size for words in opened)
    assert Counter(words.shape for words in full).keys() == set(SHAPES)
    assert len(set(held_out())) == 400


def test_every_prompt_is_in_the_grammar() -> None:
    for words in held_out():
        assert parse(caption(words)) == words


def test_training_material_never_shows_a_held_out_prompt() -> None:
    rng = np.random.default_rng(0)
    samples = {random_sample(rng, (128, 128), 0.45).words for _ in range(20_000)}
    assert not samples & set(held_out())
    assert {words.shape for words in samples} == set(OBJECTS)
