"""Ten thousand jobs. Bounds are generous: they tell a constant from what grows with the queue."""

import asyncio
import gc
import time
import tracemalloc
from unittest.mock import patch

from bot.jobs.job import JobState
from bot.jobs.limits import Limits
from bot.surfaces.base import Waiting
from tests.fakes.scale import fill, memory_folder, pulse, quiet, run_through
from tests.fakes.world import draft, world

WAITING = 10_000
A_BLOCK_S = 0.25


async def test_jobs_that_are_over_leave_nothing_in_memory() -> None:
    jobs = 1_500
    with memory_folder() as folder:
        async with world(folder, slots=8) as w:
            with quiet(w) as ends:
                await run_through(w, ends, 500)  # fills what is bounded
                gc.collect()
                tracemalloc.start()
                try:
                    await run_through(w, ends, jobs)
                    await w.settle()
                    gc.collect()
                    left, _ = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
    assert left / jobs < 64, f"{left / jobs:.0f} bytes a job"


async def test_a_bot_with_ten_thousand_waiting_jobs_restarts_without_a_standstill() -> None:
    with memory_folder() as folder:
        async with world(folder, start=False) as w:
            await fill(w, WAITING)
        async with world(folder, slots=4, start=False) as w, pulse() as felt:
            with quiet(w) as ends:
                began = time.monotonic()
                await w.supervisor.start()
                await ends.reach(20)
                assert time.monotonic() - began < 30.0
            assert sum((await w.store.depth()).values()) > WAITING - 1_000
    assert felt.longest < A_BLOCK_S


@patch("bot.jobs.supervisor._TICK_S", 0.02)
async def test_telling_people_their_places_in_a_long_queue_holds_nobody_up() -> None:
    with memory_folder() as folder:
        async with world(folder, start=False) as w:
            await fill(w, WAITING)
        async with world(folder, slots=0) as w:
            with quiet(w):
                async with pulse() as felt:
                    for _ in range(20):  # everybody's place changes
                        mine = await w.supervisor.submit(draft(requester="ann"), Limits())
                        await asyncio.sleep(0.02)
                        await w.supervisor.cancel(mine.id)
                assert w.supervisor.waiting(mine.id) is None
                assert felt.longest < A_BLOCK_S
                first = await w.supervisor.submit(draft(requester="zoe"), Limits())
                assert isinstance(w.supervisor.waiting(first.id), Waiting)
                assert (await w.job(first.id)).state is JobState.QUEUED
