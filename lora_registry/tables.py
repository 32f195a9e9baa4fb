"""The registry's own SQLite file, as its stores see it.

Whoever opens the file (`bot.database.Database` does) applies the steps of `MIGRATIONS` in order;
`write()` is one transaction, so a process that dies leaves all of a change or nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from aiosqlite import Connection, Row

from lora_registry.models import MAX_NSFW, Viewer
from lora_registry.permissions import PUBLIC, Place, PlaceKind, Publishing, Rule, Rules

MIGRATIONS: Final = Path(__file__).with_name("migrations")
"""A folder of `NNNN_name.sql` files."""

PUBLIC_NUMBER: Final = 1
"""The place whose listings are public and whose rules hold everywhere."""

_FIRST, _RANGE = 0xE000, 6400  # the private-use characters that both tokenizers take for letters


class Database(Protocol):
    """What the stores need of an open database with foreign keys on and rows by name."""

    def write(self) -> AbstractAsyncContextManager[Connection]:
        """One transaction: committed on leaving, rolled back on any exception."""
        ...

    async def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query, as of the last commit."""
        ...

    async def row(self, sql: str, args: Sequence[Any] = ()) -> Row | None:
        """The first row of a query."""
        ...


Rows = Callable[[str, Sequence[Any]], Awaitable[list[Row]]]
"""How to read: `Database.rows`, or `partial(fetch, sql)` inside a transaction."""


async def fetch(sql: Connection, query: str, args: Sequence[Any] = ()) -> list[Row]:
    """All rows, inside a transaction."""
    return list(await sql.execute_fetchall(query, args))


async def fetch_one(sql: Connection, query: str, args: Sequence[Any] = ()) -> Row | None:
    """The first row, inside a transaction."""
    rows = await fetch(sql, query, args)
    return rows[0] if rows else None


def place_code(number: int) -> str:
    """A place as three characters: one word for one index, one trigram for the other."""
    high, low = divmod(number, _RANGE)
    return "".join(chr(_FIRST + part) for part in (*divmod(high, _RANGE), low))


async def place_number(sql: Connection, place: Place) -> int:
    """The row of a place, made if it is new."""
    rows = await fetch(
        sql,
        "INSERT INTO place (kind, id) VALUES (?, ?)"
        " ON CONFLICT (kind, id) DO UPDATE SET id = id RETURNING number",
        (place.kind, place.id),
    )
    return int(rows[0]["number"])


READ_PLACES: Final = """
SELECT number, kind, id, publishing, nsfw_ceiling FROM place
WHERE number = 1 OR (kind = 'person' AND id = ?1) OR (kind = 'community' AND id = ?2)
"""
READ_RULES: Final = """
SELECT r.effect, r.kind, r.value, r.reason, p.kind AS place_kind, p.id AS place_id
FROM rule r JOIN place p ON p.number = r.place
WHERE r.place IN (SELECT 1 UNION SELECT number FROM place WHERE kind = 'community' AND id = ?1)
ORDER BY r.effect, r.kind, r.value, r.place
"""


def read_place(row: Row) -> Place:
    return Place(PlaceKind(row["kind"]), row["id"])


def read_rule(row: Row) -> Rule:
    place = PUBLIC if row["place_kind"] == PUBLIC.kind else Place.community(row["place_id"])
    return Rule(row["effect"], row["kind"], row["value"], place, row["reason"])


async def rules_for(rows: Rows, viewer: Viewer, target: Place | None = None) -> Rules:
    """What holds where a viewer is; `target` is the place whose way of publishing matters."""
    places = await rows(READ_PLACES, (viewer.requester, viewer.community))
    rules = await rows(READ_RULES, (viewer.community,))
    publishing, ceiling = Publishing.REVIEWED, MAX_NSFW
    for row in places:
        if row["kind"] != PlaceKind.PERSON:
            ceiling = min(ceiling, row["nsfw_ceiling"])
        if read_place(row) == target:
            publishing = Publishing(row["publishing"])
    return Rules(tuple(read_rule(row) for row in rules), ceiling, publishing)
