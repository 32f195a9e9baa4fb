"""From a request to a job that was taken.

fal's clients submit once more when a connection breaks before they have read the answer. So a job
whose submitter is gone by then is cancelled, unless it came with an `Idempotency-Key`: submitted
again with the same key, it is the same job.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from backends.base import GenerationRequest, parse_request
from backends.errors import BadRequest, Problem
from bot.commands.again import new_seed
from bot.commands.imagine import Order, Refused
from bot.commands.jobs import JobErased, NoSuchJob
from bot.jobs.job import Job, Place
from bot.permissions import Requester
from bot.surfaces.fal_api import refusals
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.body import read_fields
from bot.surfaces.fal_api.endpoints import Endpoint, base_of
from bot.surfaces.fal_api.errors import ApiError, Detail, account, infrastructure, invalid
from bot.surfaces.fal_api.surface import NAME
from bot.uploads import BadUpload, QuotaReached, UploadError, UploadTooLarge
from bot.webhooks_out import BadTarget

PLACE: Final = Place(community="local", private=True)
_KEY_HEADERS: Final = ("idempotency-key", "x-idempotency-key")
_LONGEST_KEY: Final = 255
_NAMESPACE: Final = uuid.UUID("6b0f9c1e-0d0e-4c55-9d5c-1c9ae0f8a2f7")
_CHECKER_STAYS: Final = "the operator of this server keeps the checker on, so leave it out"


@dataclass(frozen=True, slots=True)
class Entry:
    """A request on its way in: who asks, what for, and under which id.

    `digest` is of endpoint and fields, and set where the client sent an idempotency key.
    """

    endpoint: Endpoint
    requester: Requester
    job_id: str
    fields: Mapping[str, Any]
    digest: str | None

    @property
    def idempotent(self) -> bool:
        return self.digest is not None


async def receive(request: Request, endpoint: Endpoint, requester: Requester) -> Entry:
    """Read the body and settle the request's id.

    Raises:
        ApiError: the body is too large or no JSON object, or the idempotency key is none.
    """
    key = next((request.headers[name] for name in _KEY_HEADERS if name in request.headers), None)
    if key is not None:
        if not 0 < len(key) <= _LONGEST_KEY:
            raise account(400, f"An Idempotency-Key has 1 to {_LONGEST_KEY} characters.")
        # The response names it, too, also where it is an error.
        request.state.request_id = str(uuid.uuid5(_NAMESPACE, f"{requester.id}\n{key}"))
    fields = await read_fields(request)
    digest = None if key is None else await asyncio.to_thread(_digest, endpoint.id, fields)
    return Entry(endpoint, requester, request.state.request_id, fields, digest)


async def take(
    api: FalApi,
    request: Request,
    entry: Entry,
    *,
    webhook: str | None = None,
    single: bool = False,
) -> Job:
    """Submit the job; with `single`, of one picture whatever the body says.

    Raises:
        ApiError: nothing was submitted.
    """
    if (known := await _known(api, entry)) is not None:
        return known
    base = base_of(request, api.public_url)
    wanted = await _wanted(api, entry, single=single)
    order = Order(wanted, entry.requester, PLACE, NAME, entry.job_id)
    if webhook is not None:
        await _register(api, entry, webhook, base)
    receipt = {} if entry.digest is None else {"body": entry.digest}
    try:
        with api.surface.expecting(entry.job_id, receipt):
            taken = await api.draw.order(order)
    except BaseException as error:
        if webhook is not None:
            await api.webhooks.forget(entry.job_id)
        if isinstance(error, Refused):
            raise refusals.refusal(error) from error
        raise
    _check_same(taken.job, entry)
    return taken.job


async def _register(api: FalApi, entry: Entry, webhook: str, base: str) -> None:
    try:
        await api.webhooks.register(entry.job_id, webhook, base)
    except BadTarget as error:
        raise invalid(Detail(("query", "fal_webhook"), str(error), "value_error")) from error


async def _known(api: FalApi, entry: Entry) -> Job | None:
    """The job that the same idempotency key has brought before."""
    if not entry.idempotent:
        return None
    try:
        job = await api.jobs.get(entry.requester.id, entry.job_id)
    except JobErased as error:
        job = error.job
    except NoSuchJob:
        return None
    _check_same(job, entry)
    return job


def _check_same(job: Job, entry: Entry) -> None:
    before = (job.receipt or {}).get("body")
    if None not in (before, entry.digest) and before != entry.digest:
        sentence = (
            "This Idempotency-Key was used for another request already; use a new one for each."
        )
        raise invalid(Detail(("header", "Idempotency-Key"), sentence, "value_error"))


async def _wanted(api: FalApi, entry: Entry, *, single: bool) -> GenerationRequest:
    """The request of a body, checked, with its seed chosen."""
    fields, found = dict(entry.fields), list[Problem]()
    if "model" in fields:
        allowed = "the address says the model; leave it out"
        found.append(Problem("model", fields.pop("model"), allowed, "extra_forbidden"))
    if single:
        fields["num_images"] = 1
    try:
        adopted = await api.uploads.adopt_data_uris(fields, entry.requester.id)
    except UploadError as error:
        raise _not_adopted(error) from error
    try:
        wanted = parse_request({**adopted, "model": entry.endpoint.model})
    except BadRequest as error:
        raise refusals.problems((*found, *error.problems)) from error
    if not (wanted.enable_safety_checker or api.allow_unchecked):
        context = {"expected": (True,)}
        problem = Problem("enable_safety_checker", False, _CHECKER_STAYS, "one_of", context)
        found.append(problem)
    if found:
        raise refusals.problems(tuple(found))
    return wanted if wanted.seed is not None else wanted.model_copy(update={"seed": new_seed()})


def _not_adopted(error: UploadError) -> ApiError:
    sentence = str(error)
    match error:
        case UploadTooLarge():
            return invalid(Detail(("body", "loras"), sentence, "file_too_large"))
        case BadUpload():
            return invalid(Detail(("body", "loras"), sentence, "file_download_error"))
        case QuotaReached():
            return account(403, sentence)
        case _:
            return infrastructure(500, sentence, "internal_error")


def _digest(endpoint: str, fields: Mapping[str, Any]) -> str:
    """The same for the same fields, however they are ordered and spaced."""
    return hashlib.sha256(json.dumps([endpoint, fields], sort_keys=True).encode()).hexdigest()


async def is_abandoned(request: Request, entry: Entry) -> bool:
    """Whether the submitter is gone and will not know this job when they submit again."""
    return not entry.idempotent and await request.is_disconnected()
