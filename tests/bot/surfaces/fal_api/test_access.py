"""Who may use the endpoint, from which page, and whose requests are whose."""

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.fakes.fal_site import FLUX_1, KEY, OTHER_KEY, fal_site


@pytest.mark.parametrize("scheme", ["Key", "Bearer", "key"])
async def test_each_key_is_a_requester(tmp_path: Path, scheme: str) -> None:
    async with fal_site(tmp_path) as s:
        for key in (KEY, OTHER_KEY):
            headers = {"Authorization": f"{scheme} {key}"}
            answer = await s.nobody.post(FLUX_1, json={"prompt": "a"}, headers=headers)
            job = await s.store.get(answer.json()["request_id"])
            assert job is not None
            assert job.requester == f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
            assert (job.place.community, job.place.private) == ("local", True)


async def test_without_a_known_key_there_is_a_401_and_no_job(tmp_path: Path) -> None:
    wrong = ["", "Key", f"Basic {KEY}", KEY, "Key wrong", f"Key {KEY}x", f"Key {KEY[:-1]}"]
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("hang")
        for headers in ({}, *({"Authorization": value} for value in wrong)):
            for answer in (
                await s.nobody.post(FLUX_1, json={"prompt": "a"}, headers=headers),
                await s.nobody.post("/run/fal-ai/flux-lora", json={}, headers=headers),
                await s.nobody.get(submitted["status_url"], headers=headers),
                await s.nobody.get(submitted["response_url"], headers=headers),
                await s.nobody.put(submitted["cancel_url"], headers=headers),
                await s.nobody.post("/storage/upload/initiate", json={}, headers=headers),
            ):
                assert answer.status_code == 401
                assert list(answer.json()) == ["detail"]
                assert KEY not in answer.text
        assert len(await s.jobs()) == 1


async def test_the_requests_of_another_key_are_not_found(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        submitted = await s.submit("hang")
        for answer in (
            await s.stranger.get(submitted["status_url"]),
            await s.stranger.get(f"{submitted['status_url']}/stream"),
            await s.stranger.get(submitted["response_url"]),
            await s.stranger.put(submitted["cancel_url"]),
        ):
            assert (answer.status_code, answer.json()["status"]) == (404, "NOT_FOUND")
        await s.until(submitted, "IN_PROGRESS")


# --- Without keys -----------------------------------------------------------------------------


async def test_without_keys_this_machine_is_served(tmp_path: Path) -> None:
    async with fal_site(tmp_path, keys=()) as s:
        submitted = await s.submit("steps=1")
        job = await s.store.get(submitted["request_id"])
        assert job is not None
        assert job.requester == "local"
        assert (await s.result(submitted)).status_code == 200


async def test_without_keys_nobody_else_is(tmp_path: Path) -> None:
    async with fal_site(tmp_path, keys=()) as s:
        for headers in (
            {"Host": "evil.example"},
            {"X-Forwarded-For": "1.2.3.4"},
            {"Forwarded": "for=1.2.3.4"},
            {"Via": "1.1 proxy"},
            {"X-Real-IP": "127.0.0.1"},
            {"Host": "evil.example", "Authorization": f"Key {KEY}"},
        ):
            answer = await s.client.post(FLUX_1, json={"prompt": "a"}, headers=headers)
            assert answer.status_code == 401
            assert "ATELIER_API_KEYS" in answer.json()["detail"]
        assert await s.jobs() == []


async def test_without_keys_a_page_elsewhere_draws_nothing(tmp_path: Path) -> None:
    async with fal_site(tmp_path, keys=()) as s:
        for origin in ("https://evil.example", "http://localhost.evil.example", "null"):
            headers = {"Origin": origin, "Content-Type": "text/plain"}  # needs no preflight
            answer = await s.client.post(FLUX_1, content='{"prompt": "a"}', headers=headers)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
            assert (await _preflight(s.client, origin)).status_code == 400
        assert await s.jobs() == []


async def test_without_keys_a_page_of_this_machine_may(tmp_path: Path) -> None:
    async with fal_site(tmp_path, keys=()) as s:
        for origin in ("http://localhost:3000", "http://127.0.0.1:8470", "https://[::1]:8"):
            preflight = await _preflight(s.client, origin)
            assert preflight.headers["access-control-allow-origin"] == origin
            headers = {"Origin": origin}
            answer = await s.client.post(FLUX_1, json={"prompt": "a"}, headers=headers)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin


# --- Browsers with a key ----------------------------------------------------------------------


async def test_with_keys_any_page_may_ask_and_read_the_answer(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        page = {"Origin": "https://anywhere.example"}
        preflight = await _preflight(s.nobody, page["Origin"])
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "*"
        allowed = preflight.headers["access-control-allow-headers"].lower()
        assert {"authorization", "content-type", "x-fal-queue-priority"} <= set(allowed.split(","))
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in preflight.headers
        submitted = await s.submit("steps=1")
        url = (await s.result(submitted)).json()["images"][0]["url"]
        refused = await s.client.post(FLUX_1, json={}, headers=page)
        for answer in (
            await s.client.get(submitted["status_url"], headers=page),
            await s.nobody.get(url, headers=page),
            refused,
            await s.nobody.post(FLUX_1, json={}, headers=page),
        ):
            assert answer.headers["access-control-allow-origin"] == "*"
            exposed = answer.headers["access-control-expose-headers"]
            assert exposed == "x-fal-request-id, x-fal-billable-units"
            assert answer.headers["x-fal-request-id"]
        assert refused.status_code == 422


async def _preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    return await client.options(
        FLUX_1,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-fal-queue-priority",
        },
    )
