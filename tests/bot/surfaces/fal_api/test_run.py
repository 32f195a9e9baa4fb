"""The synchronous routes: one request, one answer, or one stream of events."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fal_site import FalSite, events, fal_site

RUN_1 = "/run/fal-ai/flux-lora"
RUN_2 = "/run/fal-ai/flux-2/lora"


@pytest.mark.parametrize("path", [RUN_1, RUN_2, f"{RUN_1}/"])
async def test_run_waits_for_the_result(tmp_path: Path, path: str) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(path, json={"prompt": "steps=3", "seed": 4})
        assert answer.status_code == 200
        assert answer.headers["x-fal-billable-units"] == "1"
        job = await s.store.get(answer.headers["x-fal-request-id"])
        assert job is not None
        [image] = answer.json()["images"]
        assert (await s.nobody.get(image["url"])).headers["content-type"] == "image/png"


async def test_run_answers_with_the_failure_itself(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(RUN_1, json={"prompt": "fail"})
        assert answer.status_code == 500
        assert answer.json()["detail"][0]["msg"] == "The stub does not draw this."
        refused = await s.client.post(RUN_1, json={"prompt": "a", "num_images": 9})
        assert refused.status_code == 422
        assert refused.headers["x-fal-billable-units"] == "0"


async def test_run_ends_when_the_job_is_cancelled_elsewhere(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s, s.hanging_up(RUN_1, {"prompt": "hang"}):
        job = await _the_job(s)
        url = f"/queue/fal-ai/flux-lora/requests/{job}"
        assert (await s.client.put(f"{url}/cancel")).status_code == 202
        await s.cancelled(job)


@pytest.mark.parametrize("path", [RUN_1, f"{RUN_1}/stream"])
async def test_hanging_up_cancels_what_was_waited_for(tmp_path: Path, path: str) -> None:
    async with fal_site(tmp_path) as s:
        async with s.hanging_up(path, {"prompt": "hang"}):
            job = await _the_job(s)
        await s.cancelled(job)


@pytest.mark.parametrize("path", [RUN_1, f"{RUN_1}/stream"])
async def test_with_an_idempotency_key_hanging_up_cancels_nothing(
    tmp_path: Path, path: str
) -> None:
    async with fal_site(tmp_path, keep_alive=0.05) as s:
        key = "Idempotency-Key: one\r\n"
        body: dict[str, Any] = {"prompt": "steps=20 pause=0.02", "seed": 4, "sync_mode": True}
        async with s.hanging_up(path, body, key):
            job = await _the_job(s)
        again = await s.client.post(path, json=body, headers={"Idempotency-Key": "one"})
        assert again.status_code == 200
        assert again.headers["x-fal-request-id"] == job
        assert again.text.count("data:image/png;base64,") == 1


@pytest.mark.parametrize("path", [RUN_1, f"{RUN_1}/stream"])
async def test_what_takes_too_long_is_called_off(tmp_path: Path, path: str) -> None:
    async with fal_site(tmp_path, run_limit=0.2, keep_alive=0.05) as s:
        answer = await s.client.post(path, json={"prompt": "hang"})
        assert answer.status_code == (200 if path.endswith("stream") else 500)
        assert '"generation_timeout"' in answer.text
        await s.cancelled(answer.headers["x-fal-request-id"])


async def test_the_stream_is_the_result_of_one_picture_as_an_event(tmp_path: Path) -> None:
    async with fal_site(tmp_path, keep_alive=0.05) as s:
        body = {"prompt": "steps=10 pause=0.02", "seed": 4, "num_images": 3}
        async with s.client.stream("POST", f"{RUN_2}/stream", json=body) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            seen = [event async for event in events(answer)]
        assert seen[0] == ": keep-alive"
        [result] = [event for event in seen if isinstance(event, dict)]
        assert result["seed"] == 4
        [image] = result["images"]
        assert (await s.nobody.get(image["url"])).status_code == 200
        job = await s.store.get(answer.headers["x-fal-request-id"])
        assert job is not None
        assert job.request.num_images == 1


async def test_a_failure_within_a_stream_is_an_event_and_before_it_a_status(
    tmp_path: Path,
) -> None:
    async with fal_site(tmp_path) as s:
        async with s.client.stream("POST", f"{RUN_1}/stream", json={"prompt": "fail"}) as answer:
            [event] = [event async for event in events(answer)]
        assert isinstance(event, dict)
        assert event["detail"][0]["type"] == "internal_server_error"
        refused = await s.client.post(f"{RUN_1}/stream", json={})
        assert (refused.status_code, refused.json()["detail"][0]["type"]) == (422, "missing")


async def _the_job(s: FalSite) -> str:
    """The id of the one job there is, once it is being drawn."""
    request: dict[str, Any] = {}
    while not request:
        for job in await s.jobs():
            there = f"{s.url}/queue/fal-ai/flux-lora/requests/{job.id}/status"
            request = {"status_url": there, "id": job.id}
    await s.until(request, "IN_PROGRESS")
    return str(request["id"])
