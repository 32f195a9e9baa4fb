"""`/queue/…`: submit, ask how a request stands, fetch its result, cancel it.

A request is asked for at owner and app. fal's documentation also shows the whole endpoint and a
`/response` at the end, so both are understood.
"""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.background import BackgroundTask

from bot.jobs.job import Job
from bot.permissions import Requester
from bot.surfaces.fal_api import answers
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.endpoints import Endpoint, app_of, base_of, endpoint_id, endpoint_of
from bot.surfaces.fal_api.errors import Answer, Detail, infrastructure, invalid, no_such_request
from bot.surfaces.fal_api.intake import is_abandoned, receive, take
from bot.surfaces.fal_api.refusals import RETRY_AFTER_S
from bot.surfaces.fal_api.replies import Json, reply, stream
from bot.surfaces.fal_api.schema import openapi
from bot.surfaces.fal_api.waiting import call_off, check_room, forget, own, statuses

_PREFIXES: Final = ("/queue/{owner}/{app}", "/queue/{owner}/{app}/{sub:path}")
_TRUE: Final = frozenset({"1", "true", "yes"})


def create_router(api: FalApi) -> APIRouter:
    """The routes."""
    router = APIRouter()
    for prefix in _PREFIXES:
        _add_reading(router, api, f"{prefix}/requests/{{request_id}}")
    for prefix in _PREFIXES:
        _add_endpoint(router, api, prefix)
    return router


def _add_reading(router: APIRouter, api: FalApi, path: str) -> None:
    Caller = Annotated[Requester, Depends(api.access.check)]  # noqa: N806 - it is a type

    async def requested(request: Request, caller: Caller) -> Job:
        given = request.path_params
        job_id = _id(given["request_id"])
        request.state.request_id = job_id
        job = await own(api, caller.id, job_id)
        if app_of(endpoint_id(job.request)) != f"{given['owner']}/{given['app']}":
            raise no_such_request()
        return job

    Own = Annotated[Job, Depends(requested)]  # noqa: N806 - it is a type

    @router.get(f"{path}/status")
    async def status(job: Own, request: Request) -> Json:
        """202 while it waits or runs, 200 once it has ended: fal's own SDK reads the code."""
        watch = api.surface.peek(job.id)
        lines = watch.lines if _wants_logs(request) else None
        body = answers.status(job, _base(api, request), watch.ahead, lines)
        return reply(Answer(200 if answers.has_ended(job) else 202, body))

    @router.get(f"{path}/status/stream")
    async def status_stream(job: Own, request: Request) -> Response:
        check_room(api)
        logs = _wants_logs(request)
        return stream(statuses(api, job, _base(api, request), logs=logs))

    @router.get(path)
    @router.get(f"{path}/response")
    async def result(job: Own, request: Request) -> Json:
        answer = await answers.outcome(api.jobs, api.signer, job, _base(api, request))
        handed_out = answer.status == 200 and job.request.sync_mode
        return reply(answer, BackgroundTask(forget, api, job) if handed_out else None)

    @router.put(f"{path}/cancel")
    async def cancel(job: Own) -> Json:
        if answers.has_ended(job):
            return reply(Answer(400, {"status": "ALREADY_COMPLETED"}))
        await api.jobs.cancel(job.requester, job.id)
        return reply(Answer(202, {"status": "CANCELLATION_REQUESTED"}))


def _add_endpoint(router: APIRouter, api: FalApi, path: str) -> None:
    Caller = Annotated[Requester, Depends(api.access.check)]  # noqa: N806 - it is a type
    Called = Annotated[Endpoint, Depends(endpoint_of)]  # noqa: N806 - it is a type

    @router.get(f"{path}/openapi.json")
    async def description(endpoint: Called, request: Request) -> Json:
        return reply(Answer(200, openapi(endpoint, _base(api, request))))

    @router.post(path)
    async def submit(caller: Caller, endpoint: Called, request: Request) -> Response:
        longest, base = _longest_queue(request), _base(api, request)
        webhook = request.query_params.get("fal_webhook") or None
        entry = await receive(request, endpoint, caller)
        if longest is not None and api.surface.waiting > longest:
            sentence = f"More than {longest} requests wait here already."
            raise infrastructure(429, sentence, "queue_full", retry_after=RETRY_AFTER_S)
        job = await take(api, request, entry, webhook=webhook)
        if await is_abandoned(request, entry):
            await call_off(api, job)
        ahead = api.surface.peek(job.id).ahead
        body = answers.envelope(job, base, ahead, webhook=webhook is not None)
        return reply(Answer(200, body))


def _id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise no_such_request() from None


def _longest_queue(request: Request) -> int | None:
    """The longest queue that the submitter accepts.

    Raises:
        ApiError: it is no number.
    """
    text = request.query_params.get("fal_max_queue_length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        sentence = f"fal_max_queue_length is “{text[:20]}”; use a whole number from 0."
        raise invalid(Detail(("query", "fal_max_queue_length"), sentence, "int_parsing"))
    return int(text)


def _wants_logs(request: Request) -> bool:
    return request.query_params.get("logs", "").lower() in _TRUE


def _base(api: FalApi, request: Request) -> str:
    return base_of(request, api.public_url)
