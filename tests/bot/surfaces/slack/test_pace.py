"""Slack's limits are shared by all jobs, and nothing is lost that has to wait for them."""

import asyncio
from pathlib import Path

import pytest

from bot.jobs.job import JobState
from bot.surfaces.slack import pace
from bot.surfaces.slack.pace import Line, Pace
from tests.bot.surfaces.slack.stage import running, stage
from tests.fakes.slack import FakeSlack


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)


async def test_no_more_calls_are_made_than_fit_into_the_time() -> None:
    clock, made = Clock(), list[float]()
    line = Line(3, 10.0, clock.sleep, clock)
    for _ in range(8):
        await line.turn()
        made.append(clock.now)
    assert made == [100.0] * 3 + [110.0] * 3 + [120.0] * 2
    assert line.wait() == 0.0
    await line.turn()
    assert line.wait() == 10.0


async def test_who_waits_while_slack_holds_us_off_lines_up_anew() -> None:
    clock = Clock()
    line = Line(1, 10.0, clock.sleep, clock)
    await line.turn()
    waiting = asyncio.create_task(line.turn())
    await asyncio.sleep(0)
    line.hold(30.0)
    await waiting
    assert clock.now >= 130.0


def test_one_edit_is_allowed_at_a_time_and_who_waited_longest_comes_first() -> None:
    clock = Clock()
    edits = Pace(clock)
    waits = [edits.turn(job) for job in ("a", "b", "c", "d")]
    assert waits[0] == 0.0
    assert 0.0 < waits[1] < waits[2] < waits[3]
    edits.ended("b")
    clock.now += waits[3]
    assert edits.turn("d") == 0.0
    assert edits.turn("a") > edits.turn("c") > 0.0


def test_after_too_many_calls_no_edit_is_allowed_for_as_long_as_slack_says() -> None:
    clock = Clock()
    edits = Pace(clock)
    edits.hold(20.0)
    assert edits.turn("a") == pytest.approx(20.0)
    clock.now += 20.0
    assert edits.turn("a") == 0.0


async def test_a_progress_message_that_cannot_go_yet_holds_up_no_result_and_goes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeSlack() as slack:
        slack.processing = 0.0
        ana = slack.user("Ana")
        general = slack.channel("general", ana)
        with monkeypatch.context() as patched:
            patched.setattr(pace, "TIDYING", (1, 3600.0))
            patched.setattr(Line, "turn", _for_ever_if_full)
            async with running(slack, tmp_path) as (app, _, supervisor, _bot):
                for prompt in ("one cat", "two cats"):
                    await slack.slash(ana, general, "/imagine", prompt)
                await slack.until(lambda: supervisor.idle)
                jobs = await app.jobs.history("slack", ana.id, before=None, limit=9)
                assert [job.state for job in jobs] == [JobState.DELIVERED] * 2
                assert [len(m.buttons) > 1 for m in general.posted].count(False) == 1
        async with running(slack, tmp_path):
            await slack.until(lambda: all("Again" in m.buttons for m in general.posted))
            assert len(general.posted) == 2
            notes = tmp_path / "data" / "slack" / "notes"
            await slack.until(lambda: not list(notes.glob("*-progress.json")))


@pytest.mark.parametrize("prompt", ["a cat", "fail cat"])
async def test_in_a_crowded_channel_only_the_end_is_posted_and_who_asked_knows_why(
    tmp_path: Path, prompt: str
) -> None:
    async with stage(tmp_path) as s:
        line = s.bot.surface.posts._limits.posts(s.general.id)
        line.hold(60.0)
        answer = await s.slack.slash(s.ana, s.general, "/imagine", prompt)
        await answer.until(lambda a: "shows no progress here" in a.text)
        job = await s.until(await s.newest(s.ana))
        [card] = s.general.posted
        assert ("Try again" if "fail" in prompt else "Again") in card.buttons
        await s.supervisor._delivery.deliver(job)
        assert s.general.posted == [card]


async def _for_ever_if_full(line: Line) -> None:
    if line.wait() > 1000.0:
        await asyncio.sleep(3600.0)
    line._turns.append(line._next())
