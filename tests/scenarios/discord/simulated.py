"""Atelier on SimCord, and the people who use it.

SimCord stands in for Discord's API and gateway inside the process. What it has otherwise than
Discord is put right in `_truthful`, and nowhere else; what it cannot do stays with the loopback
Discord of `tests/fakes/discord`: the wire and the gateway, rate limits, sizes of files, expired
tokens' own error, AutoMod and the filter for explicit pictures, age-restricted channels.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import discord
from pydantic import SecretStr
from simcord import ChannelHandle, Env, GuildHandle, RoleHandle

from backends.base import Event, GenerationRequest, LoraFile
from bot.app import App, Backends, build_supervisor, open_app
from bot.chat import discord_desk
from bot.commands.imagine import Ask, Draw, Taken
from bot.jobs.job import Job, JobState
from bot.jobs.supervisor import Supervisor
from bot.sealing import Vault
from bot.settings import Settings
from bot.surfaces.discord.bot import DiscordBot
from tests.fakes.backend import StubBackend
from tests.scenarios.discord.people import Person
from tests.scenarios.discord.seen import PATIENCE_S, Card

VAULT: Final = Vault("s" * 32)
FILE_LIMIT: Final = 10 * 2**20


class HeldBackend(StubBackend):
    """The stub, which draws only while `go` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go = asyncio.Event()
        self.go.set()

    async def run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        *,
        remote: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        await self.go.wait()
        async for event in super().run(request, loras, remote=remote):
            yield event


class PromptEnv(Env):
    """Looks whether the bot has come to rest more often than every 50 ms."""

    async def _settle_internal(self, *, idle: float = 0.003, **given: Any) -> None:
        await super()._settle_internal(idle=idle, **given)


class PatientDraw(Draw):
    """Takes jobs only while `scene.taking` is set: SimCord waits for whatever else is slow."""

    def __init__(self, scene: "Simulated") -> None:
        super().__init__(scene.app.imagine, scene.supervisor)
        self._scene = scene

    async def __call__(self, ask: Ask) -> Taken:
        if not (taking := self._scene.taking).is_set():
            await self._scene.env.external_wait(taking.wait(), reason="a slow disk")
        return await super().__call__(ask)


