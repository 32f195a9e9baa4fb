"""What every picture format agrees on: the texts, the limits of a hostile file, the error."""

from dataclasses import dataclass
from typing import Final

MAX_FILE: Final = 64 * 2**20
MAX_TEXT: Final = 2**20
"""A longer text, packed or not, is treated as absent."""
MAX_CHUNKS: Final = 100_000


class RecipeError(Exception):
    """The file cannot give or take a recipe; str() is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a file carries: our document, A1111's text, ComfyUI's API-form graph."""

    document: str | None = None
    parameters: str | None = None
    prompt: str | None = None


def damaged(kind: str) -> RecipeError:
    return RecipeError(f"The {kind} file is damaged or incomplete; save or send it again.")


def too_many_parts(kind: str) -> RecipeError:
    return RecipeError(f"The {kind} file has more than {MAX_CHUNKS} parts; save it again.")
