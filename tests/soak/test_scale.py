"""Ten thousand jobs through one bot."""

import gc

import psutil
import pytest

from tests.fakes.scale import memory_folder, quiet, run_through
from tests.fakes.world import world

pytestmark = pytest.mark.soak


async def test_ten_thousand_jobs_leave_the_memory_of_the_process_flat() -> None:
    process = psutil.Process()
    with memory_folder() as folder:
        async with world(folder, slots=8) as w:
            ends = quiet(w)
            await run_through(w, ends, 2_000)
            gc.collect()
            before = process.memory_info().rss
            await run_through(w, ends, 10_000)
            gc.collect()
            grown = process.memory_info().rss - before
            print(f"{before / 2**20:.0f} MiB, grown by {grown / 2**20:.1f} MiB")
    assert grown < 10 * 2**20
