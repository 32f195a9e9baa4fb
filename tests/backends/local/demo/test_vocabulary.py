"""The demo model's words."""

import subprocess
import sys

import pytest

from backends.local.demo.vocabulary import PEPPER, Words, caption, hint, parse


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (
            "a large red circle at the left on a blue background",
            Words("circle", "red", "blue", "left", "large"),
        ),
        (
            "A Large RED circle, on a blue background!",
            Words("circle", "red", "blue", None, "large"),
        ),
        (
            "tiny white star on an orange background",
            Words("star", "white", "orange", None, "small"),
        ),
        ("a ring", Words("ring")),
        ("green cross in the middle on black", Words("cross", "green", "black", "center", None)),
        ("a red chili pepper", Words(PEPPER, "red")),
        ("a big chilli pepper on a white background", Words(PEPPER, "red", "white", None, "large")),
    ],
)
def test_small_variations_of_the_grammar_are_understood(prompt: str, words: Words) -> None:
    assert parse(prompt) == words


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a cat in a hat",
        "a red circle and a blue square",
        "a red circle on a red background",
        "a green chili pepper",
        "a red chili pepper on a green background",
        "circle red large",
    ],
)
def test_a_prompt_outside_the_world_gets_a_hint_that_names_the_pepper(prompt: str) -> None:
    sentence = hint(prompt)
    assert sentence is not None
    assert "a red chili pepper" in sentence


def test_a_prompt_inside_the_world_gets_no_hint() -> None:
    assert hint("a small yellow star at the top on a purple background") is None


def test_captions_say_a_or_an_and_parse_back() -> None:
    words = Words("square", "orange", "orange", "top", None)
    assert caption(words) == "an orange square at the top on an orange background"
    words = Words("square", "orange", "black", "top", None)
    assert parse(caption(words)) == words


def test_asking_for_a_hint_loads_no_torch() -> None:
    code = (
        "import sys; from backends.local.demo.vocabulary import hint; hint('x'); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
