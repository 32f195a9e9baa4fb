"""The queue protocol over a real socket: submit, status, stream, result, cancel."""

import asyncio
import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from bot.jobs.job import JobState
from bot.policy import FlaggedRule
from bot.recipe import read
from tests.fakes.fal_site import FLUX_1, FLUX_2, FalSite, events, fal_site

REQUESTS = {FLUX_1: "/queue/fal-ai/flux-lora/requests", FLUX_2: "/queue/fal-ai/flux-2/requests"}


@pytest.mark.parametrize("path", [FLUX_1, FLUX_2])
async def test_a_submit_answers_with_an_id_and_three_addresses(tmp_path: Path, path: str) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(path, json={"prompt": "hang"})
        body = answer.json()
        job_id = body["request_id"]
        assert str(uuid.UUID(job_id)) == job_id
        there = f"{s.url}{REQUESTS[path]}/{job_id}"
        assert body == {
            "status": "IN_QUEUE",
            "request_id": job_id,
            "response_url": there,
            "status_url": f"{there}/status",
            "cancel_url": f"{there}/cancel",
            "queue_position": 0,
            "logs": None,
            "metrics": {},
        }
        assert (answer.status_code, answer.headers["x-fal-request-id"]) == (200, job_id)
        assert answer.headers["content-type"] == "application/json"


