"""`sync_mode`: the pictures come inside the answer and nothing is kept."""

import asyncio
import base64
import io
import time
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bot.recipe import read
from bot.surfaces.fal_api.waiting import forget_unread
from tests.fakes.fal_site import FalSite, events, fal_site


async def test_the_pictures_are_in_the_answer_and_gone_once_it_was_read(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=2", seed=9, num_images=2, sync_mode=True)
        answer = await s.result(submitted)
        assert answer.status_code == 200
        _check(answer.json()["images"], 2)
        await _erased(s, submitted["request_id"])
        again = await s.client.get(submitted["response_url"])
        assert again.status_code == 410
        assert "sync_mode" in again.json()["detail"]
        status = await s.client.get(submitted["status_url"])
        assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
        assert "error" not in status.json()
        cancel = await s.client.put(submitted["cancel_url"])
        assert cancel.json() == {"status": "ALREADY_COMPLETED"}


async def test_a_result_without_sync_mode_may_be_read_again(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=2")
        first = await s.result(submitted)
        second = await s.client.get(submitted["response_url"])
        assert first.json() == second.json()


async def test_the_synchronous_routes_keep_nothing_either(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        body = {"prompt": "steps=2", "sync_mode": True}
        answer = await s.client.post("/run/fal-ai/flux-lora", json=body)
        _check(answer.json()["images"], 1)
        await _erased(s, answer.headers["x-fal-request-id"])
        path = "/run/fal-ai/flux-lora/stream"
        async with s.client.stream("POST", path, json=body) as stream:
            [event] = [event async for event in events(stream)]
        assert isinstance(event, dict)
        _check(event["images"], 1)
        await _erased(s, stream.headers["x-fal-request-id"])


async def test_what_nobody_reads_is_forgotten_after_a_while(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=2", sync_mode=True)
        kept = await s.submit("steps=3")
        await s.until(submitted, "COMPLETED")
        assert (await s.result(kept)).status_code == 200
        assert await s.api.jobs.fleeting(time.time() - 60) == []
        async with s.database.write() as sql:  # an hour ago
            await sql.execute("UPDATE jobs SET reported_at = reported_at - 3600")
        sweeping = asyncio.create_task(forget_unread(s.api))
        await _erased(s, submitted["request_id"])
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        assert (await s.client.get(submitted["response_url"])).status_code == 410
        assert (await s.client.get(kept["response_url"])).status_code == 200


async def test_what_a_webhook_is_still_to_tell_is_kept_for_it(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        # Nobody listens there yet, so it is tried again later.
        params = {"fal_webhook": "http://127.0.0.1:9/hook"}
        body = {"prompt": "steps=2", "sync_mode": True}
        answer = await s.client.post("/queue/fal-ai/flux-lora", json=body, params=params)
        submitted = answer.json()
        assert submitted["gateway_request_id"] == submitted["request_id"]
        for _ in range(2):
            assert (await s.result(submitted)).status_code == 200
        assert await s.api.webhooks.pending(submitted["request_id"])


async def test_a_webhook_that_may_not_be_called_is_refused(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        params = {"fal_webhook": "http://10.0.0.1/hook"}
        answer: httpx.Response = await s.client.post(
            "/queue/fal-ai/flux-lora", json={"prompt": "a"}, params=params
        )
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", "fal_webhook"]
        assert await s.jobs() == []


async def test_a_webhook_of_a_job_that_was_refused_is_forgotten(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        await s.set(requester_per_day=0)
        params = {"fal_webhook": "http://127.0.0.1:9/hook"}
        answer = await s.client.post("/queue/fal-ai/flux-lora", json={"prompt": "a"}, params=params)
        assert answer.status_code == 403
        assert await s.database.rows("SELECT * FROM webhooks") == []


def _check(images: list[dict[str, Any]], count: int) -> None:
    assert len(images) == count
    for image in images:
        head, _, text = image["url"].partition(",")
        assert head == "data:image/png;base64"
        data = base64.b64decode(text, validate=True)
        assert len(data) == image["file_size"]
        assert Image.open(io.BytesIO(data)).size == (32, 32)
        assert read(data) is not None


async def _erased(s: FalSite, job_id: str) -> None:
    """Return once nothing of a job is left: neither what it said nor its pictures."""
    async with asyncio.timeout(10):
        while (job := await s.store.get(job_id)) is None or not job.erased:
            await asyncio.sleep(0.02)
    assert (job.request.prompt, job.result) == ("(deleted)", None)
