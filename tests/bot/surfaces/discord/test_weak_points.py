"""Where a message's life is thin: shared lanes, refused words, crashes and long outages."""

import asyncio
from pathlib import Path

import pytest

from bot.communities import Change
from bot.jobs.job import Job, JobState
from bot.jobs.pump import ProgressPump
from bot.surfaces.base import Drawing, SurfaceGone
from bot.surfaces.discord import desk, receipts
from bot.surfaces.discord.journal import Journal
from bot.surfaces.discord.starts import Starts
from tests.bot.surfaces.discord.stage import VAULT, Stage, running, stage
from tests.bot.surfaces.discord.test_surface import (
    CHANNEL_EDIT,
    POST,
    done,
    ended,
    hanging,
    let_go,
    waiting,
)
from tests.fakes.discord import Answer, FakeDiscord, May, Refusal, User

LATE = 14.5 * 60
"""Seconds after which edits go by the bot's own token."""


async def finish_again(s: Stage, job: Job) -> None:
    """What a process does that died before it noted that this job was delivered."""
    assert job.receipt is not None
    await s.surface.finish(job, job.receipt, await done(s))


async def test_fifty_jobs_in_one_channel_meet_no_limit_with_the_bots_own_token(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, slots=1) as s:
        # The shape of Discord's limit, twenty times as fast.
        s.discord.limits.rates.edits_in_channel = (5, 0.25)
        people = [s.discord.user(f"P{n}") for n in range(50)]
        for person in people:
            s.discord.join(s.home, person)
        await hanging(s, s.ben)

        async def ask(person: User) -> Answer:
            answer = await s.discord.slash(person, s.general, "imagine", prompt="steps=1 a cat")
            await answer.settled()
            return answer

        answers = await asyncio.gather(*map(ask, people))
        s.discord.clock.move(LATE)
        await let_go(s)
        cards = [await answer.message.until(lambda m: m.pictures, 60) for answer in answers]
        assert len({card.id for card in cards}) == 50
        assert len([m for m in s.general.public if m.pictures]) == 50
        assert len(s.discord.rest.made("PATCH", CHANNEL_EDIT)) > 50
        assert s.discord.rest.limited == []


