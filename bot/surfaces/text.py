"""Text that people wrote, made safe to show in any chat."""

import unicodedata
from collections.abc import Iterable
from typing import Final

_JOINER: Final = "\u200d"
_ISOLATE: Final = ("\u2068", "\u2069")
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})


def plain(text: str, most: int) -> str:
    """One line of at most `most` characters, without anything that hides or reorders text.

    Joiners stay inside emoji and scripts that need them.
    """
    kept = []
    for index, char in enumerate(text):
        joins = char == _JOINER and 0 < index < len(text) - 1 and not text[index + 1].isascii()
        if unicodedata.category(char) not in {"Cc", "Cf", "Cs"} or joins or char in "\n\t":
            kept.append(char)
    line = " ".join("".join(kept).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def whole_lines(lines: Iterable[str], most: int = 3900) -> str:
    """As many of these lines as a message has room for, none of them cut."""
    kept: list[str] = []
    room = most
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept)


def isolated(line: str) -> str:
    """Text that runs from right to left, set apart so that what stands around it stays in order."""
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in line):
        return line.join(_ISOLATE)
    return line
