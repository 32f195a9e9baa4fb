"""Members make presets, draw with them, change and share them."""

from pathlib import Path

from tests.scenarios.discord.simulated import simulated


async def test_a_preset_is_made_drawn_with_changed_and_restored(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        form = await s.ana.slash("preset create", loras="glow:0.5")
        assert form.form["LoRAs"] == "glow:0.5"
        made = await form.fill(
            {
                "Name": "dusk",
                "Title": "Evening light",
                "Template": "{prompt}, at dusk",
                "Settings": "steps: 12",
            }
        )
        assert made.private
        assert "Made **@ana/dusk** (revision 1)" in made.text
        drawing = await (await s.ana.click(made.card, "Draw with it")).fill({"Prompt": "a cat"})
        card = await drawing.card.finished()
        assert "**a cat, at dusk**" in card.text
        assert "12 steps · guidance 3.5 · glow:0.5 · @ana/dusk@1" in card.text

        edit = await s.ana.click(made.card, "Edit")
        assert edit.form["Template"] == "{prompt}, at dusk"
        changed = await edit.fill({"Template": "{prompt}, at dawn"})
        assert "Changed **@ana/dusk** (revision 2)" in changed.text
        history = await s.ana.slash("preset history", preset="dusk")
        await s.ana.choose(history.card, "Revision 1")
        assert "Revision 1 is restored as revision 3." in history.text
        assert "**a cat, at dusk**" in (await s.drawn(s.ana, preset="dusk")).text

        delete = await s.ana.slash("preset delete", preset="dusk")
        await s.ana.click(delete.card, "Delete it")
        assert "**@ana/dusk** is deleted" in delete.text
        assert await s.ana.types("imagine", preset="dusk") == {}
        assert len(s.ben.reads) == 2  # the pictures alone


async def test_what_was_wrong_in_a_form_is_corrected_and_nothing_is_lost(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        form = await s.ana.slash("preset create")
        wrong = await form.fill({"Name": "dusk", "Template": "no blank", "Settings": "steps: many"})
        assert wrong.private
        assert "many" in wrong.text
        await s.restart()
        again = await s.ana.click(wrong.card, "Correct it")
        assert again.form["Name"] == "dusk"
        made = await again.fill({"Template": "{prompt}, at dusk", "Settings": "steps: 12"})
        assert "Made **@ana/dusk**" in made.text


async def test_a_preset_is_for_everybody_once_a_moderator_has_approved_it(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        drawn = await s.drawn(s.ana, "a cat", loras="glow:0.5", steps=12)
        form = await s.ana.click(drawn, "Save as preset")
        saved = await form.fill({"Name": "dusk", "Template": "{prompt}, at dusk"})
        assert "There is no preset dusk" in (await s.ben.slash("preset show", preset="dusk")).text

        show = await s.ana.click(saved.card, "Show")
        await s.ana.click(show.card, "Share here")
        assert "waits for approval" in show.text
        assert (await s.ben.slash("preset waiting")).card.buttons == []
        waiting = await s.mod.slash("preset waiting")
        assert "**@ana/dusk**" in waiting.text
        await s.mod.click(waiting.card, "Approve")
        assert "Nothing waits" in waiting.text

        seen = await s.ben.slash("preset show", preset="dusk")
        assert "open to everybody in this server" in seen.text
        assert "You are the first" in (await s.ben.click(seen.card, "Like")).text
        assert "**a dog, at dusk**" in (await s.drawn(s.ben, "a dog", preset="dusk")).text
        assert "dusk" in (await s.ben.slash("preset list")).text

        refused = await s.ben.slash("preset edit", preset="dusk")
        assert refused.private
        assert "fork it" in refused.text
        fork = await s.ben.slash("preset fork", preset="dusk", name="dawn")
        assert "Made **@ben/dawn**" in fork.text
        assert list(await s.ben.types("preset edit", preset="d")) == ["dawn"]


async def test_a_server_denies_a_preset_and_takes_that_back(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        assert "manager" in (await s.ben.slash("preset rules")).text
        rules = (await s.mod.slash("preset rules")).card
        form = await s.mod.click(rules, "Add a rule")
        await form.fill(
            {
                "What to do": "Deny it",
                "What it is about": "A preset",
                "Which": "comic",
                "Why": "Too loud",
            }
        )
        refused = await s.ana.slash("imagine", prompt="a cat", preset="comic")
        assert refused.private
        assert "Too loud" in refused.text
        await s.mod.choose(rules, "deny the preset @atelier/comic")  # in the menu that takes back
        await s.drawn(s.ana, preset="comic")


async def test_a_renamed_preset_is_found_by_both_names(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        form = await s.ana.slash("preset create")
        await form.fill({"Name": "dusk", "Template": "{prompt}, at dusk"})
        renamed = await s.ana.slash("preset rename", preset="dusk", name="dawn")
        assert renamed.private
        for name in ("dawn", "dusk"):
            assert "@ana/dawn@1" in (await s.drawn(s.ana, preset=name)).text
