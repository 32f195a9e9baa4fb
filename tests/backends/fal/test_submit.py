"""A paid request is posted once, whatever happens to the answer."""

import asyncio
import logging
import socket
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from backends.base import Failed, Preparing, Submitted, Submitting, parse_request
from backends.errors import BackendError, BadRequest, OutcomeUnknown, Unreachable
from backends.fal.backend import FalBackend
from backends.fal.errors import (
    BalanceExhausted,
    ContentRefused,
    InputRefused,
    KeyRefused,
    Redirected,
    RequestGone,
)
from backends.fal.gateway import Gateway
from tests.backends.fal.conftest import FIELDS, draw
from tests.fakes.fal_service import KEY, QUICK, Act, FalService, Reply, fal_backend, problem


async def test_a_request_is_posted_once_in_fals_own_words(
    backend: FalBackend, service: FalService
) -> None:
    run = await draw(backend, {"prompt": "a red fox", "num_images": 2})

    assert len(run.rendered.pictures) == 2
    (call,) = service.submits
    assert call.path == "/fal-ai/flux-lora"
    assert call.key == f"Key {KEY}"
    assert call.body == {
        "prompt": "a red fox",
        "num_inference_steps": 4,
        "guidance_scale": 3.5,
        "seed": 7,
        "num_images": 2,
        "acceleration": "none",
        "output_format": "jpeg",
        "enable_safety_checker": True,
        "sync_mode": False,
        "image_size": {"width": 64, "height": 48},
        "loras": [],
    }


async def test_nothing_is_sent_before_submitting_is_told_and_the_id_comes_at_once(
    backend: FalBackend, service: FalService
) -> None:
    async with aclosing(backend.run(parse_request(FIELDS), ())) as events:
        assert isinstance(await anext(events), Submitting)
        assert service.calls == []
        submitted = await anext(events)

    assert isinstance(submitted, Submitted)
    assert len(service.calls) == 1
    path = f"{service.url}/fal-ai/flux-lora/requests/flux-lora-0"
    assert submitted.remote == {
        "request_id": "flux-lora-0",
        "endpoint": "fal-ai/flux-lora",
        "queue_url": service.url,
        "status_url": f"{path}/status",
        "response_url": path,
        "cancel_url": f"{path}/cancel",
    }


@pytest.mark.parametrize(
    "answer",
    [
        Act.DROP,
        Reply(500, {"detail": "Internal"}),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(503, {"detail": "x", "error_type": "runner_scheduling_failure"}),
        Reply(504, b""),
        Reply(408, b""),
        Reply(200, b"<html>Welcome</html>"),
        Reply(200, {"status": "IN_QUEUE"}),
        Reply(200, {"request_id": "../../other"}),
        Reply(200, {"request_id": 3}),
    ],
    ids=str,
)
async def test_whatever_may_have_been_taken_is_unknown_and_not_sent_again(
    backend: FalBackend, service: FalService, answer: Reply | Act
) -> None:
    service.on_submit = [answer]

    run = await draw(backend)

    assert isinstance(run.error, OutcomeUnknown)
    assert "billed" in str(run.error)
    assert not run.of(Submitted)
    assert len(service.submits) == 1


async def test_no_answer_in_time_is_unknown_and_not_sent_again(
    service: FalService, tmp_path: Path
) -> None:
    service.on_submit = [Act.HANG]
    async with fal_backend(service, tmp_path, pace=replace(QUICK, submit=0.1)) as backend:
        run = await draw(backend)

    assert isinstance(run.error, OutcomeUnknown)
    assert len(service.submits) == 1


async def test_an_answer_that_breaks_off_is_unknown(
    backend: FalBackend, service: FalService
) -> None:
    service.on_submit = [Reply(200, b'{"request_id": "r', {"Content-Length": "900"}), Act.DROP]
    task = asyncio.create_task(draw(backend))
    await service.until(lambda: service.submits)
    await service.close_connections()

    assert isinstance((await task).error, OutcomeUnknown)
    assert len(service.submits) == 1


async def test_a_submit_never_goes_over_a_connection_that_was_used_before(
    backend: FalBackend, service: FalService
) -> None:
    await draw(backend)
    await draw(backend)

    assert len({call.connection for call in service.submits}) == 2
    reads = {call.connection for call in service.calls if call.method == "GET"}
    assert not reads & {call.connection for call in service.submits}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply(401, {"detail": "No user found for Key ID and Secret"}), KeyRefused),
        (Reply(403, {"detail": "User is locked. Reason: Exhausted balance."}), BalanceExhausted),
        (Reply(422, problem("greater_than_equal", "seed", input=-1)), InputRefused),
        (Reply(422, problem("content_policy_violation", "prompt")), ContentRefused),
        (Reply(400, {"detail": "No.", "error_type": "bad_request"}), InputRefused),
        (Reply(404, {"detail": "Application not found"}), RequestGone),
    ],
    ids=str,
)
async def test_a_refusal_is_told_and_not_sent_again(
    backend: FalBackend, service: FalService, answer: Reply, kind: type[BackendError]
) -> None:
    service.on_submit = [answer]

    run = await draw(backend)

    assert type(run.error) is kind
    assert not run.error.retryable
    assert len(service.submits) == 1


