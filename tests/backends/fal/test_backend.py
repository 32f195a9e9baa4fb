"""Resuming, cancelling, LoRAs, verdicts and money."""

import asyncio
import base64
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    LoraFile,
    Preparing,
    Rendered,
    Started,
    Submitted,
    Submitting,
    Verdict,
    parse_request,
)
from backends.errors import LoraRejected
from backends.fal.backend import FalBackend
from backends.fal.errors import FalError, LoraNotFetched, RequestGone
from backends.fal.gateway import Gateway
from tests.backends.fal.conftest import FIELDS, draw, submit
from tests.fakes.fal_service import KEY, Act, FalService, Reply, fal_backend, picture, problem

ID = "flux-lora-0"


# --- Resuming ---------------------------------------------------------------------------------


async def test_a_request_is_taken_up_by_its_id_without_a_second_post(
    service: FalService, tmp_path: Path
) -> None:
    async with fal_backend(service, tmp_path) as first:
        remote = await submit(first)
    async with fal_backend(service, tmp_path) as second:
        run = await draw(second, remote=remote)

    assert run.rendered
    assert not run.of(Submitting)
    assert not run.of(Submitted)
    assert len(service.submits) == 1
    assert not service.made("PUT")


async def test_a_result_that_is_gone_is_told_after_a_few_questions(
    backend: FalBackend, service: FalService
) -> None:
    remote = await submit(backend)
    service.jobs.clear()

    run = await draw(backend, remote=remote)

    assert isinstance(run.error, RequestGone)
    assert "kept for minutes" in str(run.error)
    assert len(service.submits) == 1
    assert len(service.made("GET", f"/requests/{ID}")) == 3


async def test_a_result_whose_status_is_gone_is_still_fetched(
    backend: FalBackend, service: FalService
) -> None:
    remote = await submit(backend)
    service.on_stream = []
    service.on_status = [Reply(404, {"status": "NOT_FOUND"})]

    assert (await draw(backend, remote=remote)).rendered


async def test_a_note_of_another_gateway_never_leads_the_key_there(
    backend: FalBackend, service: FalService, other: FalService, tmp_path: Path
) -> None:
    remote = await submit(backend)
    async with fal_backend(other, tmp_path) as moved:
        run = await draw(moved, remote=remote)
        await moved.cancel(remote)
    seen = len(service.calls)

    assert isinstance(run.error, RequestGone)
    assert len(service.calls) == seen
    assert {call.key for call in other.calls} == {f"Key {KEY}"}


@pytest.mark.parametrize(
    "remote", [{}, {"request_id": "r1"}, {"endpoint": "a/b", "request_id": "/"}]
)
async def test_a_note_that_cannot_be_read_is_an_error_and_pays_nothing(
    backend: FalBackend, service: FalService, remote: dict[str, str]
) -> None:
    run = await draw(backend, remote=remote)

    assert isinstance(run.error, FalError)
    assert service.calls == []


async def test_closing_the_stream_leaves_the_request_and_no_task_behind(
    backend: FalBackend, service: FalService
) -> None:
    before = asyncio.all_tasks()
    request = parse_request({**FIELDS, "prompt": "slow"})
    async with aclosing(backend.run(request, ())) as events:
        async for event in events:
            if isinstance(event, Started):
                break
    left = {task for task in asyncio.all_tasks() - before if "fal_service" not in repr(task)}

    assert not left
    assert not service.made("PUT")
    assert not backend.notified(ID)


async def test_cancelling_the_task_leaves_the_request(
    backend: FalBackend, service: FalService
) -> None:
    task = asyncio.create_task(draw(backend, {"prompt": "slow"}))
    await service.until(lambda: service.made("GET", "/stream"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not service.made("PUT")


# --- Cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, {"status": "OK"}),
        Reply(202, {"status": "CANCELLATION_REQUESTED"}),
        Reply(400, {"status": "ALREADY_COMPLETED"}),
        Reply(404, {"status": "NOT_FOUND"}),
    ],
    ids=str,
)
async def test_a_cancel_is_one_put_and_one_that_comes_too_late_is_no_error(
    backend: FalBackend, service: FalService, answer: Reply
) -> None:
    remote = await submit(backend)
    service.on_cancel = [answer]

    await backend.cancel(remote)

    (call,) = service.made("PUT")
    assert call.path == f"/fal-ai/flux-lora/requests/{ID}/cancel"
    assert call.key == f"Key {KEY}"


