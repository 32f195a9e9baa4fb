"""Webhooks that go out: whoever submitted a job with `fal_webhook` is told when it has ended.

    register -> the job ends -> sent -> done        a row in the jobs database from first to last

An attempt is noted before it is made. A crash in the middle of one repeats it, so a receiver may be
told twice, as fal's may; it tells the two apart by their request id.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx
import structlog

from bot.database import Database
from bot.jobs.job import Job
from bot.jobs.store import JobStore
from bot.webhook_key import WebhookKey
from lora_registry.fetch import AddressRefused, FetchError, GuardedFetcher

RETRY_AFTER_S: Final = (2, 10, 30, 60, 180, 300, 600, 900, 1800, 3300)
"""Seconds before each further attempt, ± a fifth: ten within about two hours, as on fal."""
_TIMEOUT_S: Final = 15.0
_RENDER_S: Final = 60.0
_LEASE_S: Final = 90.0
"""An attempt that has left no trace for so long has died with its process."""
_JITTER: Final = 0.2
_AT_ONCE: Final = 8
_AFTER_TROUBLE_S: Final = 5.0
_LONGEST_URL: Final = 2000
_KEEP_S: Final = 86_400.0

log = structlog.get_logger()


class BadTarget(Exception):
    """The URL of a webhook may not be called; str() is a sentence."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What became of a job: fal's output or error body, any JSON; `error` says it in a line."""

    status: Literal["OK", "ERROR"]
    body: object
    error: str | None = None


Render = Callable[[Job, str], Awaitable[Payload]]
"""Given a job that has ended, and what the links in its output begin with. Whatever it raises is
tried again later."""


@dataclass(frozen=True, slots=True)
class _Due:
    job_id: str
    url: str
    base: str
    tries: int


