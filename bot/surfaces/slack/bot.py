"""The Slack side of a running Atelier: made first, opened once there is somebody to draw."""

import asyncio
import contextlib
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import structlog
from fastapi import APIRouter
from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces import ids
from bot.surfaces.slack import home, routes
from bot.surfaces.slack.calls import CALL_TIMEOUT_S, CallFailed, Closed, called
from bot.surfaces.slack.desk import Desk
from bot.surfaces.slack.homes import Homes
from bot.surfaces.slack.http import Signatures, create_router
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.notes import Notes
from bot.surfaces.slack.people import People
from bot.surfaces.slack.suggestions import suggest
from bot.surfaces.slack.surface import Link, SlackSurface

_AGAIN_S: Final = (2.0, 60.0)
"""The pause before another try to reach Slack: the first, and the longest."""
PING_S: Final = 5.0
"""Seconds after which a silent connection is looked after; a dropped one is opened anew then."""
EVENT_S: Final = 2.0
"""How long an event may take until it is acknowledged; Slack allows 3 seconds."""
_CONNECT_S: Final = 20.0
_CLOSING_S: Final = 5.0
_ANYTHING: Final = re.compile(".*", re.DOTALL)

log = structlog.get_logger()


class SlackRefused(Exception):
    """Slack does not accept us; str() says what to do."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What Slack knows us by. With `app` events come by Socket Mode, else signed over HTTP."""

    bot: SecretStr
    app: SecretStr | None = None
    signing: SecretStr | None = None


