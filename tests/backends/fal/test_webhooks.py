"""Signatures of webhooks, with a real key and its JWKS on a real server."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from backends.fal.webhooks import (
    KEYS_LIFETIME_S,
    KEYS_PAUSE_S,
    Forged,
    KeysUnavailable,
    Stale,
    Unsigned,
    WebhookVerifier,
)
from tests.backends.fal.stage import ON_STAGE, Stage, fixture, stage

__all__ = ["stage"]

pytestmark = ON_STAGE

BODY = b'{"request_id": "abc", "status": "OK"}'


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Sender:
    """The service: signs webhooks and publishes its keys."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.keys = [Ed25519PrivateKey.generate()]
        self.jwks: object = None
        self.redirect: str | None = None
        self.status = 200
        self.fetches: list[Mapping[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, request: Request) -> Response:
        self.fetches.append(dict(request.headers))
        await self.gate.wait()
        if self.redirect:
            return RedirectResponse(self.redirect)
        keys = [{"kty": "OKP", "crv": "Ed25519", "x": public(key)} for key in self.keys]
        document = {"keys": keys} if self.jwks is None else self.jwks
        return JSONResponse(document, status_code=self.status)

    def sign(
        self, body: bytes = BODY, request_id: str = "abc", key: Ed25519PrivateKey | None = None
    ) -> dict[str, str]:
        time = str(int(self.clock.now))
        message = "\n".join((request_id, "user-1", time, hashlib.sha256(body).hexdigest()))
        return {
            "x-fal-webhook-request-id": request_id,
            "x-fal-webhook-user-id": "user-1",
            "x-fal-webhook-timestamp": time,
            "x-fal-webhook-signature": (key or self.keys[0]).sign(message.encode()).hex(),
        }


def public(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes_raw()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def stream(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 7):
        yield body[start : start + 7]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender(clock: Clock) -> Sender:
    return Sender(clock)


@fixture()
async def verifier(stage: Stage, sender: Sender, clock: Clock) -> AsyncIterator[WebhookVerifier]:
    stage.app = Starlette(routes=[Route("/rest/.well-known/jwks.json", sender.publish)])
    async with httpx.AsyncClient() as http:
        yield WebhookVerifier(f"{stage.url}/rest", http, clock)


async def test_a_webhook_that_the_service_signed_gives_its_request_id(
    verifier: WebhookVerifier, sender: Sender
) -> None:
    assert await verifier.verify(sender.sign(), stream(BODY)) == "abc"


async def test_any_of_the_published_keys_may_have_signed(
    verifier: WebhookVerifier, sender: Sender
) -> None:
    sender.keys.append(Ed25519PrivateKey.generate())
    headers = sender.sign(key=sender.keys[1])
    assert await verifier.verify(headers, stream(BODY)) == "abc"


async def test_another_body_is_a_forgery(verifier: WebhookVerifier, sender: Sender) -> None:
    with pytest.raises(Forged):
        await verifier.verify(sender.sign(), stream(BODY + b" "))


@pytest.mark.parametrize("name", ["request-id", "user-id"])
async def test_another_id_is_a_forgery(
    verifier: WebhookVerifier, sender: Sender, name: str
) -> None:
    headers = sender.sign() | {f"x-fal-webhook-{name}": "someone-elses"}
    with pytest.raises(Forged):
        await verifier.verify(headers, stream(BODY))


async def test_another_time_is_a_forgery(verifier: WebhookVerifier, sender: Sender) -> None:
    headers = sender.sign() | {"x-fal-webhook-timestamp": str(int(sender.clock.now) + 1)}
    with pytest.raises(Forged):
        await verifier.verify(headers, stream(BODY))


async def test_a_strangers_key_is_a_forgery(verifier: WebhookVerifier, sender: Sender) -> None:
    with pytest.raises(Forged):
        await verifier.verify(sender.sign(key=Ed25519PrivateKey.generate()), stream(BODY))


@pytest.mark.parametrize("passed", [301, -301])
async def test_a_webhook_of_another_time_is_stale_and_says_by_how_much(
    verifier: WebhookVerifier, sender: Sender, clock: Clock, passed: int
) -> None:
    headers = sender.sign()
    clock.now += passed
    with pytest.raises(Stale, match=r"signed 301 seconds (ago|from now), and 300 are allowed"):
        await verifier.verify(headers, stream(BODY))


@pytest.mark.parametrize("passed", [299, -299])
async def test_clocks_may_differ_by_five_minutes(
    verifier: WebhookVerifier, sender: Sender, clock: Clock, passed: int
) -> None:
    headers = sender.sign()
    clock.now += passed
    assert await verifier.verify(headers, stream(BODY)) == "abc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request-id", None),
        ("user-id", ""),
        ("timestamp", None),
        ("timestamp", "soon"),
        ("timestamp", "٣٠٠"),
        ("signature", None),
        ("signature", "00"),
        ("signature", "zz" * 64),
    ],
)
async def test_a_header_that_is_missing_or_unreadable_is_named_and_nothing_else_is_done(
    verifier: WebhookVerifier, sender: Sender, name: str, value: str | None
) -> None:
    headers = sender.sign()
    headers.pop(f"x-fal-webhook-{name}")
    if value is not None:
        headers[f"x-fal-webhook-{name}"] = value

    body = stream(BODY)
    with pytest.raises(Unsigned, match=f"(?i)X-Fal-Webhook-{name}"):
        await verifier.verify(headers, body)
    assert await anext(body) == BODY[:7]  # none of it was read
    assert not sender.fetches


