"""Keeps who has reported which job; what a report says goes to the moderators alone."""

import time
from collections.abc import Callable

from bot.database import Database


class ReportStore:
    """Reports in the jobs' database. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def has(self, job_id: str, reporter: str) -> bool:
        """Whether this person has reported this job."""
        row = await self._database.row(
            "SELECT 1 FROM reports WHERE job = ? AND reporter = ?", (job_id, reporter)
        )
        return row is not None

    async def count(self, reporter: str, seconds: float) -> int:
        """How many jobs this person has reported in the last so many seconds."""
        row = await self._database.row(
            "SELECT count(*) FROM reports WHERE reporter = ? AND reported_at > ?",
            (reporter, self._clock() - seconds),
        )
        return 0 if row is None else int(row[0])

    async def note(self, job_id: str, reporter: str) -> None:
        """Remember a report; the same once more changes nothing."""
        async with self._database.write() as sql:
            await sql.execute(
                "INSERT OR IGNORE INTO reports (job, reporter, reported_at) VALUES (?, ?, ?)",
                (job_id, reporter, self._clock()),
            )

    async def by(self, reporter: str) -> list[dict[str, str | float]]:
        """Every report of this person, the oldest first."""
        rows = await self._database.rows(
            "SELECT job, reported_at FROM reports WHERE reporter = ? ORDER BY reported_at",
            (reporter,),
        )
        return [dict(row) for row in rows]

    async def forget(self, reporter: str) -> None:
        """Delete the reports of this person."""
        async with self._database.write() as sql:
            await sql.execute("DELETE FROM reports WHERE reporter = ?", (reporter,))
