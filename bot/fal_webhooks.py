"""Where fal tells that a request has ended, so that nobody has to ask for it.

A webhook only wakes the job that waits: the result is then fetched as if a poll had found it, so a
webhook that is late, doubled or lost changes nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import structlog
from fastapi import APIRouter, HTTPException, Request
from starlette.requests import ClientDisconnect

from backends.fal.webhooks import KeysUnavailable, WebhookRefused

log = structlog.get_logger()

PATH: Final = "/fal/webhook"
MAX_BODY: Final = 64 * 2**20
"""Four pictures as data URIs fit. A body is hashed as it arrives and never held."""

_READ_TIMEOUT_S: Final = 15.0
"""fal itself gives up a first attempt after this time."""
_MAX_AT_ONCE: Final = 32
_LOG_PAUSE_S: Final = 60.0

Verify = Callable[[Mapping[str, str], AsyncIterable[bytes]], Awaitable[str]]
"""Answers with the request id of a webhook, or raises `WebhookRefused`."""


def create_webhook_router(verify: Verify, wake: Callable[[str], bool]) -> APIRouter:
    """The route that fal calls; `wake` is told each request id and answers whether one waited."""
    router = APIRouter()
    reading = 0
    logged_at = float("-inf")

    @router.post(PATH)
    async def webhook(request: Request) -> dict[str, bool]:
        nonlocal reading, logged_at
        if reading >= _MAX_AT_ONCE:
            raise HTTPException(503, "Too many webhooks at once; send this one again later.")
        reading += 1
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                request_id = await verify(request.headers, _bounded(request))
        except WebhookRefused as error:
            # Anybody can send these; the log is not theirs to fill.
            if time.monotonic() - logged_at >= _LOG_PAUSE_S:
                logged_at = time.monotonic()
                log.warning("a webhook was refused", reason=str(error))
            status = 503 if isinstance(error, KeysUnavailable) else 401
            raise HTTPException(status, str(error)) from None
        except (TimeoutError, ClientDisconnect):
            raise HTTPException(408, "The webhook did not arrive in time; send it again.") from None
        finally:
            reading -= 1
        woken = wake(request_id)
        log.debug("a webhook came", request_id=request_id, woken=woken)
        return {"ok": True}

    return router


async def _bounded(request: Request) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise HTTPException(413, f"Webhooks of up to {MAX_BODY >> 20} MB are read.")
        yield chunk
