"""What the load benchmarks of chat platforms share: a bot in a process of its own, watched.

The platform and its people run in the parent, the bot in a child that ends once its input closes.
"""

import asyncio
import json
import logging
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from bot.app import App
from bot.communities import Change
from bot.jobs.pump import ProgressPump
from bot.permissions import Requester
from bot.surfaces.base import Progress

SLOW_S = 0.05
"""What asyncio's debug mode calls slow."""
MIB = 2**20


# --- In the bot's process ----------------------------------------------------------------------


async def until_told() -> None:
    """Wait until the parent closes our input."""
    await asyncio.to_thread(sys.stdin.read)


class Watched:
    """What the surface was given to show and when it was over, by job; times only grow.

    `face` is what a surface makes of a state: only what looks new has changed.
    """

    def __init__(self, face: Callable[[Progress], object]) -> None:
        self.changes: dict[str, list[float]] = defaultdict(list)
        self.ends: dict[str, float] = {}
        self._face = face
        self._last: dict[str, object] = {}

    def watch(self) -> None:
        """From now on, note every state that looks new."""
        show, close = ProgressPump.show, ProgressPump.close

        def noted_show(pump: ProgressPump, state: Progress) -> None:
            job, shown = pump._job.id, self._face(state)
            if self._last.get(job) != shown:
                self._last[job] = shown
                self.changes[job].append(time.monotonic())
            show(pump, state)

        async def noted_close(pump: ProgressPump) -> None:
            self.ends[pump._job.id] = time.monotonic()
            await close(pump)

        ProgressPump.show = noted_show  # type: ignore[method-assign, assignment]
        ProgressPump.close = noted_close  # type: ignore[method-assign, assignment]


async def lift_quotas(app: App, community: str) -> None:
    """Let everybody have as much in the queue as they like."""
    quotas = ("requester_queued", "requester_running", "community_queued")
    change, owner = Change(dict.fromkeys(quotas, None)), Requester("owner", owner=True)
    await app.communities.change(community, change, base=0, by=owner)


class SlowCalls(logging.Handler):
    """What asyncio's debug mode says of calls that held the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def listen(self) -> None:
        """From now on; needs `-X dev`."""
        asyncio.get_running_loop().slow_callback_duration = SLOW_S
        logging.getLogger("asyncio").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


# --- In the platform's process -----------------------------------------------------------------


@dataclass
class Child:
    """A bot's process. `memory` is in MiB: before and after each round. `late` is how late this
    process itself was, in seconds, which is part of whatever is timed here.
    """

    process: asyncio.subprocess.Process
    memory: list[float] = field(default_factory=list)
    peak: float = 0.0
    late: list[float] = field(default_factory=list)

    def rss(self) -> float:
        """MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / MIB

    def used(self) -> float:
        """Seconds of processor time until now."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    async def watch(self) -> None:
        """Keep `peak` and `late` until cancelled."""
        while True:
            self.peak = max(self.peak, self.rss())
            for _ in range(20):
                due = time.perf_counter() + 0.005
                await asyncio.sleep(0.005)
                self.late.append(time.perf_counter() - due)

    def told_memory(self) -> str:
        """What there is to say about its memory."""
        rounds = ", ".join(f"{one:.0f}" for one in self.memory)
        return f"{rounds} MiB before and after each round, peak {self.peak:.0f}"

    async def stop(self) -> dict[str, Any]:
        """End the bot; returns what it has to say."""
        out, _ = await self.process.communicate(b"")
        lines = out.decode().strip().splitlines()
        return json.loads(lines[-1]) if lines else {}


async def child(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str], *, debug: bool
) -> Child:
    """Start `python -m module` with these arguments."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *(["-X", "dev"] if debug else []), "-m", module, *arguments),
        env=os.environ | dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    return Child(process)


def milliseconds(seconds: list[float], percent: int) -> float:
    """A percentile of times."""
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1e3
