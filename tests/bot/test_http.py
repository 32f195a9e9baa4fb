"""The HTTP server: health, readiness and metrics over a real socket."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
import trustme
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send

from bot import http
from bot.http import HttpServer, ListenError, Tls, create_app


class Checks:
    """Readiness checks whose answer a test sets."""

    def __init__(self) -> None:
        self.failing: list[str] = []
        self.seconds = 0.0

    async def __call__(self) -> Sequence[str]:
        await asyncio.sleep(self.seconds)
        return self.failing


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
async def client(checks: Checks) -> AsyncIterator[httpx.AsyncClient]:
    metrics = CollectorRegistry()
    Counter("atelier_jobs", "Jobs by outcome.", ["outcome"], registry=metrics).labels("done").inc()
    server = HttpServer(create_app(checks, metrics), host="127.0.0.1", port=0)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client
    await server.stop()


async def test_health_is_that_the_loop_answers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_while_no_check_fails(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "failing": []})


async def test_not_ready_names_what_fails(client: httpx.AsyncClient, checks: Checks) -> None:
    checks.failing = ["The database cannot be written."]
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "failing": ["The database cannot be written."]}


async def test_a_check_that_hangs_is_a_check_that_fails(
    client: httpx.AsyncClient, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READINESS_TIMEOUT", 0.05)
    checks.seconds = 30
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["The checks did not finish within 0.05 seconds."]
    assert (await client.get("/healthz")).status_code == 200


async def test_metrics_are_in_prometheus_format(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'atelier_jobs_total{outcome="done"} 1.0' in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/nowhere"])
async def test_every_answer_carries_the_security_headers(
    path: str, client: httpx.AsyncClient
) -> None:
    headers = (await client.get(path)).headers
    assert {name: headers[name] for name in http.SECURITY_HEADERS} == http.SECURITY_HEADERS
    assert "server" not in headers


async def test_no_page_describes_the_api_unasked(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await client.get(path)).status_code == 404


async def test_a_busy_port_is_one_sentence_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = HttpServer(FastAPI(), host="127.0.0.1", port=port)
        with pytest.raises(ListenError) as caught:
            await server.start()
        await server.stop()
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is already in use, perhaps by another Atelier; stop that"
        " program or set ATELIER_PORT to another number."
    )


async def test_an_address_of_another_machine_is_named() -> None:
    server = HttpServer(FastAPI(), host="192.0.2.1", port=0)
    with pytest.raises(ListenError, match=r"^192\.0\.2\.1 is not an address of this machine"):
        await server.start()


async def test_localhost_answers_on_ipv4() -> None:
    server = HttpServer(FastAPI(), host="localhost", port=0)
    await server.start()
    assert server.url.startswith("http://127.0.0.1:")
    await server.stop()


async def test_the_port_is_free_again_after_stopping() -> None:
    first = HttpServer(FastAPI(), host="127.0.0.1", port=0)
    await first.start()
    port = int(first.url.rpartition(":")[2])
    await first.stop()
    await first.stop()
    second = HttpServer(FastAPI(), host="127.0.0.1", port=port)
    await second.start()
    await second.stop()


async def test_signals_stay_with_whoever_had_them() -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    server = HttpServer(FastAPI(), host="127.0.0.1", port=0)
    await server.start()
    during = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    await server.stop()
    assert during == before


async def test_an_answer_in_flight_is_finished_before_the_server_stops() -> None:
    app = FastAPI()
    asked = asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        asked.set()
        await asyncio.sleep(0.3)
        return "done"

    server = HttpServer(app, host="127.0.0.1", port=0)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = asyncio.create_task(client.get("/slow"))
        await asked.wait()
        await server.stop()
        assert (await answer).json() == "done"


async def test_an_answer_that_never_ends_is_cut_off_after_the_grace() -> None:
    app = FastAPI()

    async def forever() -> AsyncIterator[str]:
        while True:
            yield "tick\n"
            await asyncio.sleep(0.05)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(forever(), media_type="text/plain")

    server = HttpServer(app, host="127.0.0.1", port=0, grace=1)
    await server.start()
    async with (
        httpx.AsyncClient(base_url=server.url) as client,
        client.stream("GET", "/stream") as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "tick"
        async with asyncio.timeout(10):
            await server.stop()


async def test_forwarding_headers_are_not_believed() -> None:
    app = FastAPI()

    @app.get("/peer")
    async def peer(request: Request) -> str:
        assert request.client is not None
        return request.client.host

    server = HttpServer(app, host="127.0.0.1", port=0)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/peer", headers={"X-Forwarded-For": "203.0.113.9"})
    await server.stop()
    assert answer.json() == "127.0.0.1"


# --- Applications of their own ----------------------------------------------------------------


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["path"], headers={"Cache-Control": "max-age=9"})(
        scope, receive, send
    )


async def test_an_application_answers_what_begins_with_its_prefix_and_nothing_else(
    checks: Checks,
) -> None:
    server = HttpServer(
        create_app(checks, CollectorRegistry(), apps={"/queue/": echo}), host="127.0.0.1", port=0
    )
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/queue/fal-ai/flux")
        assert answer.text == "/queue/fal-ai/flux"
        assert answer.headers["cache-control"] == "max-age=9"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/queues")).status_code == 404
        assert (await client.get("/healthz")).status_code == 200
    await server.stop()


# --- TLS --------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Tls, trustme.CA]:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    issued.private_key_pem.write_to_path(key)
    for part in issued.cert_chain_pems:
        part.write_to_path(chain, append=True)
    return Tls(chain, key), authority


async def test_with_a_certificate_it_answers_https_only(
    checks: Checks, tls: tuple[Tls, trustme.CA]
) -> None:
    files, authority = tls
    app = create_app(checks, CollectorRegistry())
    server = HttpServer(app, host="127.0.0.1", port=0, tls=files)
    await server.start()
    assert server.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with httpx.AsyncClient(base_url=server.url, verify=trusting) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    async with httpx.AsyncClient() as stranger:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await stranger.get(f"{server.url}/healthz")
        with pytest.raises(httpx.TransportError):
            await stranger.get(server.url.replace("https", "http") + "/healthz")
    await server.stop()


@pytest.mark.parametrize("damage", ["missing", "of another certificate", "no PEM"])
async def test_a_key_that_cannot_be_used_is_said_before_listening(
    checks: Checks, tls: tuple[Tls, trustme.CA], damage: str
) -> None:
    files, _ = tls
    match damage:
        case "missing":
            files.key.unlink()
        case "of another certificate":
            trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(files.key)
        case _:
            files.key.write_text("hello")
    with pytest.raises(ListenError, match="ATELIER_TLS_KEY"):
        HttpServer(create_app(checks, CollectorRegistry()), host="127.0.0.1", port=0, tls=files)
