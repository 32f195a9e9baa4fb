"""The life of a job's message: progress, two tokens, what is gone or refused, crashes."""

import asyncio
import io
import random
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from bot.app import Backends, open_app
from bot.communities import Change
from bot.jobs.job import JobState
from bot.permissions import Requester
from bot.policy import Treatment
from bot.recipe import Recipe, read
from bot.settings import Settings
from bot.surfaces.base import DeliveredPicture, Done, Drawing, NotYet, SurfaceGone, Waiting
from bot.surfaces.discord import receipts
from bot.surfaces.discord.client import AtelierClient
from bot.surfaces.discord.starts import Starts
from bot.surfaces.discord.surface import FILTERED
from tests.bot.surfaces.discord.stage import VAULT, Stage, running, stage
from tests.fakes.discord import Answer, Channel, FakeDiscord, Fault, Message, Refusal, User

EDIT = "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}"
CHANNEL_EDIT = "/channels/{channel_id}/messages/{message_id}"
POST = "/channels/{channel_id}/messages"


async def hanging(s: Stage, user: User | None = None, **options: object) -> Answer:
    """A job that is being drawn for ever."""
    user = user or s.ana
    answer = await s.discord.slash(user, s.general, "imagine", prompt="hang", **options)
    await s.until(await s.newest(user), JobState.RUNNING)
    return answer


async def waiting(s: Stage, prompt: str = "a cat", **options: object) -> Answer:
    """A job that waits for its turn behind one that is drawn for ever."""
    await hanging(s, s.ben)
    answer = await s.discord.slash(s.ana, s.general, "imagine", prompt=prompt, **options)
    await answer.settled()
    return answer


async def let_go(s: Stage) -> None:
    """End what Ben has drawn for ever, so that Ana's job has its turn."""
    await s.supervisor.cancel((await s.newest(s.ben)).id)


async def ended(s: Stage) -> JobState:
    return (await s.until(await s.newest(s.ana))).state


async def test_progress_is_shown_on_the_message_itself_at_a_measured_pace(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(
            s.ana, s.general, "imagine", prompt="steps=50 pause=0.1 a cat"
        )
        await answer.message.until(lambda m: "step " in m.text)
        assert "/50" in answer.text
        assert list(answer.message.buttons) == ["Cancel"]
        await answer.message.until(lambda m: m.pictures)
        assert "█" not in answer.text
        edits = s.discord.rest.made("PATCH", EDIT)
        progress = [call.at for call in edits[:-1]]
        assert len(progress) >= 2
        assert all(later - at > 1.9 for at, later in pairwise(progress))
        assert s.discord.rest.limited == []


async def test_a_live_preview_is_hidden_and_gone_in_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        job = await s.newest(s.ana)
        assert job.receipt is not None
        preview = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(preview, "JPEG")
        state = Drawing(3, 9, preview=preview.getvalue())
        async with asyncio.timeout(10):  # the job itself may have used up this lane's turn
            while not card.attachments[0].filename.startswith("preview"):
                pause = await s.surface.progress(job, job.receipt, state)
                await asyncio.sleep(pause.seconds if isinstance(pause, NotYet) else pause or 0)
        assert [picture.spoiler for picture in card.pictures] == [True]
        assert [file.filename for file in card.attachments] == ["preview.jpg"]
        await s.surface.finish(job, job.receipt, await done(s))
        assert "preview.jpg" not in [file.filename for file in card.attachments]
        assert len(card.pictures) == 1


async def test_after_a_quarter_of_an_hour_the_bots_own_token_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        answer = await waiting(s)
        s.discord.clock.move(14.5 * 60)
        await let_go(s)
        await answer.message.until(lambda m: m.pictures)
        assert s.discord.rest.made("PATCH", CHANNEL_EDIT)
        assert len(s.general.public) == 2


async def test_a_token_that_dies_early_is_replaced_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        answer = await waiting(s)
        answer.interaction.sent -= 901
        await let_go(s)
        await answer.message.until(lambda m: m.pictures)
        assert await ended(s) is JobState.DELIVERED


async def test_a_message_that_is_gone_is_replaced_once(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        answer = await waiting(s)
        s.discord.delete_message(answer.message)
        await let_go(s)
        assert await ended(s) is JobState.DELIVERED
        (posted,) = [m for m in s.general.public if m.pictures]
        job = await s.newest(s.ana)
        # A crash right after the post, before it was noted, repeats the call.
        assert job.receipt is not None
        assert job.result is not None
        await s.surface.finish(job, job.receipt, await done(s))
        assert [m for m in s.general.public if m.pictures] == [posted]
        assert len(str(posted.nonce)) <= 25


async def done(s: Stage, data: bytes | None = None) -> Done:
    """What Ana's newest job has come to, with other bytes where given."""
    job = await s.newest(s.ana)
    assert job.result is not None
    stored = job.result.pictures[0]
    data = data or await s.app.pictures.get(stored.key)
    return Done((DeliveredPicture(stored, data, Treatment.SHOW),))


def noise(side: int) -> bytes:
    """A picture that PNG cannot make small."""
    buffer = io.BytesIO()
    pixels = random.Random(7).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), pixels).save(buffer, "PNG")
    return buffer.getvalue()