@pytest.fixture
def port() -> int:
    """Where nobody listens yet."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def refusals(caplog: pytest.LogCaptureFixture) -> int:
    """How often a connection was refused."""
    return caplog.text.count("connect_tcp.failed")


async def test_where_nobody_listens_it_is_tried_again_and_then_reported_as_unsent(
    service: FalService, port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "httpcore.connection")
    url = f"http://127.0.0.1:{port}"
    async with fal_backend(service, tmp_path, gateway=Gateway(url, url, KEY)) as backend:
        run = await draw(backend)

    assert isinstance(run.error, Unreachable)
    assert run.error.retryable
    assert "127.0.0.1 cannot be reached" in str(run.error)
    assert refusals(caplog) == 4


async def test_a_service_that_comes_up_late_gets_the_request_once(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "httpcore.connection")
    service = FalService()
    url = f"http://127.0.0.1:{port}"
    pace = replace(QUICK, pause=0.3)
    async with fal_backend(service, tmp_path, gateway=Gateway(url, url, KEY), pace=pace) as backend:
        task = asyncio.create_task(draw(backend))
        await service.until(lambda: refusals(caplog))
        async with service.serving(port):
            assert (await task).rendered

    assert len(service.submits) == 1


async def test_429_creates_no_job_so_it_is_tried_again_after_the_time_it_asks_for(
    backend: FalBackend, service: FalService
) -> None:
    service.on_submit = [
        Reply(429, {"detail": "Queue full"}, {"Retry-After": "0"}),
        Reply(429, {"detail": "Queue full"}, {"Retry-After": "1"}),
    ]

    run = await draw(backend)

    assert run.rendered
    assert len(service.submits) == 3
    assert len(service.jobs) == 1
    assert service.submits[2].at - service.submits[1].at >= 1.0


@pytest.mark.parametrize("wait", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_429_that_wants_too_long_a_wait_ends_as_unsent(
    backend: FalBackend, service: FalService, wait: str
) -> None:
    service.on_submit = [Reply(429, {}, {"Retry-After": wait})]

    run = await draw(backend)

    assert isinstance(run.error, Unreachable)
    assert len(service.submits) == 1


async def test_endless_429_ends_as_unsent(backend: FalBackend, service: FalService) -> None:
    service.on_submit = [Reply(429)] * 50

    run = await draw(backend)

    assert isinstance(run.error, Unreachable)
    assert 2 <= len(service.submits) <= 6


async def test_a_redirect_is_not_followed_and_names_the_host(
    backend: FalBackend, service: FalService, other: FalService
) -> None:
    service.on_submit = [Reply(307, {}, {"Location": f"{other.url}/fal-ai/flux-lora"})]

    run = await draw(backend)

    assert isinstance(run.error, Redirected)
    assert other.url.removeprefix("http://") in str(run.error)
    assert other.calls == []
    assert len(service.submits) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"output_format": "webp"}, "output_format"),
        ({"model": "flux-2", "enable_prompt_expansion": True, "image_size": "square"}, None),
    ],
)
async def test_what_the_endpoint_cannot_do_is_refused_before_anything_is_sent(
    backend: FalBackend, service: FalService, fields: dict[str, object], field: str | None
) -> None:
    run = await draw(backend, fields)

    if field is None:
        assert run.rendered
        assert service.submits[0].path == "/fal-ai/flux-2/lora"
        assert service.submits[0].body["enable_prompt_expansion"] is True
    else:
        assert isinstance(run.error, BadRequest)
        assert [problem.field for problem in run.error.problems] == [field]
        assert service.calls == []


async def test_a_seed_is_chosen_and_sent_where_none_was_given(
    backend: FalBackend, service: FalService
) -> None:
    run = await draw(backend, {"seed": None})

    assert run.rendered.pictures[0].seed == service.submits[0].body["seed"]


async def test_the_webhook_and_the_extra_query_go_with_the_submit(
    service: FalService, tmp_path: Path
) -> None:
    gateway = Gateway(service.url, service.url, KEY, "Bearer", {"_subdomain": "queue"})
    async with fal_backend(
        service, tmp_path, gateway=gateway, webhook_url="https://a.example/hook?x=1&y=2"
    ) as backend:
        run = await draw(backend)

    assert run.rendered
    assert service.submits[0].query == {
        "fal_webhook": "https://a.example/hook?x=1&y=2",
        "_subdomain": "queue",
    }
    api = [call for call in service.calls if "/files/" not in call.path]
    assert all(call.query["_subdomain"] == "queue" for call in api)
    assert {call.key for call in api} == {f"Bearer {KEY}"}
    assert "_subdomain" not in str(run.of(Submitted))


async def test_proxies_of_the_environment_are_not_used(
    service: FalService, other: FalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with fal_backend(service, tmp_path) as backend:
        assert (await draw(backend)).rendered

    assert other.calls == []


async def test_a_closed_backend_says_so(backend: FalBackend, service: FalService) -> None:
    await backend.close()

    run = await draw(backend)

    assert isinstance(run.events[-1], Failed)
    assert not run.of(Preparing)
    assert service.calls == []