class Webhooks:
    """Sends what is due, in the background, from `start` to `close`.

    `fetcher` sends; its rules say which targets are allowed. `render` is asked anew for each
    attempt. Jobs that have ended are looked for every `poll_s` seconds.
    """

    def __init__(
        self,
        *,
        database: Database,
        jobs: JobStore,
        fetcher: GuardedFetcher,
        key: WebhookKey,
        render: Render,
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._fetcher = fetcher
        self._key = key
        self._render = render
        self._poll_s = poll_s
        self._clock = clock
        self._sending: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Take up what an earlier process left."""
        self._loop = asyncio.create_task(self._run(), name="webhooks")

    async def close(self) -> None:
        """Stop; what is on its way is sent again after the next start."""
        tasks = [task for task in (self._loop, *self._sending) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def check(self, url: str) -> None:
        """Look at a target alone, without asking anybody.

        Raises:
            BadTarget
        """
        if len(url) > _LONGEST_URL:
            raise BadTarget(
                f"The URL is longer than {_LONGEST_URL:,} characters; use a shorter one."
            )
        try:
            self._fetcher.check(url)
        except AddressRefused as error:
            raise BadTarget(str(error)) from error

    async def register(self, job_id: str, url: str, base: str) -> None:
        """Remember whom to tell about a job, before the job is taken. The first URL stays.

        `base` is what the links in its output begin with, such as `https://atelier.example`.

        Raises:
            BadTarget
        """
        self.check(url)
        async with self._database.write() as sql:
            await sql.execute(
                "INSERT OR IGNORE INTO webhooks (job, url, base, next_at) VALUES (?, ?, ?, ?)",
                (job_id, url, base, self._clock()),
            )

    async def forget(self, job_id: str) -> None:
        """The job was not taken; one that was, by the same submit sent twice, keeps its webhook."""
        async with self._database.write() as sql:
            await sql.execute(
                "DELETE FROM webhooks WHERE job = ?"
                " AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = webhooks.job)",
                (job_id,),
            )

    async def pending(self, job_id: str) -> bool:
        """Whether somebody is still to be told about a job."""
        query = "SELECT 1 FROM webhooks WHERE job = ? AND done_at IS NULL"
        return await self._database.row(query, (job_id,)) is not None

    async def sweep(self) -> None:
        """Delete what was done or tried for the last time a day ago, and what belongs to no job."""
        before = self._clock() - _KEEP_S
        async with self._database.write() as sql:
            await sql.execute(
                "DELETE FROM webhooks WHERE done_at < ? OR (next_at < ? AND (tries > ?"
                " OR NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = webhooks.job)))",
                (before, before, len(RETRY_AFTER_S)),
            )

    # --- The loop -----------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                if free := _AT_ONCE - len(self._sending):
                    for due in await self._claim(free):
                        task = asyncio.create_task(self._send(due), name=f"webhook {due.job_id}")
                        self._sending.add(task)
                        task.add_done_callback(self._sent)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._poll_s)
                self._wake.clear()
            except Exception as error:
                log.exception("webhooks stumbled", error=str(error))
                await asyncio.sleep(_AFTER_TROUBLE_S)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._wake.set()  # there is room for another
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a webhook broke off; it is sent again later", exc_info=error)

    async def _claim(self, limit: int) -> list[_Due]:
        """Take what is due, noting that an attempt begins."""
        now, most = self._clock(), len(RETRY_AFTER_S)
        if not await self._database.row(_IS_DUE, (now, most, 1)):
            return []
        claimed = []
        async with self._database.write() as sql:
            for row in await sql.execute_fetchall(_IS_DUE, (now, most, limit)):
                due = _Due(row["job"], row["url"], row["base"], row["tries"] + 1)
                await sql.execute(
                    "UPDATE webhooks SET tries = ?, next_at = ? WHERE job = ?",
                    (due.tries, now + _LEASE_S, due.job_id),
                )
                claimed.append(due)
        return claimed

    async def _send(self, due: _Due) -> None:
        """Make one attempt and note what follows from it."""
        said = {"job": due.job_id, "host": httpx.URL(due.url).host}
        if (job := await self._jobs.get(due.job_id)) is None:
            return  # forgotten a moment ago; the sweep follows
        try:
            status = await self._post(job, due)
        except FetchError as error:
            problem, final = str(error), isinstance(error, AddressRefused)
        else:
            # A target that has moved is not followed: it was checked, its successor was not.
            problem, final = f"it answered {status}", 300 <= status < 400
            if 200 <= status < 300:
                log.info("webhook sent", tries=due.tries, **said)
                await self._note(due.job_id, "done_at", self._clock())
                return
        if final or due.tries > len(RETRY_AFTER_S):
            log.warning("webhook given up", tries=due.tries, problem=problem, **said)
            await self._note(due.job_id, "done_at", self._clock())
        else:
            log.info("webhook not taken", tries=due.tries, problem=problem, **said)
            jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
            again = self._clock() + RETRY_AFTER_S[due.tries - 1] * jitter
            await self._note(due.job_id, "next_at", again)

    async def _post(self, job: Job, due: _Due) -> int:
        async with asyncio.timeout(_RENDER_S):
            payload = await self._render(job, due.base)
        body = await asyncio.to_thread(_encoded, job.id, payload)
        headers = await asyncio.to_thread(
            self._key.headers, job.id, job.requester, int(self._clock()), body
        )
        return await self._fetcher.post(due.url, body, headers, within=_TIMEOUT_S)

    async def _note(self, job_id: str, column: Literal["done_at", "next_at"], at: float) -> None:
        async with self._database.write() as sql:
            await sql.execute(f"UPDATE webhooks SET {column} = ? WHERE job = ?", (at, job_id))  # noqa: S608


_IS_DUE: Final = (
    "SELECT webhooks.* FROM webhooks JOIN jobs ON jobs.id = webhooks.job"
    " WHERE done_at IS NULL AND next_at <= ? AND tries <= ? AND reported_at IS NOT NULL"
    " ORDER BY next_at LIMIT ?"
)


def _encoded(job_id: str, payload: Payload) -> bytes:
    message: dict[str, Any] = {
        "request_id": job_id,
        "gateway_request_id": job_id,
        "status": payload.status,
        "payload": payload.body,
    }
    if payload.error is not None:
        message["error"] = payload.error
    try:
        return json.dumps(message, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        problem = {"payload": None, "payload_error": "The output cannot be written as JSON."}
        return json.dumps({**message, **problem}).encode()
