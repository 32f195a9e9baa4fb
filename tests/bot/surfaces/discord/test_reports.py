"""Reporting a picture: what members are asked and told, and what moderators see."""

from pathlib import Path

import pytest

from bot import wording
from bot.app import App
from bot.commands.moderation import MOST_REPORTS
from bot.communities import Change
from bot.jobs.job import Job
from bot.jobs.reports import ReportStore
from bot.permissions import Requester
from bot.surfaces.discord import menus, reports
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Answer, Channel, Guild, May, Message, Refusal

OWNER = Requester("owner", owner=True)
FIELD = "What is wrong with it?"


async def set_up(app: App, home: Guild, **values: object) -> None:
    record = await app.communities.load(str(home.id))
    await app.communities.change(str(home.id), Change(values), base=record.version, by=OWNER)


async def report_channel(s: Stage, **values: object) -> Channel:
    """A channel that the community has named for reports."""
    channel = s.discord.text(s.home, "reports")
    await set_up(s.app, s.home, report_channel=str(channel.id), **values)
    return channel


async def report(s: Stage, card: Message, reason: str = "bad", kind: str | None = None) -> Answer:
    form = (await s.discord.click(s.ben, card, "Report")).modal
    values: dict[str, object] = {FIELD: reason}
    if kind is not None:
        values["What is it?"] = [kind]
    answer = await s.discord.submit(form, values)
    await answer.settled()
    assert answer.ephemeral
    return answer


