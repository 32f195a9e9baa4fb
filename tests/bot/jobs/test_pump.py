"""What of a job's progress a surface gets to see."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

from bot.jobs.pump import ProgressPump
from bot.policy import Treatment
from bot.surfaces.base import Drawing, NotYet, Progress


class Slow:
    """A surface that looks at the newest state once in a while."""

    name = "slow"

    def __init__(self) -> None:
        self.seen: list[Progress] = []
        self.looked = asyncio.Event()
        self.answers: list[NotYet] = []

    async def progress(self, job: object, receipt: object, state: Progress) -> float | NotYet:
        self.seen.append(state)
        self.looked.set()
        return self.answers.pop(0) if self.answers else 0.0


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


async def test_what_could_not_be_shown_is_asked_for_again_and_the_newest_is_shown() -> None:
    surface = Slow()
    pump = ProgressPump(surface, SimpleNamespace(id="a job"), {})  # type: ignore[arg-type]
    surface.answers = [NotYet(0.01), NotYet(0.01)]
    pump.show(Drawing(1, 9))
    async with asyncio.timeout(5):
        await surface.looked.wait()
        pump.show(Drawing(2, 9))
        while len(surface.seen) < 3:
            await asyncio.sleep(0.01)
    await pump.close()
    assert surface.seen == [Drawing(1, 9), Drawing(2, 9), Drawing(2, 9)]
