"""`/preset`: making, changing, copying, deleting and liking presets; Save as preset."""

import io
from pathlib import Path

import pytest
from PIL import Image

from bot import recipe, wording
from bot.recipe import Recipe, RecipeLora
from bot.surfaces.discord.preset_forms import LATE, TOO_LONG
from lora_registry.models import PictureSize, PresetBody, Viewer
from lora_registry.names import parse_reference
from lora_registry.revisions import Revision
from tests.bot.surfaces.discord.stage import Stage, running, stage
from tests.fakes.discord import Answer, Channel, FakeDiscord, File, Refused, User
from tests.fakes.discord.state import Message


async def asked(s: Stage, user: User, command: str, **options: object) -> Answer:
    answer = await s.discord.slash(user, s.general, f"preset {command}", **options)
    await answer.settled()
    return answer


async def made(s: Stage, user: User, name: str, **fields: object) -> Answer:
    """A preset that somebody makes with the form."""
    form = (await s.discord.slash(user, s.general, "preset create")).modal
    answer = await s.discord.submit(form, {"Name": name, **fields})
    await answer.settled()
    return answer


async def newest(s: Stage, user: User, name: str) -> Revision:
    viewer = Viewer(str(s.home.id), str(user.id))
    return (await s.app.registry.resolver.resolve(viewer, parse_reference(name))).revision


# --- Making -----------------------------------------------------------------------------------


