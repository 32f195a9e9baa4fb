"""How a job looks in fal's protocol: its status, and what its result answers.

fal knows three statuses. A job that failed or was cancelled is COMPLETED, its status says so in
`error`, and the failure itself is what the result answers.
"""

import asyncio
import base64
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from backends.base import Verdict
from bot import wording
from bot.commands.jobs import Jobs, PictureGone, PictureUnreadable
from bot.jobs.job import Job, JobState, Result, StoredPicture
from bot.policy import Treatment
from bot.signing import Signer
from bot.surfaces.fal_api.endpoints import app_of, endpoint_id
from bot.surfaces.fal_api.errors import (
    BILLABLE,
    ERROR_TYPE,
    Answer,
    ApiError,
    Detail,
    infrastructure,
    invalid,
    model_error,
)
from bot.surfaces.fal_api.refusals import RETRY_AFTER_S, failure
from bot.surfaces.fal_api.schema import Image, Output
from bot.surfaces.fal_api.surface import LogLine
from bot.webhooks_out import Payload, Render

_MEGAPIXEL: Final = 2**20
_ENDED: Final = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}
_NOT_KEPT: Final = (
    "The result of this request is not kept any more: it was deleted, or it was asked for with "
    "sync_mode and has been handed out."
)


def has_ended(job: Job) -> bool:
    return job.state in _ENDED


def urls(job: Job, base: str) -> dict[str, str]:
    """The three addresses of a request."""
    response = f"{base}/queue/{app_of(endpoint_id(job.request))}/requests/{job.id}"
    return {
        "response_url": response,
        "status_url": f"{response}/status",
        "cancel_url": f"{response}/cancel",
    }


def status(job: Job, base: str, ahead: int, lines: Sequence[LogLine] | None) -> dict[str, Any]:
    """A status object; `lines` is None where no log was asked for."""
    body: dict[str, Any] = {
        "status": "IN_PROGRESS",
        "request_id": job.id,
        **urls(job, base),
        "logs": None if lines is None else [line.body() for line in lines],
        "metrics": {},
    }
    if job.state is JobState.QUEUED:
        return body | {"status": "IN_QUEUE", "queue_position": ahead}
    if not has_ended(job):
        return body
    body["status"] = "COMPLETED"
    if job.result is not None:
        body["metrics"] = {"inference_time": job.result.seconds}
    elif not job.erased:
        why = _why(job).answer
        body["error"], body["error_type"] = said(why), why.headers[ERROR_TYPE]
    return body


def _why(job: Job) -> ApiError:
    """Why a job has no result."""
    if job.state is JobState.CANCELLED:
        return infrastructure(499, wording.CANCELLED, "client_cancelled")
    return failure(job.fault)


def said(answer: Answer) -> str:
    """What an error says, in a line."""
    detail = answer.body["detail"]
    return detail if isinstance(detail, str) else str(detail[0]["msg"])


async def outcome(jobs: Jobs, signer: Signer, job: Job, base: str) -> Answer:
    """What the result of a job answers, its failure included; `base` begins its pictures' links."""
    try:
        return await _outcome(jobs, signer, job, base)
    except ApiError as error:
        return error.answer


def webhook_render(jobs: Jobs, signer: Signer) -> Render:
    """What a webhook says of a job: the result's body, with the error in a line beside it."""

    async def render(job: Job, base: str) -> Payload:
        answer = await outcome(jobs, signer, job, base)
        if answer.status == HTTPStatus.OK:
            return Payload("OK", answer.body)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise PictureUnreadable(job.id)
        return Payload("ERROR", answer.body, said(answer))

    return render


async def _outcome(jobs: Jobs, signer: Signer, job: Job, base: str) -> Answer:
    if not has_ended(job):
        raise infrastructure(400, "Request is still in progress", "bad_request")
    if job.erased:
        raise infrastructure(410, _NOT_KEPT, "bad_request")
    if job.result is None:
        raise _why(job)
    try:
        output = await _output(jobs, signer, job, job.result, base)
    except PictureGone:
        sentence = wording.picture_lost(job)
        raise model_error(500, Detail(("body",), sentence, "internal_server_error")) from None
    except PictureUnreadable:
        raise infrastructure(
            503, wording.PICTURE_UNREADABLE, "internal_error", retry_after=RETRY_AFTER_S
        ) from None
    return Answer(200, output.model_dump(), {BILLABLE: str(billable(job.result))})


async def _output(jobs: Jobs, signer: Signer, job: Job, result: Result, base: str) -> Output:
    """The pictures that may be shown.

    Raises:
        ApiError: the operator's rule withholds all of them.
        PictureGone, PictureUnreadable: one that may be shown is not there.
    """
    images, flags, seeds = [], [], []
    for index, shown in enumerate(await jobs.shown(job)):
        if shown.treatment is Treatment.WITHHOLD:
            continue
        picture, data = await jobs.bytes_of(job.id, index)
        name = f"{picture.seed}.{'jpg' if picture.format == 'jpeg' else picture.format}"
        images.append(
            Image(
                url=await asyncio.to_thread(_data_uri, picture, data)
                if job.request.sync_mode
                else f"{base}/files/results/{signer.link(job.id, index)}/{name}",
                width=picture.width,
                height=picture.height,
                content_type=f"image/{picture.format}",
                file_name=name,
                file_size=len(data),
            )
        )
        flags.append(picture.verdict is not Verdict.CLEAR)
        seeds.append(picture.seed)
    if not images:
        sentence = "The safety checker has flagged what was drawn, and it is not shown here."
        raise invalid(Detail(("body", "prompt"), sentence, "content_policy_violation"))
    return Output(
        images=images,
        timings={"inference": result.seconds, **result.timings},
        seed=result.pictures[0].seed,
        seeds=seeds,
        has_nsfw_concepts=flags,
        prompt=result.prompt,
    )


def billable(result: Result) -> int:
    """Megapixels (of 2**20 pixels), rounded up for each picture, as fal counts them."""
    return sum(math.ceil(p.width * p.height / _MEGAPIXEL) for p in result.pictures)


def _data_uri(picture: StoredPicture, data: bytes) -> str:
    return f"data:image/{picture.format};base64,{base64.b64encode(data).decode('ascii')}"


def envelope(job: Job, base: str, ahead: int, *, webhook: bool) -> Mapping[str, Any]:
    """What a submit answers."""
    body = status(job, base, ahead, None) | {"status": "IN_QUEUE", "queue_position": ahead}
    return body | {"gateway_request_id": job.id} if webhook else body
