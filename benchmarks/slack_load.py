"""What a busy minute in a Slack workspace costs: our bot beside a bare slack_bolt echo app.

    python -m benchmarks.slack_load [--commands 300] [--channels 20] [--rounds 1] [--debug]

Two hundred members send 300 commands in 10 s over 20 channels of a loopback Slack that keeps the
real tiers. Slack and its people run in this process, either bot in one of its own; the two take
turns, a round each. An acknowledgement is timed at Slack, from the command to the ack's arrival.
Our bot has its real stores, supervisor and surface; a stub draws, 10 steps in 3 s, 64 at once.

The tiers decide how long it all takes: 100 uploads and 50 deletions of messages a minute for the
whole workspace, and one post a second in a channel. The optimum of progress edits is what one
editor would send that always knows every job's newest state and never waits while the workspace's
budget (45 a minute) lets it send one. `--debug` runs asyncio's debug mode in our bot and lists what
held its loop for more than 50 ms; it makes everything slower.
"""

import argparse
import asyncio
import gc
import heapq
import json
import os
import re
import statistics
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.load import Child, SlowCalls, Watched, child, lift_quotas, milliseconds, until_told
from bot.app import Backends, build_supervisor, open_app
from bot.chat_slack import slack_desk
from bot.settings import Settings
from bot.surfaces.slack import cards
from bot.surfaces.slack.bot import SlackBot, Tokens
from bot.surfaces.slack.pace import LEAST_S, PER_MINUTE
from tests.fakes.backend import StubBackend
from tests.fakes.slack import Answer, Channel, FakeSlack, User

MEMBERS = 200
PROMPT = "steps=10 pause=0.3 cat"
SLOTS = 64
PROCESSING_S = 1.5
LONGEST_S = 480.0


# --- The bots, each in a process of its own ----------------------------------------------------


async def echo() -> None:
    """The baseline: answers each command with its text."""
    client = AsyncWebClient(
        token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"]
    )
    app = AsyncApp(client=client)

    @app.command("/imagine")
    async def imagine(ack: Any, command: dict[str, Any]) -> None:
        await ack(command["text"])

    handler = AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"])
    await handler.connect_async()  # type: ignore[no-untyped-call]
    await until_told()
    await handler.close_async()  # type: ignore[no-untyped-call]


def optimum(watched: Watched) -> int:
    """How many edits the best editor would have sent under the budget that all jobs share."""
    gap, free, edits = 60.0 / PER_MINUTE, 0.0, 0
    due = [(changes[0], job) for job, changes in watched.changes.items()]
    heapq.heapify(due)
    while due:
        wanted, job = heapq.heappop(due)
        at, changes = max(wanted, free), watched.changes[job]
        if at >= watched.ends.get(job, changes[-1]):
            continue
        edits, free = edits + 1, at + gap
        if (rest := bisect_right(changes, at)) < len(changes):
            heapq.heappush(due, (max(changes[rest], at + LEAST_S), job))
    return edits


async def atelier(folder: Path) -> None:
    """Our bot as `atelier run` puts it together, with a stub that draws."""
    slow, watched = SlowCalls(), Watched(cards.face)
    slow.listen()
    watched.watch()
    backend = StubBackend(folder / "stub", slots=SLOTS)
    settings = Settings(data_dir=folder / "data", lora_dir=folder / "loras")
    async with open_app(settings, Backends({"stub": backend})) as app:
        bot = SlackBot(
            Tokens(
                SecretStr(os.environ["SLACK_BOT_TOKEN"]), SecretStr(os.environ["SLACK_APP_TOKEN"])
            ),
            settings.data_dir / "slack",
            api_url=os.environ["SLACK_API_URL"],
        )
        await lift_quotas(app, os.environ["TEAM"])
        supervisor = build_supervisor(app, [bot.surface])
        await bot.start(slack_desk(app, supervisor, bot))
        await supervisor.start()
        gc.collect()
        gc.freeze()
        try:
            await until_told()
        finally:
            await supervisor.drain(0.0)
            await bot.close()
    print(json.dumps({"optimum": optimum(watched), "slow": slow.found}))


# --- Slack, its people, and what they see ------------------------------------------------------


