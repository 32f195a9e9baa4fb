"""Who may do what with somebody else's picture."""

from pathlib import Path

from bot.communities import Change
from bot.jobs.job import JobState
from bot.permissions import Requester
from bot.surfaces.discord.clicks import NOT_YOURS
from tests.scenarios.discord.simulated import simulated

OWNER = Requester("owner", owner=True)


async def test_a_picture_is_deleted_by_who_asked_for_it_and_by_moderators(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        mine, other = await s.drawn(s.ana), await s.drawn(s.ana)
        result = (await s.newest(s.ana)).result
        assert result is not None
        refused = await s.ben.click(mine, "Delete")
        assert (refused.private, refused.text) == (True, NOT_YOURS)
        assert mine.id in [one.id for one in s.ben.reads]

        await s.ana.click(mine, "Delete")
        assert mine.gone
        await s.mod.click(other, "Delete")
        assert other.gone
        assert not await s.app.pictures.exists(result.pictures[0].key)


async def test_a_role_that_the_server_has_named_moderates_as_well(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        helpers = s.home.create_role("helpers")
        kim = s.newcomer("Kim", helpers)
        card = await s.drawn(s.ana)
        assert (await kim.click(card, "Delete")).text == NOT_YOURS
        named = Change({"moderator_roles": [str(helpers.id)]})
        await s.app.communities.change(str(s.home.id), named, base=0, by=OWNER)
        await kim.click(card, "Delete")
        assert card.gone


async def test_a_drawing_is_cancelled_by_who_asked_for_it_and_by_moderators(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        first = (await s.ana.slash("imagine", prompt="a cat")).card
        assert (await s.ben.click(first, "Cancel")).text == NOT_YOURS
        await s.mod.click(first, "Cancel")
        await first.finished()
        assert (await s.newest(s.ana)).state is JobState.CANCELLED
        second = (await s.ben.slash("imagine", prompt="a cat")).card
        await s.ben.click(second, "Cancel")
        await second.finished()
        assert (await s.newest(s.ben)).state is JobState.CANCELLED


async def test_a_message_that_a_moderator_takes_away_meanwhile_is_shown_anew(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        backend.go.clear()
        card = (await s.ana.slash("imagine", prompt="a cat")).card
        assert card.message is not None
        await s.mod.delete(card)
        backend.go.set()
        await s.until(s.ana)
        assert card.gone
        (anew,) = s.ben.reads
        assert len(anew.pictures) == 1
        assert anew.buttons[0] == "Again"