async def test_a_report_reaches_the_moderators_with_everything_they_need(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        card = await s.drawn(s.ana, "a *cat*")
        answer = await report(s, card, "It is **me** <@1>\n# Loud", "A real person")
        assert answer.text == reports.THANKS
        (told,) = channel.public
        link = f"https://discord.com/channels/{s.home.id}/{s.general.id}/{card.id}"
        for part in (
            "**Report** · A real person",
            f"<@{s.ben.id}> reports [a picture]({link}) that <@{s.ana.id}> asked for",
            "> It is \\*\\*me\\*\\* \\<@1\\> \\# Loud",
            "Prompt: a \\*cat\\*",
            "The checker found it clear.",
        ):
            assert part in told.text
        assert [picture.spoiler for picture in told.pictures] == [True]
        assert list(told.buttons) == ["Veil", "Reveal", "Delete", "Block member", "Dismiss"]
        assert told.pinged == set()

        again = await s.discord.click(s.ben, card, "Report")
        assert (again.ephemeral, again.text) == (True, wording.REPORTED_ALREADY)


async def test_a_form_that_was_open_twice_makes_one_report(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        card = await s.drawn(s.ana)
        first = (await s.discord.click(s.ben, card, "Report")).modal
        second = (await s.discord.click(s.ben, card, "Report")).modal
        for form, said in ((first, reports.THANKS), (second, wording.REPORTED_ALREADY)):
            answer = await s.discord.submit(form, {FIELD: "bad"})
            await answer.settled()
            assert answer.text == said
        assert len(channel.public) == 1


async def test_the_menu_of_a_message_reports_too_but_only_pictures_of_ours(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        card = await s.drawn(s.ana)
        form = (await s.discord.message_menu(s.ben, menus.REPORT, card)).modal
        answer = await s.discord.submit(form, {FIELD: "bad"})
        await answer.settled()
        (told,) = channel.public
        assert f"/{card.id})" in told.text
        other = s.discord.post(s.ana, s.general, "hello")
        refusal = await s.discord.message_menu(s.ben, menus.REPORT, other)
        assert (refusal.ephemeral, refusal.text) == (True, menus.NO_CARD)
        failed = await s.drawn(s.ana, "fail")
        nothing = await s.discord.message_menu(s.ben, menus.REPORT, failed)
        assert nothing.text == wording.NOTHING_TO_REPORT
        mine = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat", private=True)
        await mine.message.until(lambda m: m.pictures)
        private = await s.discord.click(s.ana, mine.message, "Report")
        assert private.text == wording.NOBODY_ELSE_SEES_IT


async def test_without_a_channel_the_reporter_hears_whom_to_tell(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        none = await s.discord.click(s.ben, card, "Report")
        assert (none.ephemeral, none.text) == (True, reports.NO_CHANNEL)

        closed = await report_channel(s)
        s.discord.allow(closed, s.home.everyone, deny=int(May.SEND_MESSAGES))
        assert (await report(s, card)).text == reports.CHANNEL_CLOSED

        log = s.discord.text(s.home, "log")
        await set_up(s.app, s.home, log_channel=str(log.id))
        assert (await report(s, card)).text == reports.THANKS
        assert "**Report**" in log.public[0].text


async def test_a_direct_message_has_no_moderators(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        dm = s.discord.dm(s.ana)
        drawn = await s.discord.slash(s.ana, dm, "imagine", prompt="a cat")
        card = await drawn.message.until(lambda m: m.pictures)
        for answer in (
            await s.discord.click(s.ana, card, "Report"),
            await s.discord.message_menu(s.ana, menus.REPORT, card),
        ):
            assert answer.text == reports.NO_MODERATORS


async def test_somebody_who_reports_everything_is_stopped(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await report_channel(s)
        card = await s.drawn(s.ana)
        store = ReportStore(s.app.database)
        for number in range(MOST_REPORTS):
            await store.note(f"job {number}", str(s.ben.id))
        refusal = await s.discord.click(s.ben, card, "Report")
        assert refusal.text == wording.too_many_reports(MOST_REPORTS)


@pytest.mark.parametrize("what", ["withheld", "ordinary channel"])
async def test_no_report_shows_what_its_channel_may_not_show(tmp_path: Path, what: str) -> None:
    async with stage(tmp_path) as s:
        rule = "withhold" if what == "withheld" else "spoiler_age_restricted"
        channel = await report_channel(s, flagged=rule)
        s.discord.set_nsfw(s.general, True)
        card = await s.drawn(s.ana, "flagged")
        assert bool(card.pictures) is (what != "withheld")
        await report(s, card)
        (told,) = channel.public
        assert (told.pictures, told.attachments) == ([], [])
        assert "The checker flagged it." in told.text


async def test_a_server_that_refuses_the_picture_still_gets_the_report(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        s.discord.allow(channel, s.home.everyone, deny=int(May.ATTACH_FILES))
        card = await s.drawn(s.ana)
        assert (await report(s, card)).text == reports.THANKS
        (told,) = channel.public
        assert (told.pictures, "> bad" in told.text) == ([], True)


async def test_a_report_that_could_not_be_sent_can_be_made_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        channel = await report_channel(s)
        card = await s.drawn(s.ana)
        channel.refusal = Refusal(200_000, "AutoMod")
        assert (await report(s, card)).text == reports.NOT_SENT
        channel.refusal = None
        assert (await report(s, card)).text == reports.THANKS
        assert len(channel.public) == 1


async def test_moderators_get_their_panel_instead_of_the_form(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await set_up(s.app, s.home, moderators=[str(s.ben.id)])
        card = await s.drawn(s.ana)
        for answer in (
            await s.discord.click(s.ben, card, "Report"),
            await s.discord.message_menu(s.ben, menus.REPORT, card),
        ):
            assert answer.ephemeral
            assert list(answer.message.buttons) == ["Veil", "Reveal", "Delete", "Block member"]
            assert f"<@{s.ana.id}>" in answer.text


async def test_reports_are_forgotten_with_their_jobs(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        store, job = ReportStore(s.app.database), await _drawn_job(s)
        await store.note(job.id, "ben")
        assert await store.has(job.id, "ben")
        await s.app.jobs.forget(2**40)
        assert not await store.has(job.id, "ben")


async def _drawn_job(s: Stage) -> Job:
    await s.drawn(s.ana)
    return await s.newest(s.ana)
