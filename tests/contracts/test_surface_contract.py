"""What every surface promises, whatever breaks: each job is seen once, and never more openly than
its community wants.

A new surface joins by adding an async context manager that yields a `Scene` to `SCENES`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bot.communities import Change
from bot.jobs import delivery, supervisor
from bot.jobs.job import Job, JobState
from bot.permissions import Requester
from bot.policy import FlaggedRule
from tests.contracts.on_discord import on_discord
from tests.contracts.on_slack import on_slack
from tests.contracts.on_web import on_web
from tests.contracts.scene import Card, Run, Scene, State
from tests.fakes.scale import memory_folder

OWNER = Requester("owner", owner=True)
CAT = "steps=3 pause=0.05 a cat"

SCENES: dict[str, Callable[[Path], AbstractAsyncContextManager[Scene]]] = {
    "Discord": on_discord,
    "Slack": on_slack,
    "web": on_web,
}


@pytest.fixture(params=list(SCENES.values()), ids=list(SCENES))
async def scene(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(supervisor, "_AGAIN_S", 0.05)
    with memory_folder() as folder:
        async with request.param(folder) as made:
            yield made


async def asked(scene: Scene, run: Run, text: str) -> Job:
    """A new job whose message is there."""
    known = {job.id for job in await jobs(scene, run)}
    await scene.ask(text)
    async with asyncio.timeout(10):
        while True:
            new = [job for job in await jobs(scene, run) if job.id not in known]
            if new and new[0].receipt is not None:
                return new[0]
            await asyncio.sleep(0.01)


async def jobs(scene: Scene, run: Run) -> list[Job]:
    return await run.jobs.history(run.surface.name, scene.requester, before=None, limit=20)


async def seen(scene: Scene, *states: State) -> list[Card]:
    """What members see as soon as it is in these states, waited for."""
    cards: list[Card] = []
    try:
        async with asyncio.timeout(10):
            while [card.state for card in cards] != list(states):
                await asyncio.sleep(0.01)
                cards = await scene.cards()
    except TimeoutError:
        raise AssertionError(f"expected {states}, members see {cards}") from None
    return cards


async def one_result(scene: Scene, run: Run, job: Job) -> Card:
    """The only thing that members see once the job is over: its open picture."""
    ended = await run.until(job)
    assert ended.state is JobState.DELIVERED
    [card] = await seen(scene, "result")
    assert (card.opened, card.hidden) == (1, 0)
    return card


# --- Starting ---------------------------------------------------------------------------------


async def test_a_start_that_is_repeated_shows_one_message(scene: Scene) -> None:
    async with scene.run() as run:
        start = run.surface.start

        async def twice(job: Job) -> object:
            await start(job)
            return await start(job)

        run.surface.start = twice  # type: ignore[method-assign, assignment]
        await one_result(scene, run, await asked(scene, run, CAT))


async def test_a_crash_between_a_start_and_its_note_leaves_one_message(scene: Scene) -> None:
    async with scene.run() as run:
        dead = run.dies_after_start()
        asking = asyncio.create_task(scene.ask(CAT))
        await asyncio.wait_for(dead.wait(), 10)
        [job] = await jobs(scene, run)
        assert job.receipt is None
    asking.cancel()  # nobody is there to answer
    await asyncio.gather(asking, return_exceptions=True)
    async with scene.run() as run:
        await one_result(scene, run, job)


# --- Finishing --------------------------------------------------------------------------------


async def test_a_result_that_comes_late_is_shown_once(scene: Scene) -> None:
    async with scene.run(slots=1) as run:
        first = await asked(scene, run, "hang")
        late = await asked(scene, run, CAT)
        await scene.later()
        await run.supervisor.cancel(first.id)
        assert (await run.until(late)).state is JobState.DELIVERED
        cards = await seen(scene, "no result", "result")
        assert cards[1].opened == 1


async def test_a_finish_that_is_repeated_changes_nothing(scene: Scene) -> None:
    async with scene.run() as run:
        job = await asked(scene, run, CAT)
        card = await one_result(scene, run, job)
        sent = await scene.handed_out()
        await run.finish_again(job)
        assert await scene.cards() == [card]
        await scene.later()
        await run.finish_again(job)
        assert await scene.cards() == [card]
        assert sent


async def test_an_upload_that_breaks_is_made_good(scene: Scene) -> None:
    async with scene.run() as run:
        shown: list[State] = []
        for after in (False, True):
            scene.break_upload(after=after)
            job = await asked(scene, run, CAT)
            assert (await run.until(job)).state is JobState.DELIVERED
            shown.append("result")
            assert (await seen(scene, *shown))[-1].opened == 1


async def test_a_rate_limit_delays_a_result_and_repeats_none(scene: Scene) -> None:
    async with scene.run() as run:
        run.backend.point = lambda name: scene.limit() if name == "rendered" else None
        await one_result(scene, run, await asked(scene, run, CAT))


async def test_ends_without_a_picture_are_told_once(scene: Scene) -> None:
    async with scene.run() as run:
        failed = await asked(scene, run, "fail a cat")
        await run.until(failed)
        cancelled = await asked(scene, run, "hang a cat")
        cards = await seen(scene, "no result", "going on")
        await scene.cancel(cards[1])
        await run.until(cancelled)
        cards = await seen(scene, "no result", "no result")
        assert "does not draw this" in cards[0].words
        assert "Cancelled" in cards[1].words
        for job in (failed, cancelled):
            await run.finish_again(job)
        assert await scene.cards() == cards
    async with scene.run():
        assert await seen(scene, "no result", "no result") == cards


async def test_a_result_whose_place_is_gone_is_kept(scene: Scene) -> None:
    async with scene.run(slots=1) as run:
        first = await asked(scene, run, "hang")
        job = await asked(scene, run, CAT)
        await scene.close_place()
        await run.supervisor.cancel(first.id)
        ended = await run.until(job)
        assert ended.state is scene.without_place
        assert ended.result is not None
        assert await run.pictures.get(ended.result.pictures[0].key)
        assert job.id in [one.id for one in await jobs(scene, run)]


# --- Hiding -----------------------------------------------------------------------------------


async def test_what_is_not_clear_is_hidden(scene: Scene) -> None:
    async with scene.run() as run:
        shown: list[State] = []
        for verdict in ("flagged", "unchecked"):
            await run.until(await asked(scene, run, f"{verdict} cat"))
            shown.append("result")
            card = (await seen(scene, *shown))[-1]
            assert (card.opened, card.hidden) == (0, 1)


async def test_what_the_rule_withholds_is_never_handed_out(scene: Scene) -> None:
    async with scene.run() as run:
        change = Change({"flagged": FlaggedRule.WITHHOLD})
        await run.communities.change(scene.community, change, base=0, by=OWNER)
        shown: list[State] = []
        for verdict in ("flagged", "unchecked"):
            await run.until(await asked(scene, run, f"{verdict} cat"))
            shown.append("result")
            card = (await seen(scene, *shown))[-1]
            assert (card.opened, card.hidden) == (0, 0)
        assert await scene.handed_out() == 0


# --- Restarting -------------------------------------------------------------------------------


async def test_a_crash_while_a_job_waits_ends_in_one_result(scene: Scene) -> None:
    async with scene.run(slots=0) as run:
        job = await asked(scene, run, CAT)
        assert job.state is JobState.QUEUED
        run.dies()
    async with scene.run() as run:
        await one_result(scene, run, job)


async def test_a_crash_while_a_job_is_drawn_ends_in_one_result(scene: Scene) -> None:
    async with scene.run() as run:
        drawing = asyncio.Event()
        run.backend.point = lambda name: drawing.set() if name == "step" else None
        job = await asked(scene, run, CAT)
        await asyncio.wait_for(drawing.wait(), 10)
        run.dies()
    async with scene.run() as run:
        await one_result(scene, run, job)
        ended = await run.jobs.get(job.id)
        assert ended is not None
        assert ended.failures == 1


async def test_a_crash_between_a_delivery_and_its_note_ends_in_one_result(scene: Scene) -> None:
    async with scene.run() as run:
        dead = run.dies_after_finish()
        job = await asked(scene, run, CAT)
        await asyncio.wait_for(dead.wait(), 10)
        [card] = await seen(scene, "result")
        noted = await run.jobs.get(job.id)
        assert noted is not None
        assert noted.state is JobState.RENDERED
    async with scene.run() as run:
        assert await one_result(scene, run, job) == card
