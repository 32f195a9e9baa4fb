"""`/queue` at Slack, as members see it."""

import asyncio
from pathlib import Path

from bot.jobs.job import Job, JobState
from bot.surfaces.slack import mine
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.fakes.slack import Channel, Fault, Message, User


async def asked(s: Stage, user: User, text: str = "", channel: Channel | None = None) -> Message:
    """What `/queue` answers, which nobody else sees."""
    answer = await s.slack.slash(user, channel or s.general, "/queue", text)
    await answer.until(lambda a: a.private)
    [message] = answer.private
    return message


async def asks(s: Stage, user: User, text: str) -> Message:
    """The message with the progress of a job that somebody has asked for."""
    before = len(s.general.posted)
    await s.slack.slash(user, s.general, "/imagine", text)
    await s.slack.until(lambda: len(s.general.posted) > before)
    return s.general.posted[-1]


async def placed(s: Stage, job: Job) -> None:
    """Wait until it is known where a job stands in the queue."""
    async with asyncio.timeout(15.0):
        while s.supervisor.waiting(job.id) is None:
            await asyncio.sleep(0.02)


def words(s: Stage, user: User, message: Message) -> str:
    return s.slack.sight(user, message).text


async def test_the_queue_shows_ones_own_prompts_and_of_others_only_who_is_next(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, slots=1) as s:
        elsewhere = s.slack.channel("elsewhere", s.ana, s.ben)
        first = await asks(s, s.ana, "hang secret")
        second = await asks(s, s.ben, "a dog")
        await s.until(await s.newest(s.ana), JobState.RUNNING)
        await placed(s, await s.newest(s.ben))

        own = await asked(s, s.ben)
        assert "a dog" in words(s, s.ben, own)
        assert "in the queue, 1 ahead" in words(s, s.ben, own)
        assert "secret" not in words(s, s.ben, own)
        answer = await s.slack.click(s.ben, own, "This workspace's queue")
        await own.until(lambda m: "My own" in m.buttons)
        all_of_it = words(s, s.ben, own)
        assert "1 being drawn, 1 waiting" in all_of_it
        assert f"now: <@{s.ana.id}>" in all_of_it
        assert "next: you · in the queue, 1 ahead" in all_of_it
        assert not {"secret", "dog"} & set(all_of_it.split())
        assert answer.private == []
        from_elsewhere = words(s, s.ana, await asked(s, s.ana, "all", elsewhere))
        assert "now: you" in from_elsewhere
        assert "next: somebody" in from_elsewhere

        await s.slack.click(s.ben, await asked(s, s.ben), "Cancel")
        await second.until(lambda m: "Draw it after all" in m.buttons)
        assert (await s.newest(s.ana)).state is JobState.RUNNING
        assert words(s, s.ben, await asked(s, s.ben)) == mine.NOTHING
        await s.slack.click(s.ana, first, "Cancel")
        await first.until(lambda m: "Draw it after all" in m.buttons)


async def test_cancel_ends_the_newest_job_or_all_of_ones_own(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        s.slack.limits.rates.posts_in_channel = (100, 1.0)
        for text in ("hang one", "hang two", "hang three"):
            await asks(s, s.ana, text)
        await asks(s, s.ben, "a dog")
        newest = words(s, s.ana, await asked(s, s.ana, "cancel"))
        assert newest.splitlines() == ["Cancelled:", "• hang three"]
        rest = words(s, s.ana, await asked(s, s.ana, "Cancel all"))
        assert rest.splitlines() == ["Cancelled:", "• hang one", "• hang two"]
        assert words(s, s.ana, await asked(s, s.ana, "cancel")) == mine.NOTHING_TO_CANCEL
        assert words(s, s.ana, await asked(s, s.ana, "cancle")) == mine.USAGE
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        assert (await s.until(await s.newest(s.ben))).state is JobState.DELIVERED


async def test_a_result_that_had_no_place_is_sent_to_who_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await asks(s, s.ana, "steps=2 pause=0.3 a cat")
        s.general.refusal = "restricted_action"
        job = await s.until(await s.newest(s.ana))
        assert job.state is JobState.UNDELIVERABLE
        queue = await asked(s, s.ana)
        assert "could not be shown" in words(s, s.ana, queue)
        await s.slack.click(s.ana, queue, "Send to me")
        conversation = s.slack.conversation(s.ana)
        await s.slack.posted(conversation, lambda m: "Again" in m.buttons)
        assert s.slack.seen_by(s.ana, conversation)[-1].open_pictures


async def test_pictures_that_slack_did_not_take_are_sent_once_it_does(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        full = Fault("files.getUploadURLExternal", error="storage_limit_reached", times=2)
        s.slack.api.faults.append(full)
        card = await s.drawn(s.ana, "steps=2 a cat")
        assert "finds it with `/queue`" in words(s, s.ben, card)
        queue = await asked(s, s.ana)
        refused = await s.slack.click(s.ana, queue, "Send to me")
        await refused.until(lambda a: "takes no more files" in a.text)
        s.slack.clock.move(3.0)  # at once it would be a double click
        await s.slack.click(s.ana, queue, "Send to me")
        conversation = s.slack.conversation(s.ana)
        await s.slack.posted(conversation, lambda m: "Again" in m.buttons)
        [sent] = s.slack.seen_by(s.ana, conversation)
        assert sent.open_pictures
