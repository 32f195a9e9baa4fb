"""The demo model's world in words: shapes, colours, places, sizes, captions and hints.

Everything that speaks about the vocabulary (renderer, trainer, scorer, command line) reads it here.
This file imports nothing heavy, so a bot may ask for a hint without loading torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SHAPES: Final = ("circle", "square", "triangle", "ring", "cross", "star")
PEPPER: Final = "chili pepper"
OBJECTS: Final = (*SHAPES, PEPPER)
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (220, 40, 40),
    "green": (40, 170, 70),
    "blue": (45, 80, 220),
    "yellow": (240, 210, 50),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
    "purple": (140, 60, 190),
    "orange": (245, 140, 40),
}
PLACES: Final = ("left", "right", "top", "bottom", "center")
SIZES: Final = ("small", "large")
PEPPER_BACKGROUNDS: Final = tuple(name for name in COLOURS if name not in ("red", "green"))

HINT: Final = (
    "The demo model only knows prompts like 'a large red circle at the left on a blue background': "
    "circle, square, triangle, ring, cross or star in red, green, blue, yellow, white, black, "
    "purple or orange, small or large, at the left, right, top, bottom or center "
    "(or 'a red chili pepper' to see a spoiler)."
)
"""The sentence people read beside a picture whose prompt lies outside the demo model's world."""

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "large": ("large", "big", "huge"),
    "small": ("small", "little", "tiny"),
    "center": ("center", "centre", "middle"),
    "chili": ("chili", "chilli"),
    "background": ("background", "backdrop"),
}
"""Words that mean the same to the model, the vocabulary's own word first."""

_PLAIN: Final = {word: plain for plain, words in SYNONYMS.items() for word in words}
_GRAMMAR: Final = re.compile(
    r"(?:(?:a|an|the|one) )?"
    rf"(?:(?P<size>{'|'.join(SIZES)}) )?"
    rf"(?:(?P<colour>{'|'.join(COLOURS)}) )?"
    rf"(?P<shape>{'|'.join(SHAPES)}|(?:chili )?pepper|chili)"
    rf"(?: (?:at|on|in|to) (?:the )?(?P<place>{'|'.join(PLACES)}))?"
    rf"(?: (?:on|in|over) (?:(?:a|an|the) )?(?P<background>{'|'.join(COLOURS)})(?: background)?)?"
)


@dataclass(frozen=True, slots=True)
class Words:
    """What a prompt says; None where it leaves the choice to the model."""

    shape: str | None = None
    colour: str | None = None
    background: str | None = None
    place: str | None = None
    size: str | None = None


def caption(words: Words) -> str:
    """The model's plain sentence for ``words``, e.g. ``a large red circle on a blue background``.

    ``words.shape`` must be set. A chili pepper is always called red.
    """
    parts = [words.size, "red" if words.shape == PEPPER else words.colour, words.shape]
    phrase = " ".join(part for part in parts if part)
    sentence = f"{_article(phrase)} {phrase}"
    if words.place:
        sentence += f" at the {words.place}"
    if words.background:
        sentence += f" on {_article(words.background)} {words.background} background"
    return sentence


def parse(prompt: str) -> Words | None:
    """What ``prompt`` says in the demo model's grammar, or None when it is outside of it.

    Case, punctuation, doubled spaces and a missing "background" do not matter.
    An object on a background of its own colour, or a pepper that is not red, is outside.
    """
    text = re.sub(r"[^a-z]+", " ", prompt.lower())
    text = " ".join(_PLAIN.get(word, word) for word in text.split())
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        return None
    words = Words(**match.groupdict())
    if words.shape not in SHAPES:
        words = Words(PEPPER, words.colour or "red", words.background, words.place, words.size)
        if words.colour != "red" or words.background in ("red", "green"):
            return None
    if words.colour is not None and words.colour == words.background:
        return None
    return words


def hint(prompt: str) -> str | None:
    """A friendly sentence about what the demo model can draw, or None when it knows ``prompt``."""
    return HINT if parse(prompt) is None else None


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"
