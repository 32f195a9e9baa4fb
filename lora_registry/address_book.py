"""Remembers which file a web address led to, by the hash of the address: it may hold a token."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lora_registry.tables import Database

KEPT_S: Final = 180 * 24 * 3600.0
"""An address that nobody has fetched from for half a year is forgotten."""


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """What an address led to; `public` is None until it was found out."""

    sha256: str
    public: bool | None = None


class AddressBook:
    """Addresses are given as the SHA-256 (hex) of their text."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def find(self, address: str) -> KnownAddress | None:
        """What an address led to when it was fetched last."""
        row = await self._database.row(
            "SELECT sha256, public FROM address WHERE address = ?", (address,)
        )
        if row is None:
            return None
        return KnownAddress(row["sha256"], None if row["public"] is None else bool(row["public"]))

    async def put(self, address: str, known: KnownAddress) -> None:
        """Note what an address leads to now, and forget what is long past."""
        now = self._clock()
        async with self._database.write() as sql:
            await sql.execute("DELETE FROM address WHERE noted_at < ?", (now - KEPT_S,))
            await sql.execute(
                "INSERT OR REPLACE INTO address (address, sha256, public, noted_at)"
                " VALUES (?, ?, ?, ?)",
                (address, known.sha256, known.public, now),
            )
