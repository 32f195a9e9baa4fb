"""Somebody draws: from the command to the card, and on from there with its buttons."""

from pathlib import Path

from bot.communities import Change
from bot.permissions import Requester
from bot.surfaces.discord.cards import MAY_BE_LATE, TAKEN
from tests.scenarios.discord.simulated import simulated

OWNER = Requester("owner", owner=True)


async def test_a_command_becomes_one_message_that_ends_as_the_card(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        answer = await s.ana.slash("imagine", prompt="steps=30 pause=0.1 a cat", seed=7)
        card = answer.card
        assert TAKEN in card.text
        assert not card.private
        assert card.buttons == ["Cancel"]
        assert MAY_BE_LATE not in card.text
        backend.go.set()
        await card.becomes(lambda c: "/30" in c.text)
        assert "█" in card.text

        await card.finished()
        (picture,) = card.pictures
        assert (picture.spoiler, picture.alt) == (False, "steps=30 pause=0.1 a cat")
        assert card.files == ["atelier-7-1.png"]
        assert "seed 7 · 32x32 · 28 steps · guidance 3.5 · flux-1" in card.text
        assert f"<@{s.ana.id}>" in card.text
        assert card.buttons[:4] == ["Again", "Edit", "Vary", "Recipe"]
        assert s.ben.sees(card).text == card.text
        assert [one.id for one in s.ben.reads] == [card.id]
        assert card.calls == []


async def test_everybody_goes_on_from_a_picture_and_nobody_changes_it(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana, seed=7, steps=5, guidance=3.5)
        before = card.text

        again = await s.ben.click(card, "Again")
        await again.card.finished()
        request = (await s.newest(s.ben)).request
        assert (request.prompt, request.num_inference_steps) == ("a cat", 5)
        assert request.seed != 7

        form = await s.ben.click(card, "Edit")
        assert form.form == {
            "Prompt": "a cat",
            "Preset": "",
            "LoRAs": "",
            "Seed": "7",
            "Pictures": "1",
        }
        edited = await form.fill({"Prompt": "a dog", "Pictures": "3"})
        await edited.card.finished()
        assert len(edited.card.pictures) == 3
        assert "seed 7" in edited.text

        vary = await s.ben.click(card, "Vary")
        assert vary.private
        assert vary.card.offered == ["Guidance 3.5 → 4", "Guidance 3.5 → 3"]
        varied = await s.ben.choose(vary.card, "Guidance 3.5 → 4")
        await varied.card.finished()
        assert not varied.private
        assert "seed 7 · 32x32 · 5 steps · guidance 4 ·" in varied.text

        recipe = await s.ben.click(card, "Recipe")
        assert recipe.private
        command = recipe.text.split("```")[1].strip()
        same = await s.ben.slash("imagine", prompt=command)
        await same.card.finished()
        assert (await s.newest(s.ben)).request == (await s.newest(s.ana)).request

        assert card.text == before
        assert all(f"<@{s.ben.id}>" in one.text for one in s.ana.reads[1:])
        assert len(s.ana.reads) == 5  # the menu and the recipe are for Ben alone


async def test_wrong_forms_and_commands_are_answered_in_private(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana)
        for change, said in (
            ({"Seed": "soon"}, "seed is “soon”"),
            ({"Pictures": "9"}, "images"),
            ({"LoRAs": "nobody-knows-this"}, "nobody"),
            ({"Prompt": "a dog --sed 7"}, "did you mean --seed"),
        ):
            answer = await (await s.ana.click(card, "Edit")).fill(change)
            assert answer.private
            assert said in answer.text.replace("\\", "")
        refused = await s.ana.slash("imagine", prompt="a cat", size="huge")
        assert refused.private
        assert "size is “huge”" in refused.text
        assert [one.id for one in s.ben.reads] == [card.id]


async def test_a_flagged_picture_comes_behind_a_spoiler_or_not_at_all(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        hidden = await s.drawn(s.ana, "flagged", images=2)
        assert [picture.spoiler for picture in hidden.pictures] == [True, True]
        assert "Behind a spoiler because the checker flagged it" in hidden.text

        await s.app.communities.change(
            str(s.home.id), Change({"flagged": "withhold"}), base=0, by=OWNER
        )
        withheld = await s.drawn(s.ana, "flagged")
        assert withheld.pictures == []
        assert withheld.files == []
        assert "A picture is withheld: the checker flagged it" in withheld.text


async def test_a_private_picture_is_seen_by_nobody_else_and_neither_is_what_follows(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        answer = await s.ana.slash("imagine", prompt="a cat", private=True, images=4)
        assert MAY_BE_LATE in answer.text
        backend.go.set()
        card = await answer.card.finished()
        assert len(card.pictures) == 4
        again = await s.ana.click(card, "Again")
        await again.card.finished()
        assert (card.private, again.private) == (True, True)
        assert s.ben.reads == []


async def test_a_failed_picture_can_be_tried_again_and_a_cancelled_one_after_all(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        failed = await s.drawn(s.ana, "fail", seed=7)
        assert "does not draw this" in failed.text
        assert failed.buttons[0] == "Try again"
        again = await s.ana.click(failed, "Try again")
        await again.card.finished()
        assert (await s.newest(s.ana)).request.seed == 7

        backend.go.clear()
        card = (await s.ana.slash("imagine", prompt="a cat", seed=8)).card
        await s.ana.click(card, "Cancel")
        await card.finished()
        assert card.buttons == ["Draw it after all", "Edit", "Delete"]
        backend.go.set()
        after_all = await s.ben.click(card, "Draw it after all")
        await after_all.card.finished()
        assert "seed 8" in after_all.text


async def test_nothing_in_a_prompt_pings_hides_or_reorders(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        prompt = f"@everyone <@{s.ben.id}> **bold**\u200b [a](https://b.c) שלום"
        card = await s.drawn(s.ana, prompt)
        assert f"\\<@{s.ben.id}\\>" in card.text
        assert "\\*\\*bold\\*\\*" in card.text
        assert "\u200b" not in card.text
        assert card.calls == []


async def test_a_slow_first_step_is_announced_and_becomes_the_card_or_a_private_refusal(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, _):
        s.taking.clear()
        answer = await s.ana.slash("imagine", prompt="a cat")
        assert answer.card.thinking
        s.taking.set()
        card = await answer.card.finished()

        limit = Change({"requester_queued": 0})
        await s.app.communities.change(str(s.home.id), limit, base=0, by=OWNER)
        s.taking.clear()
        refused = await s.ana.slash("imagine", prompt="a cat")
        announced = refused.card
        assert (announced.thinking, announced.private) == (True, False)
        s.taking.set()
        await s.env.settle()
        assert announced.gone
        assert refused.private
        assert "limit" in refused.text
        assert [one.id for one in s.ben.reads] == [card.id]
