"""How answers are written to the wire."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask

from bot.surfaces.fal_api.errors import Answer

KEEP_ALIVE: Final = b": keep-alive\n\n"


class Json(JSONResponse):
    """In ASCII: what a refusal quotes may be no text that UTF-8 can write."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def reply(answer: Answer, then: BackgroundTask | None = None) -> Json:
    """`then` runs once the answer has been sent."""
    return Json(answer.body, answer.status, dict(answer.headers), background=then)


def event(body: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body).encode("ascii") + b"\n\n"


def stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """Server-sent events; a proxy in between must not collect them."""
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
