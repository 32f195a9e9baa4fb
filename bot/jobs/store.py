"""Jobs in SQLite: every change is one transaction, fenced by state and attempt.

A write that comes too late (its attempt is over, the job was cancelled meanwhile) changes nothing
and returns None, so that a worker that was thought dead cannot overwrite its successor.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiosqlite
from pydantic import TypeAdapter

from backends.base import GenerationRequest, Verdict, load_request
from bot.database import Database, Migration, Row, load_migrations
from bot.jobs.job import (
    TRANSITIONS,
    Fault,
    Job,
    JobDraft,
    JobState,
    Place,
    Receipt,
    Result,
)
from bot.jobs.limits import Limits, day_start

MAX_WAITING: Final = 20_000
"""Jobs that may wait at once on this instance, whoever asks."""


_LIMITS: Final = TypeAdapter(Limits)
_BLANK: Final = (
    "erased = 1, result = NULL, fault = NULL, preset = NULL, asked = NULL,"
    " request = json_set(request, '$.prompt', '(deleted)', '$.loras', json('[]'))"
)
"""What an erased job keeps is numbers, so that erasing frees no quota."""
_SCANNED: Final = 10_000
"""Jobs that are looked through at once, so that others need not wait long for the database."""
_PUBLIC: Final = (
    "surface = ?1 AND community = ?2 AND erased = 0"
    " AND NOT coalesce(json_extract(place, '$.private'), 0)"
)
"""Jobs of a community that others there may know of."""
_TODAY: Final = (
    "SELECT count(*) FROM jobs WHERE created_at >= ? AND state NOT IN ('failed', 'cancelled')"
)
"""Jobs that count towards the limits of a day."""
_SPENT: Final = "SELECT total(charge) FROM jobs WHERE community = ? AND created_at >= ?"


def migrations() -> tuple[Migration, ...]:
    """The schema of `jobs.db`."""
    return load_migrations(Path(__file__).with_name("migrations"))


class QuotaExceeded(Exception):
    """The job was not taken.

    `quota` names the field of `Limits` (or `instance_queued`), `limit` its value; `resets_at` is
    set for daily ones.
    """

    def __init__(self, quota: str, limit: float, resets_at: float | None = None) -> None:
        super().__init__(f"{quota} is limited to {limit}")
        self.quota = quota
        self.limit = limit
        self.resets_at = resets_at


@dataclass(frozen=True, slots=True)
class Sample:
    """How long one past job took on its backend."""

    backend: str
    request: GenerationRequest
    seconds: float


class JobStore:
    """The jobs of one instance. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    # --- Submitting ---------------------------------------------------------------------------

    async def submit(self, draft: JobDraft, limits: Limits, receipt: Receipt | None = None) -> Job:
        """Take a job, unless a quota is used up; the same id a second time is the same job.

        With a `receipt` it may run at once; without one the supervisor of its surface shows it.

        Raises:
            QuotaExceeded: nothing was inserted.
        """
        now = self._clock()
        async with self._database.write() as sql:
            if (known := await _one(sql, "SELECT * FROM jobs WHERE id = ?", draft.id)) is not None:
                return _job(known)
            await self._admit(sql, draft, limits, now)
            row = await _one(
                sql,
                "INSERT INTO jobs (id, surface, requester, place, request, backend, preset, asked,"
                " ping, price, charge, limits, receipt, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                draft.id,
                draft.surface,
                draft.requester,
                draft.place.model_dump_json(),
                draft.request.model_dump_json(),
                draft.backend,
                draft.preset,
                draft.asked,
                draft.ping,
                draft.price,
                draft.price,
                _LIMITS.dump_json(limits).decode(),
                None if receipt is None else json.dumps(receipt),
                now,
            )
            return _job(_present(row))

    async def _admit(
        self, sql: aiosqlite.Connection, draft: JobDraft, limits: Limits, now: float
    ) -> None:
        midnight = day_start(now)
        community = draft.place.community
        waiting = "SELECT count(*) FROM jobs WHERE reported_at IS NULL AND state = 'queued'"
        checks: list[tuple[str, float | None, float | None, str, tuple[object, ...]]] = [
            ("instance_queued", MAX_WAITING, None, waiting, ()),
            (
                "requester_queued",
                limits.requester_queued,
                None,
                f"{waiting} AND requester = ? AND community = ?",
                (draft.requester, community),
            ),
            (
                "community_queued",
                limits.community_queued,
                None,
                f"{waiting} AND community = ?",
                (community,),
            ),
            (
                "requester_per_day",
                limits.requester_per_day,
                midnight + 86_400,
                f"{_TODAY} AND requester = ? AND community = ?",
                (midnight, draft.requester, community),
            ),
            (
                "community_per_day",
                limits.community_per_day,
                midnight + 86_400,
                f"{_TODAY} AND community = ?",
                (midnight, community),
            ),
        ]
        budget = limits.community_budget if draft.price > 0 else None
        checks.append(
            ("community_budget", budget, midnight + 86_400, _SPENT, (community, midnight))
        )
        checks = [check for check in checks if check[1] is not None]
        # One query for all: each on its own would wait for a thread, and a busy loop, once more.
        found = _present(
            await _one(
                sql,
                f"SELECT {', '.join(f'({query})' for *_, query, _ in checks)}",
                *(arg for *_, args in checks for arg in args),
            )
        )
        for (quota, limit, resets_at, *_), used in zip(checks, found, strict=True):
            if limit is None:
                continue
            # A job is one more, or costs its price. Sums of prices are rounded to a millionth of
            # a dollar: 0.1 + 0.2 is not over 0.3.
            more = draft.price if quota == "community_budget" else 1
            if round(used + more - limit, 6) > 0:
                raise QuotaExceeded(quota, limit, resets_at)

    async def save_receipt(self, job_id: str, receipt: Receipt) -> Job:
        """Keep the surface's note of its message; from now on the job may run."""
        async with self._database.write() as sql:
            row = await _one(
                sql,
                "UPDATE jobs SET receipt = ? WHERE id = ? RETURNING *",
                json.dumps(receipt),
                job_id,
            )
            return _job(_present(row))

    # --- Running ------------------------------------------------------------------------------

    async def begin(self, job_id: str) -> Job | None:
        """Start an attempt: queued -> running. None when the job is not there to be started."""
        async with self._database.write() as sql:
            row = await _one(
                sql,
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, started_at = ?"
                " WHERE id = ? AND state = 'queued' AND receipt IS NOT NULL"
                " AND cancel_requested = 0 RETURNING *",
                self._clock(),
                job_id,
            )
            return _job(row) if row else None

    async def take_up(self, job: Job) -> Job | None:
        """Start a new attempt at a job whose process died: running -> running, fenced anew."""
        async with self._database.write() as sql:
            row = await _one(
                sql,
                "UPDATE jobs SET attempt = attempt + 1 WHERE id = ? AND attempt = ?"
                " AND state = 'running' RETURNING *",
                job.id,
                job.attempt,
            )
            return _job(row) if row else None

    async def submitting(self, job: Job) -> Job | None:
        """Note that a paid request is about to leave."""
        return await self._change(job, submitting=1)

    async def submitted(self, job: Job, remote: Mapping[str, str]) -> Job | None:
        """Note the paid request, so that it can be taken up instead of being paid again."""
        return await self._change(job, remote=json.dumps(dict(remote)))

    async def render(self, job: Job, result: Result) -> Job | None:
        """running -> rendered, also when the wish to cancel came too late to save the work."""
        charge = job.price if result.cost is None else result.cost
        return await self._move(
            job, JobState.RENDERED, result=result.model_dump_json(), charge=charge
        )

    async def fail(self, job: Job, fault: Fault) -> Job | None:
        """queued or running -> failed. Only what may have been billed still counts as spent."""
        charge = job.price if fault.billed else 0.0
        return await self._move(job, JobState.FAILED, fault=fault.model_dump_json(), charge=charge)

    async def cancel(self, job: Job) -> Job | None:
        """queued or running -> cancelled. What was submitted may be billed all the same."""
        charge = 0.0 if job.remote is None else job.price
        return await self._move(job, JobState.CANCELLED, charge=charge)

    async def requeue(self, job: Job, *, failed: bool) -> Job | None:
        """running -> queued, to run again; `failed` when the attempt was to blame for it.

        running -> cancelled where somebody has asked for that meanwhile.
        """
        async with self._database.write() as sql:
            row = await _one(
                sql,
                "UPDATE jobs SET state = iif(cancel_requested, 'cancelled', 'queued'),"
                " ended_at = iif(cancel_requested, ?, NULL), failures = failures + ?,"
                " charge = iif(cancel_requested, 0, price),"
                " submitting = 0, remote = NULL, started_at = NULL"
                " WHERE id = ? AND attempt = ? AND state = 'running' RETURNING *",
                self._clock(),
                failed,
                job.id,
                job.attempt,
            )
            return _job(row) if row else None

    async def request_cancel(self, job_id: str) -> Job | None:
        """Ask for an end: a queued job is cancelled at once, a running one by who runs it.

        Returns the job as it is now, or None when there is no such job.
        """
        async with self._database.write() as sql:
            await sql.execute(
                "UPDATE jobs SET cancel_requested = 1, ended_at = CASE state"
                " WHEN 'queued' THEN ? ELSE ended_at END, charge = CASE state"
                " WHEN 'queued' THEN 0 ELSE charge END, state = CASE state"
                " WHEN 'queued' THEN 'cancelled' ELSE state END"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (self._clock(), job_id),
            )
            row = await _one(sql, "SELECT * FROM jobs WHERE id = ?", job_id)
            return _job(row) if row else None

    # --- Delivering ---------------------------------------------------------------------------

    async def deliver(self, job: Job) -> Job | None:
        """rendered -> delivered, reported."""
        return await self._move(job, JobState.DELIVERED, reported_at=self._clock())

    async def give_up(self, job: Job) -> Job | None:
        """rendered -> undeliverable: the pictures are kept, the requester finds them later."""
        return await self._move(job, JobState.UNDELIVERABLE, reported_at=self._clock())

    async def report(self, job: Job) -> Job | None:
        """Note that people know about a failed or cancelled job."""
        return await self._change(job, reported_at=self._clock())

    async def moderate(self, job_id: str, verdict: Verdict) -> Job | None:
        """Let the moderators' verdict hold for a job's pictures; None where it has none."""
        async with self._database.write() as sql:
            row = await _one(
                sql,
                "UPDATE jobs SET moderated = ? WHERE id = ? AND result IS NOT NULL RETURNING *",
                verdict.value,
                job_id,
            )
            return _job(row) if row else None

    async def delivery_failed(self, job: Job) -> Job | None:
        """Count one more try to deliver."""
        async with self._database.write() as sql:
            row = await _one(
                sql,
                "UPDATE jobs SET deliveries = deliveries + 1 WHERE id = ?"
                " AND reported_at IS NULL RETURNING *",
                job.id,
            )
            return _job(row) if row else None

    # --- Reading ------------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job | None:
        row = await self._database.row("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return _job(row) if row else None

    async def unreported(
        self, surfaces: Collection[str], after: int = 0, limit: int = -1
    ) -> list[Job]:
        """Jobs of these surfaces that somebody still waits for, oldest first.

        `after` leaves out the numbers up to it; without `limit` they all come at once.
        """
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE reported_at IS NULL AND number > ?"
            " AND surface IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT ?",
            (after, json.dumps(list(surfaces)), limit),
        )
        return [_job(row) for row in rows]

    async def cancel_requests(self) -> list[str]:
        """Ids of running jobs that somebody wants to end."""
        rows = await self._database.rows(
            "SELECT id FROM jobs WHERE reported_at IS NULL AND state IN ('running', 'cancelled')"
            " AND cancel_requested = 1"
        )
        return [row[0] for row in rows]

    async def version(self) -> int:
        """Changes when another process has written."""
        return await self._database.version()

    async def samples(self, limit: int = 500) -> list[Sample]:
        """Past jobs with the time they took, oldest first, for the estimate of the next ones."""
        rows = await self._database.rows(
            "SELECT backend, request, json_extract(result, '$.seconds') FROM jobs"
            " WHERE result IS NOT NULL ORDER BY number DESC LIMIT ?",
            (limit,),
        )
        return [Sample(row[0], load_request(row[1]), row[2]) for row in reversed(rows)]

    async def depth(self) -> dict[JobState, int]:
        """How many unreported jobs are in each state."""
        rows = await self._database.rows(
            "SELECT state, count(*) FROM jobs WHERE reported_at IS NULL GROUP BY state"
        )
        return {JobState(state): count for state, count in rows}

    async def spent_today(self, community: str) -> float:
        """US dollars that the community's jobs since midnight, UTC, have cost or will."""
        row = await self._database.row(_SPENT, (community, day_start(self._clock())))
        return float(_present(row)[0])

    async def asked_today(self, community: str, requester: str | None = None) -> int:
        """Jobs since midnight, UTC, that count towards a community's limit or a requester's."""
        query, args = f"{_TODAY} AND community = ?", (day_start(self._clock()), community)
        if requester is None:
            row = await self._database.row(query, args)
        else:
            row = await self._database.row(f"{query} AND requester = ?", (*args, requester))
        return int(_present(row)[0])

    async def history(
        self, surface: str, requester: str, *, before: int | None, limit: int
    ) -> list[Job]:
        """Jobs of a requester at a surface, newest first, with numbers below `before`."""
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE requester = ? AND surface = ? AND number < ?"
            " AND erased = 0 ORDER BY number DESC LIMIT ?",
            (requester, surface, before or 2**62, limit),
        )
        return [_job(row) for row in rows]

    async def fleeting(self, surface: str, reported_before: float) -> list[Job]:
        """Jobs with `sync_mode` that were reported before then and still have their content."""
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE surface = ? AND reported_at < ? AND erased = 0"
            " AND json_extract(request, '$.sync_mode') ORDER BY number",
            (surface, reported_before),
        )
        return [_job(row) for row in rows]

    async def erase(self, job_id: str) -> list[str]:
        """Forget what a job was about. Returns the keys of pictures that no other job has."""
        async with self._database.write() as sql:
            row = await _one(sql, "SELECT result FROM jobs WHERE id = ?", job_id)
            await sql.execute(
                f"UPDATE jobs SET {_BLANK} WHERE id = ?",  # noqa: S608 - a constant
                (job_id,),
            )
            if row is None or row["result"] is None:
                return []
            keys = {picture.key for picture in Result.model_validate_json(row["result"]).pictures}
            kept = await sql.execute_fetchall(
                "SELECT DISTINCT json_extract(picture.value, '$.key') FROM jobs,"
                " json_each(jobs.result, '$.pictures') AS picture"
                " WHERE json_extract(picture.value, '$.key') IN (SELECT value FROM json_each(?))",
                (json.dumps(sorted(keys)),),
            )
            return sorted(keys.difference(row[0] for row in kept))

    # --- People -------------------------------------------------------------------------------

    async def unfinished(self, surface: str, requester: str, limit: int) -> list[Job]:
        """Jobs at a surface that this requester still waits for, oldest first."""
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE requester = ? AND reported_at IS NULL AND surface = ?"
            " ORDER BY number LIMIT ?",
            (requester, surface, limit),
        )
        return [_job(row) for row in rows]

    async def everything(
        self, surface: str, requester: str, *, after: Job | None, limit: int
    ) -> list[Job]:
        """Jobs of a requester at a surface, erased ones too: those after this one, oldest first."""
        since = (0.0, 0) if after is None else (after.created_at, after.number)
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE requester = ? AND surface = ?"
            " AND (created_at, number) > (?, ?) ORDER BY created_at, number LIMIT ?",
            (requester, surface, *since, limit),
        )
        return [_job(row) for row in rows]

    async def erase_ended(
        self, surface: str, requester: str, limit: int
    ) -> tuple[list[str], set[str]]:
        """Forget some jobs of a requester that are over and reported, in one transaction.

        Those of earlier days are deleted. Those of today keep their numbers, for the limits and
        the budget of the day; `forget_emptied` deletes them later. Returns their ids, none when
        nothing is left, and the keys of their pictures, which other jobs may have as well.
        """
        midnight = day_start(self._clock())
        async with self._database.write() as sql:
            rows = list(
                await sql.execute_fetchall(
                    "SELECT id, (SELECT json_group_array(json_extract(value, '$.key'))"
                    " FROM json_each(result, '$.pictures')) AS keys"
                    " FROM jobs WHERE requester = ? AND surface = ?"
                    " AND reported_at IS NOT NULL"
                    " AND (created_at < ? OR erased = 0 OR receipt IS NOT NULL) LIMIT ?",
                    (requester, surface, midnight, limit),
                )
            )
            ids = [row["id"] for row in rows]
            listed = json.dumps(ids)
            chosen = "WHERE id IN (SELECT value FROM json_each(?))"
            await sql.execute(f"DELETE FROM jobs {chosen} AND created_at < ?", (listed, midnight))  # noqa: S608 - a constant
            await sql.execute(
                f"UPDATE jobs SET {_BLANK}, receipt = NULL, remote = NULL, moderated = NULL,"  # noqa: S608 - constants
                f" place = json_object('community', community) {chosen}",
                (listed,),
            )
        return ids, {key for row in rows for key in json.loads(row["keys"])}

    async def unneeded(self, keys: Collection[str]) -> set[str]:
        """Those of these keys whose pictures no job has."""
        wanted = json.dumps(sorted(keys))
        left = set(keys)
        for after in await self._spans():
            rows = await self._database.rows(
                "SELECT DISTINCT json_extract(picture.value, '$.key') FROM jobs,"
                " json_each(jobs.result, '$.pictures') AS picture"
                " WHERE number > ? AND number <= ?"
                " AND json_extract(picture.value, '$.key') IN (SELECT value FROM json_each(?))",
                (after, after + _SCANNED, wanted),
            )
            left.difference_update(row[0] for row in rows)
        return left

    async def forget_emptied(self) -> int:
        """Delete the numbers that people who erased everything have left on earlier days."""
        midnight, forgotten = day_start(self._clock()), 0
        for after in await self._spans():
            rows = await self._database.rows(
                "SELECT number FROM jobs WHERE number > ? AND number <= ? AND erased = 1"
                " AND receipt IS NULL AND reported_at IS NOT NULL AND created_at < ?",
                (after, after + _SCANNED, midnight),
            )
            if rows:
                async with self._database.write() as sql:
                    numbers = json.dumps([row[0] for row in rows])
                    await sql.execute(
                        "DELETE FROM jobs WHERE number IN (SELECT value FROM json_each(?))",
                        (numbers,),
                    )
                forgotten += len(rows)
        return forgotten

    async def _spans(self) -> range:
        """The numbers after which to look, `_SCANNED` at a time, to have seen every job."""
        last = _present(await self._database.row("SELECT coalesce(max(number), 0) FROM jobs"))[0]
        return range(0, last, _SCANNED)

    # --- A community's queue ------------------------------------------------------------------

    async def busy(self, surface: str, community: str) -> dict[JobState, int]:
        """How many jobs that others may know of wait and run there."""
        rows = await self._database.rows(
            "SELECT state, count(*) FROM jobs WHERE reported_at IS NULL"  # noqa: S608 - a constant
            f" AND state IN ('queued', 'running') AND {_PUBLIC} GROUP BY state",
            (surface, community),
        )
        return {JobState(state): count for state, count in rows}

    async def running(self, surface: str, community: str, limit: int) -> list[Job]:
        """Jobs that others may know of and that are being drawn there, the oldest first."""
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE reported_at IS NULL"  # noqa: S608 - a constant
            f" AND state = 'running' AND {_PUBLIC} ORDER BY started_at LIMIT ?3",
            (surface, community, limit),
        )
        return [_job(row) for row in rows]

    async def queued(self, surface: str, community: str, ids: Collection[str]) -> list[Job]:
        """Those of these jobs that others may know of and that wait there, in no order."""
        rows = await self._database.rows(
            "SELECT * FROM jobs WHERE id IN (SELECT value FROM json_each(?3))"  # noqa: S608 - a constant
            f" AND state = 'queued' AND {_PUBLIC}",
            (surface, community, json.dumps(list(ids))),
        )
        return [_job(row) for row in rows]

    # --- Retention ----------------------------------------------------------------------------

    async def picture_keys(self, reported_since: float) -> set[str]:
        """Keys of the pictures to keep: of unfinished jobs and those reported since then."""
        rows = await self._database.rows(
            "SELECT json_extract(picture.value, '$.key') FROM jobs,"
            " json_each(jobs.result, '$.pictures') AS picture"
            " WHERE reported_at IS NULL OR reported_at >= ?",
            (reported_since,),
        )
        return {row[0] for row in rows}

    async def forget(self, reported_before: float) -> int:
        """Delete the rows of jobs reported before then; returns how many."""
        async with self._database.write() as sql:
            cursor = await sql.execute("DELETE FROM jobs WHERE reported_at < ?", (reported_before,))
            await sql.execute("DELETE FROM reports WHERE job NOT IN (SELECT id FROM jobs)")
            return cursor.rowcount

    # --- The two ways to write ----------------------------------------------------------------

    async def _move(self, job: Job, state: JobState, **columns: object) -> Job | None:
        if state not in TRANSITIONS[job.state]:
            raise ValueError(f"a job does not go from {job.state} to {state}")
        if state in {JobState.RENDERED, JobState.FAILED, JobState.CANCELLED}:
            columns["ended_at"] = self._clock()
        return await self._change(job, state=state.value, **columns)

    async def _change(self, job: Job, **columns: object) -> Job | None:
        """Set columns of a job that is still in the state and the attempt that the caller saw."""
        assignments = ", ".join(f"{name} = :{name}" for name in columns)
        # Column names come from the methods above, values are bound.
        update = (
            f"UPDATE jobs SET {assignments} WHERE id = :_id AND attempt = :_attempt"  # noqa: S608
            " AND state = :_state RETURNING *"
        )
        fence = {"_id": job.id, "_attempt": job.attempt, "_state": job.state.value}
        async with self._database.write() as sql:
            row = await _one(sql, update, **columns, **fence)
            return _job(row) if row else None


