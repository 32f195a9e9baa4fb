"""The webhook route over a real socket; but for one test, who has signed is a stand-in's word."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from backends.fal.webhooks import Forged, KeysUnavailable, WebhookRefused, WebhookVerifier
from bot import fal_webhooks
from bot.fal_webhooks import PATH, create_webhook_router
from bot.http import HttpServer, create_app


class Service:
    """Accepts what has the header `x-fal-webhook-request-id`; keeps who was woken."""

    def __init__(self) -> None:
        self.waiting = {"abc"}
        self.woken: list[str] = []
        self.bodies: list[int] = []
        self.error: WebhookRefused | None = None
        self.entered = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def verify(self, headers: Mapping[str, str], body: AsyncIterable[bytes]) -> str:
        self.entered += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        self.bodies.append(sum([len(chunk) async for chunk in body]))
        return headers["X-Fal-Webhook-Request-Id"]

    def wake(self, request_id: str) -> bool:
        self.woken.append(request_id)
        return request_id in self.waiting


@pytest.fixture
def service() -> Service:
    return Service()


@asynccontextmanager
async def serving(*routers: APIRouter) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> list[str]:
        return []

    app = create_app(ready, CollectorRegistry(), routers)
    server = HttpServer(app, host="127.0.0.1", port=0, grace=0.2)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client
    await server.stop()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(create_webhook_router(service.verify, service.wake)) as client:
        yield client


async def send(client: httpx.AsyncClient, request_id: str = "abc", body: bytes = b"{}") -> int:
    headers = {"X-Fal-Webhook-Request-Id": request_id}
    return (await client.post(PATH, content=body, headers=headers)).status_code


async def test_a_webhook_wakes_the_one_who_waits(
    client: httpx.AsyncClient, service: Service
) -> None:
    assert await send(client) == 200
    assert service.woken == ["abc"]


async def test_a_webhook_that_comes_twice_or_for_nobody_is_accepted(
    client: httpx.AsyncClient, service: Service
) -> None:
    assert [await send(client), await send(client), await send(client, "unknown")] == [200] * 3
    assert service.woken == ["abc", "abc", "unknown"]


async def test_a_bad_signature_is_answered_with_a_sentence_and_wakes_nobody(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.error = Forged("It was not signed.")
    answer = await client.post(PATH, content=b"{}")
    assert answer.status_code == 401
    assert answer.json()["error"] == "It was not signed."
    assert not service.woken


async def test_what_cannot_be_verified_now_may_be_sent_again(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.error = KeysUnavailable("There are no keys.")
    assert await send(client) == 503
    assert not service.woken


async def test_refusals_are_logged_once_a_minute_however_many_there_are(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.error = Forged("It was not signed.")
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await send(client)
    lines = [line for line in logs if line["event"] == "a webhook was refused"]
    assert [line["reason"] for line in lines] == ["It was not signed."]


async def test_a_large_body_is_read_and_one_that_is_too_large_is_not(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_webhooks, "MAX_BODY", 2**20)
    assert await send(client, body=b"x" * 2**20) == 200
    assert service.bodies == [2**20]
    assert await send(client, body=b"x" * (2**20 + 1)) == 413
    assert service.woken == ["abc"]


async def test_a_body_that_never_ends_is_given_up(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_webhooks, "_READ_TIMEOUT_S", 0.1)
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{{".encode())
    async with asyncio.timeout(10):
        assert (await reader.readline()).split()[1] == b"408"
    writer.close()
    assert not service.woken


async def test_a_sender_that_hangs_up_wakes_nobody_and_breaks_nothing(
    client: httpx.AsyncClient, service: Service
) -> None:
    with structlog.testing.capture_logs() as logs:
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{{".encode())
        async with asyncio.timeout(10):
            while not service.entered:
                await asyncio.sleep(0.01)
            writer.close()
            assert await send(client) == 200
    assert service.woken == ["abc"]
    assert not [line for line in logs if line["event"] == "a request broke"]


async def test_only_so_many_are_read_at_once_and_the_rest_may_be_sent_again(
    client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_webhooks, "_MAX_AT_ONCE", 2)
    service.gate.clear()
    first = [asyncio.create_task(send(client)) for _ in range(2)]
    async with asyncio.timeout(10):
        while service.entered < 2:
            await asyncio.sleep(0.01)
        assert await send(client) == 503
        service.gate.set()
        assert await asyncio.gather(*first) == [200, 200]
        assert await send(client) == 200


async def test_what_the_service_has_signed_wakes_and_what_somebody_changed_does_not(
    service: Service,
) -> None:
    key = Ed25519PrivateKey.generate()
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    keys = APIRouter()
    keys.add_api_route("/.well-known/jwks.json", lambda: {"keys": [{"kty": "OKP", "x": x}]})
    async with httpx.AsyncClient() as http, serving(keys) as fal:
        verifier = WebhookVerifier(str(fal.base_url), http)
        async with serving(create_webhook_router(verifier.verify, service.wake)) as ours:
            body, now = b'{"status": "OK"}', str(int(time.time()))
            message = "\n".join(("abc", "user", now, hashlib.sha256(body).hexdigest())).encode()
            headers = {
                "X-Fal-Webhook-Request-Id": "abc",
                "X-Fal-Webhook-User-Id": "user",
                "X-Fal-Webhook-Timestamp": now,
                "X-Fal-Webhook-Signature": key.sign(message).hex(),
            }
            changed = await ours.post(PATH, content=body + b" ", headers=headers)
            assert (changed.status_code, service.woken) == (401, [])
            accepted = await ours.post(PATH, content=body, headers=headers)
            assert (accepted.status_code, service.woken) == (200, ["abc"])
