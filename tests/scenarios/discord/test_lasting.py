"""What outlives a restart and the 15 minutes of an interaction's token, and where that ends."""

from pathlib import Path

import pytest

from bot.jobs.job import JobState
from bot.surfaces.discord.cards import MAY_BE_LATE
from tests.scenarios.discord.simulated import simulated

QUARTER_S = 15 * 60.0


async def test_buttons_and_open_forms_outlive_the_process(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana, seed=7)
        form = await s.ana.click(card, "Edit")
        await s.restart()
        edited = await form.fill({"Prompt": "a dog"})
        await edited.card.finished()
        assert "seed 7" in edited.text
        again = await s.ben.click(card, "Again")
        await again.card.finished()
        await s.ana.click(card, "Delete")
        assert card.gone
        assert [one.id for one in s.ben.reads] == [edited.card.id, again.card.id]


async def test_a_drawing_goes_on_in_the_same_message_after_a_restart(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        card = (await s.ana.slash("imagine", prompt="a cat")).card
        await s.until(s.ana, JobState.RUNNING)
        await s.restart()
        backend.go.set()
        await card.finished()
        assert [one.id for one in s.ben.reads] == [card.id]


async def test_after_a_quarter_of_an_hour_the_bots_own_token_shows_the_picture(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        for who in (s.ana, s.ana.in_private):
            backend.go.clear()
            card = (await who.slash("imagine", prompt="a cat")).card
            assert MAY_BE_LATE not in card.text
            await s.until(s.ana, JobState.RUNNING)
            await s.env.advance_time(QUARTER_S)
            backend.go.set()
            await card.finished()
            assert s.edits[-1] == f"/channels/{who.channel.id}/messages/{card.id}"
            assert (await s.until(s.ana)).state is JobState.DELIVERED
            assert [one.id for one in who.reads] == [card.id]


@pytest.mark.parametrize("how", ["private", "brought along"])
async def test_what_nothing_can_show_any_more_waits_in_the_queue(tmp_path: Path, how: str) -> None:
    async with simulated(tmp_path) as (s, backend):
        private = how == "private"
        who = s.ana if private else s.visitor("Vic")
        backend.go.clear()
        answer = await who.slash("imagine", prompt="a cat", seed=7, private=private)
        assert MAY_BE_LATE in answer.text
        await s.until(who, JobState.RUNNING)
        await s.env.advance_time(QUARTER_S)
        backend.go.set()
        assert (await s.until(who)).state is JobState.UNDELIVERABLE
        assert not answer.card.pictures

        queue = await who.slash("queue")
        assert queue.private
        assert "could not be shown" in queue.text
        fetched = await who.click(queue.card, "Show me")
        await fetched.card.finished()
        assert fetched.private
        assert len(fetched.card.pictures) == 1
        assert "seed 7" in fetched.text
