"""`/run/…`: submit and wait in one request; `…/stream` answers as events.

Whoever hangs up cancels the job, unless it came with an `Idempotency-Key` and can be asked for
again.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.background import BackgroundTask

from bot.jobs.job import Job
from bot.permissions import Requester
from bot.surfaces.fal_api import answers
from bot.surfaces.fal_api.api import LINGER_S, FalApi
from bot.surfaces.fal_api.endpoints import Endpoint, base_of, endpoint_of
from bot.surfaces.fal_api.errors import infrastructure
from bot.surfaces.fal_api.intake import Entry, receive, take
from bot.surfaces.fal_api.replies import KEEP_ALIVE, event, reply, stream
from bot.surfaces.fal_api.waiting import (
    call_off,
    check_room,
    forget,
    until_disconnected,
    until_ended,
)

_PREFIXES: Final = ("/run/{owner}/{app}", "/run/{owner}/{app}/{sub:path}")
_TOO_LONG: Final = "This took too long for one request and was called off; submit it to the queue."


def create_router(api: FalApi) -> APIRouter:
    """The routes."""
    router = APIRouter()
    for suffix, add in (("/stream", _add_stream), ("", _add_run)):
        for prefix in _PREFIXES:
            add(router, api, prefix + suffix)
    return router


def _add_run(router: APIRouter, api: FalApi, path: str) -> None:
    Caller = Annotated[Requester, Depends(api.access.check)]  # noqa: N806 - it is a type
    Called = Annotated[Endpoint, Depends(endpoint_of)]  # noqa: N806 - it is a type

    @router.post(path)
    async def run(caller: Caller, endpoint: Called, request: Request) -> Response:
        check_room(api)
        base = base_of(request, api.public_url)
        entry = await receive(request, endpoint, caller)
        job = await take(api, request, entry)
        ended = await _wait(api, request, entry, job)
        if ended is None:
            return Response(status_code=499)  # nobody is there to read it
        answer = await answers.outcome(api.jobs, api.signer, ended, base)
        return reply(answer, BackgroundTask(forget, api, job) if job.request.sync_mode else None)


def _add_stream(router: APIRouter, api: FalApi, path: str) -> None:
    Caller = Annotated[Requester, Depends(api.access.check)]  # noqa: N806 - it is a type
    Called = Annotated[Endpoint, Depends(endpoint_of)]  # noqa: N806 - it is a type

    @router.post(path)
    async def run_as_stream(caller: Caller, endpoint: Called, request: Request) -> Response:
        check_room(api)
        base = base_of(request, api.public_url)
        entry = await receive(request, endpoint, caller)
        job = await take(api, request, entry, single=True)
        return stream(_events(api, entry, job, base))


async def _wait(api: FalApi, request: Request, entry: Entry, job: Job) -> Job | None:
    """The job once it has ended; None when the client is gone.

    Raises:
        ApiError: it takes too long.
    """
    ending = asyncio.create_task(until_ended(api, job))
    leaving = asyncio.create_task(until_disconnected(request))
    try:
        await asyncio.wait(
            {ending, leaving}, timeout=api.run_limit, return_when=asyncio.FIRST_COMPLETED
        )
        if ending.done():
            return await ending
        if not (leaving.done() and entry.idempotent):
            await call_off(api, job)
        if leaving.done():
            return None
        raise infrastructure(500, _TOO_LONG, "generation_timeout")
    finally:
        ending.cancel()
        leaving.cancel()
        await asyncio.gather(ending, leaving, return_exceptions=True)


async def _events(api: FalApi, entry: Entry, job: Job, base: str) -> AsyncIterator[bytes]:
    """The result as one event; what fails after the headers are gone is one, too."""
    now = asyncio.get_running_loop().time
    latest = now() + api.run_limit
    ending = asyncio.create_task(until_ended(api, job))
    try:
        while not (await asyncio.wait({ending}, timeout=api.keep_alive))[0]:
            if now() >= latest:
                await call_off(api, job)
                yield event(infrastructure(500, _TOO_LONG, "generation_timeout").answer.body)
                return
            yield KEEP_ALIVE
        job = await ending
        answer = await answers.outcome(api.jobs, api.signer, job, base)
        yield event(answer.body)
        await asyncio.sleep(LINGER_S)
        if job.request.sync_mode:
            await forget(api, job)
    finally:
        ending.cancel()
        if not (answers.has_ended(job) or entry.idempotent):
            await call_off(api, job)
