"""The endpoint as one application with its own errors, headers and rules for browsers."""

import uuid
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot import wording
from bot.surfaces.fal_api import queue, results, run, uploads, webhooks
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.errors import BILLABLE, ApiError, Detail, account, infrastructure, invalid
from bot.surfaces.fal_api.replies import Json, reply

REQUEST_ID: Final = "x-fal-request-id"
PREFIXES: Final = (
    "/queue/",
    "/run/",
    "/storage/",
    "/files/results/",
    "/files/upload",
    "/.well-known/jwks.json",
)
"""Beginnings of the paths that this application answers."""

_LOOPBACK_PAGE: Final = r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?"

log = structlog.get_logger()


def create_api(api: FalApi) -> FastAPI:
    """Build the application. It starts and stops nothing."""
    app = FastAPI(
        title="Atelier, fal's protocol",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(_Protocol)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=() if api.access.open else ("*",),
        allow_origin_regex=_LOOPBACK_PAGE if api.access.open else None,
        allow_methods=("GET", "HEAD", "POST", "PUT", "OPTIONS"),
        allow_headers=("*",),
        expose_headers=(REQUEST_ID, BILLABLE),
        allow_private_network=not api.access.open,
    )

    @app.exception_handler(ApiError)
    async def refused(_request: Request, error: ApiError) -> Json:
        return reply(error.answer)

    @app.exception_handler(HTTPException)
    async def failed(_request: Request, error: HTTPException) -> Json:
        return reply(account(error.status_code, str(error.detail)).answer)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Json:
        details = [Detail(e["loc"], e["msg"], e["type"], e.get("input")) for e in error.errors()]
        return reply(invalid(*details).answer)

    for router in (
        queue.create_router(api),
        run.create_router(api),
        results.create_router(api),
        uploads.create_router(
            api.uploads, api.multipart, api.signer, api.access.check, api.public_url
        ),
        webhooks.create_router(api.jwks),
    ):
        app.include_router(router)
    return app


class _Protocol:
    """What holds for every request: an id in the answer, no trailing slash, no bare traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["state"] = {**scope.get("state", {}), "request_id": str(uuid.uuid4())}
        path = scope["path"].rstrip("/")
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[REQUEST_ID] = state["request_id"]
            await send(message)

        try:
            await self._app({**scope, "path": path}, receive, send_with_id)
        except ClientDisconnect:
            return
        except Exception as error:
            log.error("a request broke", exc_info=error)
            if started:
                raise
            broken = infrastructure(500, wording.INTERNAL, "internal_error")
            await reply(broken.answer)(scope, receive, send_with_id)
