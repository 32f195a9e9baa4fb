"""What a busy minute on Discord costs: our bot beside a bare discord.py bot that only echoes.

    python -m benchmarks.discord_load [--commands 500] [--seconds 10] [--rounds 2] [--debug]

Two hundred members send 500 commands in 10 s over 20 channels of a loopback Discord that keeps real
rate limits. Discord and its people run in this process, either bot in one of its own; the two take
turns, a round each; before every fifth of our commands somebody is offered suggestions. An
acknowledgement is timed at Discord, from the command to the callback's arrival. Our bot has its
real stores, supervisor and surface; a stub draws, 10 steps in 3 s.

The optimum of progress edits is what one editor a message would send that always knows the newest
state, sends at once when something has changed, and never sooner than the pace's mean spacing after
its last edit. “Discord late by” is the fake's own lateness, which is part of every time beside it.
`--debug` runs asyncio's debug mode in our bot and lists what held its loop for more than 50 ms; it
makes everything slower.
"""

import argparse
import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from pydantic import SecretStr
from yarl import URL

from benchmarks.load import (
    Child,
    SlowCalls,
    Watched,
    child,
    lift_quotas,
    milliseconds,
    until_told,
)
from bot.app import Backends, build_supervisor, open_app
from bot.chat import discord_desk
from bot.sealing import Vault
from bot.settings import Settings
from bot.surfaces.discord import cards
from bot.surfaces.discord.bot import DiscordBot
from bot.surfaces.discord.pace import SPACING_S
from tests.fakes.backend import StubBackend
from tests.fakes.discord import Answer, Channel, FakeDiscord, Guild, User

MEMBERS, CHANNELS = 200, 20
PROMPT = "steps=10 pause=0.3 a cat"
SLOTS = 64
EDITS = (
    "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
    "/channels/{channel_id}/messages/{message_id}",
)
CALLBACK = "/interactions/{interaction_id}/{interaction_token}/callback"


# --- The bots, each in a process of its own ----------------------------------------------------


async def echo() -> None:
    """The baseline: answers each command with its prompt."""
    Route.BASE = os.environ["DISCORD_API_URL"]
    DiscordWebSocket.DEFAULT_GATEWAY = URL(os.environ["DISCORD_GATEWAY_URL"])
    client = discord.AutoShardedClient(
        intents=discord.Intents(guilds=True), chunk_guilds_at_startup=False, shard_count=1
    )
    tree = app_commands.CommandTree(client)

    @tree.command(description="Say it again")
    async def imagine(interaction: discord.Interaction[Any], prompt: str) -> None:
        await interaction.response.send_message(prompt)

    await client.login(os.environ["DISCORD_TOKEN"])
    await tree.sync()
    connected = asyncio.create_task(client.connect())
    await until_told()
    await client.close()
    connected.cancel()
    await asyncio.gather(connected, return_exceptions=True)


def optimum(watched: Watched) -> int:
    """How many edits the best editor would have sent."""
    spacing, edits = sum(SPACING_S) / 2, 0
    for job, changes in watched.changes.items():
        end, sent = watched.ends.get(job, changes[-1]), 0.0
        for change in changes:
            at = max(change, sent + spacing)
            if change > sent and at < end:
                edits, sent = edits + 1, at
    return edits


async def atelier(folder: Path) -> None:
    """Our bot as `atelier run` puts it together, with a stub that draws."""
    slow, watched = SlowCalls(), Watched(lambda state: cards.face(state, time.time()))
    slow.listen()
    watched.watch()
    backend = StubBackend(folder / "stub", slots=SLOTS)
    settings = Settings(data_dir=folder / "data", lora_dir=folder / "loras")
    async with open_app(settings, Backends({"stub": backend})) as app:
        bot = DiscordBot(
            SecretStr(os.environ["DISCORD_TOKEN"]),
            settings.data_dir / "discord",
            Vault("s" * 32),
            api_url=os.environ["DISCORD_API_URL"],
            gateway_url=os.environ["DISCORD_GATEWAY_URL"],
        )
        await lift_quotas(app, os.environ["GUILD"])
        supervisor = build_supervisor(app, [bot.surface])
        await bot.start(discord_desk(app, supervisor, bot))
        await supervisor.start()
        gc.collect()
        gc.freeze()
        try:
            await until_told()
        finally:
            await supervisor.drain(0.0)
            await bot.close()
    print(json.dumps({"optimum": optimum(watched), "slow": slow.found}))


# --- Discord, its people, and what they see ----------------------------------------------------


@dataclass
class Side:
    """One bot at a Discord of its own, and what was measured of it. Times are in seconds."""

    fake: FakeDiscord
    home: Guild
    people: list[User]
    bot: Child
    acks: list[float] = field(default_factory=list)
    cpu: float = 0.0
    unanswered: int = 0
    deferred: int = 0
    lost: int = 0
    silent: int = 0


