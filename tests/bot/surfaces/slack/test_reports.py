"""Reporting a picture: what members are asked and told, and what moderators see."""

from pathlib import Path

import pytest

from bot import wording
from bot.commands.moderation import MOST_REPORTS
from bot.communities import Change
from bot.jobs.reports import ReportStore
from bot.permissions import Requester
from bot.surfaces.slack import moderation, reports
from bot.surfaces.slack.notes import Note, Notes
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.fakes.slack import Answer, Channel, Fault, Message, User

OWNER = Requester("owner", owner=True)
FIELD = "What is wrong with it?"


async def set_up(s: Stage, **values: object) -> None:
    record = await s.app.communities.load(s.slack.team.id)
    change = Change(values)
    await s.app.communities.change(s.slack.team.id, change, base=record.version, by=OWNER)


async def report_channel(s: Stage, **values: object) -> Channel:
    """A channel that the workspace has named for reports, with a moderator in it."""
    channel = s.slack.channel("reports", s.slack.user("Mod"), private=True)
    await set_up(s, report_channel=channel.id, **values)
    return channel


async def report(s: Stage, card: Message, reason: str = "bad", kind: str | None = None) -> Answer:
    form = (await s.slack.click(s.ben, card, "Report")).modal
    return await s.slack.submit(s.ben, form, {FIELD: reason, "What is it?": kind})


async def told(s: Stage, user: User, sentence: str) -> None:
    """Wait until this person has been told this privately, last of all."""

    def private() -> list[str]:
        return [one.text for one in s.slack.seen_by(user, s.general) if one.private]

    await s.slack.until(lambda: private()[-1:] == [sentence])


async def test_a_report_reaches_the_moderators_with_everything_they_need(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        [mod] = channel.members - {s.slack.team.bot}
        card = await s.drawn(s.ana, "a *cat*")
        await report(s, card, "It is <@U1> *me*\n# Loud", "A real person")
        await told(s, s.ben, reports.THANKS)
        [seen] = s.slack.seen_by(mod, channel)
        link = f"https://home.slack.com/archives/{s.general.id}/p{card.ts.replace('.', '')}"
        for part in (
            "*Report* · A real person",
            f"Ben ({s.ben.id}) reports <{link}|a picture> that Ana ({s.ana.id}) asked for.",
            ">It is &lt;@U1&gt;",
            "The checker found it clear.",
            "Prompt: a ",
        ):
            assert part in seen.text
        assert "<@" not in seen.text
        assert [picture.collapsed for picture in seen.pictures] == [True]
        assert seen.notification == reports.TOLD
        assert list(seen.buttons) == ["Hide", "Show openly", "Delete", "Block member", "Dismiss"]

        again = await s.slack.click(s.ben, card, "Report")
        await again.until(lambda a: wording.REPORTED_ALREADY in a.text)


async def test_a_form_that_was_open_twice_makes_one_report(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        card = await s.drawn(s.ana)
        forms = [(await s.slack.click(s.ben, card, "Report")).modal for _ in range(2)]
        assert not (await s.slack.submit(s.ben, forms[1], {FIELD: "bad"})).errors
        await told(s, s.ben, reports.THANKS)
        second = await s.slack.submit(s.ben, forms[0], {FIELD: "bad"})
        assert list(second.errors.values()) == [wording.REPORTED_ALREADY]
        assert len(channel.posted) == 1


async def test_without_a_channel_the_reporter_hears_whom_to_tell(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        none = await s.slack.click(s.ben, card, "Report")
        await none.until(lambda a: a.text == reports.NO_CHANNEL)
        closed = await report_channel(s)
        closed.members.discard(s.slack.team.bot)
        await report(s, card)
        await told(s, s.ben, reports.CHANNEL_CLOSED)
        log = s.slack.channel("log", s.slack.user("Mod"))
        await set_up(s, log_channel=log.id)
        await report(s, card)
        await told(s, s.ben, reports.THANKS)
        card_of_report, line = await s.slack.posted(log, lambda m: m.buttons), None
        assert "*Report*" in str(card_of_report.blocks)
        line = await s.slack.posted(log, lambda m: not m.buttons)
        assert f"A picture of Ana ({s.ana.id}) was reported by Ben ({s.ben.id}): " in line.text


async def test_what_nobody_else_sees_cannot_be_reported_until_it_is_shared(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        await s.slack.slash(s.ana, s.general, "/imagine", "a cat --private")
        conversation = s.slack.conversation(s.ana)
        card = await s.slack.posted(conversation, lambda m: "Share" in m.buttons)
        answer = await s.slack.click(s.ana, card, "Report")
        await answer.until(lambda a: a.text == wording.NOBODY_ELSE_SEES_IT)
        await s.slack.click(s.ana, card, "Share")
        shared = await s.slack.posted(s.general, lambda m: m.buttons)
        await report(s, shared)
        told_of = await s.slack.posted(channel, lambda m: m.buttons)
        assert f"/{s.general.id}/p{shared.ts.replace('.', '')}|a picture>" in str(told_of.blocks)
        failed = await s.drawn(s.ana, "fail")
        assert "Report" not in failed.buttons


async def test_somebody_who_reports_everything_is_stopped(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await report_channel(s)
        card = await s.drawn(s.ana)
        for number in range(MOST_REPORTS):
            await ReportStore(s.app.database).note(f"job {number}", s.ben.id)
        refusal = await s.slack.click(s.ben, card, "Report")
        await refusal.until(lambda a: a.text == wording.too_many_reports(MOST_REPORTS))


async def test_no_report_shows_what_may_not_be_uploaded(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s, flagged="withhold")
        card = await s.drawn(s.ana, "flagged")
        await report(s, card)
        shown = await s.slack.posted(channel, lambda m: m.buttons)
        assert reports.NOT_SHOWN in str(shown.blocks)
        assert not s.slack.files


async def test_a_report_that_broke_off_can_be_made_again_and_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        card = await s.drawn(s.ana)
        s.slack.api.faults.append(Fault("files.completeUploadExternal", error="fatal_error"))
        await report(s, card)
        await told(s, s.ben, reports.NOT_SENT)
        assert not channel.posted

        write = Notes.write

        async def dies(self: Notes, name: str, note: Note) -> None:
            if note.posted:
                raise OSError("the process ends here")
            await write(self, name, note)

        monkeypatch.setattr(Notes, "write", dies)
        await report(s, card)
        await told(s, s.ben, wording.INTERNAL)
        monkeypatch.undo()
        await report(s, card)
        await told(s, s.ben, reports.THANKS)
        assert len(channel.posted) == 1


async def test_moderators_get_their_window_instead_of_the_form(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await set_up(s, moderators=[s.ben.id])
        card = await s.drawn(s.ana)
        window = (await s.slack.click(s.ben, card, "Report")).modal
        assert window.title == moderation.TITLE
        assert list(window.buttons) == ["Hide", "Show openly", "Delete", "Block member"]
        assert f"A picture that <@{s.ana.id}> asked for" in window.text