async def test_a_cancel_is_tried_again_through_trouble(
    backend: FalBackend, service: FalService
) -> None:
    remote = await submit(backend)
    service.on_cancel = [Reply(503), Act.DROP]

    await backend.cancel(remote)

    assert len(service.made("PUT")) == 3


@pytest.mark.parametrize(
    ("answers", "puts"), [([Reply(401, {"detail": "No"})], 1), ([Reply(502)] * 9, 3)]
)
async def test_a_cancel_that_was_not_taken_is_an_error(
    backend: FalBackend, service: FalService, answers: list[Reply | Act], puts: int
) -> None:
    remote = await submit(backend)
    service.on_cancel = answers

    with pytest.raises(FalError):
        await backend.cancel(remote)
    assert len(service.made("PUT")) == puts


# --- LoRAs ------------------------------------------------------------------------------------


async def test_a_public_lora_is_sent_by_its_url_with_a_hint_for_the_runner(
    backend: FalBackend, service: FalService, lora: LoraFile
) -> None:
    run = await draw(backend, loras=[lora])

    assert run.rendered
    assert not run.of(Preparing)
    (call,) = service.submits
    assert call.body["loras"] == [{"path": lora.public_url, "scale": 0.8}]
    assert len(call.headers["x-fal-runner-hint"]) == 16


async def test_without_loras_there_is_no_hint(backend: FalBackend, service: FalService) -> None:
    await draw(backend)

    assert "x-fal-runner-hint" not in service.submits[0].headers


async def test_a_lora_that_cannot_be_read_is_told_before_anything_is_paid_for(
    backend: FalBackend, service: FalService, tmp_path: Path
) -> None:
    missing = LoraFile("ghibli", "aa" * 32, tmp_path / "missing.safetensors", 1.0)

    run = await draw(backend, loras=[missing])

    assert isinstance(run.error, LoraRejected)
    assert run.of(Preparing)
    assert not run.of(Submitting)
    assert service.jobs == {}


async def test_a_local_lora_is_uploaded_once_and_anew_after_fal_could_not_fetch_it(
    backend: FalBackend, service: FalService, tmp_path: Path
) -> None:
    path = tmp_path / "ghibli.safetensors"
    path.write_bytes(b"weights")
    file = LoraFile("ghibli", "aa" * 32, path, 1.0)
    failure = Reply(422, problem("file_download_error", "loras", 0, "path"))

    run = await draw(backend, loras=[file])
    again = await draw(backend, loras=[file])
    service.on_result = [failure]
    failed = await draw(backend, loras=[file])
    service.on_result = []
    anew = await draw(backend, loras=[file])

    assert run.of(Preparing)[0].what == "uploading the LoRA ghibli"
    assert run.events.index(run.of(Submitting)[0]) > run.events.index(run.of(Preparing)[-1])
    assert again.rendered
    assert anew.rendered
    assert isinstance(failed.error, LoraNotFetched)
    sent = [call.body["loras"][0]["path"].rpartition("/")[2] for call in service.submits]
    assert sent == ["1.safetensors"] * 3 + ["2.safetensors"]


async def test_closing_the_stream_ends_an_upload(
    backend: FalBackend, service: FalService, tmp_path: Path
) -> None:
    path = tmp_path / "ghibli.safetensors"
    path.write_bytes(b"weights")
    before = asyncio.all_tasks()
    file = LoraFile("ghibli", "aa" * 32, path, 1.0)
    async with aclosing(backend.run(parse_request(FIELDS), [file])) as events:
        assert isinstance(await anext(events), Preparing)
    left = {task for task in asyncio.all_tasks() - before if "fal_service" not in repr(task)}

    assert not left
    assert service.submits == []