async def test_a_preset_is_made_from_a_form_and_can_be_drawn_with(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        offered = await s.discord.autocomplete(
            s.ana, s.general, "preset create", focus="loras", loras="glow, stri"
        )
        assert [one["value"] for one in offered] == ["glow, stripes"]
        opening = await s.discord.slash(s.ana, s.general, "preset create", loras="stripes:0.5")
        assert opening.modal.value("LoRAs") == "stripes:0.5"
        assert opening.modal.value("Template") == "{prompt}"
        answer = await s.discord.submit(
            opening.modal,
            {
                "Name": "dreamy",
                "Title": "Soft light",
                "Template": "{prompt} on {ground}",
                "Settings": "size square, steps 5\nvariable ground:choice:blue,black",
            },
        )
        await answer.settled()
        assert answer.ephemeral
        assert "Made **@ana/dreamy** (revision 1)" in answer.text
        assert list(answer.message.buttons) == ["Draw with it", "Show", "Edit"]
        body = (await newest(s, s.ana, "dreamy")).body
        assert (body.title, body.steps, body.loras[0].scale) == ("Soft light", 5, 0.5)
        assert body.size == PictureSize(width=512, height=512)
        await s.drawn(s.ana, preset="dreamy", vars="ground=black")
        assert (await s.newest(s.ana)).request.prompt == "steps=2 a cat on black"
        with pytest.raises(Refused):
            await s.discord.click(s.ben, answer.message, "Edit")


async def test_a_form_that_is_refused_comes_back_with_all_that_was_written(
    tmp_path: Path,
) -> None:
    fence = "{prompt} ```in a box```"
    async with FakeDiscord() as discord:
        ana = discord.user("Ana")
        general = discord.guild(members=(ana,)).channel("general")
        async with running(discord, tmp_path):
            form = (await discord.slash(ana, general, "preset create")).modal
            refused = await discord.submit(
                form, {"Name": "all", "Template": fence, "Settings": "steps 5"}
            )
            await refused.settled()
            assert refused.ephemeral
            assert "“all” is reserved. Add a word to it, such as my-all." in refused.text
            assert "steps 5" in refused.text
        async with running(discord, tmp_path):  # nothing of it is kept in memory
            form = (await discord.click(ana, refused.message, "Correct it")).modal
            assert [form.value(one) for one in ("Name", "Title", "Template", "Settings")] == [
                "all",
                "",
                fence,
                "steps 5",
            ]
            answer = await discord.submit(form, {"Name": "boxed"})
            await answer.settled()
            assert "Made **@ana/boxed**" in answer.text


async def test_text_that_is_too_long_for_a_message_is_shown_to_be_copied(tmp_path: Path) -> None:
    template, settings = "{prompt} " + "t" * 2900, "licence " + "s" * 3900
    async with stage(tmp_path) as s:
        answer = await made(s, s.ana, "long", Template=template, Settings=settings)
        await answer.follow_up(2)
        assert "licence is too long; shorten it to 120 characters." in answer.text
        assert TOO_LONG in answer.text
        assert not answer.message.buttons
        rest = "".join(one.text for one in answer.follow_ups)
        assert template in rest
        assert settings[:3800] in rest
        assert all(one.ephemeral for one in answer.follow_ups)
        assert len(answer.follow_ups) <= 5


async def test_a_form_waits_for_a_busy_database_and_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        form = (await s.discord.slash(s.ana, s.general, "preset create")).modal
        async with s.app.registry.database.write():
            answer = await s.discord.submit(form, {"Name": "dreamy"})
            assert answer.message.loading
        await answer.settled()
        assert "Made **@ana/dreamy**" in answer.text


# --- Changing ---------------------------------------------------------------------------------


async def test_an_edit_never_takes_away_what_was_changed_meanwhile(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await made(s, s.ana, "dreamy", Title="One", Settings="steps 5")
        names = await s.discord.autocomplete(s.ana, s.general, "preset edit", focus="preset")
        assert [one["value"] for one in names] == ["dreamy"]
        assert not await s.discord.autocomplete(s.ben, s.general, "preset edit", focus="preset")
        early = (await s.discord.slash(s.ana, s.general, "preset edit", preset="dreamy")).modal
        late = (await s.discord.slash(s.ana, s.general, "preset edit", preset="dreamy")).modal
        assert early.value("Settings") == "model: flux-1\nsteps: 5"
        answer = await s.discord.submit(early, {"Title": "Two", "Description": "For all."})
        await answer.settled()
        assert "Changed **@ana/dreamy** (revision 2)" in answer.text
        refused = await s.discord.submit(late, {"Title": "Three"})
        await refused.settled()
        assert "ana made revision 2" in refused.text
        assert (await newest(s, s.ana, "dreamy")).rev == 2
        form = (await s.discord.click(s.ana, refused.message, "Use mine all the same")).modal
        assert (form.value("Title"), form.value("Description")) == ("Three", "")
        answer = await s.discord.submit(form, {})
        await answer.settled()
        head = await newest(s, s.ana, "dreamy")
        assert (head.rev, head.body.title) == (3, "Three")
        form = (await s.discord.click(s.ana, answer.message, "Edit")).modal
        answer = await s.discord.submit(form, {})
        await answer.settled()
        assert "Nothing to change in **@ana/dreamy** (revision 3)" in answer.text


async def test_a_preset_is_changed_by_its_owner_alone_wherever_that_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await made(s, s.ana, "dreamy")
        for name, said in (
            ("lantern", "Only its owner edits a preset; fork it"),
            ("dreamy", "There is no preset dreamy here"),
            ("@ana/dreamy", "There is no preset @ana/dreamy here"),
            ("lantern@1", "This is about the whole preset"),
        ):
            refused = await asked(s, s.ben, "edit", preset=name)
            assert refused.ephemeral
            assert said in refused.text
        await made(s, s.ana, "bold", Settings="nsfw 3")
        shown = await asked(s, s.ana, "show", preset="bold")
        assert "NSFW level is 3" in shown.text
        form = (await s.discord.slash(s.ana, s.general, "preset edit", preset="bold")).modal
        answer = await s.discord.submit(form, {"Settings": ""})
        await answer.settled()
        assert "revision 2" in answer.text
        assert "nsfw 3 → 0" in (await asked(s, s.ana, "history", preset="bold")).text


async def test_an_earlier_revision_is_restored_from_the_history(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await made(s, s.ana, "dreamy", Settings="steps 5")
        form = (await s.discord.slash(s.ana, s.general, "preset edit", preset="dreamy")).modal
        await (await s.discord.submit(form, {"Settings": "steps 6"})).settled()
        old = await asked(s, s.ana, "history", preset="dreamy")
        assert "- **2** · <t:" in old.text
        assert "steps 5 → 6" in old.text
        new = await asked(s, s.ana, "history", preset="dreamy")
        await s.discord.select(s.ana, new.message, "Restore an earlier revision", ["Revision 1"])
        await new.message.until(lambda m: "Revision 1 is restored as revision 3." in m.text)
        assert "steps 6 → 5, “restored 1”" in new.text
        assert (await newest(s, s.ana, "dreamy")).body.steps == 5
        late = await s.discord.select(
            s.ana, old.message, "Restore an earlier revision", ["Revision 1"]
        )
        told = await late.follow_up()
        assert told.ephemeral
        assert "dreamy was changed while you edited revision 2" in told.text
        others = await asked(s, s.ben, "history", preset="lantern")
        assert "**@atelier/lantern**" in others.text
        assert not [one for one in others.message.parts() if one["type"] == 3]


async def test_a_preset_is_deleted_only_when_its_owner_says_so_twice(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await made(s, s.ana, "dreamy")
        refused = await asked(s, s.ben, "delete", preset="lantern")
        assert "Only its owner deletes a preset" in refused.text
        question = await asked(s, s.ana, "delete", preset="dreamy")
        assert question.ephemeral
        assert "with its only revision, for good?" in question.text
        form = (await s.discord.slash(s.ana, s.general, "preset edit", preset="dreamy")).modal
        await (await s.discord.submit(form, {"Title": "Other"})).settled()
        told = await (await s.discord.click(s.ana, question.message, "Delete it")).follow_up()
        assert "It has another revision since you were asked" in told.text
        question = await asked(s, s.ana, "delete", preset="dreamy")
        assert "with all its 2 revisions, for good?" in question.text
        again = await asked(s, s.ana, "delete", preset="dreamy")
        await s.discord.click(s.ana, question.message, "Delete it")
        await question.message.until(lambda m: "is deleted" in m.text)
        assert not question.message.buttons
        assert "no preset dreamy" in (await asked(s, s.ana, "show", preset="dreamy")).text
        told = await (await s.discord.click(s.ana, again.message, "Delete it")).follow_up()
        assert "This preset is no longer there" in told.text
        late = await s.discord.submit(form, {"Title": "Something that took long"})
        await late.settled()
        assert "This preset is no longer there" in late.text
        assert "Something that took long" in late.text


async def test_presets_of_others_are_liked_and_copied(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        first = await asked(s, s.ana, "like", preset="lantern")
        assert first.text == "You like **@atelier/lantern** now. You are the first."
        second = await asked(s, s.ben, "like", preset="lantern")
        assert second.text == "You like **@atelier/lantern** now. 2 people do."
        back = await asked(s, s.ana, "like", preset="lantern")
        assert back.text == "You no longer like **@atelier/lantern**. One person does."
        card = await asked(s, s.ana, "show", preset="lantern")
        form = (await s.discord.click(s.ana, card.message, "Copy")).modal
        assert form.value("Name") == "lantern"
        reserved = await s.discord.submit(form, {"Name": "edit"})
        await reserved.settled()
        form = (await s.discord.click(s.ana, reserved.message, "Correct it")).modal
        own = await s.discord.submit(form, {"Name": "my-lantern"})
        await own.settled()
        assert "Made **@ana/my-lantern** (revision 1)" in own.text
        liked = await s.discord.click(s.ana, card.message, "Like")
        await liked.settled()
        assert "2 people do." in liked.text
        assert liked.ephemeral
        copy = await asked(s, s.ben, "fork", preset="lantern", name="my-lantern")
        assert "Made **@ben/my-lantern** (revision 1)" in copy.text
        assert (await newest(s, s.ben, "my-lantern")).preset.forked_rev == 1
        taken = await asked(s, s.ben, "fork", preset="lantern", name="my-lantern")
        assert "You have a preset my-lantern already" in taken.text


# --- Save as preset ---------------------------------------------------------------------------


async def test_a_picture_is_saved_by_everybody_who_sees_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await made(s, s.ana, "dreamy", Template="{prompt} on blue", LoRAs="stripes:0.5")
        card = await s.drawn(s.ana, preset="dreamy", loras="glow:0.3", steps=5, seed=7)
        own = (await s.discord.click(s.ana, card, "Save as preset")).modal
        assert own.value("Template") == "{prompt} on blue"
        assert "stripes:0.5, glow:0.3" in own.text
        assert "steps 5" in own.text
        for opening in (
            await s.discord.click(s.ben, card, "Save as preset"),
            await s.discord.message_menu(s.ben, "Save as preset", card),
        ):
            # Ana's preset is hers alone, and so are its words.
            assert opening.modal.value("Template") == "{prompt}"
        taken = await s.discord.submit(opening.modal, {"Name": "-", "Title": "Ben's"})
        await taken.settled()
        form = (await s.discord.click(s.ben, taken.message, "Correct it")).modal
        assert form.value("Title") == "Ben's"
        answer = await s.discord.submit(form, {"Name": "bens"})
        await answer.settled()
        assert "Saved as **@ben/bens** (revision 1)" in answer.text
        body = (await newest(s, s.ben, "bens")).body
        assert [(one.name, one.scale) for one in body.loras] == [("stripes", 0.5), ("glow", 0.3)]
        assert (body.steps, body.seed.kind, body.title) == (5, "random", "Ben's")
        assert "cat" not in body.model_dump_json()
        history = await asked(s, s.ben, "history", preset="bens")
        assert "from a picture drawn with @ana/dreamy@1" in history.text


async def test_a_picture_that_is_gone_or_not_to_be_seen_is_not_saved(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        form = (await s.discord.click(s.ana, card, "Save as preset")).modal
        await s.app.jobs.forget(2**40)
        gone = await s.discord.click(s.ana, card, "Save as preset")
        await gone.settled()
        assert (gone.ephemeral, gone.text) == (True, wording.NO_SUCH_JOB)
        late = await s.discord.submit(form, {"Name": "dreamy"})
        await late.settled()
        assert wording.NO_SUCH_JOB in late.text
        assert "dreamy" in late.text
        words = s.discord.post(s.ben, s.general, "hello")
        nothing = await s.discord.message_menu(s.ben, "Save as preset", words)
        await nothing.settled()
        assert "This message has no picture" in nothing.text


def posted(s: Stage, channel: Channel, **fields: object) -> Message:
    """A picture with a recipe, brought along from elsewhere."""
    given = {
        "model": "flux-1",
        "weights": "demo",
        "prompt": "a secret place",
        "seed": 5,
        "width": 64,
        "height": 32,
        "steps": 9,
        "guidance": 2.5,
    }
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32)).save(buffer, "PNG")
    data = recipe.embed(buffer.getvalue(), Recipe.model_validate(given | fields))
    return s.discord.post(s.ben, channel, "look", [File("look.png", data)])


async def test_any_picture_with_a_recipe_fills_the_form_of_a_new_preset(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        [stripes] = [x for x in await s.app.registry.loras.list() if x.name == "stripes"]
        lora = RecipeLora(name="was-called-so", sha256=stripes.sha256, scale=0.7)
        picture = posted(s, s.general, loras=(lora,))
        form = (await s.discord.message_menu(s.ana, "Save as preset", picture)).modal
        assert form.value("LoRAs") == "stripes:0.7"
        assert "steps: 9" in str(form.value("Settings"))
        assert "secret" not in str(form.data)

        unknown = RecipeLora(name="lost", sha256="ab" * 32, scale=1)
        picture = posted(s, s.general, loras=(unknown,))
        refused = await s.discord.message_menu(s.ana, "Save as preset", picture)
        await refused.settled()
        assert "drawn with lost." in refused.text

        picture = posted(s, s.general)
        s.discord.serving.clear()
        answer = await s.discord.message_menu(s.ana, "Save as preset", picture)
        assert answer.message.loading
        s.discord.serving.set()
        await answer.settled()
        assert answer.ephemeral
        assert LATE in answer.text
        form = (await s.discord.click(s.ana, answer.message, "Open the form")).modal
        answer = await s.discord.submit(form, {"Name": "found"})
        await answer.settled()
        assert (await newest(s, s.ana, "found")).body == PresetBody(
            size=PictureSize(width=64, height=32), steps=9, guidance=2.5, speed="none"
        )


async def test_what_breaks_inside_takes_nobodys_text_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        form = (await s.discord.slash(s.ana, s.general, "preset create")).modal
        async with s.app.database.write() as sql:
            await sql.execute("INSERT INTO community_settings VALUES (?, 1, '{')", (s.home.id,))
        damaged = await s.discord.submit(form, {"Name": "dreamy"})
        await damaged.settled()
        assert "cannot be read" in damaged.text
        async with s.app.database.write() as sql:
            await sql.execute("DELETE FROM community_settings")
        async with s.app.registry.database.write() as sql:
            await sql.execute("ALTER TABLE preset RENAME TO lost")
        form = (await s.discord.click(s.ana, damaged.message, "Correct it")).modal
        broken = await s.discord.submit(form)
        await broken.settled()
        assert wording.INTERNAL in broken.text
        assert "dreamy" in broken.text
