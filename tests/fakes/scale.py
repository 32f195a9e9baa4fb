"""Thousands of jobs: a queue full of them, a surface that keeps nothing, a hand on the pulse."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bot.jobs.job import Job, Place, Receipt
from bot.jobs.limits import Limits
from bot.surfaces.base import Outcome, Progress
from tests.fakes.world import World, draft


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is such a thing, for tests that are not about the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


async def fill(w: World, waiting: int, limits: Limits | None = None) -> None:
    """Put so many jobs of a thousand people in fifty communities into the queue of a bot that is
    not running.
    """
    sent = replace(draft(), place=Place(community="community 1"))
    model = await w.store.submit(sent, limits or Limits(), {"message": "somewhere"})
    async with w.database.write() as sql:
        await sql.execute(
            "WITH RECURSIVE numbers(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
            " INSERT INTO jobs (id, requester, place, surface, request, backend, limits, receipt,"
            " created_at)"
            " SELECT lower(hex(randomblob(16))), 'requester ' || (n % 1000),"
            " json_set(place, '$.community', 'community ' || (n % 50)), surface, request, backend,"
            " limits, receipt, created_at"
            " FROM numbers, jobs WHERE jobs.id = ?",
            (waiting - 1, model.id),
        )


@dataclass
class Ends:
    """How many jobs a quiet surface was told the end of."""

    count: int = 0

    async def reach(self, count: int, timeout: float = 60.0) -> None:
        async with asyncio.timeout(timeout):
            while self.count < count:
                await asyncio.sleep(0.002)


def quiet(w: World) -> Ends:
    """Let the surface of a world only count, so that what is measured is the bot's own."""
    ends = Ends()

    async def start(job: Job) -> Receipt:
        return {"message": "somewhere"}

    async def progress(job: Job, receipt: Receipt, state: Progress) -> float | None:
        return 0.5

    async def finish(job: Job, receipt: Receipt, outcome: Outcome) -> None:
        ends.count += 1

    vars(w.surface).update(start=start, progress=progress, finish=finish)
    return ends


@dataclass
class Pulse:
    """`longest` is the longest time in seconds for which the event loop let nobody else run.

    It is the loop's own computing time, which does not grow when the machine is busy.
    """

    longest: float = 0.0


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    """Feel the event loop's pulse."""
    felt = Pulse()

    async def feel() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            felt.longest = max(felt.longest, now - last)
            last = now

    feeling = asyncio.create_task(feel())
    try:
        yield felt
        await asyncio.sleep(0.005)  # what has just ended counts
    finally:
        feeling.cancel()
        await asyncio.gather(feeling, return_exceptions=True)


async def run_through(w: World, ends: Ends, jobs: int, at_once: int = 50) -> None:
    """Submit so many jobs of different shapes and wait for their ends."""
    for first in range(0, jobs, at_once):
        before = ends.count
        batch = [
            draft("steps=2", seed=first + i, requester=f"requester {i}")
            for i in range(min(at_once, jobs - first))
        ]
        await asyncio.gather(*(w.supervisor.submit(sent, Limits()) for sent in batch))
        await ends.reach(before + len(batch))
