"""Waiting for a job, and forgetting what nobody may keep."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import structlog
from fastapi import Request

from bot.commands.jobs import JobErased, NoSuchJob
from bot.jobs.job import Job
from bot.surfaces.fal_api import answers
from bot.surfaces.fal_api.api import LINGER_S, FalApi
from bot.surfaces.fal_api.errors import infrastructure, no_such_request
from bot.surfaces.fal_api.refusals import RETRY_AFTER_S
from bot.surfaces.fal_api.replies import KEEP_ALIVE, event

SYNC_KEPT_S: Final = 300.0
"""A result that was asked for with `sync_mode` and never read is deleted after this time."""
_SWEEP_S: Final = 60.0
_SETTLING_S: Final = 2.0
_PATIENCE_S: Final = 30.0

log = structlog.get_logger()


async def own(api: FalApi, requester: str, job_id: str) -> Job:
    """A requester's job, also when its content has been deleted.

    One that has just ended is shown once the last of its log is there.

    Raises:
        ApiError: 404.
    """
    try:
        job = await api.jobs.get(requester, job_id)
    except JobErased as error:
        return error.job
    except NoSuchJob:
        raise no_such_request() from None
    if answers.has_ended(job) and not job.reported:
        await api.surface.ended(job.id, _SETTLING_S)
    return job


def check_room(api: FalApi) -> None:
    """Let one more connection wait.

    Raises:
        ApiError: 429; there are too many.
    """
    if not api.surface.has_room:
        sentence = "Too many connections wait for results here; submit to the queue and poll."
        kind = "concurrent_requests_limit"
        raise infrastructure(429, sentence, kind, retry_after=RETRY_AFTER_S)


async def until_ended(api: FalApi, job: Job) -> Job:
    """The job once it has ended. The database is asked, too: it alone survives a restart."""
    with api.surface.waiter():
        while not answers.has_ended(job):
            await api.surface.ended(job.id, api.keep_alive)
            job = await own(api, job.requester, job.id)
    return job


async def until_disconnected(request: Request) -> None:
    """Return once the client is gone. The body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def statuses(api: FalApi, job: Job, base: str, *, logs: bool) -> AsyncIterator[bytes]:
    """A job's status as events whenever it changes, each with the log's new lines only."""
    now = asyncio.get_running_loop().time
    sent, last, spoke = 0, dict[str, Any](), now()
    with api.surface.waiter():
        while True:
            watch = api.surface.peek(job.id)
            version, lines = watch.version, watch.lines[sent:] if logs else None
            body = answers.status(job, base, watch.ahead, lines)
            state = body | {"logs": None}
            if lines or state != last:
                yield event(body)
                sent, last, spoke = sent + len(lines or ()), state, now()
            elif now() - spoke >= api.keep_alive:
                yield KEEP_ALIVE
                spoke = now()
            if answers.has_ended(job):
                await asyncio.sleep(LINGER_S)
                return
            await api.surface.changed(job.id, version, max(0.0, spoke + api.keep_alive - now()))
            job = await own(api, job.requester, job.id)


async def call_off(api: FalApi, job: Job) -> None:
    """Cancel a job that nobody waits for any more, also while our own task is being cancelled."""
    with anyio.move_on_after(_PATIENCE_S, shield=True):
        await api.jobs.cancel(job.requester, job.id)
        log.info("the client is gone; cancelled", job=job.id)


async def forget(api: FalApi, job: Job) -> None:
    """Delete a job of `sync_mode` whose result was handed out.

    Where it is still to be sent to a webhook, `forget_unread` comes back later.
    """
    if not job.reported:
        await api.surface.ended(job.id, _PATIENCE_S)
    if not await api.webhooks.pending(job.id):
        with contextlib.suppress(NoSuchJob):
            await api.jobs.delete(job.requester, job.id)


async def forget_unread(api: FalApi) -> None:
    """Delete results of `sync_mode` that nobody has read, for ever."""
    while True:
        try:
            for job in await api.jobs.fleeting(time.time() - SYNC_KEPT_S):
                await forget(api, job)
        except Exception as error:  # noqa: BLE001 - a full disk is no reason to stop for good
            log.warning("results of sync_mode not deleted yet", error=type(error).__name__)
        await asyncio.sleep(_SWEEP_S)
