"""The one HTTP server: health, readiness, metrics, and everything else on the same port.

ListenError    the address cannot be listened on; str(error) says why and what to do
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot import wording
from bot.commands.imagine import Refused

log = structlog.get_logger()

Readiness = Callable[[], Awaitable[Sequence[str]]]
"""Answers with one sentence per failing check; with nothing when all is well."""

READINESS_TIMEOUT: Final = 5.0
START_TIMEOUT: Final = 10.0
SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the certificate with its chain, and its unencrypted key."""

    certificate: Path
    key: Path


class ListenError(Exception):
    """The server cannot listen where it was told to."""


def create_app(
    readiness: Readiness,
    metrics: CollectorRegistry,
    routers: Sequence[APIRouter] = (),
    apps: Mapping[str, ASGIApp] | None = None,
) -> FastAPI:
    """Build the application. It starts and stops nothing; `bot/app.py` owns every lifetime.

    Errors are answered as `{"error": sentence, "corrected": command or null}`, except by `apps`:
    each of them answers the paths that begin with its key, which it is given unchanged.
    """
    app = FastAPI(title="Atelier", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_ByPrefix, apps=apps or {})
    app.add_middleware(_SecurityHeaders)
    for router in routers:
        app.include_router(router)

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return _error(422, str(error), error.corrected)

    @app.exception_handler(HTTPException)
    async def failed(_request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        names = {".".join(str(part) for part in e["loc"][1:]) for e in error.errors()}
        return _error(422, f"These fields cannot be read: {', '.join(sorted(names)) or 'body'}.")

    @app.exception_handler(Exception)
    async def broken(_request: Request, error: Exception) -> JSONResponse:
        log.error("a request broke", exc_info=error)
        return _error(500, wording.INTERNAL)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answering at all is the check: the event loop is alive."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        try:
            async with asyncio.timeout(READINESS_TIMEOUT):
                failing = list(await readiness())
        except TimeoutError:
            failing = [f"The checks did not finish within {READINESS_TIMEOUT:g} seconds."]
        content = {"ready": not failing, "failing": failing}
        return JSONResponse(content, status_code=503 if failing else 200)

    @app.get("/metrics")
    async def prometheus(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics), media_type=content_type)

    return app


def _error(status: int, sentence: str, corrected: str | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence, "corrected": corrected}, status_code=status)


class HttpServer:
    """Serves `app` inside the running event loop.

    It installs no signal handlers, believes no forwarding headers and writes no access log.
    `stop` lets answers in flight finish for `grace` seconds, then cuts them off.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        tls: Tls | None = None,
        grace: float = 5.0,
    ) -> None:
        """With `tls` it answers https only.

        Raises:
            ListenError: the certificate or its key cannot be used.
        """
        self._host, self._port, self._grace = host, port, grace
        context = None if tls is None else _context(tls)
        self._scheme = "http" if context is None else "https"
        self._server = _Server(
            uvicorn.Config(
                app,
                ssl_context_factory=None if context is None else lambda *_: context,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(grace)),
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where the server answers, as seen from this machine; empty before `start`."""
        return self._url

    async def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises:
            ListenError: the port is taken, or the address is not this machine's.
        """
        listener = await _listen(self._host, self._port)
        self._url = _url(self._scheme, listener)
        self._task = asyncio.create_task(self._server.serve([listener]), name="http")
        async with asyncio.timeout(START_TIMEOUT):
            await self._server.up.wait()

    async def stop(self) -> None:
        """Stop listening and close every connection. May be called at any time, also twice."""
        if self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=self._grace + 5)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An encrypted key would ask for its passphrase on the terminal; nobody may be there.
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except FileNotFoundError as error:
        raise ListenError(
            f"There is no file {error.filename or tls.certificate}; correct ATELIER_TLS_CERT and"
            " ATELIER_TLS_KEY."
        ) from None
    except (OSError, ValueError) as error:
        raise ListenError(
            f"The certificate {tls.certificate} and its key cannot be used ({error}). Both must be"
            " unencrypted PEM files that belong together: ATELIER_TLS_CERT with the whole chain,"
            " ATELIER_TLS_KEY with the key."
        ) from None
    return context


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and telling when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class _SecurityHeaders:
    """Adds `SECURITY_HEADERS` where an answer does not set its own; streams pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _ByPrefix:
    """Hands a request to the application that has its path's beginning."""

    def __init__(self, app: ASGIApp, apps: Mapping[str, ASGIApp]) -> None:
        self._app, self._apps = app, apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        chosen = (app for prefix, app in self._apps.items() if path.startswith(prefix))
        await next(chosen, self._app)(scope, receive, send)


async def _listen(host: str, port: int) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        raise ListenError(
            f"The host name {host} has no address here; set ATELIER_HOST to an address of this"
            " machine, such as 127.0.0.1."
        ) from None
    # `localhost` has two addresses; people and their tools expect the IPv4 one to answer.
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening here, not later in uvicorn, so that a port taken meanwhile is still our error.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ListenError(_why(error, host, port)) from None
    listener.setblocking(False)
    return listener


def _why(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is already in use, perhaps by another Atelier; stop that"
                " program or set ATELIER_PORT to another number."
            )
        case errno.EACCES:
            return f"Port {port} needs root's rights; set ATELIER_PORT to 1024 or above."
        case errno.EADDRNOTAVAIL:
            return (
                f"{host} is not an address of this machine; set ATELIER_HOST to one that is, such"
                " as 127.0.0.1, or to 0.0.0.0 for all of them."
            )
        case _:
            return f"Cannot listen on port {port} of {host}: {error.strerror}."


def _url(scheme: str, listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    if listener.family == socket.AF_INET6:
        return f"{scheme}://[{'::1' if address == '::' else address}]:{port}"
    return f"{scheme}://{'127.0.0.1' if address == '0.0.0.0' else address}:{port}"  # noqa: S104
