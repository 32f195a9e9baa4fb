"""A Discord on loopback that the real discord.py, or a whole `atelier run`, talks to.

    async with FakeDiscord() as discord:
        ana = discord.user("Ana")
        home = discord.guild(members=(ana,))
        ...                                     # start the app at discord.api_url, discord.token
        await discord.gateway.until_ready()
        answer = await discord.slash(ana, home.channel("general"), "imagine", prompt="a cat")
        await answer.message.until(lambda m: m.pictures)

`user`, `guild`, `text`, `thread`, `allow` … set the scene (world.py); `slash`, `click`, `submit` …
are what people do (actors.py); `clock.move` lets time pass; `rest.calls`, `rest.limited` and
`violations` tell what the app did.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.discord.actors import Actors
from tests.fakes.discord.answers import Answer, Modal, Refused
from tests.fakes.discord.endpoints import Endpoints
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.limits import Rates
from tests.fakes.discord.messages import Messages
from tests.fakes.discord.permissions import ORDINARY, May
from tests.fakes.discord.rest import Call, Fault, Rest
from tests.fakes.discord.state import (
    Attachment,
    Channel,
    File,
    Guild,
    Message,
    Picture,
    Refusal,
    Role,
    User,
)
from tests.fakes.discord.world import World

__all__ = [
    "ORDINARY",
    "Answer",
    "Attachment",
    "Call",
    "Channel",
    "FakeDiscord",
    "Fault",
    "File",
    "Guild",
    "May",
    "Message",
    "Modal",
    "Picture",
    "Rates",
    "Refusal",
    "Refused",
    "Role",
    "User",
]


class FakeDiscord(Actors, World):
    """One Discord with one app in it, served as long as it is entered.

    Leaving it fails where the app broke Discord's rules. A test that breaks them on purpose clears
    `violations` after having looked at them.
    """

    def __init__(self, *, shards: int = 1) -> None:
        World.__init__(self)
        self.token = f"{self.app_id}.fake.token"
        self.gateway = Gateway(self, self.token)
        self.gateway.shards = shards
        messages = Messages(self)
        self.interactions = Interactions(self, messages)
        Actors.__init__(self, self, messages, self.interactions, self.gateway)
        endpoints = Endpoints(self, messages, self.interactions, self.gateway)
        self.rest = Rest(self, endpoints, self.token)
        self.announce = self.gateway.announce
        self.serving = asyncio.Event()
        """While it is cleared, no attachment can be downloaded."""
        self.serving.set()
        self._runner: web.AppRunner | None = None
        self._delivery: asyncio.Task[None] | None = None

    @property
    def api_url(self) -> str:
        """For `DISCORD_API_URL`."""
        return f"{self.address}/api/v10"

    @property
    def gateway_url(self) -> str:
        """For `DISCORD_GATEWAY_URL`."""
        return self.address.replace("http", "ws", 1) + "/gateway"

    @property
    def environment(self) -> dict[str, str]:
        """What points a whole process at this Discord."""
        return {
            "DISCORD_TOKEN": self.token,
            "DISCORD_API_URL": self.api_url,
            "DISCORD_GATEWAY_URL": self.gateway_url,
        }

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 << 20)
        app.router.add_route("*", "/api/v10/{path:.*}", self.rest.serve)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/attachments/{channel}/{file}/{name}", self._serve_file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        self._delivery = asyncio.create_task(self.gateway.deliver())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._delivery is not None
        assert self._runner is not None
        self._delivery.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._delivery
        await self._runner.cleanup()
        if error is None:
            assert not self.violations, "\n".join(self.violations)

    async def _serve_file(self, request: web.Request) -> web.Response:
        await self.serving.wait()
        kept = self.files.get(int(request.match_info["file"]))
        if kept is None:
            raise web.HTTPNotFound
        kind = kept.content_type or "application/octet-stream"
        return web.Response(body=kept.data, content_type=kind)