async def test_a_state_that_finds_its_lane_busy_is_shown_when_the_lane_is_free(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        cards, jobs = [], []
        for user in (s.ana, s.ben):
            cards.append(await s.drawn(user))
            jobs.append(await s.newest(user))
        s.discord.clock.move(LATE)
        pumps = []
        for job in jobs:
            assert job.receipt is not None
            pumps.append(ProgressPump(s.surface, job, job.receipt))
        for pump in pumps:
            pump.show(Drawing(1, 9))
        await s.discord.until(lambda: any("step 1/9" in card.text for card in cards))
        for pump in pumps:
            pump.show(Drawing(2, 9))
        late = next(card for card in cards if "step 1/9" not in card.text)
        await late.until(lambda m: "step 2/9" in m.text)
        await asyncio.gather(*(pump.close() for pump in pumps))


async def test_words_that_automod_refuses_are_left_out_for_the_whole_job(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:

        def refused() -> int:
            return sum(call.status == 400 for call in s.discord.rest.calls)

        s.general.refusal = Refusal(200_000, "Blocked by AutoMod", words="cat")
        prompt = "steps=25 pause=0.1 cat"
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt=prompt)
        await answer.message.until(lambda m: "step " in m.text)
        await answer.message.until(lambda m: m.pictures)
        assert "cat" not in answer.text
        assert refused() == 1
        s.general.refusal = None
        later = await s.discord.slash(s.ana, s.general, "imagine", prompt=prompt)
        assert "cat" in later.text
        s.general.refusal = Refusal(200_000, "Blocked by AutoMod", words="cat")
        await later.message.until(lambda m: "step " in m.text)
        await later.message.until(lambda m: m.pictures)
        assert "cat" not in later.text
        assert refused() == 2


async def test_a_result_that_was_posted_anew_is_found_after_a_long_outage(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        ping = Change({"ping": True})
        await s.app.communities.change_member(str(s.home.id), str(s.ana.id), ping)
        answer = await waiting(s)
        s.discord.delete_message(answer.message)
        await let_go(s)
        assert await ended(s) is JobState.DELIVERED
        before = list(s.general.public)
        assert sum(bool(m.pictures) for m in before) == 1
        assert sum(bool(m.pinged) for m in before) == 1
        for n in range(120):
            s.discord.post(s.ben, s.general, f"Hello {n}")
        s.discord.clock.move(3600)
        await finish_again(s, await s.newest(s.ana))
        ours = [m for m in s.general.public if m.author is s.discord.bot]
        assert ours == [m for m in before if m.author is s.discord.bot]


async def test_where_nobody_can_look_a_result_is_kept_and_not_posted_twice(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        answer = await waiting(s)
        s.discord.delete_message(answer.message)
        await let_go(s)
        assert await ended(s) is JobState.DELIVERED
        before = list(s.general.public)
        s.discord.clock.move(3600)
        s.discord.allow(s.general, s.home.everyone, deny=May.READ_MESSAGE_HISTORY)
        with pytest.raises(SurfaceGone):  # what makes the supervisor keep it for /queue
            await finish_again(s, await s.newest(s.ana))
        assert s.general.public == before


async def test_a_post_that_never_arrived_is_made_after_a_long_outage(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        answer = await waiting(s)
        s.discord.delete_message(answer.message)
        await let_go(s)
        assert await ended(s) is JobState.DELIVERED
        (posted,) = [m for m in s.general.public if m.pictures]
        del s.general.messages[posted.id]  # as if the process had died before the post
        s.discord.clock.move(3600)
        await finish_again(s, await s.newest(s.ana))
        assert len([m for m in s.general.public if m.pictures]) == 1
        assert len(s.discord.rest.made("POST", POST)) == 2


async def test_a_private_answer_cut_off_after_a_public_announcement_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "_LOOK_S", 0.0)  # nobody knows yet that it is to be private
    async with FakeDiscord() as discord:
        ana = discord.user("Ana")
        home = discord.guild(members=(ana,))
        async with running(discord, tmp_path) as (app, _, supervisor, _bot):
            private = Change({"private": True})
            await app.communities.change_member(str(home.id), str(ana.id), private)
            async with app.database.write():  # so slow that it is announced in public
                answer = await discord.slash(ana, home.channel("general"), "imagine", prompt="hang")
            await answer.follow_up()
            (job,) = await app.jobs.history("discord", str(ana.id), before=None, limit=9)
            async with asyncio.timeout(10):
                while (found := await app.jobs.get(job.id)) is None or found.receipt is None:
                    await asyncio.sleep(0.02)
            noted = receipts.read({**found.receipt, "message": 0}, VAULT)
            await supervisor.drain(0.0)
            async with app.database.write() as sql:  # as if it had died before the follow-up
                await sql.execute("UPDATE jobs SET receipt = NULL, state = 'queued'")
            await Starts(tmp_path / "data" / "discord" / "starts", VAULT).note(job.id, noted)
        async with running(discord, tmp_path) as (app, _, supervisor, _bot):
            again = await answer.follow_up(2)
            assert again.ephemeral
            await supervisor.cancel(job.id)
            await again.until(lambda m: "Cancelled" in m.text)
        assert home.channel("general").public == []


async def test_loose_files_of_the_lora_folder_are_suggested_too(tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    folder.mkdir()
    (folder / "Loose-one.safetensors").write_bytes(b"x")
    async with stage(tmp_path) as s:

        async def offered(typed: str) -> list[str]:
            found = await s.discord.autocomplete(
                s.ana, s.general, "imagine", "loras", prompt="x", loras=typed
            )
            return [choice["value"] for choice in found]

        known = (await s.app.registry.loras.list())[0].name
        assert await offered("loose") == ["Loose-one"]
        assert await offered(f"{known}:0.5, loo") == [f"{known}:0.5, Loose-one"]
        assert known in await offered("")


async def test_what_is_noted_outlives_the_process_and_a_line_that_was_cut_off(
    tmp_path: Path,
) -> None:
    now = 1000.0
    await Journal(tmp_path, 60, lambda: now).write("one")
    with (tmp_path / "now.jsonl").open("a") as file:
        file.write('[1000.0, "tw')
    journal = Journal(tmp_path, 60, lambda: now)
    await journal.write("three")
    assert [await journal.find(key) for key in ("one", "two", "three")] == [1000.0, None, 1000.0]
    now = 1061.0
    await journal.write("four")
    assert await journal.find("one") == 1000.0
    now = 1122.0
    await journal.write("five")
    assert await journal.find("one") is None
    assert await journal.find("four") == 1061.0
