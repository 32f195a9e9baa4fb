"""Finds presets while somebody types, with the rule of who sees what inside every query.

In this order, until there are enough: names that begin with the text, presets with words that begin
with its words, names that hold it somewhere, and, where those are fewer than `FEW` and none has
exactly this name, presets with words like it. Several words that found anything are taken as they
are. Within each step the pinned and most used come first, out of the first `_CAP` that match:
ranking all would take the longer the more there are.
"""

import difflib
import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiosqlite import Row

from lora_registry.models import Viewer
from lora_registry.permissions import PlaceKind
from lora_registry.tables import Database
from lora_registry.visibility import NAMED, NOT_DENIED, RANK, SHOWN, VISIBLE, Sight, sight
from lora_registry.weights import FluxModel
from lora_registry.wordlist import SHORTEST, tokens

MOST: Final = 25
"""What one answer holds; Discord shows no more."""

FEW: Final = 5
"""Fewer hits than this and the text may be misspelt."""

_CAP: Final = 300
_LETTERS: Final = string.ascii_lowercase + string.digits
_MOST_WORDS: Final = 6
_LONGEST: Final = 60
_CANDIDATES: Final = 40
_ALIKE: Final = 0.65
"""How alike a word must be to one that was typed, as `difflib` counts: 0 to 1."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A preset that was found, at the revision that holds for the viewer.

    `name` is what to type for it: the short name where that leads to it, else `@owner/name`.
    `place` is where it was found, the nearest if at several. `nsfw` counts its LoRAs' levels too.
    """

    preset: str
    rev: int
    name: str
    owner: str
    place: PlaceKind
    title: str
    model: FluxModel
    nsfw: int
    uses: int
    likes: int
    pinned: bool


class Search:
    """Search over the presets of one instance."""

    def __init__(self, database: Database) -> None:
        self._rows = database.rows

    async def search(self, viewer: Viewer, text: str, limit: int = MOST) -> tuple[Hit, ...]:
        """Up to `limit` presets (25 at most) that the viewer may use, the best first.

        Without a text these are the pinned and most used.
        """
        limit = max(1, min(limit, MOST))
        seen = await sight(self._rows, viewer)
        words = tokens(text[:_LONGEST])[:_MOST_WORDS]
        slug = "-".join(tokens(text[:_LONGEST].rpartition("/")[2]))
        found: dict[int, int] = {}
        beginning = await self._beginning(seen, slug, limit)
        _add(found, beginning)
        if words and len(found) < limit:
            _add(found, await self._words(seen, words, limit))
        single = len(words) == 1
        if len(slug) >= SHORTEST and len(found) < (limit if single else 1):
            _add(found, await self._part(seen, slug, limit))
        exact = any(row["slug"] == slug for row in beginning)
        if words and len(found) < (FEW if single else 1) and not exact:
            _add(found, await self._alike(seen, words, limit))
        return await self._hits(seen, list(found.values())[:limit])

    async def near(self, viewer: Viewer, name: str, limit: int = FEW) -> tuple[str, ...]:
        """Names to type of visible presets that a name which leads nowhere may have meant."""
        seen = await sight(self._rows, viewer)
        words = tokens(name[:_LONGEST].rpartition("/")[2])[:_MOST_WORDS]
        if not words:
            return ()
        slug = "-".join(words)
        rows = await self._alike(seen, words, MOST)
        rows = sorted(rows, key=lambda row: -_likeness(slug, row["slug"]))
        found: dict[int, int] = {}
        _add(found, rows)
        return tuple(hit.name for hit in await self._hits(seen, list(found.values())[:limit]))

    async def _beginning(self, seen: Sight, slug: str, limit: int) -> Sequence[Row]:
        """The most used whose name begins so, at each place by itself.

        Up to two letters come from an index in the order of use; more are few enough to sort.
        """
        args = [slug]
        order = "ORDER BY l.score DESC"
        match len(slug):
            case 0:
                condition = "?4 = ''"
            case 1 | 2 as letters:
                condition = f"substr(l.slug, 1, {letters}) = ?4"
            case _:
                condition, order = "l.slug >= ?4 AND l.slug < ?5", ""
                args.append(f"{slug}\x7f")
        at_each = " UNION ALL SELECT * FROM ".join(
            f"({_best(f'listing l WHERE l.place = {place} AND {condition}', limit, order)})"
            for place in seen.places
        )
        query = f"SELECT * FROM (SELECT * FROM {at_each}) ORDER BY {_ORDER}"  # noqa: S608
        return await self._rows(query, (*seen.args, *args))

    async def _words(self, seen: Sight, words: Sequence[str], limit: int) -> Sequence[Row]:
        *whole, last = (f'"{word}"' for word in words)
        return await self._match("words", "words", seen, [*whole, f"{last}*"], limit)

    async def _part(self, seen: Sight, slug: str, limit: int) -> Sequence[Row]:
        return await self._match("parts", "slug", seen, [f'"{slug}"'], limit)

    async def _alike(self, seen: Sight, words: Sequence[str], limit: int) -> Sequence[Row]:
        """Presets that have, for every word, one that is like it."""
        terms = []
        for word in words:
            alike = await self._corrections(word)
            if not alike:
                return ()
            terms.append("(" + " OR ".join(f'"{one}"' for one in alike) + ")")
        return await self._match("words", "words", seen, terms, limit)

    async def _match(
        self, index: str, column: str, seen: Sight, terms: Sequence[str], limit: int
    ) -> Sequence[Row]:
        """What matches all terms, near and in public."""
        wanted = " AND ".join(terms)
        near = f"here : ({seen.codes}) AND {column} : ({wanted})" if seen.codes else '""'
        both = " UNION ALL SELECT * FROM ".join(
            f"({_best(_MATCHING.format(table=f'{place}_{index}', number=number), limit)})"
            for place, number in (("public", 4), ("other", 5))
        )
        query = f"SELECT * FROM (SELECT * FROM {both}) ORDER BY {_ORDER}"  # noqa: S608
        return await self._rows(query, (*seen.args, wanted, near))

    async def _corrections(self, word: str) -> list[str]:
        """Up to three words of the vocabulary that are most like this one.

        Those that are one slip away are looked up as they are; only where there are none, shared
        trigrams find others.
        """
        if len(word) < SHORTEST:
            return [word]
        slips = json.dumps(list(one_slip_away(word)))
        query = "SELECT text FROM word WHERE text IN (SELECT value FROM json_each(?))"
        rows = await self._rows(query, (slips,))
        if not rows:
            parts = {word[i : i + SHORTEST] for i in range(len(word) - SHORTEST + 1)}
            rows = await self._rows(
                "SELECT text FROM word_parts WHERE word_parts MATCH ? ORDER BY rank LIMIT ?",
                (" OR ".join(f'"{part}"' for part in sorted(parts)), _CANDIDATES),
            )
        scored = sorted(((_likeness(word, row["text"]), row["text"]) for row in rows), reverse=True)
        return [text for likeness, text in scored[:3] if likeness >= _ALIKE]

    async def _hits(self, seen: Sight, numbers: Sequence[int]) -> tuple[Hit, ...]:
        marks = ", ".join(str(number) for number in numbers)
        rows = await self._rows(_HITS.format(marks), seen.args)
        by_number = {row["number"]: row for row in rows}
        return tuple(_hit(by_number[number]) for number in numbers)