class Simulated:
    """The server `home` with Ana, Ben and a moderator in `general`, and the bot at work."""

    env: Env
    home: GuildHandle
    arrivals: ChannelHandle
    general: ChannelHandle
    ana: Person
    ben: Person
    mod: Person
    app: App
    supervisor: Supervisor
    bot: DiscordBot

    def __init__(self, backends: Backends, settings: Settings) -> None:
        self._backends = backends
        self._settings = settings
        self._life = AsyncExitStack()
        self._world = AsyncExitStack()
        self.visitors: set[int] = set()
        self.taking = asyncio.Event()
        self.taking.set()

    async def open(self) -> None:
        """Begin, with an empty world around."""
        await self._begin()
        self.home = self.env.create_guild("Home")
        self.arrivals = self.home.create_text_channel("arrivals")  # the first: it is greeted there
        self.general = self.home.create_text_channel("general")
        may_manage = discord.Permissions(manage_guild=True, manage_messages=True)
        moderators = self.home.create_role("Moderators", permissions=may_manage)
        self.ana, self.ben = self.newcomer("Ana"), self.newcomer("Ben")
        self.mod = self.newcomer("Mo", moderators)
        await self.env.settle()

    async def close(self) -> None:
        await self._life.aclose()
        await self._world.aclose()

    async def restart(self) -> None:
        """The bot's process ends and another one takes its place, on the same data."""
        await self._life.aclose()
        await self._begin()

    async def _begin(self) -> None:
        life = self._life = AsyncExitStack()
        self.app = await life.enter_async_context(open_app(self._settings, self._backends))
        self.bot = DiscordBot(
            SecretStr("simcord.fake.token"),
            self._settings.data_dir / "discord",
            VAULT,
            clock=lambda: self.env.now().timestamp(),
        )
        client = self.bot._client
        client.connect = _connected  # type: ignore[method-assign]  # SimCord is the gateway
        if hasattr(self, "env"):
            await self.env.restart_bot(client)
        else:
            self.env = PromptEnv(client, shard_count=1, settle_timeout=PATIENCE_S)
            _truthful(self.env, self.visitors)
            await self.env.start()
            self._world.push_async_callback(self.env.shutdown)
            self._world.enter_context(self.env.time_context())
        self.supervisor = build_supervisor(self.app, [self.bot.surface])
        desk = discord_desk(self.app, self.supervisor, self.bot)
        await self.bot.start(replace(desk, draw=PatientDraw(self)))
        life.push_async_callback(self.bot.close)
        await self.supervisor.start()
        life.push_async_callback(self.supervisor.drain, 0.0)

    def visitor(self, name: str) -> Person:
        """Somebody who has brought the app along to a server that does not have it."""
        person = self.newcomer(name)
        self.visitors.add(person.id)
        return person

    def newcomer(self, name: str, *roles: RoleHandle) -> Person:
        """Somebody who has just joined, in `general`."""
        actor = self.home.add_member(self.env.create_user(name), roles=roles)
        return Person(actor, self.general)

    def thread(self, parent: ChannelHandle, name: str) -> ChannelHandle:
        """A thread of Ana's in a channel, or a post of hers in a forum."""
        made = self.env.backend.create_thread(parent.id, name, self.ana.id)
        return ChannelHandle(self.env, self.home, made)

    async def drawn(self, who: Person, prompt: str = "a cat", **options: Any) -> Card:
        """A finished card."""
        answer = await who.slash("imagine", prompt=prompt, **options)
        card = await answer.card.finished()
        await self.until(who)
        return card

    async def newest(self, who: Person) -> Job:
        """The job that this person asked for last."""
        [found] = await self.app.jobs.history("discord", str(who.id), before=None, limit=1)
        return found

    async def until(self, who: Person, *states: JobState) -> Job:
        """The newest job of a person once people know its end, or it has one of these states."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                job = await self.newest(who)
                if job.state in states or (not states and job.reported):
                    return job
                await asyncio.sleep(0.02)

    @property
    def edits(self) -> list[str]:
        """The paths of all changes of messages that the bot has made."""
        return [call.path for call in self.env.http_requests if call.method == "PATCH"]


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[tuple[Simulated, HeldBackend]]:
    """The usual scene, with a stub that draws."""
    backend = HeldBackend(folder / "stub")
    settings = Settings(data_dir=folder / "data", lora_dir=folder / "loras")
    async with opened(Backends({"stub": backend}), settings) as scene:
        yield scene, backend


@asynccontextmanager
async def opened(backends: Backends, settings: Settings) -> AsyncIterator[Simulated]:
    """A scene on these backends; what happened in it is printed where a test fails."""
    scene = Simulated(backends, settings)
    try:
        await scene.open()
        yield scene
        scene.env.raise_errors()
    except BaseException:
        if hasattr(scene, "env"):
            print(scene.env.transcript())
        raise
    finally:
        await scene.close()


def _truthful(env: Env, visitors: Set[int]) -> None:
    """Put right what SimCord 3.2.1 says otherwise than Discord does.

    An interaction names who has installed the app (SimCord: nobody): the server, or one of these
    `visitors` for themselves. A file may have 10 MiB (SimCord: 25 MiB). After the announcement
    “thinking …” is deleted, follow-ups are messages of their own (SimCord: they fail; so did
    Discord until April 2021, discord-api-docs#2739).
    """
    emit, delete = env.backend.emit, env.backend.delete_message

    def corrected(event: str, payload: Mapping[str, Any]) -> None:
        if event == "INTERACTION_CREATE":
            person = (payload.get("member") or payload)["user"]["id"]
            visits = int(person) in visitors
            server = {"0": payload.get("guild_id") or "0"}
            payload = {
                **payload,
                "authorizing_integration_owners": {"1": person} if visits else server,
                "attachment_size_limit": FILE_LIMIT,
            }
        emit(event, payload)

    def deleted(channel_id: int, message_id: int) -> None:
        delete(channel_id, message_id)
        for interaction in env.backend.interactions.values():
            if interaction.loading and interaction.message_id == message_id:
                interaction.complete_deferred()

    env.backend.emit = corrected  # type: ignore[method-assign]
    env.backend.delete_message = deleted  # type: ignore[method-assign]


async def _connected(*_: object, **__: object) -> None:
    """The connection to a gateway; it lasts until it is called off."""
    await asyncio.Event().wait()
