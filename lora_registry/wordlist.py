"""The words of a listing, as both the index and a query spell them."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from aiosqlite import Connection

from lora_registry.models import PresetBody

SHORTEST: Final = 3
"""Letters of a word that a misspelt one may be corrected to; a trigram needs as many."""

_LONGEST: Final = 40
_MOST: Final = 60


def tokens(text: str) -> list[str]:
    """Lower-case words without accents, in order.

    Whatever is neither letter nor digit divides words, as it does for FTS5's unicode61.
    """
    # Styled capitals have no lower case until they are plain ones.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    spaced = "".join(
        char if char.isalnum() else " " for char in plain if not unicodedata.combining(char)
    )
    return [word[:_LONGEST] for word in spaced.split()]


def listing_words(slug: str, handle: str, body: PresetBody) -> str:
    """Everything that a preset is found by: its names, title, tags, LoRAs and owner."""
    texts = (slug, body.title, *body.tags, *(lora.name for lora in body.loras), handle)
    words = dict.fromkeys(word for text in texts for word in tokens(text))
    return " ".join(list(words)[:_MOST])


async def learn(sql: Connection, listings: Iterable[str]) -> None:
    """Add words to those that a misspelt one may be corrected to."""
    words = {word for text in listings for word in text.split() if len(word) >= SHORTEST}
    await sql.executemany(
        "INSERT OR IGNORE INTO word (text) VALUES (?)", [(word,) for word in sorted(words)]
    )


async def forget(sql: Connection, text: str) -> None:
    """Drop those of these words that no listing has any more."""
    await sql.executemany(
        "DELETE FROM word WHERE text = ?1"
        " AND NOT EXISTS (SELECT 1 FROM public_vocabulary WHERE term = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM other_vocabulary WHERE term = ?1)",
        [(word,) for word in text.split()],
    )
