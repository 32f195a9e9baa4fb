"""The log of a community: lines in the channel that it has named."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.app import App
from bot.communities import Change
from bot.permissions import Requester
from bot.surfaces.discord.ledger import Ledger
from bot.surfaces.ledger import MOST_LINES
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Channel, Fault, Guild, May

OWNER = Requester("owner", owner=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.surfaces.ledger.PAUSE_S", 0.0)


async def name_channel(app: App, home: Guild, channel: Channel) -> None:
    change = Change({"log_channel": str(channel.id)})
    record = await app.communities.load(str(home.id))
    await app.communities.change(str(home.id), change, base=record.version, by=OWNER)


def ledger(s: Stage) -> Ledger:
    return Ledger(s.bot.messages, s.app.communities.effective)


async def test_lines_that_come_together_are_one_silent_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = s.discord.text(s.home, "log")
        await name_channel(s.app, s.home, channel)
        kept = ledger(s)
        kept.start()
        kept.note(str(s.home.id), f"<@{s.ana.id}> did this")
        kept.note(str(s.home.id), "and that")
        await s.discord.until(lambda: channel.public)
        kept.note("local", "never")
        kept.note(str(s.home.id), "later")
        await s.discord.until(lambda: len(channel.public) == 2)
        await kept.close()
        first, second = channel.public
        assert first.text == f"<@{s.ana.id}> did this\nand that"
        assert (first.v2, first.pinged, second.text) == (True, set(), "later")


async def test_what_waits_is_bounded_and_told_at_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = s.discord.text(s.home, "log")
        await name_channel(s.app, s.home, channel)
        kept = ledger(s)
        for number in range(MOST_LINES + 7):
            kept.note(str(s.home.id), f"line {number} {'x' * 50}")
        kept.start()
        await kept.close()
        assert len(channel.public) > 1
        text = "\n".join(message.text for message in channel.public).splitlines()
        assert [line.split()[1] for line in text[:-1]] == [str(n) for n in range(MOST_LINES)]
        assert text[-1] == "7 more lines are left out."


async def test_a_lost_answer_is_not_told_twice_and_a_closed_channel_is_given_up(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        channel = s.discord.text(s.home, "log")
        await name_channel(s.app, s.home, channel)
        kept = ledger(s)
        kept.start()
        s.discord.rest.faults.append(
            Fault("POST", f"/channels/{channel.id}/", cut=True, after=True)
        )
        kept.note(str(s.home.id), "once")
        path = "/channels/{channel_id}/messages"
        await s.discord.until(lambda: len(s.discord.rest.made("POST", path)) == 2)
        assert [message.text for message in channel.public] == ["once"]
        s.discord.allow(channel, s.home.everyone, deny=int(May.SEND_MESSAGES))
        with capture_logs() as logs:
            kept.note(str(s.home.id), "never")
            await s.discord.until(lambda: s.discord.rest.made("POST", path)[-1].status == 403)
            await kept.close()
        assert "never" not in str(logs)
        assert [message.text for message in channel.public] == ["once"]