@asynccontextmanager
async def side(kind: str, folder: Path, debug: bool) -> AsyncIterator[Side]:
    """A Discord with this bot in it."""
    fake = FakeDiscord()
    fake.rest.judge = None
    async with fake:
        people = [fake.user(f"Member {number}") for number in range(MEMBERS)]
        home = fake.guild(members=tuple(people))
        for number in range(CHANNELS):
            fake.text(home, f"channel-{number}")
        arguments = ("--bot", kind, "--folder", str(folder))
        environment = fake.environment | {"GUILD": str(home.id)}
        bot = await child("benchmarks.discord_load", arguments, environment, debug=debug)
        await fake.gateway.until_ready(seconds=30)
        await fake.until(lambda: fake.commands.puts, 30)
        yield Side(fake, home, people, bot)


async def turn(measured: Side, commands: int, seconds: float, *, pictures: bool) -> None:
    """One round: all commands at their times, then everything until its end."""
    before, calls = measured.bot.used(), len(measured.fake.rest.calls)
    measured.bot.memory = measured.bot.memory or [measured.bot.rss()]
    watching = asyncio.create_task(measured.bot.watch())
    began = time.monotonic()

    async def one(number: int) -> Answer:
        await asyncio.sleep(max(0.0, began + number * seconds / commands - time.monotonic()))
        user = measured.people[number * 7 % MEMBERS]
        channel = measured.home.channel(f"channel-{number % CHANNELS}")
        if pictures and number % 5 == 0:
            await suggest(measured, user, channel, "loras" if number % 2 else "preset")
        answer = await measured.fake.slash(user, channel, "imagine", prompt=PROMPT)
        if answer.failed:
            measured.unanswered += 1
            return answer
        measured.deferred += answer.interaction.answer == 5
        if pictures:
            try:
                await answer.message.until(lambda m: m.pictures, 300)
            except AssertionError:
                measured.lost += 1
        return answer

    sent = {str(a.interaction.id): a for a in await asyncio.gather(*map(one, range(commands)))}
    for call in list(measured.fake.rest.calls)[calls:]:
        answer = sent.get(call.path.split("/")[2])
        if call.template == CALLBACK and call.status < 300 and answer is not None:
            measured.acks.append(call.at - answer.interaction.sent)
    await asyncio.sleep(3.0)
    watching.cancel()
    measured.bot.memory.append(measured.bot.rss())
    measured.cpu += measured.bot.used() - before


async def suggest(measured: Side, user: User, channel: Channel, option: str) -> None:
    """Somebody types; nothing to choose from is an error that they see."""
    try:
        found = await measured.fake.autocomplete(user, channel, "imagine", option, prompt="a")
    except AssertionError:
        found = []
    measured.silent += not found


async def compare(args: argparse.Namespace, folder: Path) -> None:
    async with side("echo", folder, False) as bare, side("atelier", folder, args.debug) as ours:
        for _ in range(args.rounds):
            await turn(bare, args.commands, args.seconds, pictures=False)
            await turn(ours, args.commands, args.seconds, pictures=True)
        told, _ = await ours.bot.stop(), await bare.bot.stop()
        total = args.commands * args.rounds
        print("| bot | ack p50 | p99 | Discord late by, p99 | processor time a command |")
        print("|---|---|---|---|---|")
        for name, one in (("bare echo (baseline)", bare), ("Atelier", ours)):
            times = " | ".join(f"{milliseconds(one.acks, p):.1f} ms" for p in (50, 99))
            late = f"{milliseconds(one.bot.late, 99):.1f} ms"
            print(f"| {name} | {times} | {late} | {one.cpu / total * 1e3:.1f} ms |")
        ratios = [milliseconds(ours.acks, p) / milliseconds(bare.acks, p) for p in (50, 99)]
        print(f"| ratio | {ratios[0]:.2f}x | {ratios[1]:.2f}x | | {ours.cpu / bare.cpu:.2f}x |\n")
        edits = sum(
            call.method == "PATCH" and call.template in EDITS and call.status < 300
            for call in ours.fake.rest.calls
        )
        print(f"unanswered {bare.unanswered} and {ours.unanswered}, deferred {ours.deferred}")
        print(f"suggestions that did not come {ours.silent} of {total // 5}")
        print(f"progress edits {edits - total}, optimum {told['optimum']}")
        print(f"429s {len(ours.fake.rest.limited)}, jobs lost {ours.lost} of {total}")
        for name, one in (("echo", bare), ("Atelier", ours)):
            print(f"memory of {name}: {one.bot.told_memory()}")
        for text in told["slow"]:
            print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--commands", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk to measure")
    parser.add_argument("--bot", choices=("echo", "atelier"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bot is not None:
        asyncio.run(echo() if args.bot == "echo" else atelier(args.folder))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        asyncio.run(compare(args, Path(name)))


if __name__ == "__main__":
    main()
