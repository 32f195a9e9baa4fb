"""The log of a workspace: lines in the channel that it has named."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.surfaces.ledger import MOST_LINES
from bot.surfaces.slack.ledger import Ledger
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.bot.surfaces.slack.test_reports import set_up
from tests.fakes.slack import Channel, Fault


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.surfaces.ledger.PAUSE_S", 0.0)


async def log_channel(s: Stage) -> Channel:
    channel = s.slack.channel("log", s.ben)
    await set_up(s, log_channel=channel.id)
    return channel


def ledger(s: Stage) -> Ledger:
    return Ledger(s.bot.surface.posts, s.app.communities.effective)


async def test_lines_that_come_together_are_one_message_and_a_lost_answer_repeats_none(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        channel, kept = await log_channel(s), ledger(s)
        kept.start()
        kept.note(s.slack.team.id, "Ana did this")
        kept.note(s.slack.team.id, "and that")
        kept.note("T0000", "of a workspace without a log")
        await s.slack.until(lambda: channel.posted)
        s.slack.api.faults.append(Fault("chat.postMessage", cut=True, after=True))
        kept.note(s.slack.team.id, "later")
        await s.slack.until(lambda: len(channel.posted) == 2)
        channel.archived = True
        with capture_logs() as logs:
            kept.note(s.slack.team.id, "never")
            async with asyncio.timeout(10.0):
                while not logs:
                    await asyncio.sleep(0.01)
            await kept.close()
        seen = [s.slack.sight(s.ben, message) for message in channel.posted]
        assert [one.text for one in seen] == ["Ana did this\nand that", "later"]
        assert [one["event"] for one in logs] == ["ledger not written"]
        assert "never" not in str(logs)


async def test_what_waits_is_bounded_and_told_at_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel, kept = await log_channel(s), ledger(s)
        s.slack.limits.rates.enforced = False
        for number in range(MOST_LINES + 7):
            kept.note(s.slack.team.id, f"line {number} {'x' * 50}")
        kept.start()
        await kept.close()
        lines = "\n".join(message.text for message in channel.posted).splitlines()
        assert [line.split()[1] for line in lines[:-1]] == [str(n) for n in range(MOST_LINES)]
        assert lines[-1] == "7 more lines are left out."
