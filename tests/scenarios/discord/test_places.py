"""Where people draw: threads, forum posts, conversations with the bot, other people's servers."""

from pathlib import Path

import discord

from bot.surfaces.discord.cards import MAY_BE_LATE
from bot.surfaces.discord.places import NO_FILES
from tests.scenarios.discord.simulated import simulated


async def test_threads_and_forum_posts_are_places_like_others(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        forum = s.home.create_forum_channel("art")
        for parent in (s.general, forum):
            thread = s.thread(parent, "cats")
            ana, ben = s.ana.at(thread), s.ben.at(thread)
            card = await s.drawn(ana)
            assert MAY_BE_LATE not in card.text
            again = await ben.click(card, "Again")
            await again.card.finished()
            assert [one.id for one in ana.reads] == [card.id, again.card.id]
            assert (await s.newest(ben)).place.channel == str(ben.channel.id)


async def test_it_works_in_a_conversation_with_the_bot(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        ana = s.ana.in_private
        card = await s.drawn(ana, seed=7)
        job = await s.newest(ana)
        assert (job.place.community, job.place.age_restricted) == ("local", False)
        assert len(card.pictures) == 1
        edited = await (await ana.click(card, "Edit")).fill({"Seed": "8"})
        await edited.card.finished()
        assert "seed 8" in edited.text
        await ana.click(card, "Delete")
        assert [one.id for one in ana.reads] == [edited.card.id]
        assert s.ana.reads == []


async def test_whoever_brings_the_app_along_draws_where_the_server_does_not_have_it(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, _):
        vic = s.visitor("Vic")
        card = await s.drawn(vic)
        assert (await s.newest(vic)).place.community == "local"
        assert len(s.ben.sees(card).pictures) == 1


async def test_where_pictures_cannot_be_shown_it_is_said_before_anything_is_drawn(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        deny = discord.PermissionOverwrite(attach_files=False)
        quiet = s.home.create_text_channel("quiet", overwrites={s.home.default_role: deny})
        answer = await s.ana.at(quiet).slash("imagine", prompt="a cat")
        assert (answer.private, answer.text) == (True, NO_FILES)
        assert backend.most_at_once == 0


async def test_where_the_bot_cannot_look_it_says_for_how_long_it_can_answer(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, backend):
        unseen = discord.PermissionOverwrite(view_channel=False)
        bots = s.home.roles["TestBot"]
        ana = s.ana.at(s.home.create_text_channel("secret", overwrites={bots: unseen}))
        backend.go.clear()
        answer = await ana.slash("imagine", prompt="a cat")
        assert not answer.private
        assert MAY_BE_LATE in answer.text
        backend.go.set()
        await answer.card.finished()
        assert len(answer.card.pictures) == 1
