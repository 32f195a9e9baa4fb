"""Text that people wrote, made safe to show in a message."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_MARKUP: Final = re.compile(r"([\\*_~`|<>\[\]#])")
_JOINER: Final = "\u200d"
_ISOLATE: Final = ("\u2068", "\u2069")
_SPLIT_FENCE: Final = "`\u200b``"
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


def safe(text: str, most: int) -> str:
    """The same with Discord's markup shown as it was typed: no mention, no link in disguise.

    Text that runs from right to left is set apart, so that what stands around it stays in order.
    The answer has at most `2 * most + 2` characters.
    """
    line = _MARKUP.sub(r"\\\1", plain(text, most))
    if any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in line):
        return line.join(_ISOLATE)
    return line


def code(command: str) -> str:
    """A block to copy a command from, exactly; three backticks would end it early."""
    return f"```\n{command.replace('```', _SPLIT_FENCE)}\n```"


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