class SlackBot:
    """The surface and its connection. `trouble` says why there is none at the moment."""

    def __init__(
        self,
        tokens: Tokens,
        folder: Path,
        *,
        api_url: str = "https://slack.com/api/",
        link: Link | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        """`folder` is our own: it remembers what must survive a crash. `link` gives the address of
        a stored picture, where others can reach this server.
        """
        self._tokens = tokens
        self._clock = clock
        # No retries inside the library: it would repeat a post whose connection broke.
        self._client = AsyncWebClient(
            tokens.bot.get_secret_value(), base_url=api_url, retry_handlers=[]
        )
        # Without a token, so that Bolt asks `authorize` and not Slack within the first 3 seconds.
        self._anonymous = AsyncWebClient(base_url=api_url, retry_handlers=[])
        self._http = httpx.AsyncClient(trust_env=False, follow_redirects=False)
        self._notes = Notes(folder / "notes", clock)
        self._online = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._identity: AuthorizeResult | None = None
        self._socket: AsyncSocketModeHandler | None = None
        self._task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._events: set[asyncio.Task[None]] = set()
        self._desk: Desk | None = None
        self._app = self._bolt()
        self.people = People(self._client)
        self.trouble: str | None = None
        self.surface = SlackSurface(
            self._client, self._http, self._notes, self._online, link, sleep=sleep
        )
        self.homes = Homes(self._client, sleep=sleep)
        self.surface.ended = lambda job: self.homes.changed(job.requester)

    def router(self) -> APIRouter:
        """The route that Slack calls where there is no Socket Mode."""
        signing = self._tokens.signing
        signatures = None if signing is None else Signatures(signing, self._clock)
        return create_router(
            self._app,
            signatures,
            lambda: self._desk is not None and self._identity is not None,
        )

    @property
    def me(self) -> str:
        """The bot's user id; nothing before Slack has said it."""
        return "" if self._identity is None else str(self._identity.bot_user_id or "")

    async def start(self, desk: Desk) -> None:
        """Ask who we are and keep the connection in the background; Slack may be away for a while.

        Raises:
            SlackRefused: a token is not accepted.
        """
        await self._notes.sweep()
        # The library opens a connection for every call where it is given no session.
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(CALL_TIMEOUT_S)
        )
        self._client.session = self._anonymous.session = self._session
        self._desk = desk
        with contextlib.suppress(CallFailed):
            await self._login()
        desk.ledger.start()
        self._task = asyncio.create_task(self._stay(), name="slack")
        keeping = self.homes.keep(partial(home.home, desk))
        self._keeping = asyncio.create_task(keeping, name="slack homes")
        self._tidying = asyncio.create_task(self.surface.tidy(), name="slack tidying")

    async def revoked(self) -> None:
        """Slack has taken a token away; `trouble` says so where it was ours."""
        with contextlib.suppress(CallFailed):
            try:
                await self._login()
            except SlackRefused as error:
                log.error("access lost", error=str(error))

    async def close(self) -> None:
        """Leave Slack. Messages of jobs can no longer be changed."""
        tasks = [task for task in (self._task, self._keeping, self._tidying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._desk is not None:
            await self._desk.ledger.close()
        await self.people.close()
        if self._socket is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSING_S):
                    await self._socket.close_async()  # type: ignore[no-untyped-call]
        await self._http.aclose()
        if self._session is not None:
            await self._session.close()

    # --- The connection -----------------------------------------------------------------------

    async def _login(self) -> None:
        try:
            known = await called("auth.test", self._client.auth_test())
        except Closed as error:
            self.trouble = (
                f"Slack does not accept SLACK_BOT_TOKEN ({error.error}); copy it anew from the "
                "app's page “OAuth & Permissions”."
            )
            raise SlackRefused(self.trouble) from error
        except CallFailed as error:
            self.trouble = f"Slack cannot be reached: {error.error}."
            log.warning("not logged in", error=error.error)
            raise
        self._identity = AuthorizeResult(
            enterprise_id=known.get("enterprise_id"),
            team_id=known.get("team_id"),
            bot_id=known.get("bot_id"),
            bot_user_id=known.get("user_id"),
            bot_token=self._tokens.bot.get_secret_value(),
        )
        self.surface.posts.me = str(known.get("bot_id") or "")
        self.surface.posts.site = str(known.get("url") or "")
        self.trouble = None
        self._online.set()

    async def _stay(self) -> None:
        """Log in, connect, and stay; the library itself comes back after a dropped connection."""
        pause, longest = _AGAIN_S
        while True:
            try:
                if not self._online.is_set():
                    await self._login()
                await self._connect()
            except SlackRefused as error:
                log.error("left Slack", error=str(error))
                return
            except CallFailed as error:
                self.trouble = f"Slack cannot be reached: {error.error}."
                log.warning("not connected", error=error.error)
            else:
                self.trouble = None
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, longest)

    async def _connect(self) -> None:
        if self._tokens.app is None or self._socket is not None:
            return
        token = self._tokens.app.get_secret_value()
        try:
            # Asked here, as the library would go on for ever with a token that is not accepted.
            call = self._anonymous.apps_connections_open(app_token=token)
            opened = await called("apps.connections.open", call)
        except Closed as error:
            self.trouble = (
                f"Slack does not accept SLACK_APP_TOKEN ({error.error}); make one on the app's "
                "page “Basic Information” with the scope connections:write."
            )
            raise SlackRefused(self.trouble) from error
        handler = AsyncSocketModeHandler(
            self._app, token, web_client=self._anonymous, ping_interval=PING_S
        )
        handler.client.wss_uri = str(opened["url"])
        try:
            async with asyncio.timeout(_CONNECT_S):
                await handler.connect_async()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, OSError) as error:
            await handler.close_async()  # type: ignore[no-untyped-call]
            raise CallFailed("socket", type(error).__name__) from error
        self._socket = handler

    # --- What Slack tells us ------------------------------------------------------------------

    def _bolt(self) -> AsyncApp:
        async def authorize(**_named: Any) -> Any:
            return self._identity

        with _environment_hidden():
            app = AsyncApp(
                client=self._anonymous,
                authorize=authorize,
                signing_secret="",
                # Signatures are looked at before anything is read, see http.py.
                request_verification_enabled=False,
                attaching_function_token_enabled=False,
            )

        def listener(answer: Callable[[Desk, Interaction], Awaitable[None]]) -> Any:
            async def listen(ack: Any, body: Any, client: Any, respond: Any) -> None:
                if self._desk is None:
                    await ack()
                    return
                await answer(self._desk, Interaction(body, ack, client, respond))

            return listen

        app.command(_ANYTHING)(listener(routes.command))
        app.action(ids.TEMPLATE)(listener(routes.component))
        app.view(ids.TEMPLATE)(listener(routes.component))
        app.options(_ANYTHING)(listener(suggest))
        app.shortcut(ids.TEMPLATE)(listener(routes.shortcut))
        for name, answer in routes.EVENTS.items():
            kind = name.partition(".")[0]
            app.event(kind, middleware=[self._before_ack(listener(answer))])(_nothing_more)
        return app

    def _before_ack(self, listen: Callable[..., Coroutine[Any, Any, None]]) -> Any:
        """Deal with an event before it is acknowledged, as far as Slack has the time.

        Bolt itself acknowledges first, and what a crash then loses is not told again.
        """

        async def dealt_with(ack: Any, body: Any, client: Any, respond: Any) -> BoltResponse:
            task = asyncio.create_task(listen(ack, body, client, respond))
            self._events.add(task)
            task.add_done_callback(self._events.discard)
            done, _ = await asyncio.wait({task}, timeout=EVENT_S)
            for one in done:
                one.result()
            return BoltResponse(status=200)

        return dealt_with


async def _nothing_more() -> None:
    """What Bolt calls for an event that nothing has been done about: there is none."""


@contextlib.contextmanager
def _environment_hidden() -> Iterator[None]:
    """Keep Bolt from the environment: from `SLACK_CLIENT_ID` it would follow that installations
    are kept in files, and that our way to authorise counts for nothing.
    """
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("SLACK_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
