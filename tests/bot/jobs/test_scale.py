"""Ten thousand jobs. Bounds are generous: they tell a constant from what grows with the queue."""

import asyncio
import gc
import time
import tracemalloc
from dataclasses import replace
from unittest.mock import patch

from bot.jobs.job import Place
from bot.jobs.limits import Limits
from bot.surfaces.base import Waiting
from tests.fakes.scale import fill, memory_folder, pulse, quiet, run_through
from tests.fakes.world import World, draft, world

WAITING = 10_000
A_BLOCK_S = 0.25


async def test_jobs_that_are_over_leave_nothing_in_memory() -> None:
    jobs = 800
    with memory_folder() as folder:
        async with world(folder, slots=8) as w:
            ends = quiet(w)
            tracemalloc.start()
            try:
                await run_through(w, ends, 400)  # fills what is bounded
                before = await _traced(w)
                await run_through(w, ends, jobs)
                grown = await _traced(w) - before
            finally:
                tracemalloc.stop()
    # Timers and caches sway by some 30 kB; an id that is kept would be 130 bytes a job.
    assert grown / jobs < 96, f"{grown / jobs:.0f} bytes a job"


async def _traced(w: World) -> int:
    await w.settle()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_a_bot_with_ten_thousand_waiting_jobs_restarts_without_a_standstill() -> None:
    with memory_folder() as folder:
        async with world(folder, start=False) as w:
            await fill(w, WAITING)
        async with world(folder, slots=4, start=False) as w, pulse() as felt:
            ends = quiet(w)
            began = time.monotonic()
            await w.supervisor.start()
            await ends.reach(20)
            assert time.monotonic() - began < 30.0
            assert sum((await w.store.depth()).values()) > WAITING / 2
    assert felt.longest < A_BLOCK_S


@patch("bot.jobs.supervisor._TICK_S", 0.02)
async def test_telling_people_their_places_in_a_long_queue_holds_nobody_up() -> None:
    held = Limits(requester_running=0)
    with memory_folder() as folder:
        async with world(folder, start=False) as w:
            await fill(w, WAITING, held)
        async with world(folder) as w, pulse() as felt:
            quiet(w)
            for _ in range(20):  # everybody's place changes
                sent = replace(draft(), place=Place(community="the 51st"))
                mine = await w.supervisor.submit(sent, held)
                assert w.supervisor.waiting(mine.id) == Waiting(50)
                await asyncio.sleep(0.02)
                await w.supervisor.cancel(mine.id)
    assert felt.longest < A_BLOCK_S