async def test_more_loras_than_the_model_takes_are_refused(
    backend: FalBackend, service: FalService, lora: LoraFile
) -> None:
    run = await draw(backend, {"model": "flux-2", "image_size": "square"}, loras=[lora] * 4)

    assert "at most 3 LoRAs" in str(run.error)
    assert service.calls == []


async def test_a_lora_that_fal_could_not_download_is_named(
    backend: FalBackend, service: FalService, lora: LoraFile
) -> None:
    service.on_result = [Reply(422, problem("file_download_error", "loras", 0, "path"))]

    run = await draw(backend, loras=[lora])

    assert isinstance(run.error, LoraNotFetched)
    assert run.error.name == "ghibli"


# --- What comes back --------------------------------------------------------------------------


async def test_pictures_are_fetched_without_the_key_also_from_another_origin(
    backend: FalBackend, service: FalService, other: FalService
) -> None:
    other.jobs["r"] = {"image_size": "square"}
    url = f"{other.url}/files/r/0/7.png"
    service.on_result = [Reply(200, {"images": [{"url": url}], "seed": 7})]

    run = await draw(backend)

    assert run.rendered.pictures[0].data == picture(7, "png", (512, 512))
    assert [call.key for call in other.calls] == [None]
    assert not any("/files/" in call.path and call.key for call in service.calls)


async def test_a_picture_inside_of_the_answer_needs_no_fetching(
    backend: FalBackend, service: FalService
) -> None:
    data = base64.b64encode(picture(7)).decode()
    output = {"images": [{"url": f"data:image/png;base64,{data}"}], "seed": 7}
    service.on_result = [Reply(200, output)]

    run = await draw(backend, {"sync_mode": True, "output_format": "png"})

    assert run.rendered.pictures[0].data == picture(7)
    assert service.submits[0].body["sync_mode"] is True
    assert not any("/files/" in call.path for call in service.calls)


async def test_what_was_drawn_is_told_with_its_timings_and_its_price(
    backend: FalBackend, service: FalService
) -> None:
    service.on_result = [
        Reply(
            200,
            {
                "images": [
                    {"url": "data:image/png;base64," + base64.b64encode(picture(9)).decode()}
                ],
                "seed": 9,
                "prompt": "a red fox in the snow",
                "timings": {"inference": 1.25, "odd": "text", "nan": float("nan")},
                "has_nsfw_concepts": [True],
            },
            {"X-Fal-Billable-Units": "2"},
        )
    ]

    rendered = (await draw(backend)).rendered

    assert rendered.prompt == "a red fox in the snow"
    assert rendered.weights == "fal-ai/flux-lora@fal"
    assert rendered.timings == {"inference_time": 1.5, "inference": 1.25}
    assert rendered.cost == pytest.approx(0.07)
    assert rendered.pictures[0].seed == 9
    assert rendered.pictures[0].verdict is Verdict.FLAGGED


@pytest.mark.parametrize("output", [{"prompt": None}, {"prompt": 3}, {"prompt": ""}, {}])
async def test_the_requests_prompt_stands_in_for_one_that_is_missing(
    backend: FalBackend, service: FalService, output: dict[str, Any]
) -> None:
    data = base64.b64encode(picture(7)).decode()
    images = {"images": [{"url": f"data:image/png;base64,{data}"}]}
    service.on_result = [Reply(200, images | output, {"X-Fal-Billable-Units": "?"})]

    rendered = (await draw(backend)).rendered

    assert rendered.prompt == "a red fox"
    assert rendered.cost == pytest.approx(0.035)


async def test_a_public_service_is_asked_without_a_key(service: FalService, tmp_path: Path) -> None:
    gateway = Gateway(service.url, service.url)
    async with fal_backend(service, tmp_path, gateway=gateway) as backend:
        run = await draw(backend)

    assert isinstance(run.events[-1], Rendered)
    assert {call.key for call in service.calls} == {None}


def test_it_is_resumable_and_its_prices_are_known(backend: FalBackend) -> None:
    request = parse_request({"prompt": "x", "image_size": "square_hd", "num_images": 2})

    assert backend.name == "fal"
    assert backend.capabilities.resumable
    assert backend.capabilities.slots == 4
    assert backend.capabilities.price(request) == pytest.approx(0.07)
