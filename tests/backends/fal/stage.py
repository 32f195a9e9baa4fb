"""One real HTTP server for all tests of a module; each test puts its own application on it.

Starting and stopping a server for every test would take most of the tests' time. A module that uses
`stage` runs its tests in one event loop: `pytestmark = ON_STAGE`, and `@fixture` from here.
"""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.http import HttpServer

ON_STAGE = pytest.mark.asyncio(loop_scope="module")
fixture = partial(pytest_asyncio.fixture, loop_scope="module")


class Stage:
    """Answers with `app`, at `url`."""

    def __init__(self) -> None:
        self.app: ASGIApp = Response(status_code=404)
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    server = HttpServer(stage, host="127.0.0.1", port=0, grace=0.2)
    await server.start()
    stage.url = server.url
    yield stage
    await server.stop()
