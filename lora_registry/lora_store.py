"""LoRAs and where their bytes can be had."""

import difflib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiosqlite import Connection, Row

from lora_registry.errors import LoraInUse, NameTaken, UnknownLora
from lora_registry.models import LoraRecord, Source, parse_source
from lora_registry.names import slugify
from lora_registry.tables import Database, fetch, fetch_one

_MOST_LISTED: Final = 10_000

# What follows from LoRAs is kept with each listing; see `0001_registry.sql`.
_REFRESH: Final = """
UPDATE listing SET (nsfw, barred) = (
    SELECT max(own, worst), (minor AND max(own, worst) > 0) OR person FROM (
        SELECT json_extract(r.body, '$.nsfw') AS own,
               ifnull(max(l.nsfw), 0) AS worst,
               ifnull(max(l.minor), 0) AS minor,
               ifnull(max(l.person AND NOT EXISTS (
                   SELECT 1 FROM rule a WHERE a.effect = 'allow' AND a.kind = 'lora'
                   AND a.value = l.sha256 AND a.place = 1)), 0) AS person
        FROM preset_rev r
        LEFT JOIN preset_lora p ON p.preset = r.preset AND p.rev = r.rev
        LEFT JOIN lora l ON l.sha256 = p.sha256
        WHERE r.preset = listing.preset AND r.rev = listing.rev
    )
)
WHERE rev IS NOT NULL AND
"""
REFRESH_LORA: Final = (
    _REFRESH + "(preset, rev) IN (SELECT preset, rev FROM preset_lora WHERE sha256 = ?)"  # noqa: S608
)
REFRESH_LISTING: Final = _REFRESH + "preset = ? AND place = ?"


@dataclass(frozen=True, slots=True)
class LoraSource:
    """A source with what came of it last; times are seconds since 1970."""

    source: Source
    added_at: float
    verified_at: float | None = None
    failed_at: float | None = None
    failure: str | None = None


