"""A whole bot at a fake Slack: real stores, supervisor and slack_bolt, a stub that draws."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from bot.app import App, Backends, build_supervisor, open_app
from bot.chat_slack import slack_desk
from bot.http import HttpServer, create_app
from bot.jobs.job import Job, JobState
from bot.jobs.supervisor import Supervisor
from bot.settings import Settings
from bot.surfaces.slack.bot import SlackBot, Tokens
from bot.surfaces.slack.http import PATH
from bot.surfaces.slack.manifest import manifest
from tests.fakes.backend import StubBackend
from tests.fakes.slack import Answer, Channel, FakeSlack, Message, User

Act = Callable[..., Awaitable[Answer]]
First = Callable[[str], AbstractAsyncContextManager[bool]]


async def _shortly(seconds: float) -> None:
    """Nobody waits for Slack's seconds here; what has to be waited for comes all the same."""
    await asyncio.sleep(min(seconds, 0.1))


@dataclass
class Stage:
    """One workspace with Ana and Ben in `general`, and the bot at work."""

    slack: FakeSlack
    ana: User
    ben: User
    general: Channel
    app: App
    backend: StubBackend
    supervisor: Supervisor
    bot: SlackBot

    async def newest(self, user: User) -> Job:
        """The job that this person asked for last."""
        found = await self.app.jobs.history("slack", user.id, before=None, limit=1)
        return found[0]

    async def said(self, user: User, text: str, channel: Channel | None = None) -> str:
        """What this person is told privately for a command that is refused."""
        answer = await self.slack.slash(user, channel or self.general, "/imagine", text)
        await answer.until(lambda a: a.text)
        return answer.text

    async def until(self, job: Job, *states: JobState, seconds: float = 15.0) -> Job:
        """Wait until people know of a job's end, or it has come to one of these states."""
        async with asyncio.timeout(seconds):
            while True:
                now = await self.app.jobs.get(job.id)
                assert now is not None
                if now.state in states or (not states and now.reported):
                    return now
                await asyncio.sleep(0.02)

    async def drawn(self, user: User, text: str = "steps=2 a cat") -> Message:
        """A finished result that this person has asked for in `general`."""
        before = {message.ts for message in self.general.posted}
        await self.slack.slash(user, self.general, "/imagine", text)
        done = await self.slack.posted(
            self.general,
            lambda m: m.ts not in before and {"Again", "Try again"} & set(m.buttons),
        )
        await self.until(await self.newest(user))
        return done


@asynccontextmanager
async def running(
    slack: FakeSlack, folder: Path, slots: int = 2, *, http: bool = False
) -> AsyncIterator[tuple[App, StubBackend, Supervisor, SlackBot]]:
    """Atelier at this Slack, as `atelier run` puts it together; `http` is without Socket Mode."""
    app_token = None if http else SecretStr(slack.app_token)
    signing = SecretStr(slack.requests.secret) if http else None
    backend = StubBackend(folder / "stub", slots=slots)
    settings = Settings(
        data_dir=folder / "data",
        lora_dir=folder / "loras",
        slack_bot_token=SecretStr(slack.bot_token),
        slack_api_url=slack.api_url,
    )
    async with open_app(settings, Backends({"stub": backend})) as app:
        bot = SlackBot(
            Tokens(SecretStr(slack.bot_token), app_token, signing),
            settings.data_dir / "slack",
            api_url=slack.api_url,
            clock=slack.clock.now,
            sleep=_shortly,
        )
        supervisor = build_supervisor(app, [bot.surface])
        server = HttpServer(
            create_app(_ready, CollectorRegistry(), [bot.router()]), host="127.0.0.1", port=0
        )
        await server.start()
        address = server.url + PATH
        slack.install(manifest(address if http else None))
        slack.requests.url = address if http else None
        desk = slack_desk(app, supervisor, bot)
        await bot.start(replace(desk, first=_awaited(slack, desk.first)))
        try:
            await supervisor.start()
            if not http:
                await slack.sockets.until_connected()
            yield app, backend, supervisor, bot
        finally:
            await supervisor.drain(0.0)
            await bot.close()
            await server.stop()


def _awaited(slack: FakeSlack, first: First) -> First:
    """Have commands and clicks return once they are dealt with, not only acknowledged."""
    busy: list[str] = []

    @asynccontextmanager
    async def counted(key: str) -> AsyncIterator[bool]:
        busy.append(key)
        try:
            async with first(key) as new:
                yield new
        finally:
            busy.remove(key)

    def patient(act: Act) -> Act:
        async def done(*args: Any) -> Answer:
            answer = await act(*args)
            await slack.until(lambda: not busy)
            return answer

        return done

    slack.slash = patient(partial(FakeSlack.slash, slack))  # type: ignore[method-assign, assignment]
    slack.click = patient(partial(FakeSlack.click, slack))  # type: ignore[method-assign, assignment]
    slack.shortcut = patient(partial(FakeSlack.shortcut, slack))  # type: ignore[method-assign, assignment]
    return counted


async def _ready() -> list[str]:
    return []


@asynccontextmanager
async def stage(folder: Path, slots: int = 2, *, http: bool = False) -> AsyncIterator[Stage]:
    """The usual scene."""
    async with FakeSlack() as slack:
        slack.processing = 0.0
        ana, ben = slack.user("Ana"), slack.user("Ben")
        general = slack.channel("general", ana, ben)
        parts = running(slack, folder, slots, http=http)
        async with parts as (app, backend, supervisor, bot):
            yield Stage(slack, ana, ben, general, app, backend, supervisor, bot)
