"""What the job core costs beside a bare insert, and how fast it is through and through.

    python -m benchmarks.jobs [--folder FOLDER] [--submits 500] [--jobs 400] [--waiting 10000]

The bare insert is one row of the same size, through aiosqlite, with the same pragmas, in a file
beside the jobs' own; the two take turns, so that both meet the same disk. A submit checks five
limits and inserts the job in one transaction. The whole trip of a job is its submission, three more
transactions, a picture written to disk and its delivery, with a backend that draws at once.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import aiosqlite

from bot.jobs.limits import Limits
from tests.fakes.scale import fill, pulse, quiet, run_through
from tests.fakes.world import draft, world

MANY = 1_000_000
LIMITS = Limits(
    requester_queued=MANY,
    requester_per_day=MANY,
    community_queued=MANY,
    community_per_day=MANY,
)


async def clocked(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


class BareTable:
    """One table, one row an insert, nothing else."""

    def __init__(self, connection: aiosqlite.Connection, row: str) -> None:
        self._connection = connection
        self._row = row

    @classmethod
    async def open(cls, path: Path, row: str) -> "BareTable":
        connection = await aiosqlite.connect(path, isolation_level=None)
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, row TEXT)")
        return cls(connection, row)

    async def insert(self) -> None:
        await self._connection.execute("INSERT INTO bare (row) VALUES (?)", (self._row,))

    async def close(self) -> None:
        await self._connection.close()


async def submits(folder: Path, count: int, waiting: int) -> None:
    """Print what a submit takes with `waiting` jobs in the queue."""
    async with world(folder, start=False) as w:
        if waiting:
            await fill(w, waiting)
        drafts = [draft(requester=f"requester {number % 100}") for number in range(count)]
        bare = await BareTable.open(
            folder / "bare.db", drafts[0].request.model_dump_json() + " " * 200
        )
        ours, theirs = [], []
        for sent in drafts:
            theirs.append(await clocked(bare.insert))
            ours.append(await clocked(partial(w.store.submit, sent, LIMITS)))
        await bare.close()
    for name, times in ((f"submit, {waiting} waiting", ours), ("bare insert", theirs)):
        print(f"| {name} | {percentile(times, 50):.2f} ms | {percentile(times, 95):.2f} ms |")
    ratios = [percentile(ours, p) / percentile(theirs, p) for p in (50, 95)]
    print(f"| ratio | {ratios[0]:.2f}x | {ratios[1]:.2f}x |")


def percentile(seconds: list[float], percent: int) -> float:
    """In milliseconds."""
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1e3


async def throughput(folder: Path, jobs: int) -> None:
    """Print how many jobs a second go all the way, and the seconds that one takes alone."""
    async with world(folder, slots=8) as w:
        ends = quiet(w)
        await run_through(w, ends, 50)
        seconds = await clocked(partial(run_through, w, ends, jobs))
        alone = [await clocked(partial(run_through, w, ends, 1)) for _ in range(50)]
    print(f"{jobs / seconds:.0f} jobs/s, 50 at once; one alone: {percentile(alone, 50):.0f} ms")


async def restart(folder: Path, waiting: int) -> None:
    """Print how long a bot takes that finds a long queue."""
    async with world(folder, start=False) as w:
        await fill(w, waiting)
    async with world(folder, slots=8, start=False) as w, pulse() as felt:
        ends = quiet(w)
        began = time.perf_counter()
        await w.supervisor.start()
        started = time.perf_counter() - began
        await ends.reach(1)
        first = time.perf_counter() - began
    print(
        f"{waiting} waiting: started after {started:.2f} s, first delivery after {first:.2f} s, "
        f"event loop held for {felt.longest * 1e3:.0f} ms at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk to measure")
    parser.add_argument("--submits", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--waiting", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        print("| one write | p50 | p95 |\n|---|---|---|")
        asyncio.run(submits(folder / "empty", args.submits, 0))
        asyncio.run(submits(folder / "full", args.submits, args.waiting))
        asyncio.run(throughput(folder / "through", args.jobs))
        asyncio.run(restart(folder / "restart", args.waiting))


if __name__ == "__main__":
    main()
