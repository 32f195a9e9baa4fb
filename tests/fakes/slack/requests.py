"""Signed HTTP: what Slack sends to the app's request URL, and the app's answer to it."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from tests.fakes.slack.delivery import COMMAND, EVENT, Delivery, Envelope
from tests.fakes.slack.state import Json
from tests.fakes.slack.world import World

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Reply:
    """What the app answered to a request."""

    status: int
    text: str
    headers: dict[str, str] = field(repr=False)


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """`X-Slack-Signature` for a body's raw bytes, as Slack's documentation tells it."""
    base = b"v0:" + str(timestamp).encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


class Requests:
    """Sends envelopes to `url`, signed. Without a URL the app is in Socket Mode."""

    def __init__(self, world: World, delivery: Delivery, secret: str) -> None:
        self._world = world
        self._delivery = delivery
        self.secret = secret
        self.url: str | None = None
        """Where the app listens, `/slack/events` included."""
        self.replies: list[Reply] = []

    async def send(
        self,
        body: bytes,
        content_type: str = "application/json",
        *,
        secret: str | None = None,
        age: float = 0.0,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send raw bytes, signed by `secret` (Slack's own, without) `age` seconds ago."""
        assert self.url is not None, "the app has no request URL"
        stamp = int(self._world.clock.now() - age)
        signed = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": str(stamp),
            "X-Slack-Signature": signature(secret or self.secret, body, stamp),
            **(headers or {}),
        }
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.url, data=body, headers=signed) as answer,
        ):
            return Reply(answer.status, await answer.text(), dict(answer.headers))

    async def carry(self, envelope: Envelope) -> bool:
        """Send an envelope; a 200 is its ack."""
        body, kind = encoded(envelope)
        headers = {}
        if envelope.attempts:
            reason = envelope.retry_reason or "timeout"
            headers["X-Slack-Retry-Num"] = str(envelope.attempts)
            headers["X-Slack-Retry-Reason"] = "http_timeout" if reason == "timeout" else reason
        try:
            reply = await self.send(body, kind, headers=headers)
        except (aiohttp.ClientError, TimeoutError):
            envelope.trouble = "connection_failed"
            return False
        self.replies.append(reply)
        if reply.status != 200:
            envelope.trouble = "http_error"
            return False
        self._delivery.acked(envelope, _answer(reply))
        return True

    async def verify_url(self) -> Reply:
        """Send the challenge by which Slack checks a request URL."""
        body = {"type": "url_verification", "token": "fake", "challenge": "3eZbrw1aBm2rZgRNFdxV"}
        return await self.send(json.dumps(body).encode())


def encoded(envelope: Envelope) -> tuple[bytes, str]:
    """The bytes of an envelope's request, and their content type."""
    if envelope.kind == EVENT:
        return json.dumps(envelope.payload).encode(), "application/json"
    if envelope.kind == COMMAND:
        return urlencode(envelope.payload).encode(), _FORM
    return urlencode({"payload": json.dumps(envelope.payload)}).encode(), _FORM


def _answer(reply: Reply) -> Json | None:
    if not reply.text:
        return None
    if "json" in reply.headers.get("Content-Type", ""):
        found = json.loads(reply.text)
        return found if isinstance(found, dict) else None
    return {"text": reply.text}
