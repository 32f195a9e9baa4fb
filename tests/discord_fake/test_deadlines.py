"""3 seconds, 15 minutes, one callback: as Discord holds them, by a clock that tests move."""

import asyncio
import io

import discord as library
import pytest

from tests.discord_fake.demo import Demo, card, png, running
from tests.fakes.discord import Channel, FakeDiscord, User


async def test_an_answer_after_three_seconds_finds_the_interaction_gone(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    bot.hold.clear()
    act = asyncio.create_task(discord.slash(ana, place, "imagine", prompt="a cat"))
    await discord.until(lambda: bot.seen)
    discord.clock.move(3.1)
    assert (await act).failed
    bot.hold.set()
    await discord.until(lambda: bot.errors)
    (error,) = bot.errors
    assert isinstance(error, library.NotFound)
    assert error.code == 10062
    assert place.public == []


async def test_only_the_first_callback_counts(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    await discord.slash(ana, place, "imagine", prompt="a cat")
    (interaction,) = bot.seen
    interaction.response._response_type = None
    with pytest.raises(library.HTTPException) as caught:
        await interaction.response.send_message("again")
    assert caught.value.code == 40060


async def test_after_fifteen_minutes_the_token_is_dead_and_the_bot_edits_by_its_own(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    answer = await discord.slash(ana, place, "imagine", prompt="a cat")
    message = await answer.message.until(lambda m: m.pictures)
    (interaction,) = bot.seen
    discord.clock.move(15 * 60)
    with pytest.raises(library.HTTPException) as caught:
        await interaction.edit_original_response(view=card(spoiler=False))
    assert (caught.value.status, caught.value.code) == (401, 50027)
    own = bot.get_partial_messageable(place.id).get_partial_message(message.id)
    new = library.File(io.BytesIO(png("green")), "cat.png")
    await own.edit(view=card(spoiler=False), attachments=[new])
    assert [(p.spoiler, p.attachment and p.attachment.data) for p in message.pictures] == [
        (False, png("green"))
    ]


async def test_the_bots_own_token_reaches_neither_private_messages_nor_strange_places(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    hidden = await discord.slash(ana, place, "imagine", prompt="a cat", private=True)
    await hidden.message.until(lambda m: m.pictures)
    ben = discord.user("Ben", installed=True)
    away = discord.guild("Away", members=(ben,), has_bot=False).channel("general")
    strange = await discord.slash(ben, away, "imagine", prompt="a dog")
    for channel, message, code in (
        (place, hidden.message, 10008),
        (away, strange.message, 50001),
    ):
        own = bot.get_partial_messageable(channel.id).get_partial_message(message.id)
        with pytest.raises(library.HTTPException) as caught:
            await own.edit(content=None, view=card(spoiler=True, url="https://example.org/a.png"))
        assert caught.value.code == code


async def test_a_lost_connection_is_resumed_and_brings_what_was_missed(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    await discord.gateway.drop()
    answer = await discord.slash(ana, place, "imagine", prompt="a cat")
    await answer.message.until(lambda m: m.pictures)
    assert discord.gateway.resumed == 1
    assert discord.gateway.identified == 1


async def test_a_lost_session_is_identified_anew(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    await discord.gateway.drop(resumable=False)
    await discord.until(lambda: discord.gateway.identified == 2)
    answer = await discord.slash(ana, place, "imagine", prompt="a cat")
    assert not answer.failed


async def test_a_shard_that_is_asked_to_comes_back_by_itself(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    await discord.gateway.ask_to_reconnect()
    await discord.until(lambda: discord.gateway.resumed == 1)
    assert not (await discord.slash(ana, place, "imagine", prompt="a cat")).failed


async def test_intents_that_were_not_granted_and_wrong_tokens_are_turned_away(
    discord: FakeDiscord,
) -> None:
    discord.gateway.granted_intents = 0
    async with running(discord, shards=0) as client:
        with pytest.raises(library.PrivilegedIntentsRequired):
            await client.task
    discord.rest.token = "another"
    async with running(discord, shards=0) as client:
        with pytest.raises(library.LoginFailure):
            await client.task


async def test_three_shards_share_the_servers(discord: FakeDiscord, ana: User) -> None:
    discord.gateway.shards = 3
    places = [discord.guild(f"Home {n}", members=(ana,)).channel("general") for n in range(6)]
    async with running(discord) as bot:
        for place in places:
            answer = await discord.slash(ana, place, "imagine", prompt="a cat")
            await answer.message.until(lambda m: m.pictures)
        assert bot.shard_count == 3
        assert len({s.shard for s in discord.gateway.connected}) == 3
        assert {i.guild_id for i in bot.seen} == {p.guild.id for p in places if p.guild}
        assert sorted(g.shard_id for g in bot.guilds) == [0, 0, 1, 1, 2, 2]
