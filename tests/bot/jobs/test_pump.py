"""What of a job's progress a surface gets to see."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

from bot.jobs.pump import ProgressPump
from bot.policy import Treatment
from bot.surfaces.base import Drawing, Progress


class Slow:
    """A surface that looks at the newest state once in a while."""

    name = "slow"

    def __init__(self) -> None:
        self.seen: list[Progress] = []
        self.looked = asyncio.Event()

    async def progress(self, job: object, receipt: object, state: Progress) -> float | None:
        self.seen.append(state)
        self.looked.set()
        return 0.0


async def shown(states: Sequence[Drawing]) -> Drawing:
    """What a surface sees that only looks after all of these states."""
    surface = Slow()
    pump = ProgressPump(surface, SimpleNamespace(id="a job"), {})  # type: ignore[arg-type]
    for state in states:
        pump.show(state)
    async with asyncio.timeout(5):
        await surface.looked.wait()
    await pump.close()
    [seen] = surface.seen
    assert isinstance(seen, Drawing)
    return seen


async def test_a_step_without_a_preview_keeps_the_last_one() -> None:
    seen = await shown([Drawing(1, 9, preview=b"new"), Drawing(2, 9), Drawing(3, 9)])
    assert (seen.step, seen.preview) == (3, b"new")


async def test_a_new_preview_replaces_the_last_one() -> None:
    seen = await shown([Drawing(1, 9, preview=b"old"), Drawing(2, 9, preview=b"new")])
    assert seen.preview == b"new"


async def test_where_previews_are_withheld_by_now_none_is_kept() -> None:
    withheld = Drawing(2, 9, preview_treatment=Treatment.WITHHOLD)
    assert (await shown([Drawing(1, 9, preview=b"old"), withheld])).preview is None
