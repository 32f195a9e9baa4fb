"""What Slack sends to us over HTTP: read, found to be signed and fresh, and only then looked at."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import SecretStr
from slack_bolt.adapter.starlette.async_handler import (
    to_async_bolt_request,
    to_starlette_response,
)
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.requests import ClientDisconnect

PATH: Final = "/slack/events"
MOST_BYTES: Final = 4 * 2**20
"""Far more than Slack sends: a click brings along the message that it was done in."""
_READ_S: Final = 10.0
_AT_ONCE: Final = 32
_LOG_PAUSE_S: Final = 60.0

log = structlog.get_logger()


class Signatures:
    """Knows what Slack has signed with `secret`; `clock` gives seconds since 1970.

    Source: docs.slack.dev, “Verifying requests from Slack”.
    """

    def __init__(self, secret: SecretStr, clock: Callable[[], float]) -> None:
        ours = _Clock(clock)
        self._verifier = SignatureVerifier(secret.get_secret_value(), clock=ours)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether the signature fits these very bytes and is at most five minutes old.

        The time that it takes says nothing about the signature.
        """
        stamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        try:
            return self._verifier.is_valid(body, stamp, signature)
        except (TypeError, ValueError):  # no number, no ASCII, no UTF-8
            return False


class _Clock(Clock):
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock()


def create_router(
    app: AsyncApp, signatures: Signatures | None, ready: Callable[[], bool]
) -> APIRouter:
    """The route that Slack calls; without `signatures` there is none.

    Before `ready` Slack is asked to come again, as it does with events.
    """
    router = APIRouter()
    reading = 0
    logged_at = float("-inf")

    @router.post(PATH)
    async def events(request: Request) -> Response:
        """What happens in the workspace, signed by Slack."""
        nonlocal reading, logged_at
        if signatures is None:
            raise HTTPException(404)
        if reading >= _AT_ONCE:
            raise HTTPException(503, "Too many events at once.")
        reading += 1
        try:
            async with asyncio.timeout(_READ_S):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            raise HTTPException(408, "The event did not arrive in time.") from None
        finally:
            reading -= 1
        if not signatures.verify(body, request.headers):
            # Anybody can send these; the log is not theirs to fill.
            if time.monotonic() - logged_at >= _LOG_PAUSE_S:
                logged_at = time.monotonic()
                log.warning("an event was refused: not signed with SLACK_SIGNING_SECRET, or old")
            raise HTTPException(401, "Slack has not signed this, or too long ago.")
        if not ready():
            raise HTTPException(503, "Atelier is starting.")
        return to_starlette_response(await app.async_dispatch(to_async_bolt_request(request, body)))

    return router


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"Events of up to {MOST_BYTES >> 20} MB are read.")
    return bytes(body)
