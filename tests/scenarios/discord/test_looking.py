"""Commands that draw nothing, and what is offered while one types."""

from pathlib import Path

from tests.scenarios.discord.seen import eventually
from tests.scenarios.discord.simulated import simulated


async def test_the_own_pictures_are_listed_and_cancelled(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        for animal in ("a cat", "a dog", "an owl"):
            await s.ana.slash("imagine", prompt=animal)
        queue = await s.ana.slash("queue")
        assert queue.private
        assert all(animal in queue.text for animal in ("a cat", "a dog", "an owl"))
        assert queue.card.buttons == ["Cancel", "Cancel", "Cancel", "This server's queue"]

        newest = await s.ana.slash("cancel")
        assert newest.private
        assert "an owl" in newest.text
        assert "a dog" not in newest.text
        rest = await s.ana.slash("cancel", all=True)
        assert "a cat" in rest.text
        assert "a dog" in rest.text
        await eventually(lambda: s.supervisor.idle)
        assert "nothing in the queue" in (await s.ana.slash("cancel")).text
        assert "nothing in the queue" in (await s.ben.slash("queue")).text


async def test_everybody_sees_how_busy_the_server_is_and_nobody_others_prompts(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        for who in (s.ana, s.mod):
            for animal in ("a cat", "an owl"):
                await who.slash("imagine", prompt=animal)
        queue = await s.ben.slash("queue")
        await s.ben.click(queue.card, "This server's queue")
        assert "2 being drawn, 2 waiting" in queue.text
        assert f"now: <@{s.ana.id}>" in queue.text
        assert "owl" not in queue.text


async def test_presets_are_listed_found_shown_and_drawn_with(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        listed = await s.ana.slash("preset list")
        assert listed.private
        name = listed.text.split("**")[1]
        found = await s.ana.slash("preset search", text=name)
        assert name in found.text
        shown = await s.ana.slash("preset show", preset=name)
        assert "Template:" in shown.text
        missing = await s.ana.slash("preset show", preset="nobody-has-it")
        assert missing.private
        assert "nobody-has-it" in missing.text.replace("\\", "")
        card = await s.drawn(s.ana, preset=name)
        assert f"{name}@1" in card.text
        assert [one.id for one in s.ben.reads] == [card.id]


async def test_presets_loras_and_sizes_are_offered_while_one_types(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        presets = await s.ana.types("imagine", preset="")
        assert 0 < len(presets) <= 25
        first, second = list(presets)[:2]
        assert first in await s.ana.types("imagine", preset=first[:3])
        assert f"{first}+{second}" in await s.ana.types("imagine", preset=f"{first}+")
        loras = await s.ana.types("imagine", loras="")
        assert "glow" in loras
        composed = await s.ana.types("imagine", loras="glow:0.8, out")
        assert "glow:0.8, outline" in composed
        assert "1024x1024" in (await s.ana.types("imagine", size="square_hd"))["square_hd"]
        assert await s.ana.types("imagine", size="12x") == {}
        assert first in await s.ana.in_private.types("imagine", preset=first)


async def test_help_is_private_and_everything_in_it_can_be_tried(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        for who in (s.ana, s.ana.in_private):
            answer = await who.slash("help")
            assert answer.private
            assert "/imagine" in answer.text
            example, *_ = answer.card.beside("Draw this")
            tried = await who.click(answer.card, "Draw this", beside=example)
            await tried.card.finished()
            assert (await s.newest(who)).request.prompt == example.replace("\\", "")
            own = await (await who.click(answer.card, "Write my own")).fill({"Prompt": "a cat"})
            await own.card.finished()
            assert "**a cat**" in own.text
            assert "lantern" in (await who.click(answer.card, "Presets")).text
        assert len([card for card in s.ben.reads if card.pictures]) == 2