@dataclass
class Side:
    """One bot at a Slack of its own, and what was measured of it. Times are in seconds."""

    slack: FakeSlack
    people: list[User]
    channels: list[Channel]
    bot: Child
    sent: int = 0
    acks: list[float] = field(default_factory=list)
    unanswered: int = 0
    refused: int = 0
    results: dict[int, float] = field(default_factory=dict)
    repeated: int = 0
    tidy: float = 0.0

    def look(self, asked: dict[int, float]) -> int:
        """Note the results that have come; returns how many messages still tell of progress."""
        progress, posted = 0, Counter[int]()
        for channel in self.channels:
            for message in channel.posted:
                if "Cancel" in message.buttons:
                    progress += 1
                elif "Again" in message.buttons:
                    number = int(re.findall(r"cat (\d+)", str(message.blocks))[0])
                    posted[number] += 1
                    if number in asked:
                        self.results[number] = float(message.ts) - asked[number]
        self.repeated = sum(posted.values()) - len(posted)
        return progress


@asynccontextmanager
async def side(kind: str, folder: Path, args: argparse.Namespace) -> AsyncIterator[Side]:
    """A Slack with this bot in it."""
    async with FakeSlack() as slack:
        slack.processing = PROCESSING_S
        people = [slack.user(f"Member {number}") for number in range(MEMBERS)]
        channels = [slack.channel(f"channel-{n}", *people) for n in range(args.channels)]
        arguments = ("--bot", kind, "--folder", str(folder))
        environment = slack.environment | {"TEAM": slack.team.id}
        bot = await child("benchmarks.slack_load", arguments, environment, debug=args.debug)
        await slack.sockets.until_connected()
        yield Side(slack, people, channels, bot)


async def commands(measured: Side, args: argparse.Namespace) -> dict[int, float]:
    """Send all commands at their times; returns when each was sent, on the fake's clock."""
    began, sent = time.monotonic(), dict[int, float]()

    async def one(number: int) -> Answer:
        wait = began + (number % args.commands) * args.seconds / args.commands - time.monotonic()
        await asyncio.sleep(max(0.0, wait))
        user = measured.people[number * 7 % MEMBERS]
        channel = measured.channels[number % len(measured.channels)]
        sent[number] = measured.slack.clock.now()
        return await measured.slack.slash(user, channel, "/imagine", f"{PROMPT} {number}")

    numbers = range(measured.sent, measured.sent + args.commands)
    measured.sent += args.commands
    for answer in await asyncio.gather(*map(one, numbers)):
        envelope = answer.envelope
        if envelope.acked_at is None or answer.failed:
            measured.unanswered += 1
        else:
            measured.acks.append(envelope.acked_at - envelope.sent_at)
    return sent


async def until_all_is_shown(measured: Side, sent: dict[int, float]) -> None:
    """Wait for every result, and until no message tells of progress any more."""
    began = time.monotonic()
    while measured.look(sent) or len(measured.results) < measured.sent:
        if time.monotonic() - began > LONGEST_S:
            break
        await asyncio.sleep(1.0)
    measured.tidy = measured.slack.clock.now() - min(sent.values())


async def compare(args: argparse.Namespace, folder: Path) -> None:
    async with side("echo", folder, args) as bare, side("atelier", folder, args) as ours:
        watching = asyncio.create_task(ours.bot.watch())
        ours.bot.memory.append(ours.bot.rss())
        for _ in range(args.rounds):
            await commands(bare, args)
            await until_all_is_shown(ours, await commands(ours, args))
            await asyncio.sleep(3.0)
            ours.bot.memory.append(ours.bot.rss())
        watching.cancel()
        told, _ = await ours.bot.stop(), await bare.bot.stop()
    print("| bot | ack p50 | p99 |\n|---|---|---|")
    for name, one in (("bare echo (baseline)", bare), ("Atelier", ours)):
        print(
            f"| {name} | "
            + " | ".join(f"{milliseconds(one.acks, p):.1f} ms" for p in (50, 99))
            + " |"
        )
    ratios = [milliseconds(ours.acks, p) / milliseconds(bare.acks, p) for p in (50, 99)]
    print(f"| ratio | {ratios[0]:.2f}x | {ratios[1]:.2f}x |\n")
    limited = Counter(call.method for call in ours.slack.api.limited)
    made = Counter(call.method for call in ours.slack.api.calls if call.status != 429)
    late = [*ours.results.values()] or [0.0, 0.0]
    print(f"not answered in time {bare.unanswered} and {ours.unanswered}")
    print(f"results {len(ours.results)} of {ours.sent}, shown twice {ours.repeated}")
    print(f"results after {statistics.median(late):.0f} s (median), {max(late):.0f} s (last)")
    print(f"all tidied up after {ours.tidy:.0f} s")
    print(f"progress edits {made['chat.update']}, optimum {told['optimum']}")
    print(f"calls {dict(made)}")
    print(f"429s {dict(limited)}")
    print(f"memory {ours.bot.told_memory()}")
    print(f"Slack itself late by {milliseconds(ours.bot.late, 99):.1f} ms (p99)")
    for text in told["slow"]:
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--commands", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--channels", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
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
