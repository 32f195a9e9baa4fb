"""Finds an owner's blocked words and phrases in a prompt, however they are typed.

Text and list are brought into one form: case folded, compatibility forms unified (NFKC), invisible
characters removed, words parted by exactly one space. A phrase then matches whole words only,
across any spaces, line breaks and punctuation. In scripts that write words together or without
spaces (Chinese, Japanese, Korean, Thai, …), and for symbols such as emoji, every character counts
as a word.
"""

import functools
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import ahocorasick

_UNSPACED: Final = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF))
"""Thai and Lao, Myanmar, Khmer, Tai Le and New Tai Lue."""

# Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt) beyond category Cf.
_INVISIBLE: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x1810))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)


class _Table:
    """A rule for `str.translate` that remembers the characters it has lately seen."""

    def __init__(self, rule: Callable[[int], str]) -> None:
        self._rule = functools.lru_cache(maxsize=10_000)(rule)

    def __getitem__(self, code: int) -> str:
        return self._rule(code)


def _visible(code: int) -> str:
    """Nothing for what nobody sees."""
    invisible = code in _INVISIBLE or unicodedata.category(chr(code)) == "Cf"
    return "" if invisible else chr(code)


def _parted(code: int) -> str:
    """Spaces where one word ends and the next begins."""
    char = chr(code)
    kind = unicodedata.category(char)[0]
    if kind == "S" or (kind in "LMN" and _stands_alone(char)):
        return f" {char} "
    return char if kind in "LMN" else " "


def _stands_alone(char: str) -> bool:
    return unicodedata.east_asian_width(char) == "W" or any(
        low <= ord(char) <= high for low, high in _UNSPACED
    )


_VISIBLE: Final = _Table(_visible)
_PARTED: Final = _Table(_parted)


def canonical(text: str) -> str:
    """The form that is compared: words of `text` parted by one space; empty if it has none."""
    text = unicodedata.normalize("NFKC", text.translate(_VISIBLE))
    # Folding twice around NFKC is Unicode's own toNFKC_Casefold (chapter 3.13, D145).
    text = unicodedata.normalize("NFD", text).casefold()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.translate(_PARTED).split())


def find_blocked(phrases: frozenset[str], text: str) -> tuple[str, ...]:
    """Every phrase that occurs in `text`, as its owner wrote it, in order of appearance.

    The search itself takes no longer for a long list; the list is prepared once and remembered.
    """
    if not phrases:
        return ()
    found = (phrase for _, phrase in _prepared(phrases).iter(f" {canonical(text)} "))
    return tuple(dict.fromkeys(found))


@functools.lru_cache(maxsize=256)
def _prepared(phrases: frozenset[str]) -> Any:
    automaton = ahocorasick.Automaton()
    for phrase in sorted(phrases):
        automaton.add_word(f" {canonical(phrase)} ", phrase)
    automaton.make_automaton()
    return automaton