async def _one(sql: aiosqlite.Connection, query: str, *args: object, **named: object) -> Row | None:
    rows = list(await sql.execute_fetchall(query, named or args))
    return rows[0] if rows else None


def _present(row: Row | None) -> Row:
    if row is None:
        raise LookupError("the job's row is gone")
    return row


def _job(row: Row) -> Job:
    moderated = Verdict(row["moderated"]) if row["moderated"] is not None else None
    return Job(
        id=row["id"],
        number=row["number"],
        surface=row["surface"],
        requester=row["requester"],
        place=Place.model_validate_json(row["place"]),
        request=load_request(row["request"]),
        backend=row["backend"],
        preset=row["preset"],
        asked=row["asked"],
        ping=bool(row["ping"]),
        price=row["price"],
        limits=_LIMITS.validate_json(row["limits"]),
        state=JobState(row["state"]),
        attempt=row["attempt"],
        failures=row["failures"],
        receipt=json.loads(row["receipt"]) if row["receipt"] is not None else None,
        submitting=bool(row["submitting"]),
        remote=json.loads(row["remote"]) if row["remote"] is not None else None,
        cancel_requested=bool(row["cancel_requested"]),
        result=_result(row["result"], moderated) if row["result"] is not None else None,
        fault=Fault.model_validate_json(row["fault"]) if row["fault"] is not None else None,
        deliveries=row["deliveries"],
        erased=bool(row["erased"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        reported_at=row["reported_at"],
        moderated=moderated,
    )


def _result(document: str, moderated: Verdict | None) -> Result:
    """A result as everybody is to treat it: the moderators' word wins over the checker's."""
    result = Result.model_validate_json(document)
    if moderated is None:
        return result
    said = [one.model_copy(update={"verdict": moderated}) for one in result.pictures]
    return result.model_copy(update={"pictures": tuple(said)})
