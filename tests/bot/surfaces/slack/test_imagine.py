"""`/imagine` at Slack, as members see it."""

import asyncio
import io
from pathlib import Path

from PIL import Image

from backends.base import Verdict
from bot.communities import Change
from bot.jobs.job import JobState, StoredPicture
from bot.permissions import Requester
from bot.policy import FlaggedRule, Treatment
from bot.recipe import read
from bot.surfaces.base import DeliveredPicture
from bot.surfaces.slack import uploads
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.bot.test_recipe import RECIPE
from tests.fakes.slack import Channel, Fault, Seen, User

OWNER = Requester("owner", owner=True)


async def rule(s: Stage, flagged: FlaggedRule) -> None:
    await s.app.communities.change(s.slack.team.id, Change({"flagged": flagged}), base=0, by=OWNER)


def last(s: Stage, user: User, channel: Channel | None = None) -> Seen:
    return s.slack.seen_by(user, channel or s.general)[-1]


async def test_a_command_becomes_one_message_with_the_picture(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        done = await s.drawn(s.ana, "steps=2 a *bold* <cat> & a dog")
        seen = last(s, s.ben)
        assert seen.message is done
        [picture] = seen.pictures
        assert (picture.image.size, picture.collapsed) == ((32, 32), False)
        assert "cat" in picture.alt
        assert "seed" in seen.text
        assert [m.ts for m in s.general.posted] == [done.ts]
        assert not s.slack.api.limited


async def test_progress_is_told_by_edits_and_cancel_ends_it(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        await s.slack.slash(s.ana, s.general, "/imagine", "hang")
        await s.slack.slash(s.ben, s.general, "/imagine", "a dog")
        first, second = s.general.posted
        await second.until(lambda m: "In the queue, 1 ahead" in str(m.blocks))
        answer = await s.slack.click(s.ben, first, "Cancel")
        await answer.until(lambda a: a.text)
        assert "Only who asked" in answer.text
        await s.slack.click(s.ana, first, "Cancel")
        await first.until(lambda m: "Draw it after all" in m.buttons)
        done = await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        assert done.ts not in {first.ts, second.ts}
        await s.slack.until(lambda: second not in s.general.posted)


async def test_a_flagged_picture_is_collapsed_and_its_words_are_neutral(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana, "flagged secret")
        seen = last(s, s.ben)
        [picture] = seen.pictures
        assert (picture.collapsed, seen.open_pictures) == (True, ())
        assert "secret" not in picture.alt
        [file] = s.slack.files_of(s.ben, s.general)
        assert "sensitive" in file.name
        assert "secret" not in file.name
        assert "Hidden because the checker flagged it" in seen.text


async def test_where_the_rule_is_private_the_picture_is_sent_to_who_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await rule(s, FlaggedRule.PRIVATE)
        card = await s.drawn(s.ana, "flagged cat")
        assert last(s, s.ben).pictures == ()
        assert not s.slack.files
        answer = await s.slack.click(s.ben, card, "Send to me")
        await answer.until(lambda a: a.text)
        assert not s.slack.files
        await s.slack.click(s.ana, card, "Send to me")
        conversation = s.slack.conversation(s.ana)
        await s.slack.posted(conversation, lambda m: m.buttons)
        assert last(s, s.ana, conversation).pictures[0].collapsed


async def test_where_the_rule_is_withhold_nothing_is_uploaded(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await rule(s, FlaggedRule.WITHHOLD)
        card = await s.drawn(s.ana, "flagged cat")
        assert "withheld" in last(s, s.ana).text
        assert "Send to me" not in card.buttons
        assert not s.slack.files


async def test_a_private_picture_comes_as_a_direct_message_and_can_be_shared(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        await s.slack.slash(s.ana, s.general, "/imagine", "a cat —private")
        conversation = s.slack.conversation(s.ana)
        card = await s.slack.posted(conversation, lambda m: "Share" in m.buttons)
        assert not s.general.posted
        await s.slack.click(s.ana, card, "Share")
        shared = await s.slack.posted(s.general, lambda m: m.buttons)
        assert last(s, s.ben).open_pictures
        await s.slack.click(s.ana, card, "Share")
        assert s.general.posted == [shared]


async def test_what_is_wrong_is_answered_privately_with_the_corrected_command(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        assert "`" in await s.said(s.ana, "a cat —stepps 5")
        assert "steps" in await s.said(s.ana, "a cat --steps 500")
        assert not s.general.posted


async def test_a_place_that_takes_no_message_says_why_and_what_to_do(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        secret = s.slack.channel("secret", s.ana, private=True, has_bot=False)
        assert "/invite" in await s.said(s.ana, "a cat", secret)
        s.general.archived = True
        s.general.archived = False
        s.general.refusal = "restricted_action"
        assert "Only some people may post" in await s.said(s.ana, "a cat")
        job = await s.newest(s.ana)
        assert job.state is JobState.CANCELLED


async def test_a_mention_draws_in_its_thread(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        root = await s.slack.write(s.ben, s.general, "look at this")
        await s.slack.mention(s.ana, s.general, "a cat --seed 7", root)
        done = await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        assert done.thread_ts == root.ts
        assert (await s.newest(s.ana)).request.seed == 7


async def test_words_in_a_direct_message_draw_there(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.slack.dm(s.ana, "a cat")
        conversation = s.slack.conversation(s.ana)
        assert await s.slack.posted(conversation, lambda m: "Again" in m.buttons)


async def test_the_same_command_told_twice_draws_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.slack.slash(s.ana, s.general, "/imagine", "a cat")
        await s.slack.repeat(answer)
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        await s.slack.repeat(answer)
        jobs = await s.app.jobs.history("slack", s.ana.id, before=None, limit=10)
        assert len(jobs) == 1


async def test_a_workspace_without_room_for_files_still_gets_the_result(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.slack.api.faults.append(
            Fault("files.getUploadURLExternal", error="storage_limit_reached")
        )
        await s.drawn(s.ana, "a cat")
        assert "Slack has not taken this picture" in last(s, s.ben).text


async def test_a_file_that_slack_has_not_looked_at_yet_is_posted_a_little_later(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        s.slack.processing = 0.15
        await s.drawn(s.ana, "a cat")
        assert last(s, s.ben).open_pictures
        assert len(s.slack.api.made("chat.postMessage")) > 2


async def test_a_double_click_on_a_button_draws_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        await asyncio.gather(*(s.slack.click(s.ana, card, "Again") for _ in range(2)))
        jobs = await s.app.jobs.history("slack", s.ana.id, before=None, limit=10)
        assert len(jobs) == 2
        s.slack.clock.move(10)
        await s.slack.click(s.ana, card, "Again")
        jobs = await s.app.jobs.history("slack", s.ana.id, before=None, limit=10)
        assert len(jobs) == 3


async def test_no_command_pays_for_asking_who_we_are(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        asked = len(s.slack.api.made("auth.test"))
        await s.drawn(s.ana)
        assert len(s.slack.api.made("auth.test")) == asked == 1


async def test_webp_becomes_png_with_its_recipe_inside() -> None:
    image, buffer = Image.new("RGB", (64, 32), "red"), io.BytesIO()
    image.save(buffer, "WEBP")
    recipe = RECIPE
    stored = StoredPicture(
        key="key", format="webp", width=64, height=32, seed=7, verdict=Verdict.CLEAR, recipe=recipe
    )
    shaped = await uploads.shaped(DeliveredPicture(stored, buffer.getvalue(), Treatment.SHOW))
    assert Image.open(io.BytesIO(shaped.data)).format == "PNG"
    assert read(shaped.data) == recipe
    assert (shaped.suffix, shaped.change) == ("png", "sent as PNG, since Slack shows no WebP")


async def test_a_form_that_slack_does_not_open_is_told(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.slack.api.faults.append(Fault("views.open", error="expired_trigger_id"))
        answer = await s.slack.slash(s.ana, s.general, "/imagine")
        await answer.until(lambda a: a.text)
        assert "Please try again" in answer.text
