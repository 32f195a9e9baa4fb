"""A request is followed to its result, over streams, polls and gateways that have neither."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import Cancelled, Log, Queued, Started, Step, Submitted, parse_request
from backends.errors import BackendError
from backends.fal.backend import FalBackend
from backends.fal.errors import (
    AccessRefused,
    AnswerRefused,
    FalError,
    KeyRefused,
    LoraNotFetched,
    Redirected,
    RequestGone,
    ServiceTimeout,
    ServiceTrouble,
)
from backends.fal.gateway import Gateway
from tests.backends.fal.conftest import FIELDS, draw
from tests.fakes.fal_service import KEY, QUICK, Act, FalService, Reply, fal_backend, problem

ID = "flux-lora-0"


def bar(index: int) -> dict[str, str]:
    return {"message": f" 25%|x| {index}/4 [00:01<", "timestamp": f"t{index}"}


async def test_a_stream_tells_everything_and_nothing_is_polled(
    backend: FalBackend, service: FalService
) -> None:
    run = await draw(backend)

    assert run.of(Queued) == [Queued(0)]
    assert run.of(Started) == [Started()]
    assert run.of(Step) == [Step(i, 4) for i in range(1, 5)]
    assert len(run.of(Log)) == 4
    assert not service.made("GET", "/status")
    assert service.made("GET", "/stream")[0].query == {"logs": "1"}
    assert len(service.made("GET", f"/requests/{ID}")) == 1


@pytest.mark.parametrize("end", [[Act.DROP], []], ids=["cut", "ended"])
async def test_a_stream_that_ends_too_early_is_followed_by_polling_without_repeated_lines(
    backend: FalBackend, service: FalService, end: list[Act]
) -> None:
    service.on_stream = [
        service.envelope(ID, queue_position=1),
        service.envelope(ID, "IN_PROGRESS", logs=[bar(1), bar(2)]),
        *end,
    ]
    service.on_status = [
        Reply(202, service.envelope(ID, "IN_PROGRESS", logs=[bar(1), bar(2), bar(3)])),
        Reply(200, service.envelope(ID, "COMPLETED", logs=[bar(i) for i in range(1, 5)])),
    ]

    run = await draw(backend)

    assert run.rendered
    assert [step.index for step in run.of(Step)] == [1, 2, 3, 4]
    assert len(run.of(Log)) == 4
    assert len(service.made("GET", "/stream")) == 1
    assert service.made("GET", "/status")[0].query == {"logs": "1"}
    assert len(service.submits) == 1


async def test_a_silent_stream_is_left_for_polling(service: FalService, tmp_path: Path) -> None:
    service.on_stream = [service.envelope(ID, "IN_PROGRESS"), ": once", Act.HANG]
    async with fal_backend(service, tmp_path, pace=replace(QUICK, idle=0.1)) as backend:
        run = await draw(backend)

    assert run.rendered
    assert len(service.made("GET", "/stream")) == 1
    assert service.made("GET", "/status")


@pytest.mark.parametrize(
    "stream", [["data: not json"], ["data: [1]"], ['data: {"status": 3}'], ["event: x\ndata:"]]
)
async def test_a_stream_of_something_else_is_left_for_polling(
    backend: FalBackend, service: FalService, stream: list[Any]
) -> None:
    service.on_stream = [*stream, Act.HANG]

    assert (await draw(backend)).rendered


async def test_going_back_to_the_queue_is_normal(backend: FalBackend, service: FalService) -> None:
    service.on_stream = [
        service.envelope(ID, "IN_PROGRESS"),
        service.envelope(ID, queue_position=3),
        service.envelope(ID, "IN_PROGRESS"),
        service.envelope(ID, "COMPLETED"),
    ]

    run = await draw(backend)

    assert run.rendered
    assert run.of(Queued) == [Queued(3)]


@pytest.mark.parametrize(
    "trouble",
    [
        Act.DROP,
        Reply(500, b"oops"),
        Reply(503, b""),
        Reply(429, {}, {"Retry-After": "0"}),
        Reply(408, {}),
    ],
    ids=str,
)
async def test_trouble_while_polling_is_waited_out(
    backend: FalBackend, service: FalService, trouble: Reply | Act
) -> None:
    service.on_stream = []
    service.on_status = [trouble] * 6 + [Reply(200, service.envelope(ID, "COMPLETED"))]

    assert (await draw(backend)).rendered
    assert len(service.submits) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply(401, {"detail": "No user found"}), KeyRefused),
        (Reply(403, {"detail": "Not yours"}), AccessRefused),
        (Reply(404, {"status": "NOT_FOUND"}), RequestGone),
    ],
    ids=str,
)
async def test_what_is_refused_again_and_again_ends_and_is_not_polled_for_ever(
    backend: FalBackend, service: FalService, answer: Reply, kind: type[BackendError]
) -> None:
    service.on_stream = []
    service.on_status = [answer]
    service.on_result = [answer]

    run = await draw(backend)

    assert type(run.error) is kind
    assert len(service.made("GET", "/status")) == 3


async def test_a_single_refusal_is_not_believed(backend: FalBackend, service: FalService) -> None:
    service.on_stream = []
    progress = Reply(202, service.envelope(ID, "IN_PROGRESS"))
    refused = Reply(401, {"detail": "No"})
    done = Reply(200, service.envelope(ID, "COMPLETED"))
    service.on_status = [refused, refused, progress, refused, refused, done]

    assert (await draw(backend)).rendered


async def test_a_redirect_of_a_status_is_not_followed_with_the_key(
    backend: FalBackend, service: FalService, other: FalService
) -> None:
    service.on_stream = []
    service.on_status = [Reply(302, {}, {"Location": f"{other.url}/x"})]

    run = await draw(backend)

    assert isinstance(run.error, Redirected)
    assert other.calls == []


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_unknown_status_ends_with_its_name_within_a_bound(
    service: FalService, tmp_path: Path, streamed: bool
) -> None:
    paused = service.envelope(ID, "PAUSED")
    service.on_stream = [paused, paused, Act.HANG] if streamed else []
    service.on_status = [Reply(202, paused)]
    async with fal_backend(service, tmp_path, pace=replace(QUICK, unknown=0.2)) as backend:
        run = await draw(backend)

    assert isinstance(run.error, AnswerRefused)
    assert "“PAUSED”" in str(run.error)
    assert 2 <= len(service.made("GET", "/status")) < 40


async def test_an_unknown_status_that_passes_is_no_error(
    backend: FalBackend, service: FalService
) -> None:
    service.on_stream = []
    unknown = Reply(202, service.envelope(ID, "WARMING_UP"))
    service.on_status = [unknown, unknown, Reply(200, service.envelope(ID, "COMPLETED"))]

    assert (await draw(backend)).rendered


async def test_pages_for_people_in_place_of_every_answer_end_within_a_bound(
    backend: FalBackend, service: FalService
) -> None:
    service.on_stream = []
    service.on_status = [Reply(200, b"<html>")]
    service.on_result = [Reply(200, b"<html>")]

    run = await draw(backend)

    assert isinstance(run.error, AnswerRefused)
    assert "no JSON" in str(run.error)


# --- The result -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Reply(422, problem("file_download_error")), LoraNotFetched, "“ghibli”"),
        (Reply(500, problem("internal_server_error")), ServiceTrouble, "Try again later"),
        (
            Reply(
                504,
                {"detail": "Timed out", "error_type": "request_timeout"},
                {"X-Fal-Needs-Retry": "1"},
            ),
            ServiceTimeout,
            "in its time",
        ),
        (Reply(200, {"nothing": 1}), AnswerRefused, "without a picture"),
    ],
    ids=str,
)
async def test_a_failed_request_tells_its_error_on_the_result(
    backend: FalBackend,
    service: FalService,
    lora: Any,
    answer: Reply,
    kind: type[FalError],
    words: str,
) -> None:
    service.on_result = [answer]

    run = await draw(backend, loras=[lora])

    assert type(run.error) is kind
    assert words in str(run.error)
    assert not run.error.retryable
    assert len(service.made("GET", f"/requests/{ID}")) == 1


async def test_the_statuss_error_is_told_where_the_result_has_none(
    backend: FalBackend, service: FalService
) -> None:
    told = service.envelope(ID, "COMPLETED", error="Gone wrong", error_type="generation_timeout")
    service.on_stream = [told]
    service.on_result = [Reply(404, {"detail": "Not found"})]

    run = await draw(backend)

    assert isinstance(run.error, ServiceTimeout)
    assert run.error.type == "generation_timeout"


async def test_a_request_that_somebody_else_cancelled_is_cancelled(
    backend: FalBackend, service: FalService
) -> None:
    service.on_result = [Reply(499, {"detail": "Cancelled", "error_type": "client_cancelled"})]

    assert isinstance((await draw(backend)).events[-1], Cancelled)


async def test_trouble_with_the_result_is_tried_again(
    backend: FalBackend, service: FalService
) -> None:
    service.on_result = [
        Reply(503, b"<html>busy</html>"),
        Act.DROP,
        Reply(400, {"detail": "Request is still in progress"}),
        Reply(200, b"<html>"),
        Reply(200, service.envelope(ID, "IN_PROGRESS")),
        Reply(429, {}),
        Reply(404, {}),
    ]
    task = asyncio.create_task(draw(backend))
    await service.until(lambda: len(service.on_result) == 1)
    service.on_result = []

    assert (await task).rendered
    assert len(service.submits) == 1


async def test_a_result_that_never_comes_ends_within_a_bound_and_names_the_request(
    service: FalService, tmp_path: Path
) -> None:
    service.on_result = [Reply(502, b"")]
    async with fal_backend(service, tmp_path, pace=replace(QUICK, result=0.2)) as backend:
        run = await draw(backend)

    assert isinstance(run.error, AnswerRefused)
    assert ID in str(run.error)


# --- Gateways ---------------------------------------------------------------------------------


async def test_urls_that_name_another_host_are_rebased_and_the_key_stays(
    backend: FalBackend, service: FalService, other: FalService
) -> None:
    service.names = other.url
    service.on_stream = []

    run = await draw(backend)

    assert run.rendered
    assert other.calls == []
    remote = run.of(Submitted)[0].remote
    assert all(remote[f"{name}_url"].startswith(service.url) for name in ("status", "response"))


PENDING: dict[str, Callable[[FalService], Reply]] = {
    "an envelope": lambda service: Reply(200, service.envelope(ID)),
    "a 202": lambda service: Reply(202, service.envelope(ID, "IN_PROGRESS")),
    "still in progress": lambda _: Reply(400, {"detail": "Request is still in progress"}),
}


@pytest.mark.parametrize("pending", list(PENDING.values()), ids=list(PENDING))
@pytest.mark.parametrize(
    "missing", [Reply(404, {}), Reply(405, {}), Reply(200, b"<html>")], ids=["404", "405", "a page"]
)
async def test_where_there_is_no_status_the_result_is_polled(
    service: FalService,
    tmp_path: Path,
    missing: Reply,
    pending: Callable[[FalService], Reply],
) -> None:
    """The envelope of kkiai: returned at once, its URLs naming queue.fal.run, with Bearer."""
    service.names = "https://queue.fal.run"
    service.on_stream = []
    service.on_status = [missing]
    service.on_result = [pending(service)]
    gateway = Gateway(service.url, service.url, KEY, "Bearer")
    async with fal_backend(service, tmp_path, gateway=gateway) as backend:
        task = asyncio.create_task(draw(backend))
        await service.until(lambda: len(service.made("GET", f"/requests/{ID}")) > 5)
        service.on_result = []
        run = await task

    assert run.rendered
    assert len(service.submits) == 1
    assert len(service.made("GET", "/status")) == 3
    assert {c.key for c in service.calls if "/files/" not in c.path} == {f"Bearer {KEY}"}


# --- Being woken ------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_notification_makes_it_look_at_once(
    service: FalService, tmp_path: Path, streamed: bool
) -> None:
    progress = service.envelope(ID, "IN_PROGRESS")
    service.on_stream = [progress, Act.HANG] if streamed else []
    service.on_status = [Reply(202, progress)]
    pace = replace(QUICK, idle=600, poll=600, slowest_poll=600)
    async with fal_backend(service, tmp_path, pace=pace) as backend:
        request = parse_request(FIELDS)
        async with aclosing(backend.run(request, ())) as events:
            async for event in events:
                if isinstance(event, Started):
                    break
            service.on_status = []
            rest = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            assert backend.notified(ID)
            async with asyncio.timeout(20):
                await rest
    assert not backend.notified(ID)


async def test_nobody_waits_for_another_request(backend: FalBackend) -> None:
    assert not backend.notified("unknown")
