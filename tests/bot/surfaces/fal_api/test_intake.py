"""What goes in: bodies, retries, and clients that are gone before they are answered."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.surfaces.fal_api.body import MAX_BODY, MAX_PLAIN
from tests.fakes.fal_site import FLUX_1, FLUX_2, KEY, FalSite, fal_site
from tests.lora_registry.loras import flux1, kohya, only, write

HEADERS = ["Idempotency-Key", "x-idempotency-key"]


async def test_what_is_no_json_object_is_refused(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        for body, kind in (
            (b"", "json_invalid"),
            (b"{", "json_invalid"),
            (b"\xff", "json_invalid"),
            (b'{"seed": NaN}', "json_invalid"),
            (b'{"seed": 1e999}', "json_invalid"),
            (b'{"seed": ' + b"1" * 5000 + b"}", "json_invalid"),
            (b"[" * 100_000, "json_invalid"),
            (b"[]", "dict_type"),
            (b'"a"', "dict_type"),
        ):
            answer = await s.client.post(FLUX_1, content=body)
            assert answer.status_code == 422
            [detail] = answer.json()["detail"]
            assert (detail["loc"], detail["type"]) == (["body"], kind)


async def test_a_refusal_may_quote_what_no_text_can_hold(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        body = b'{"prompt": "\\ud800", "\\udfff": {"a": [1, "\\ud800"]}}'
        answer = await s.client.post(FLUX_1, content=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == "string_unicode"


async def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        plain = await s.client.post(FLUX_1, json={"prompt": "a", "x": "y" * MAX_PLAIN})
        assert plain.status_code == 413
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent <= MAX_BODY:
                sent += 2**20
                yield b" " * 2**20

        answer = await s.client.post(FLUX_1, content=endless())
        assert (answer.status_code, list(answer.json())) == (413, ["detail"])
        assert await s.jobs() == []


async def test_many_faults_are_not_all_told(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        loras = [{"path": ""}] * 10_000
        answer = await s.client.post(FLUX_1, json={"prompt": "a", "loras": loras})
        assert answer.status_code == 422
        assert len(answer.json()["detail"]) == 50
        assert answer.json()["detail"][3]["loc"] == ["body", "loras", 3, "path"]


async def test_a_lora_may_come_inside_the_request(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        layers = only(flux1(), "transformer_blocks.0.attn.to_q")
        data = write(tmp_path / "lora.safetensors", kohya(layers, rank=1)).read_bytes()
        uri = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
        submitted = await s.submit("a", loras=[{"path": uri, "scale": 0.5}])
        job = await s.store.get(submitted["request_id"])
        assert job is not None
        assert job.request.loras[0].path.startswith("/files/uploads/")
        assert (await s.result(submitted)).status_code == 200
        broken = await s.client.post(
            FLUX_1, json={"prompt": "a", "loras": [{"path": "data:;base64,?"}]}
        )
        assert broken.status_code == 422
        assert broken.json()["detail"][0]["loc"][:2] == ["body", "loras"]


# --- The same request again -------------------------------------------------------------------


@pytest.mark.parametrize("header", HEADERS)
async def test_the_same_key_is_the_same_job(tmp_path: Path, header: str) -> None:
    async with fal_site(tmp_path) as s:

        async def submit(key: str) -> Any:
            answer = await s.client.post(FLUX_1, json={"prompt": "a"}, headers={header: key})
            assert answer.status_code == 200
            assert answer.headers["x-fal-request-id"] == answer.json()["request_id"]
            return answer.json()["request_id"]

        at_once = await asyncio.gather(*(submit("one") for _ in range(5)))
        other = await submit("two")
        assert len({*at_once}) == 1
        assert other != at_once[0]
        await s.until({"status_url": f"{FLUX_1}/requests/{other}/status"}, "COMPLETED")
        assert await submit("one") == at_once[0]


async def test_the_same_key_of_another_requester_is_another_job(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        ids = [
            (await c.post(FLUX_1, json={"prompt": "a"}, headers={HEADERS[0]: "one"})).json()
            for c in (s.client, s.stranger)
        ]
        assert ids[0]["request_id"] != ids[1]["request_id"]


@pytest.mark.parametrize("change", [{"prompt": "b"}, {"seed": 1}, None])
async def test_the_same_key_for_another_request_is_refused(
    tmp_path: Path, change: dict[str, Any] | None
) -> None:
    async with fal_site(tmp_path) as s:
        headers = {HEADERS[0]: "one"}
        await s.client.post(FLUX_1, json={"prompt": "a"}, headers=headers)
        path = FLUX_1 if change else FLUX_2
        body = {"prompt": "a"} | (change or {})
        answer = await s.client.post(path, json=body, headers=headers)
        assert answer.status_code == 422
        assert "Idempotency-Key" in answer.json()["detail"][0]["msg"]
        assert await _count(s) == 1


async def test_a_key_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(FLUX_1, json={"prompt": "a"}, headers={HEADERS[0]: "k" * 300})
        assert answer.status_code == 400


# --- Clients that are gone --------------------------------------------------------------------


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_job_whose_submitter_is_gone_before_the_answer_is_cancelled(
    tmp_path: Path, idempotent: bool
) -> None:
    async with fal_site(tmp_path) as s:
        key = f"{HEADERS[0]}: one\r\n" if idempotent else ""
        body = {"prompt": "hang"}
        # While somebody else writes, nothing can be submitted.
        async with s.database.write(), s.hanging_up(FLUX_1, body, key), asyncio.timeout(10):
            while not s.api.surface._receipts:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            while not (known := await s.store.history(s.api.surface.name, _requester(), **_ALL)):
                await asyncio.sleep(0.01)
        if idempotent:
            # Whoever submits again with the key finds the job alive.
            again = await s.client.post(FLUX_1, json=body, headers={HEADERS[0]: "one"})
            assert again.json()["request_id"] == known[0].id
            await s.until(again.json(), "IN_PROGRESS")
        else:
            await s.cancelled(known[0].id)


_ALL: dict[str, Any] = {"before": None, "limit": 10}


def _requester() -> str:
    return f"key-{hashlib.sha256(KEY.encode()).hexdigest()[:12]}"


async def _count(s: FalSite) -> int:
    return len(await s.store.history(s.api.surface.name, _requester(), **_ALL))


async def test_half_a_body_is_no_job(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        async with s.hanging_up(FLUX_1, {"prompt": "a"}, "Content-Length: 100\r\n"):
            pass
        assert (await s.client.get("/queue/")).status_code == 404
        assert await _count(s) == 0
