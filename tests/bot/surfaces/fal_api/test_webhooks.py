"""Webhooks of the whole endpoint: submitted, drawn, told, and checked with the published key."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request

from bot.http import HttpServer
from tests.fakes.fal_site import FLUX_1, FalSite, fal_site


@dataclass
class Receiver:
    """Somebody's server that wants to be told."""

    url: str = ""
    told: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/done")
        async def done(request: Request) -> None:
            await self.told.put((dict(request.headers), await request.body()))

        return app

    async def next(self) -> tuple[dict[str, str], Any, bytes]:
        headers, body = await asyncio.wait_for(self.told.get(), 20)
        return headers, json.loads(body), body


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = HttpServer(receiver.app(), host="127.0.0.1", port=0, grace=0.2)
    await server.start()
    receiver.url = f"{server.url}/done"
    yield receiver
    await server.stop()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[FalSite]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(fal_site(tmp_path))


async def submit(site: FalSite, prompt: str, webhook: str) -> Any:
    return await site.client.post(FLUX_1, params={"fal_webhook": webhook}, json={"prompt": prompt})


async def test_a_webhook_says_what_the_result_answers_and_the_published_key_checks_it(
    site: FalSite, receiver: Receiver
) -> None:
    submitted = (await submit(site, "steps=1", receiver.url)).json()
    assert submitted["gateway_request_id"] == submitted["request_id"]
    headers, told, body = await receiver.next()
    assert told["request_id"] == submitted["request_id"]
    assert told["status"] == "OK"
    result = (await site.client.get(submitted["response_url"])).json()
    assert told["payload"]["seed"] == result["seed"]
    assert (await site.nobody.get(told["payload"]["images"][0]["url"])).status_code == 200
    answer = await site.nobody.get("/.well-known/jwks.json")
    [key] = answer.json()["keys"]
    lines = [headers[f"x-fal-webhook-{n}"] for n in ("request-id", "user-id", "timestamp")]
    Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "==")).verify(
        bytes.fromhex(headers["x-fal-webhook-signature"]),
        "\n".join([*lines, hashlib.sha256(body).hexdigest()]).encode(),
    )


async def test_a_failure_is_told_with_its_error_body(site: FalSite, receiver: Receiver) -> None:
    submitted = (await submit(site, "fail", receiver.url)).json()
    _, told, _ = await receiver.next()
    assert (told["status"], told["request_id"]) == ("ERROR", submitted["request_id"])
    assert told["payload"] == (await site.client.get(submitted["response_url"])).json()
    assert told["error"]


async def test_a_target_inside_the_network_is_refused_and_nothing_is_submitted(
    site: FalSite,
) -> None:
    answer = await submit(site, "steps=1", "https://10.0.0.1/done?secret=1")
    assert answer.status_code == 422
    [detail] = answer.json()["detail"]
    assert detail["loc"] == ["query", "fal_webhook"]
    assert "10.0.0.1 was refused" in detail["msg"]
    assert "secret" not in detail["msg"]
    assert await site.jobs() == []