class LoraStore:
    """The LoRAs of one instance. Who may add or remove them is the caller's to know."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def put(self, record: LoraRecord, *sources: Source, by: str) -> LoraRecord:
        """Add a LoRA, or change what is known of one; sources are added to those it has.

        Raises:
            NameTaken: another LoRA has its name.
        """
        async with self._database.write() as sql:
            taken = await fetch_one(
                sql,
                "SELECT sha256 FROM lora WHERE name = ? AND sha256 <> ?",
                (record.name, record.sha256),
            )
            if taken is not None:
                raise NameTaken(
                    f"Another LoRA is called {record.name} ({taken['sha256']:.12}…); "
                    f"choose another name, such as {record.name:.37}-2."
                )
            now = self._clock()
            await sql.execute(
                "INSERT INTO lora (sha256, name, record, added_by, added_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (sha256) DO UPDATE SET name = excluded.name,"
                " record = excluded.record",
                (record.sha256, record.name, record.model_dump_json(), by, now),
            )
            await sql.executemany(
                "INSERT OR IGNORE INTO lora_source (sha256, source, added_at) VALUES (?, ?, ?)",
                [(record.sha256, source.model_dump_json(), now) for source in sources],
            )
            await sql.execute(REFRESH_LORA, (record.sha256,))
        return record

    async def get(self, sha256: str) -> LoraRecord | None:
        """The LoRA with this hash."""
        row = await self._database.row("SELECT record FROM lora WHERE sha256 = ?", (sha256,))
        return None if row is None else _record(row)

    async def find(self, name: str) -> LoraRecord:
        """The LoRA that a person means, by its name or by 8 or more digits of its hash.

        Raises:
            UnknownLora: with names that look like it.
        """
        wanted = name.strip().lower()
        exact = "SELECT record FROM lora WHERE name IN (?, ?)"
        if (row := await self._database.row(exact, (wanted, slugify(name) or wanted))) is not None:
            return _record(row)
        if 8 <= len(wanted) <= 64 and set(wanted) <= set("0123456789abcdef"):
            by_hash = "SELECT record FROM lora WHERE sha256 BETWEEN ? AND ? LIMIT 2"
            rows = await self._database.rows(by_hash, (wanted, f"{wanted}g"))
            if len(rows) == 1:
                return _record(rows[0])
        names = [row["name"] for row in await self._database.rows("SELECT name FROM lora")]
        raise UnknownLora(name, difflib.get_close_matches(wanted, names, n=5))

    async def records(self, hashes: Iterable[str]) -> Mapping[str, LoraRecord]:
        """Those of these hashes that are known, by hash."""
        rows = await self._database.rows(
            "SELECT record FROM lora WHERE sha256 IN (SELECT value FROM json_each(?))",
            (json.dumps(list(hashes)),),
        )
        return {record.sha256: record for record in map(_record, rows)}

    async def list(self) -> tuple[LoraRecord, ...]:
        """All of them by name, at most 10,000."""
        rows = await self._database.rows(
            "SELECT record FROM lora ORDER BY name LIMIT ?", (_MOST_LISTED,)
        )
        return tuple(_record(row) for row in rows)

    async def sources(self, sha256: str) -> tuple[LoraSource, ...]:
        """Where its bytes can be had, those that worked last first."""
        rows = await self._database.rows(
            "SELECT source, added_at, verified_at, failed_at, failure FROM lora_source"
            " WHERE sha256 = ?"
            " ORDER BY ifnull(failed_at, 0) > ifnull(verified_at, 0), verified_at DESC, added_at",
            (sha256,),
        )
        return tuple(
            LoraSource(
                parse_source(row["source"]),
                row["added_at"],
                row["verified_at"],
                row["failed_at"],
                row["failure"],
            )
            for row in rows
        )

    async def mark(self, sha256: str, source: Source, failure: str | None = None) -> None:
        """Note that a source gave the right bytes just now, or why it did not.

        A new source that gave them is one more source from now on.
        """
        now, document = self._clock(), source.model_dump_json()
        async with self._database.write() as sql:
            if failure is not None:
                await sql.execute(
                    "UPDATE lora_source SET failed_at = ?, failure = ?"
                    " WHERE sha256 = ? AND source = ?",
                    (now, failure, sha256, document),
                )
                return
            await sql.execute(
                "INSERT INTO lora_source (sha256, source, added_at, verified_at)"
                " SELECT sha256, ?2, ?3, ?3 FROM lora WHERE sha256 = ?1"
                " ON CONFLICT (sha256, source) DO UPDATE SET verified_at = ?3, failure = NULL",
                (sha256, document, now),
            )

    async def drop_source(self, sha256: str, source: Source) -> None:
        """Forget a source."""
        async with self._database.write() as sql:
            await sql.execute(
                "DELETE FROM lora_source WHERE sha256 = ? AND source = ?",
                (sha256, source.model_dump_json()),
            )

    async def used_by(self, sha256: str) -> tuple[str, ...]:
        """The presets that have a LoRA in one of their revisions, as `@owner/name`."""
        rows = await self._database.rows(
            "SELECT DISTINCT '@' || o.handle || '/' || p.slug AS name FROM preset_lora u"
            " JOIN preset p ON p.number = u.preset JOIN owner o ON o.id = p.owner"
            " WHERE u.sha256 = ? ORDER BY name LIMIT 1000",
            (sha256,),
        )
        return tuple(row["name"] for row in rows)

    async def remove(self, sha256: str) -> None:
        """Forget a LoRA and its sources.

        Raises:
            LoraInUse: a revision of a preset names it.
        """
        async with self._database.write() as sql:
            rows = await fetch(
                sql,
                "SELECT DISTINCT preset FROM preset_lora WHERE sha256 = ? LIMIT 1000",
                (sha256,),
            )
            if rows:
                many = "1 preset needs" if len(rows) == 1 else f"{len(rows)} presets need"
                raise LoraInUse(
                    f"{many} this LoRA in one of their revisions, so its record stays; "
                    f"deny it by its hash to stop its use."
                )
            await sql.execute("DELETE FROM lora WHERE sha256 = ?", (sha256,))


async def known_loras(sql: Connection, hashes: Iterable[str]) -> dict[str, LoraRecord]:
    """Those of these hashes that are known, inside a transaction."""
    rows = await fetch(
        sql,
        "SELECT record FROM lora WHERE sha256 IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(set(hashes))),),
    )
    return {record.sha256: record for record in map(_record, rows)}


def _record(row: Row) -> LoraRecord:
    return LoraRecord.model_validate_json(row["record"])