# A preset that is listed at several places shows at the nearest.
_ORDER: Final = "score DESC, place = ?1 DESC, place = ?2 DESC"


_MATCHING: Final = (
    "{table} JOIN listing l ON l.number = {table}.rowid WHERE {table} MATCH ?{number}"
)


def _best(matching: str, limit: int, order: str = "") -> str:
    """The query for the most used that may be shown among the first that match.

    The rules are asked in the order of use and only until there are enough. The limits between
    keep SQLite from making one query of the three.
    """
    return (
        "SELECT * FROM (SELECT * FROM (SELECT l.number, l.preset, l.place, l.rev, l.owner, l.slug,"  # noqa: S608
        f" l.score FROM {matching} AND {SHOWN} {order} LIMIT {_CAP})"
        f" ORDER BY {_ORDER} LIMIT {_CAP}) l WHERE {NOT_DENIED} LIMIT {limit}"
    )


_HITS: Final = f"""
SELECT l.number, p.id, l.rev, l.slug, o.handle, w.kind, json_extract(r.body, '$.title') AS title,
       json_extract(r.body, '$.model') AS model, l.nsfw, p.uses, p.likes, l.pinned,
       l.preset = (
           SELECT l.preset FROM listing l WHERE l.place IN (1, ?1, ?2) AND l.slug = named.slug
           AND {VISIBLE} AND {NAMED} ORDER BY {RANK} LIMIT 1
       ) AS short
FROM listing named JOIN listing l ON l.number = named.number
JOIN preset p ON p.number = l.preset
JOIN owner o ON o.id = p.owner
JOIN place w ON w.number = l.place
JOIN preset_rev r ON r.preset = l.preset AND r.rev = l.rev
WHERE named.number IN ({{}})
"""  # noqa: S608


def _add(found: dict[int, int], rows: Sequence[Row]) -> None:
    """Add listings to those that were found, one for each preset."""
    for row in rows:
        found.setdefault(row["preset"], row["number"])


def _hit(row: Row) -> Hit:
    return Hit(
        preset=row["id"],
        rev=row["rev"],
        name=row["slug"] if row["short"] else f"@{row['handle']}/{row['slug']}",
        owner=row["handle"],
        place=PlaceKind(row["kind"]),
        title=row["title"],
        model=row["model"],
        nsfw=row["nsfw"],
        uses=row["uses"],
        likes=row["likes"],
        pinned=bool(row["pinned"]),
    )


def one_slip_away(word: str) -> set[str]:
    """The word and all that differ by a letter swapped with its neighbour, left out, put in or
    mistaken for another."""
    halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    swapped = {a + b[1] + b[0] + b[2:] for a, b in halves if len(b) > 1}
    shorter = {a + b[1:] for a, b in halves if b}
    longer = {a + letter + b for a, b in halves for letter in _LETTERS}
    other = {a + letter + b[1:] for a, b in halves if b for letter in _LETTERS}
    return {word} | swapped | shorter | longer | other


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