async def test_the_result_is_the_picture_with_its_recipe_and_what_it_costs(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=2", seed=7, num_images=2)
        answer = await s.result(submitted)
        assert answer.status_code == 200
        assert answer.headers["x-fal-request-id"] == submitted["request_id"]
        assert answer.headers["x-fal-billable-units"] == "2"  # a started megapixel for each
        body = answer.json()
        assert body["has_nsfw_concepts"] == [False, False]
        assert (body["seed"], body["prompt"], body["timings"]["draw"]) == (7, "steps=2", 0.1)
        assert body["seeds"] == [7, 8]
        assert body["timings"]["inference"] > 0
        first, second = body["images"]
        assert (first["file_name"], second["file_name"]) == ("7.png", "8.png")
        assert (first["width"], first["height"], first["content_type"]) == (32, 32, "image/png")
        # A picture needs its link only: no key is sent to it.
        file = await s.nobody.get(first["url"])
        assert (file.status_code, len(file.content)) == (200, first["file_size"])
        assert file.headers["x-robots-tag"] == "noindex"
        assert Image.open(io.BytesIO(file.content)).size == (32, 32)
        recipe = read(file.content)
        assert recipe is not None
        assert recipe.seed == 7


async def test_a_seed_that_nobody_gave_is_chosen_and_told(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        seeds = [(await s.result(await s.submit("a"))).json()["seed"] for _ in range(2)]
        assert seeds[0] != seeds[1]


async def test_a_picture_that_is_not_clear_says_so(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        body = (await s.result(await s.submit("flagged"))).json()
        assert body["has_nsfw_concepts"] == [True]
        assert len(body["images"]) == 1


async def test_a_picture_that_the_operator_withholds_is_no_result(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("flagged")
        url = (await s.result(submitted)).json()["images"][0]["url"]
        await s.set(flagged=FlaggedRule.WITHHOLD)
        answer = await s.client.get(submitted["response_url"])
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == "content_policy_violation"
        assert (await s.nobody.get(url)).status_code == 404


# --- Status -----------------------------------------------------------------------------------


async def test_what_waits_has_its_place_and_what_runs_has_its_log(tmp_path: Path) -> None:
    async with fal_site(tmp_path, slots=1) as s:
        running = await s.submit("steps=1000 pause=0.05")
        await s.until(running, "IN_PROGRESS")
        waiting = [await s.submit("a"), await s.submit("b")]
        async with asyncio.timeout(10):
            while [(await s.until(w, "IN_QUEUE"))["queue_position"] for w in waiting] != [1, 2]:
                await asyncio.sleep(0.02)
        status = await s.client.get(running["status_url"], params={"logs": "1"})
        assert status.status_code == 202
        body = await _with_steps(s, running)
        assert body["metrics"] == {}
        line = body["logs"][-1]
        assert (line["level"], line["source"]) == ("INFO", "USER")
        assert line["message"].endswith("/1000")
        position = await s.client.get(waiting[0]["status_url"])
        assert (position.status_code, position.json()["logs"]) == (202, None)


async def _with_steps(s: FalSite, submitted: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            body = await s.until(submitted, "IN_PROGRESS")
            if any("|" in line["message"] for line in body["logs"]):
                return body
            await asyncio.sleep(0.02)


async def test_the_log_comes_when_it_is_asked_for(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=3 pause=0.06")
        await s.until(submitted, "COMPLETED")
        for query, shown in (
            ("?logs=1", True),
            ("?logs=true", True),
            ("?logs=0", False),
            ("?logs=false", False),
            ("", False),
        ):
            answer = await s.client.get(f"{submitted['status_url']}{query}")
            body = answer.json()
            assert (answer.status_code, body["status"]) == (200, "COMPLETED")
            assert body["metrics"]["inference_time"] > 0
            assert (body["logs"] is not None) is shown
            if shown:
                assert [line["message"] for line in body["logs"]] == [
                    "loading: 50%",
                    " 33%|███▎      | 1/3",
                    " 67%|██████▋   | 2/3",
                    "100%|██████████| 3/3",
                ]


@pytest.mark.parametrize("path", ["fal-ai/flux-2", "fal-ai/flux-2/lora"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_sub_path_trailing_slash_and_response_are_understood(
    tmp_path: Path, path: str, slash: str
) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(f"{FLUX_2}{slash}", json={"prompt": "steps=1"})
        submitted = answer.json()
        await s.until(submitted, "COMPLETED")
        request = f"/queue/{path}/requests/{submitted['request_id']}"
        assert (await s.client.get(f"{request}/status{slash}")).status_code == 200
        for tail in ("", "/response"):
            result = await s.client.get(f"{request}{tail}{slash}")
            assert (result.status_code, len(result.json()["images"])) == (200, 1)
        cancel = await s.client.put(f"{request}/cancel{slash}")
        assert cancel.json() == {"status": "ALREADY_COMPLETED"}


async def test_a_result_that_is_asked_for_too_early_is_a_400(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("hang")
        answer = await s.client.get(submitted["response_url"])
        assert answer.status_code == 400
        assert answer.json()["detail"] == "Request is still in progress"


# --- Failures ---------------------------------------------------------------------------------


async def test_a_failed_job_is_completed_and_its_failure_is_the_result(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("fail")
        status = await s.until(submitted, "COMPLETED")
        assert status["error"] == "The stub does not draw this."
        assert status["error_type"] == "internal_server_error"
        assert status["metrics"] == {}
        answer = await s.client.get(submitted["response_url"])
        assert answer.status_code == 500
        [detail] = answer.json()["detail"]
        assert (detail["loc"], detail["msg"]) == (["body"], "The stub does not draw this.")
        assert detail["type"] == "internal_server_error"
        assert answer.headers["x-fal-error-type"] == "internal_server_error"
        assert answer.headers["x-fal-needs-retry"] == "0"
        assert answer.headers["x-fal-billable-units"] == "0"


async def test_an_unknown_application_is_a_404_that_names_the_known(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        for manner, name in (
            ("queue", "fal-ai/flux"),
            ("queue", "fal-ai/flux-2"),
            ("run", "a/b/c"),
        ):
            answer = await s.client.post(f"/{manner}/{name}", json={"prompt": "a"})
            assert answer.status_code == 404
            assert answer.json() == {
                "detail": f"Application {name} not found; this server has "
                "fal-ai/flux-lora and fal-ai/flux-2/lora."
            }


async def test_an_unknown_request_is_not_found(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        for name in (str(uuid.uuid4()), "nothing", "%00"):
            request = f"{FLUX_1}/requests/{name}"
            for answer in (
                await s.client.get(f"{request}/status"),
                await s.client.get(request),
                await s.client.put(f"{request}/cancel"),
            ):
                assert (answer.status_code, answer.json()["status"]) == (404, "NOT_FOUND")


async def test_a_request_is_not_found_under_another_application(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("hang")
        other = f"{FLUX_2}/requests/{submitted['request_id']}/status"
        assert (await s.client.get(other)).status_code == 404


# --- Cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_cancelled_request_ends_for_good(tmp_path: Path, waiting: bool) -> None:
    async with fal_site(tmp_path, slots=1) as s:
        submitted = [await s.submit("hang") for _ in range(1 + waiting)][-1]
        await s.until(submitted, "IN_QUEUE" if waiting else "IN_PROGRESS")
        answer = await s.client.put(submitted["cancel_url"])
        assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
        status = await s.until(submitted, "COMPLETED")
        assert status["error_type"] == "client_cancelled"
        result = await s.client.get(submitted["response_url"])
        assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
        again = await s.client.put(submitted["cancel_url"])
        assert (again.status_code, again.json()) == (400, {"status": "ALREADY_COMPLETED"})


# --- The stream -------------------------------------------------------------------------------


async def _followed(answer: httpx.Response) -> list[dict[str, Any]]:
    return [event async for event in events(answer) if isinstance(event, dict)]


async def test_the_stream_sends_each_log_line_once_and_ends_when_the_job_does(
    tmp_path: Path,
) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=5 pause=0.06")
        url = f"{submitted['status_url']}/stream"
        async with s.client.stream("GET", url, params={"logs": "1"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-fal-request-id"] == submitted["request_id"]
            seen = await _followed(answer)
        assert seen[-1]["status"] == "COMPLETED"
        assert {event["status"] for event in seen[:-1]} <= {"IN_QUEUE", "IN_PROGRESS"}
        streamed = [line for event in seen for line in event["logs"]]
        polled = (await s.until(submitted, "COMPLETED"))["logs"]
        assert streamed == polled
        assert len(streamed) == 6


async def test_a_stream_without_logs_tells_states_only(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("steps=20 pause=0.01")
        async with s.client.stream("GET", f"{submitted['status_url']}/stream") as answer:
            seen = await _followed(answer)
        states = [event["status"] for event in seen]
        assert states in (["IN_PROGRESS", "COMPLETED"], ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"])
        assert {event["logs"] for event in seen} == {None}


@pytest.mark.parametrize("prompt", ["hang", "steps=1000 pause=0.02"])
async def test_a_quiet_stream_says_that_it_is_alive(tmp_path: Path, prompt: str) -> None:
    async with fal_site(tmp_path, keep_alive=0.1) as s:
        submitted = await s.submit(prompt)
        await s.until(submitted, "IN_PROGRESS")
        comments: list[str] = []
        async with (
            asyncio.timeout(10),
            s.client.stream("GET", f"{submitted['status_url']}/stream") as answer,
        ):
            async for event in events(answer):
                if isinstance(event, str):
                    comments.append(event)
                if len(comments) == 2:
                    break
        assert comments == [": keep-alive"] * 2


async def test_streams_end_for_everybody_who_follows(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("hang")

        async def follow() -> list[dict[str, Any]]:
            url = f"{submitted['status_url']}/stream"
            async with s.client.stream("GET", url) as answer:
                return await _followed(answer)

        followers = [asyncio.create_task(follow()) for _ in range(3)]
        await s.until(submitted, "IN_PROGRESS")
        await s.client.put(submitted["cancel_url"])
        async with asyncio.timeout(10):
            seen = await asyncio.gather(*followers)
        assert [events[-1]["error_type"] for events in seen] == ["client_cancelled"] * 3


# --- Restarts ---------------------------------------------------------------------------------


async def test_after_a_restart_states_and_results_are_still_there(tmp_path: Path) -> None:
    async with fal_site(tmp_path, slots=1) as s:
        done, failed = await s.submit("steps=2", seed=3), await s.submit("fail")
        await s.until(done, "COMPLETED")
        await s.until(failed, "COMPLETED")
        cut_off = await s.submit("steps=30 pause=0.05")
        waiting = await s.submit("steps=1")
        await s.until(cut_off, "IN_PROGRESS")
    async with fal_site(tmp_path) as s:
        moved = [_moved(request, s) for request in (done, failed, cut_off, waiting)]
        results = [await s.result(request) for request in moved]
        assert [answer.status_code for answer in results] == [200, 500, 200, 200]
        assert results[0].json()["seed"] == 3


def _moved(submitted: dict[str, Any], s: FalSite) -> dict[str, Any]:
    """The same request where the server answers now."""
    old = submitted["status_url"].split("/queue/")[0]
    return {
        key: value.replace(old, s.url) if isinstance(value, str) else value
        for key, value in submitted.items()
    }


# --- Addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "public_url", "begins"),
    [
        ({"Host": "box.example:9"}, None, "http://box.example:9"),
        ({"Host": "[::1]:80"}, None, "http://[::1]:80"),
        ({"Host": "a.example"}, "https://a.example", "https://a.example"),
        ({"Host": "b.example"}, "https://a.example", "http://b.example"),
        ({"Host": "a.example", "X-Forwarded-Proto": "https"}, None, "http://a.example"),
        ({"Host": "a.example", "X-Forwarded-Host": "evil.example"}, None, "http://a.example"),
    ],
)
async def test_addresses_begin_with_the_host_that_was_used(
    tmp_path: Path, headers: dict[str, str], public_url: str | None, begins: str
) -> None:
    async with fal_site(tmp_path, public_url=public_url) as s:
        answer = await s.client.post(FLUX_1, json={"prompt": "steps=1"}, headers=headers)
        body = answer.json()
        assert all(
            body[name].startswith(f"{begins}/queue/fal-ai/flux-lora/requests/")
            for name in ("response_url", "status_url", "cancel_url")
        )
        own = {"status_url": f"{FLUX_1}/requests/{body['request_id']}/status"}
        await s.until(own, "COMPLETED")
        result = await s.client.get(f"{FLUX_1}/requests/{body['request_id']}", headers=headers)
        assert result.json()["images"][0]["url"].startswith(f"{begins}/files/results/")


async def test_a_host_that_is_none_is_refused(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(FLUX_1, json={"prompt": "a"}, headers={"Host": 'a"b'})
        assert answer.status_code == 400
        assert await s.jobs() == []


@pytest.mark.parametrize("link", ["x", "WzEsWyJhIiwwXV0.x"])
async def test_a_link_that_was_not_signed_leads_nowhere(tmp_path: Path, link: str) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.nobody.get(f"/files/results/{link}/7.png")
        assert answer.status_code == 404
        assert "detail" in answer.json()


async def test_the_longest_accepted_queue_is_heeded(tmp_path: Path) -> None:
    async with fal_site(tmp_path, slots=1) as s:
        await s.until(await s.submit("hang"), "IN_PROGRESS")
        await s.submit("waits")
        states: Sequence[JobState] = [job.state for job in await s.jobs()]
        longest = {"fal_max_queue_length": "0"}
        answer = await s.client.post(FLUX_1, json={"prompt": "a"}, params=longest)
        assert (answer.status_code, answer.json()["error_type"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["x-fal-needs-retry"] == "1"
        assert len(await s.jobs()) == len(states) == 2
        odd = await s.client.post(FLUX_1, params={"fal_max_queue_length": "x"}, json={})
        assert odd.json()["detail"][0]["loc"] == ["query", "fal_max_queue_length"]
