"""`/preset` at Slack: looking at presets, making, changing, copying, deleting and liking them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot import wording
from bot.surfaces.slack.presets import COMMANDS
from lora_registry.models import (
    ChoiceVariable,
    NumberVariable,
    PictureSize,
    PresetBody,
    TextVariable,
    Variable,
    Viewer,
)
from lora_registry.names import parse_reference
from lora_registry.revisions import Revision
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.fakes.slack import Answer, Channel, Refused, Seen, User, View


async def asked(s: Stage, user: User, text: str = "", channel: Channel | None = None) -> Answer:
    """What somebody is told, or the form that opens, for `/preset text`."""
    answer = await s.slack.slash(user, channel or s.general, "/preset", text)
    return await answer.until(lambda a: a.text or a.has_modal)


async def told(answer: Answer) -> Answer:
    return await answer.until(lambda a: a.text)


async def sent(s: Stage, user: User, form: View, values: dict[str, Any] | None = None) -> Seen:
    """What somebody is told for a form that is taken."""
    answer = await s.slack.submit(user, form, values)
    return await heard(s, user, answer)


async def heard(s: Stage, user: User, answer: Answer) -> Seen:
    """What somebody is told in `general` for a form: Slack ties no message to one."""

    def new() -> list[Seen]:
        found = s.slack.seen_by(user, s.general)
        return [one for one in found if one.private and float(one.message.ts) >= answer.act.at]

    await s.slack.until(new)
    return new()[-1]


async def made(s: Stage, user: User, name: str, **fields: object) -> Answer:
    """A preset that somebody makes with the form."""
    form = (await asked(s, user, "create")).modal
    return await s.slack.submit(user, form, {"Name": name, **fields})


async def own(s: Stage, user: User, name: str, **body: object) -> None:
    """A preset that is there already."""
    viewer, handle = Viewer(s.slack.team.id, user.id), user.name.lower()
    preset = PresetBody.model_validate(body)
    await s.app.registry.presets.create(viewer, name, preset, handle=handle)


async def newest(s: Stage, user: User, name: str) -> Revision:
    viewer = Viewer(s.slack.team.id, user.id)
    return (await s.app.registry.resolver.resolve(viewer, parse_reference(name))).revision


# --- The command ------------------------------------------------------------------------------


async def test_presets_are_listed_found_and_shown_to_who_asks_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await asked(s, s.ana)
        assert "*lantern*: Lantern · flux-1, 0×" in answer.text
        assert answer.text == (await asked(s, s.ana, "LIST")).text
        assert not s.general.posted
        found = await asked(s, s.ana, "search  lantren")
        [message] = found.private
        assert list(message.buttons) == ["Draw with it", "Show"]
        card = await told(await s.slack.click(s.ana, message, "Show"))
        assert "Template: {prompt} on a black background" in card.text
        assert "LoRA glow:0.6" in card.text
        assert "open to everybody on this Atelier" in card.text
        assert "LoRA glow:0.6" in (await asked(s, s.ana, "show “lantern”")).text
        assert "No preset is like “xyzzyx”." in (await asked(s, s.ana, "search xyzzyx")).text
        assert "Say what to look for" in (await asked(s, s.ana, "search")).text
        assert "There is no preset lantrn here" in (await asked(s, s.ana, "show lantrn")).text


async def test_a_long_list_stays_within_the_blocks_of_a_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        for number in range(22):
            await own(s, s.ana, f"own-{number:02}", title="<b> & *bold*")
        answer = await asked(s, s.ana, "list")
        [message] = answer.private
        assert len(message.blocks) <= 50
        assert "own-19" in answer.text
        assert "own-20" not in answer.text
        assert "5 more; `/preset search` finds them." in answer.text


async def test_an_unknown_word_is_answered_with_the_nearest_and_all_there_are(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        answer = await asked(s, s.ana, "shwo lantern")
        assert "Did you mean `/preset show NAME`?" in answer.text
        assert all(f"/preset {one.usage}" in answer.text for one in COMMANDS.values())
        answer = await asked(s, s.ana, "dreamy")
        assert "Did you mean" not in answer.text
        assert "/preset waiting" in (await asked(s, s.ana, "help")).text


async def test_where_no_preset_is_named_a_menu_with_search_asks_which(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await own(s, s.ana, "dreamy")
        question = await asked(s, s.ana, "show")
        [message] = question.private
        menu = "Type a part of its name"
        offered = await s.slack.options(s.ana, message, menu, "lant")
        assert [one["value"] for one in offered] == ["lantern"]
        card = await told(await s.slack.select(s.ana, message, menu, "lantern"))
        assert "LoRA glow:0.6" in card.text
        [message] = (await asked(s, s.ana, "edit")).private
        offered = await s.slack.options(s.ana, message, menu, "")
        assert [one["value"] for one in offered] == ["dreamy"]
        form = (await s.slack.select(s.ana, message, menu, "dreamy")).modal
        assert form.title == "Edit preset"


# --- Making -----------------------------------------------------------------------------------


async def test_a_preset_is_made_from_a_form_and_drawn_with_from_another(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        form = (await asked(s, s.ana, "create dreamy")).modal
        await s.slack.options(s.ana, form, "LoRAs", "stripes:0.5")
        answer = await sent(
            s,
            s.ana,
            form,
            {
                "LoRAs": ["stripes:0.5"],
                "Title": "Soft light",
                "Template": "{prompt} on {ground}, {moons} moons, by {who}",
                "Settings": "size square, steps 2\nvariable ground:choice:blue,black\n"
                "variable moons:number:0..3=1\nvariable who:text:20=nobody",
            },
        )
        assert "Made *@ana/dreamy* (revision 1)" in answer.text
        assert not form.is_open
        body = (await newest(s, s.ana, "dreamy")).body
        assert (body.title, body.steps, body.loras[0].scale) == ("Soft light", 2, 0.5)
        assert body.size == PictureSize(width=512, height=512)

        message = answer.message
        assert list(message.buttons) == ["Draw with it", "Show", "Edit"]
        with pytest.raises(Refused):
            await s.slack.click(s.ben, message, "Edit")
        use = (await s.slack.click(s.ana, message, "Draw with it")).modal
        assert list(use.fields) == ["Prompt", "Ground", "Moons", "Who"]
        with pytest.raises(Refused, match="not between 0 and 3"):
            await s.slack.submit(s.ana, use, {"Prompt": "a cat", "Moons": "7"})
        await s.slack.submit(s.ana, use, {"Prompt": "a cat", "Ground": "black", "Who": "Bo"})
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        job = await s.newest(s.ana)
        assert job.request.prompt == "a cat on black, 1 moons, by Bo"
        assert job.preset == "@ana/dreamy@1"


async def test_a_refused_form_stays_open_with_the_reason_below_the_right_field(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        form = (await asked(s, s.ana, "create")).modal
        written = {
            "Name": "dreamy",
            "LoRAs": [],
            "Title": "Soft",
            "Template": "{prompt}",
            "Settings": "steps 5",
        }
        for field, wrong, sentence in (
            ("Name", "all", "“all” is reserved. Add a word to it, such as my-all."),
            ("Settings", "stepz 5", "“stepz 5” is no setting."),
            ("Settings", "steps 500", "steps is 500; use 1 to 50."),
            ("Settings", "tags a!b", "cannot be a name"),
            ("Template", "{prompt} {oops}", "declare oops as a variable"),
        ):
            refused = await s.slack.submit(s.ana, form, written | {field: wrong})
            assert form.is_open
            [(block, said)] = refused.errors.items()
            assert block == field.lower()
            assert sentence.lower() in said.lower()
        await s.slack.options(s.ana, form, "LoRAs", "glow:9")
        refused = await s.slack.submit(s.ana, form, written | {"LoRAs": ["glow:9"]})
        assert list(refused.errors) == ["loras"]
        fixed = written | {"Settings": "steps 6"}
        assert "Made *@ana/dreamy*" in (await sent(s, s.ana, form, fixed)).text
        again = await made(s, s.ana, "dreamy")
        assert "You have a preset dreamy already" in again.errors["name"]


async def test_a_form_that_takes_long_says_so_and_loses_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        good, bad = [(await asked(s, s.ana, "create")).modal for _ in "ab"]
        async with s.app.registry.database.write():
            first, _ = await asyncio.gather(
                s.slack.submit(s.ana, good, {"Name": "dreamy", "Title": "Soft"}),
                s.slack.submit(s.ana, bad, {"Name": "dreamy", "Title": "Bold"}),
            )
            assert "takes a moment" in good.text
        assert "Made *@ana/dreamy*" in (await heard(s, s.ana, first)).text
        await good.until(lambda v: "Done." in v.text)
        await bad.until(lambda v: "You have a preset dreamy already" in v.text)
        last = await sent(s, s.ana, bad, {"Name": "bold"})
        assert "Made *@ana/bold*" in last.text
        assert (await newest(s, s.ana, "bold")).body.title == "Bold"


async def test_what_breaks_inside_takes_nobodys_text_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        form = (await asked(s, s.ana, "create")).modal
        async with s.app.database.write() as sql:
            team = s.slack.team.id
            await sql.execute("INSERT INTO community_settings VALUES (?, 1, '{')", (team,))
        damaged = await s.slack.submit(s.ana, form, {"Name": "dreamy"})
        assert "cannot be read" in damaged.errors["name"]
        async with s.app.database.write() as sql:
            await sql.execute("DELETE FROM community_settings")
        async with s.app.registry.database.write() as sql:
            await sql.execute("ALTER TABLE preset RENAME TO lost")
        broken = await s.slack.submit(s.ana, form)
        assert broken.errors == {"name": wording.INTERNAL}
        assert form.is_open


async def test_where_the_bot_is_not_in_a_channel_the_answer_comes_directly(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        secret = s.slack.channel("secret", s.ana, private=True, has_bot=False)
        form = (await asked(s, s.ana, "create", secret)).modal
        await s.slack.submit(s.ana, form, {"Name": "dreamy"})
        conversation = s.slack.conversation(s.ana)
        message = await s.slack.posted(conversation, lambda m: "Draw with it" in m.buttons)
        card = await told(await s.slack.click(s.ana, message, "Show"))
        assert "*@ana/dreamy@1*" in card.text


# --- Changing ---------------------------------------------------------------------------------


async def test_an_edit_never_takes_away_what_was_changed_meanwhile(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await own(s, s.ana, "dreamy", title="One", steps=5)
        early = (await asked(s, s.ana, "edit dreamy")).modal
        late = (await asked(s, s.ana, "edit dreamy")).modal
        answer = await sent(s, s.ana, early, {"Title": "Two", "Description": "For all."})
        assert "Changed *@ana/dreamy* (revision 2)" in answer.text
        await s.slack.submit(s.ana, late, {"Title": "Three"})
        assert late.is_open
        assert "ana made revision 2" in late.text
        assert "Nothing of yours is lost" in late.text
        assert late.data["submit"]["text"] == "Use mine all the same"
        assert (await newest(s, s.ana, "dreamy")).rev == 2
        await sent(s, s.ana, late)
        head = await newest(s, s.ana, "dreamy")
        assert (head.rev, head.body.title, head.body.description) == (3, "Three", "")
        same = (await asked(s, s.ana, "edit dreamy")).modal
        answer = await sent(s, s.ana, same)
        assert "Nothing to change in *@ana/dreamy* (revision 3)" in answer.text


async def test_what_is_too_long_for_a_form_of_slack_stays_as_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await own(s, s.ana, "long", description="d" * 3500, title="One")
        form, late = [(await asked(s, s.ana, "edit long")).modal for _ in "ab"]
        assert "Description is too long for a form; it stays as it is." in form.text
        await sent(s, s.ana, form, {"Title": "Two"})
        await s.slack.submit(s.ana, late, {"Title": "Three"})
        assert "Nothing of yours is lost" in late.text
        await sent(s, s.ana, late)
        body = (await newest(s, s.ana, "long")).body
        assert (body.title, len(body.description)) == ("Three", 3500)


async def test_a_preset_is_changed_by_its_owner_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await own(s, s.ana, "dreamy")
        for words, sentence in (
            ("edit lantern", "Only its owner edits a preset; fork it"),
            ("edit dreamy", "There is no preset dreamy here"),
            ("edit lantern@1", "This is about the whole preset"),
            ("delete lantern", "Only its owner deletes a preset"),
            ("rename lantern lamp", "Only its owner"),
        ):
            assert sentence in (await asked(s, s.ben, words)).text


async def test_an_earlier_revision_is_restored_from_the_history(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await own(s, s.ana, "dreamy", steps=5)
        form = (await asked(s, s.ana, "edit dreamy")).modal
        await sent(s, s.ana, form, {"Settings": "steps 6"})
        [old] = (await asked(s, s.ana, "history dreamy")).private
        [new] = (await asked(s, s.ana, "history dreamy")).private[-1:]
        assert "steps 5 → 6" in s.slack.sight(s.ana, new).text
        menu = "Restore an earlier revision"
        await s.slack.select(s.ana, new, menu, "Revision 1")
        await new.until(lambda m: "Revision 1 is restored as revision 3." in str(m.blocks))
        assert "steps 6 → 5, “restored 1”" in s.slack.sight(s.ana, new).text
        late = await told(await s.slack.select(s.ana, old, menu, "Revision 1"))
        assert "dreamy was changed while you edited revision 2" in late.text
        assert (await newest(s, s.ana, "dreamy")).rev == 3
        [others] = (await asked(s, s.ben, "history lantern")).private
        assert "static_select" not in str(others.blocks)


async def test_a_preset_is_deleted_only_when_its_owner_says_so_twice(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await own(s, s.ana, "dreamy")
        question = await asked(s, s.ana, "delete dreamy")
        assert "with its only revision, for good?" in question.text
        [message] = question.private
        assert message.buttons["Delete it"]["confirm"]["deny"]["text"] == "Keep it"
        form = (await asked(s, s.ana, "edit dreamy")).modal
        await sent(s, s.ana, form, {"Title": "Other"})
        stale = await told(await s.slack.click(s.ana, message, "Delete it"))
        assert "It has another revision since you were asked" in stale.text
        [message] = (await asked(s, s.ana, "delete dreamy")).private
        await s.slack.click(s.ana, message, "Delete it")
        await message.until(lambda m: "is deleted" in str(m.blocks))
        assert not message.buttons
        assert "no preset dreamy" in (await asked(s, s.ana, "show dreamy")).text


async def test_presets_of_others_are_liked_and_copied_and_own_ones_renamed(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        first = await asked(s, s.ana, "like lantern")
        assert first.text == "You like *@atelier/lantern* now. You are the first."
        card = await asked(s, s.ben, "show lantern")
        [message] = card.private
        liked = await told(await s.slack.click(s.ben, message, "Like"))
        assert "2 people do." in liked.text
        copy = (await s.slack.click(s.ben, message, "Copy")).modal
        refused = await s.slack.submit(s.ben, copy, {"Name": "edit"})
        assert "reserved" in refused.errors["name"]
        done = await sent(s, s.ben, copy, {"Name": "my-lantern"})
        assert "Made *@ben/my-lantern* (revision 1)" in done.text
        assert (await newest(s, s.ben, "my-lantern")).preset.forked_rev == 1
        assert "Made *@ben/lamp*" in (await asked(s, s.ben, "fork lantern lamp")).text
        assert (await asked(s, s.ben, "fork lantern")).modal.title == "Copy preset"
        assert "is now @ben/light" in (await asked(s, s.ben, "rename lamp light")).text
        form = (await asked(s, s.ben, "rename light")).modal
        taken = await s.slack.submit(s.ben, form, {"Name": "my-lantern"})
        assert "my-lantern" in taken.errors["name"]
        renamed = await sent(s, s.ben, form, {"Name": "candle"})
        assert "is now @ben/candle" in renamed.text


async def test_blanks_of_every_kind_have_fields_of_their_own(tmp_path: Path) -> None:
    variables: tuple[Variable, ...] = (
        ChoiceVariable(name="mood", choices=("calm", "c" * 80, "calm"), default="calm"),
        NumberVariable(name="tiny", low=-1e6, high=1e6, default=0.00001),
        TextVariable(name="at_night", default="", longest=500),
        *(TextVariable(name=f"t{number}") for number in range(7)),
    )
    template = "{prompt} " + " ".join(f"{{{one.name}}}" for one in variables)
    async with stage(tmp_path) as s:
        await own(s, s.ana, "many", variables=variables, template=template)
        [message] = (await asked(s, s.ana, "show many")).private
        form = (await s.slack.click(s.ana, message, "Draw with it")).modal
        assert list(form.fields)[:4] == ["Prompt", "Mood", "Tiny", "At night"]
        await s.slack.submit(s.ana, form, {"Prompt": "a cat", "Mood": "c" * 80, "Tiny": "0.25"})
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        prompt = (await s.newest(s.ana)).request.prompt
        assert prompt.startswith(f"a cat {'c' * 80} 0.25")


def test_every_word_after_the_command_is_documented(root: Path) -> None:
    page = (root / "docs" / "slack.md").read_text(encoding="utf-8")
    _, _, part = page.partition("| after `/preset` |")
    rows = part.split("\n\n")[0].splitlines()[2:]
    named = [cell.split()[0] for row in rows for cell in row.split("|")[1].split("`")[1::2]]
    assert named == list(COMMANDS)