async def test_the_keys_are_fetched_once_for_many_webhooks_at_once_and_without_credentials(
    verifier: WebhookVerifier, sender: Sender
) -> None:
    sender.gate.clear()
    waiting = [
        asyncio.create_task(verifier.verify(sender.sign(request_id=str(n)), stream(BODY)))
        for n in range(20)
    ]
    async with asyncio.timeout(10):
        while not sender.fetches:
            await asyncio.sleep(0.01)
        sender.gate.set()
        assert await asyncio.gather(*waiting) == [str(n) for n in range(20)]
    assert len(sender.fetches) == 1
    assert "authorization" not in sender.fetches[0]


async def test_the_keys_are_kept_for_a_day(
    verifier: WebhookVerifier, sender: Sender, clock: Clock
) -> None:
    await verifier.verify(sender.sign(), stream(BODY))
    clock.now += KEYS_LIFETIME_S - 1
    await verifier.verify(sender.sign(), stream(BODY))
    assert len(sender.fetches) == 1
    clock.now += 1
    await verifier.verify(sender.sign(), stream(BODY))
    assert len(sender.fetches) == 2


async def test_a_key_that_the_service_has_taken_back_is_worth_nothing_after_a_day(
    verifier: WebhookVerifier, sender: Sender, clock: Clock
) -> None:
    old = sender.keys[0]
    await verifier.verify(sender.sign(), stream(BODY))
    sender.keys = [Ed25519PrivateKey.generate()]
    clock.now += KEYS_LIFETIME_S
    with pytest.raises(Forged):
        await verifier.verify(sender.sign(key=old), stream(BODY))


async def test_a_new_key_of_the_service_is_fetched_when_none_fits(
    verifier: WebhookVerifier, sender: Sender, clock: Clock
) -> None:
    await verifier.verify(sender.sign(), stream(BODY))
    sender.keys = [Ed25519PrivateKey.generate()]
    clock.now += KEYS_PAUSE_S
    assert await verifier.verify(sender.sign(), stream(BODY)) == "abc"
    assert len(sender.fetches) == 2


async def test_forgeries_fetch_the_keys_once_a_minute_at_most(
    verifier: WebhookVerifier, sender: Sender, clock: Clock
) -> None:
    stranger = Ed25519PrivateKey.generate()
    for _ in range(2):
        for _ in range(30):
            with pytest.raises(Forged):
                await verifier.verify(sender.sign(key=stranger), stream(BODY))
        clock.now += KEYS_PAUSE_S
    assert len(sender.fetches) == 2


async def test_without_keys_nothing_is_accepted_and_they_are_asked_for_once_a_minute(
    verifier: WebhookVerifier, sender: Sender, clock: Clock
) -> None:
    sender.status = 503
    for _ in range(5):
        with pytest.raises(KeysUnavailable, match="FAL_REST_URL"):
            await verifier.verify(sender.sign(), stream(BODY))
    assert len(sender.fetches) == 1
    sender.status = 200
    clock.now += KEYS_PAUSE_S
    assert await verifier.verify(sender.sign(), stream(BODY)) == "abc"


async def test_keys_that_are_not_old_survive_trouble_of_the_service(
    verifier: WebhookVerifier, sender: Sender, clock: Clock
) -> None:
    await verifier.verify(sender.sign(), stream(BODY))
    sender.status = 500
    clock.now += KEYS_PAUSE_S
    with pytest.raises(Forged):
        await verifier.verify(sender.sign(key=Ed25519PrivateKey.generate()), stream(BODY))
    assert len(sender.fetches) == 2
    assert await verifier.verify(sender.sign(), stream(BODY)) == "abc"


@pytest.mark.parametrize(
    "jwks",
    [
        [],
        {"keys": "none"},
        {"keys": []},
        {"keys": [{"kty": "RSA", "n": "AQAB"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "c2hvcnQ"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "ä"}]},
    ],
)
async def test_a_document_without_a_usable_key_is_no_keys(
    verifier: WebhookVerifier, sender: Sender, jwks: object
) -> None:
    sender.jwks = jwks
    with pytest.raises(KeysUnavailable):
        await verifier.verify(sender.sign(), stream(BODY))


@pytest.mark.parametrize("others", [[{"x": "A" * 70_000}], [{}] * 16])
async def test_a_document_that_is_far_too_large_is_no_keys(
    verifier: WebhookVerifier, sender: Sender, others: list[dict[str, str]]
) -> None:
    sender.jwks = {"keys": [{"x": public(sender.keys[0])}, *others]}
    with pytest.raises(KeysUnavailable):
        await verifier.verify(sender.sign(), stream(BODY))


async def test_keys_of_other_kinds_beside_the_right_one_do_no_harm(
    verifier: WebhookVerifier, sender: Sender
) -> None:
    right = {"x": public(sender.keys[0]), "kid": "1", "use": "sig"}
    sender.jwks = {"keys": [{"kty": "RSA", "n": "AQAB"}, {"x": "c2hvcnQ"}, right]}
    assert await verifier.verify(sender.sign(), stream(BODY)) == "abc"


async def test_a_redirect_of_the_keys_is_not_followed(
    verifier: WebhookVerifier, sender: Sender
) -> None:
    sender.redirect = "/rest/.well-known/jwks.json?again"
    with pytest.raises(KeysUnavailable):
        await verifier.verify(sender.sign(), stream(BODY))
    assert len(sender.fetches) == 1
