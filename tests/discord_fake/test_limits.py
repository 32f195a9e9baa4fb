"""Rates, repetitions and lost answers."""

import aiohttp
import pytest

from tests.discord_fake.demo import Demo, card
from tests.discord_fake.wire import call, call_back, post
from tests.fakes.discord import Channel, FakeDiscord, Fault, User


async def test_a_repeated_nonce_says_nothing_twice(discord: FakeDiscord, place: Channel) -> None:
    body = {"content": "done", "nonce": "job1", "enforce_nonce": True}
    first, second = [(await post(discord, place, body))[1]["id"] for _ in range(2)]
    assert first == second
    assert len(place.public) == 1


async def test_edits_beyond_the_rate_are_told_before_and_refused_after(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    discord.limits.rates.edits_of_answers = (5, 0.3)
    await discord.slash(ana, place, "imagine", prompt="a cat", private=True)
    message = place.messages[max(place.messages)]
    await message.until(lambda m: m.pictures)
    for number in range(8):
        await bot.seen[0].edit_original_response(view=card(spoiler=number % 2 == 0))
    assert discord.rest.limited == []  # discord.py waits by the headers
    webhook = f"/webhooks/{discord.app_id}/{bot.seen[0].token}/messages/@original"
    statuses = [(await call(discord, "PATCH", webhook, {"components": []}))[0] for _ in range(6)]
    assert statuses[-1] == 429
    assert discord.rest.limited


async def test_a_message_of_yesterday_takes_few_edits(discord: FakeDiscord, place: Channel) -> None:
    discord.limits.rates.edits_of_old_messages = (2, 3600.0)
    _, message = await post(discord, place, {"content": "old"})
    discord.clock.move(86_400)
    path = f"/channels/{place.id}/messages/{message['id']}"
    answers = [await call(discord, "PATCH", path, {"content": f"{n}"}) for n in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert answers[-1][1]["code"] == 30046


async def test_where_an_answer_is_lost_the_library_repeats_and_its_nonce_keeps_it_single(
    discord: FakeDiscord, bot: Demo, place: Channel
) -> None:
    discord.rest.faults.append(Fault("POST", "/messages$", status=502, after=True))
    await bot.get_partial_messageable(place.id).send("done")
    assert [c.status for c in discord.rest.made("POST", "/channels/{channel_id}/messages")] == [
        200,
        200,
    ]
    assert len(place.public) == 1


async def test_a_cut_connection_loses_the_request(
    discord: FakeDiscord, bot: Demo, place: Channel
) -> None:
    discord.rest.faults.append(Fault("POST", "/messages$", cut=True))
    with pytest.raises(aiohttp.ClientError):
        await post(discord, place, {"content": "done"})
    assert place.public == []


async def test_all_routes_but_those_of_interactions_share_one_limit(
    discord: FakeDiscord, place: Channel
) -> None:
    discord.limits.rates.everything = (2, 60.0)
    answers = [await call(discord, "GET", "/users/@me") for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert answers[-1][1]["global"] is True
    assert (await call_back(discord, {"type": 5}, known=False))[0] == 404
    discord.clock.move(61)
    assert (await call(discord, "GET", "/users/@me"))[0] == 200
    assert discord.rest.invalid == 1
