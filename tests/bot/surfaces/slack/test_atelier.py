"""`/atelier`: help, one's own defaults, and what is kept about somebody."""

import json
from pathlib import Path

from bot.communities import Change
from bot.jobs.job import JobState
from bot.permissions import Requester
from bot.surfaces.slack import atelier, defaults
from lora_registry.models import PresetBody, Viewer
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.fakes.slack import Fault, Message, User, View

OWNER = Requester("owner", owner=True)


async def answered(s: Stage, user: User, text: str) -> Message:
    """What `/atelier` answers, which nobody else sees."""
    answer = await s.slack.slash(user, s.general, "/atelier", text)
    await answer.until(lambda a: a.private)
    [message] = answer.private
    assert not s.general.posted or message not in s.general.posted
    return message


def words(s: Stage, user: User, message: Message) -> str:
    return s.slack.sight(user, message).text


async def panel(s: Stage, user: User) -> View:
    return (await s.slack.slash(user, s.general, "/atelier", "defaults")).modal


async def test_help_is_short_and_its_buttons_draw(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        shown = await answered(s, s.ana, "")
        assert "There is no negative prompt" in words(s, s.ana, shown)
        assert words(s, s.ana, await answered(s, s.ana, "help")) == words(s, s.ana, shown)
        form = (await s.slack.click(s.ana, shown, "Write my own")).modal
        await s.slack.submit(s.ana, form, {"Prompt": "a cat"})
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        await s.slack.click(s.ana, shown, "Draw this")
        await s.slack.until(lambda: sum("Again" in m.buttons for m in s.general.posted) == 2)


async def test_an_unknown_subcommand_is_answered_with_all_there_are(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        said = words(s, s.ana, await answered(s, s.ana, "hlep me"))
        assert said == atelier.usage()
        assert all(f"/atelier {name}" in said for name in ("help", "defaults", "privacy"))


async def test_defaults_are_set_shown_with_their_source_and_cleared(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.app.communities.change(
            s.slack.team.id, Change({"size": "portrait_4_3"}), base=0, by=OWNER
        )
        s.slack.limits.rates.posts_in_channel = (100, 1.0)
        form = await panel(s, s.ana)
        assert "set for everybody here" in form.text
        assert "_yours_" not in form.text
        assert "Clear all of mine" not in form.buttons
        await s.slack.submit(s.ana, form, {"Size": "squaer"})
        assert "square" in form.errors[form.fields["Size"]["block_id"]]
        await s.slack.submit(s.ana, form, {"Size": "64x96", "Model": "flux-2"})
        assert "size is 64x96" in form.errors[form.fields["Size"]["block_id"]]
        await s.slack.submit(s.ana, form, {"Size": "512x768", "Preset": "nowhere"})
        assert "nowhere" in form.errors[form.fields["Preset"]["block_id"]]
        await s.slack.submit(
            s.ana,
            form,
            {
                "Preset": "",
                "Size": "512x768",
                "Pictures at once": "2",
                "When it is done": "a ping for you",
                "Model": "flux-2",
            },
        )
        assert form.text.startswith(defaults.SAVED)
        assert form.text.count("_yours_") == 4
        done = await s.drawn(s.ana, "steps=2 a cat")
        assert f"<@{s.ana.id}>" in words(s, s.ben, done)
        request = (await s.newest(s.ana)).request
        assert (str(request.image_size), request.num_images, request.model) == (
            "512x768",
            2,
            "flux-2",
        )
        assert f"<@{s.ben.id}>" not in words(s, s.ana, await s.drawn(s.ben))

        again = await panel(s, s.ana)
        await s.slack.submit(s.ana, again, {"Size": "", "Shown to": "on"})
        assert again.text.count("_yours_") == 4
        await s.slack.slash(s.ana, s.general, "/imagine", "steps=2 a cat")
        conversation = s.slack.conversation(s.ana)
        await s.slack.posted(conversation, lambda m: "Share" in m.buttons)
        assert str((await s.newest(s.ana)).request.image_size) == "768x1024"

        await s.slack.click(s.ana, again, "Clear all of mine")
        await again.until(lambda v: "_yours_" not in v.text)
        assert (await s.app.communities.member(s.slack.team.id, s.ana.id)).model_fields_set == set()
        maker = Viewer(s.slack.team.id, s.ana.id)
        await s.app.registry.presets.create(maker, "dreamy", PresetBody(steps=3))
        await s.slack.submit(s.ana, again, {"Preset": "dreamy"})
        await s.drawn(s.ana, "a cat")
        job = await s.newest(s.ana)
        assert (job.preset or "").endswith("/dreamy@1")
        assert job.request.num_inference_steps == 3


async def test_what_is_kept_is_told_and_sent_as_a_file(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana, "steps=2 anas cat")
        await s.drawn(s.ben, "steps=2 bens dog")
        shown = await answered(s, s.ana, "privacy")
        assert "Your own defaults" in words(s, s.ana, shown)
        answer = await s.slack.click(s.ana, shown, "Export")
        await answer.until(lambda a: a.text)
        conversation = s.slack.conversation(s.ana)
        [message] = conversation.posted
        [file] = message.files
        kept = json.loads(file.data)
        assert [job["request"]["prompt"] for job in kept["jobs"]] == ["steps=2 anas cat"]
        assert "bens dog" not in file.data.decode()
        assert s.slack.files_of(s.ben, s.general) != []
        assert file not in s.slack.files_of(s.ben, s.general)


async def test_an_export_that_slack_does_not_take_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        shown = await answered(s, s.ana, "privacy")
        s.slack.api.faults.append(Fault("files.completeUploadExternal", cut=True))
        answer = await s.slack.click(s.ana, shown, "Export")
        await answer.until(lambda a: "has not taken the file" in a.text)
        s.slack.api.faults.append(Fault("conversations.open", error="cannot_dm_bot"))
        answer = await s.slack.click(s.ana, shown, "Export")
        await answer.until(lambda a: "I cannot send you direct messages" in a.text)


async def test_damaged_defaults_say_so_and_can_be_cleared(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        team = s.slack.team.id
        await s.app.communities.change_member(team, s.ana.id, Change({"images": 2}))
        async with s.app.database.write() as sql:
            await sql.execute("UPDATE member_settings SET document = '{'")
        form = await panel(s, s.ana)
        assert form.fields == {}
        await s.slack.click(s.ana, form, "Clear all of mine")
        await form.until(lambda v: defaults.SAVED in v.text)
        assert "Size" in form.fields


async def test_everything_is_erased_after_a_second_click_and_nobody_elses(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        result = await s.drawn(s.ana, "steps=2 a cat")
        await s.drawn(s.ben, "steps=2 a dog")
        await s.slack.slash(s.ana, s.general, "/imagine", "hang")
        shown = await answered(s, s.ana, "privacy")
        await s.slack.click(s.ana, shown, "Erase")
        await shown.until(lambda m: "Erase everything" in m.buttons)
        assert "cannot be undone" in words(s, s.ana, shown)
        assert len(await s.app.jobs.history("slack", s.ana.id, before=None, limit=9)) == 2
        await s.slack.click(s.ana, shown, "Erase everything")
        await shown.until(lambda m: "Erased: 2 jobs" in str(m.blocks))
        assert await s.app.jobs.history("slack", s.ana.id, before=None, limit=9) == []
        [left] = await s.app.jobs.history("slack", s.ben.id, before=None, limit=9)
        assert left.state is JobState.DELIVERED
        notes = {path.name for path in (tmp_path / "data/slack/notes").iterdir()}
        assert {name for name in notes if left.id not in name} == set()

        await s.slack.click(s.ben, result, "Delete")
        assert not result.deleted
        assert [file.state for file in s.slack.files_of(s.ana, s.general)] == ["complete"] * 2
        async with s.app.database.write() as sql:  # as it is on the next day
            await sql.execute("DELETE FROM jobs WHERE requester = ?", (s.ana.id,))
        await s.slack.click(s.ana, result, "Delete")
        await s.slack.until(lambda: result.deleted)
        assert len(s.slack.files_of(s.ana, s.general)) == 1