async def test_finishing_twice_changes_nothing_that_people_see(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, seed=7)
        job, seen = await s.newest(s.ana), (card.text, list(card.buttons), len(card.pictures))
        assert job.receipt is not None
        await s.surface.finish(job, job.receipt, await done(s))
        assert (card.text, list(card.buttons), len(card.pictures)) == seen
        assert s.general.public == [card]


async def test_who_wants_to_be_called_is_called_once_and_nobody_else(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.app.communities.change_member(str(s.home.id), str(s.ana.id), Change({"ping": True}))
        card = await s.drawn(s.ana, f"<@{s.ben.id}>")
        (call,) = [m for m in s.general.public if m is not card]
        assert call.pinged == {str(s.ana.id)}
        assert call.reply_to == card.id
        job = await s.newest(s.ana)
        assert job.receipt is not None
        await s.surface.finish(job, job.receipt, await done(s))
        assert s.general.public == [card, call]


async def test_a_private_result_that_comes_too_late_waits_in_the_queue(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        await waiting(s, private=True, seed=7)
        s.discord.clock.move(16 * 60)
        await let_go(s)
        assert await ended(s) is JobState.UNDELIVERABLE
        queue = await s.discord.slash(s.ana, s.general, "queue")
        assert "could not be shown" in queue.text
        shown = await s.discord.click(s.ana, queue.message, "Show me")
        await shown.message.until(lambda m: m.pictures)
        assert shown.ephemeral
        assert "seed 7" in shown.text


async def test_what_is_fetched_obeys_the_place_where_it_is_fetched(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        change = Change({"flagged": "spoiler_age_restricted"})
        owner = Requester("owner", owner=True)
        await s.app.communities.change(str(s.home.id), change, base=0, by=owner)
        adults = s.discord.text(s.home, "adults", nsfw=True)
        answer = await s.discord.slash(s.ana, adults, "imagine", prompt="flagged")
        await answer.message.until(lambda m: m.pictures)
        await s.until(await s.newest(s.ana))
        async with s.app.database.write() as sql:
            await sql.execute("UPDATE jobs SET state = 'undeliverable'")
        for channel, spoilers in ((s.general, []), (adults, [True])):
            queue = await s.discord.slash(s.ana, channel, "queue")
            shown = await s.discord.click(s.ana, queue.message, "Show me")
            await shown.message.until(lambda m: "Again" in m.buttons)
            assert [picture.spoiler for picture in shown.message.pictures] == spoilers


async def test_an_old_message_is_changed_rarely(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana)
        job = await s.newest(s.ana)
        assert job.receipt is not None
        s.discord.clock.move(7200)
        pause = await s.surface.progress(job, job.receipt, Drawing(1, 2))
        assert isinstance(pause, float)
        assert pause >= 120
        assert await s.surface.progress(job, {**job.receipt, "lasting": False}, Waiting(1)) is None


async def test_a_channel_that_is_closed_meanwhile_makes_a_result_wait(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        await waiting(s)
        s.discord.clock.move(16 * 60)
        s.discord.delete_channel(s.general)
        await let_go(s)
        assert await ended(s) is JobState.UNDELIVERABLE


async def test_words_that_automod_refuses_are_left_out(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        refuse_once(s, s.general, Refusal(200_000, "Blocked by AutoMod"))
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        assert "a cat" not in answer.text
        assert "AutoMod" in answer.text
        await answer.message.until(lambda m: m.pictures)


async def test_a_picture_that_the_servers_filter_refuses_is_kept_for_who_asked(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        job = await s.newest(s.ana)
        assert job.receipt is not None
        refuse_once(s, s.general, Refusal(20_009, "Explicit content cannot be sent here"))
        with pytest.raises(SurfaceGone):  # what makes the supervisor keep it for /queue
            await s.surface.finish(job, job.receipt, await done(s))
        assert FILTERED in card.text
        assert card.attachments == []


def refuse_once(s: Stage, channel: Channel, refusal: Refusal) -> None:
    """Have a channel refuse the next thing that the bot says there."""
    channel.refusal = refusal
    before = len(s.discord.rest.calls)

    async def relent() -> None:
        await s.discord.changes.until(
            lambda: any(c.status == 400 for c in list(s.discord.rest.calls)[before:]), 20
        )
        channel.refusal = None

    s.chores.append(asyncio.create_task(relent()))


@pytest.mark.parametrize("told", [True, False])
async def test_a_picture_that_is_too_large_is_made_to_fit_and_says_so(
    tmp_path: Path, told: bool
) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, format="png")
        s.home.file_limit = 40_000
        job, data = await s.newest(s.ana), noise(200)
        assert job.receipt is not None
        limit = 40_000 if told else 10 * 2**20
        await s.surface.finish(job, {**job.receipt, "limit": limit}, await done(s, data))
        (picture,) = card.pictures
        assert picture.attachment is not None
        assert picture.attachment.size <= 40_000 < len(data)
        assert "to fit Discord's" in card.text
        found = read(picture.attachment.data)
        assert isinstance(found, Recipe)
        assert found.prompt == job.request.prompt


async def test_a_crash_between_the_answer_and_its_receipt_leaves_one_message(
    tmp_path: Path,
) -> None:
    async with FakeDiscord() as discord:
        ana = discord.user("Ana")
        home = discord.guild(members=(ana,))
        general = home.channel("general")
        async with running(discord, tmp_path) as (app, _, supervisor, _bot):
            answer = await discord.slash(ana, general, "imagine", prompt="hang")
            await answer.settled()
            (job,) = await app.jobs.history("discord", str(ana.id), before=None, limit=9)
        async with open_app(
            Settings(data_dir=tmp_path / "data"), Backends({})
        ) as app:  # as if the process had died before the receipt was saved
            found = await app.jobs.get(job.id)
            assert found is not None
            assert found.receipt is not None
            noted = receipts.read({**found.receipt, "message": 0}, VAULT)
            await Starts(tmp_path / "data" / "discord" / "starts", VAULT).note(job.id, noted)
            async with app.database.write() as sql:
                await sql.execute("UPDATE jobs SET receipt = NULL, state = 'queued'")
        async with running(discord, tmp_path) as (app, _, supervisor, _bot):
            async with asyncio.timeout(10):
                while (found := await app.jobs.get(job.id)) is None or found.receipt is None:
                    await asyncio.sleep(0.02)
            assert general.public == [answer.message]
            await supervisor.cancel(job.id)
            await answer.message.until(lambda m: "Cancelled" in m.text)


async def test_an_interaction_that_was_never_answered_draws_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        job = await s.newest(s.ana)
        with pytest.raises(SurfaceGone):
            await s.surface.start(job)
        assert s.general.public == [card]


async def test_many_jobs_in_one_channel_meet_no_limit(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=8) as s:
        people = [s.discord.user(f"P{n}") for n in range(8)]
        for person in people:
            s.discord.join(s.home, person)

        async def one(person: User) -> Message:
            answer = await s.discord.slash(
                person, s.general, "imagine", prompt="steps=20 pause=0.15 a cat"
            )
            return await answer.message.until(lambda m: m.pictures)

        cards = await asyncio.gather(*map(one, people))
        assert s.general.public == sorted(cards, key=lambda m: m.id)
        assert s.discord.rest.limited == []


@pytest.mark.parametrize("cut", [True, False])
async def test_an_answer_whose_arrival_is_unknown_is_looked_for(tmp_path: Path, cut: bool) -> None:
    async with stage(tmp_path) as s:
        fault = Fault("POST", "/callback", None if cut else 502, cut=cut, after=True)
        s.discord.rest.faults.append(fault)
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        card = await answer.message.until(lambda m: m.pictures)
        assert s.general.public == [card]


async def test_a_dropped_connection_loses_no_job_and_no_click(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        answer = await waiting(s)
        await s.discord.gateway.drop()
        await let_go(s)
        card = await answer.message.until(lambda m: m.pictures)
        await s.discord.gateway.until_ready()
        again = await s.discord.click(s.ana, card, "Again")
        await again.message.until(lambda m: m.pictures)
        assert s.discord.gateway.resumed == 1


async def test_three_shards_serve_their_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(client: AtelierClient, shard_id: int | None, *, initial: bool) -> None:
        """The library waits 5 s between shards, which this Discord does not ask for."""

    monkeypatch.setattr(AtelierClient, "before_identify_hook", at_once)
    async with FakeDiscord(shards=3) as discord:
        ana = discord.user("Ana")
        homes = [discord.guild(f"Home {n}", members=(ana,)) for n in range(3)]
        assert len({(home.id >> 22) % 3 for home in homes}) == 3
        async with running(discord, tmp_path, slots=2):
            assert sorted(session.shard for session in discord.gateway.connected) == [0, 1, 2]
            for home in homes:
                answer = await discord.slash(ana, home.channel("general"), "imagine", prompt="a")
                card = await answer.message.until(lambda m: m.pictures)
                again = await discord.click(ana, card, "Again")
                await again.message.until(lambda m: m.pictures)
        assert discord.gateway.identified == 3
