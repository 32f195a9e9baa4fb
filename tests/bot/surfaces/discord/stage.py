"""A whole bot at a fake Discord: real stores, supervisor and discord.py, a stub that draws."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from bot.app import App, Backends, build_supervisor, open_app
from bot.chat import discord_desk
from bot.jobs.job import Job, JobState
from bot.jobs.supervisor import Supervisor
from bot.sealing import Vault
from bot.settings import Settings
from bot.surfaces.discord.bot import DiscordBot
from bot.surfaces.discord.surface import DiscordSurface
from tests.fakes.backend import StubBackend
from tests.fakes.discord import Channel, FakeDiscord, Guild, Message, User

VAULT = Vault("s" * 32)


@dataclass
class Stage:
    """One server, `home`, with Ana and Ben in it and the bot at work."""

    discord: FakeDiscord
    ana: User
    ben: User
    home: Guild
    app: App
    backend: StubBackend
    supervisor: Supervisor
    bot: DiscordBot
    chores: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def surface(self) -> DiscordSurface:
        return self.bot.surface

    @property
    def general(self) -> Channel:
        return self.home.channel("general")

    async def newest(self, user: User) -> Job:
        """The job that this person asked for last."""
        found = await self.app.jobs.history("discord", str(user.id), before=None, limit=1)
        return found[0]

    async def until(self, job: Job, *states: JobState, seconds: float = 15.0) -> Job:
        """Wait until people know of a job's end, or it has come to one of these states."""
        async with asyncio.timeout(seconds):
            while True:
                now = await self.app.jobs.get(job.id)
                assert now is not None
                if now.state in states or (not states and now.reported):
                    return now
                await asyncio.sleep(0.02)

    async def drawn(self, user: User, prompt: str = "steps=2 a cat", **options: object) -> Message:
        """A finished card that this person has asked for in `general`."""
        answer = await self.discord.slash(user, self.general, "imagine", prompt=prompt, **options)
        card = await answer.message.until(lambda m: "Delete" in m.buttons)
        await self.until(await self.newest(user))
        return card


@asynccontextmanager
async def running(
    discord: FakeDiscord, folder: Path, slots: int = 2
) -> AsyncIterator[tuple[App, StubBackend, Supervisor, DiscordBot]]:
    """Atelier at this Discord, as `atelier run` puts it together."""
    backend = StubBackend(folder / "stub", slots=slots)
    settings = Settings(
        data_dir=folder / "data",
        lora_dir=folder / "loras",
        trusted_hosts=("127.0.0.1",),  # where the fake keeps its files
    )
    async with open_app(settings, Backends({"stub": backend})) as app:
        bot = DiscordBot(
            SecretStr(discord.token),
            settings.data_dir / "discord",
            VAULT,
            api_url=discord.api_url,
            gateway_url=discord.gateway_url,
            clock=discord.clock.now,
        )
        supervisor = build_supervisor(app, [bot.surface])
        await bot.start(discord_desk(app, supervisor, bot))
        try:
            await supervisor.start()
            await discord.gateway.until_ready()
            yield app, backend, supervisor, bot
        finally:
            await supervisor.drain(0.0)
            await bot.close()


@asynccontextmanager
async def stage(folder: Path, slots: int = 2) -> AsyncIterator[Stage]:
    """The usual scene."""
    async with FakeDiscord() as discord:
        ana, ben = discord.user("Ana"), discord.user("Ben")
        home = discord.guild(members=(ana, ben))
        async with running(discord, folder, slots) as (app, backend, supervisor, bot):
            yield Stage(discord, ana, ben, home, app, backend, supervisor, bot)
