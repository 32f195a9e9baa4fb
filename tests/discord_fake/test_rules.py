"""What Discord would refuse, the fake refuses: permissions, sizes, private answers, filters."""

import io

import discord as library
import pytest

from tests.discord_fake.demo import Demo, png
from tests.discord_fake.wire import call, post, refused
from tests.fakes.discord import Channel, FakeDiscord, File, May, Refusal, Refused, User


async def test_without_permissions_nothing_is_said(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    channel = bot.get_partial_messageable(place.id)
    discord.allow(place, discord.bot, deny=May.ATTACH_FILES)
    assert await refused(channel.send(file=library.File(io.BytesIO(png()), "a.png"))) == 50013
    discord.allow(place, discord.bot, deny=May.SEND_MESSAGES)
    assert await refused(channel.send("hello")) == 50013
    discord.allow(place, discord.bot, deny=May.VIEW_CHANNEL)
    assert await refused(channel.send("hello")) == 50001
    answer = await discord.slash(ana, place, "imagine", prompt="a cat")
    await answer.message.until(lambda m: m.pictures)
    assert not bot.seen[0].app_permissions.view_channel
    discord.allow(place, ana, deny=May.USE_APPLICATION_COMMANDS)
    with pytest.raises(Refused, match="USE_APPLICATION_COMMANDS"):
        await discord.slash(ana, place, "imagine", prompt="a cat")


async def test_a_stranger_gets_no_private_message(
    discord: FakeDiscord, bot: Demo, ana: User
) -> None:
    dm = await bot.create_dm(await bot.fetch_user(ana.id))
    assert (await dm.send("hello")).channel == dm
    ana.takes_dms = False
    assert await refused(dm.send("hello")) == 50007


async def test_whoever_may_not_use_outside_apps_is_answered_in_private(
    discord: FakeDiscord, bot: Demo
) -> None:
    ben = discord.user("Ben", installed=True)
    away = discord.guild("Away", members=(ben,), has_bot=False).channel("general")
    discord.allow(away, ben, deny=May.USE_EXTERNAL_APPS)
    answer = await discord.slash(ben, away, "imagine", prompt="a dog")
    assert (await answer.settled()).ephemeral
    follow_up = bot.seen[0].followup
    for number in range(5):
        await follow_up.send(f"{number}")
    assert await refused(follow_up.send("6")) == 40094


async def test_a_file_above_the_servers_limit_is_refused(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    assert place.guild is not None
    place.guild.file_limit = 1000
    channel = bot.get_partial_messageable(place.id)
    assert await refused(channel.send(file=library.File(io.BytesIO(b"x" * 1001), "a"))) == 40005
    await channel.send(file=library.File(io.BytesIO(b"x" * 1000), "a"))
    await discord.slash(ana, place, "imagine", prompt="a cat")
    assert bot.seen[0].filesize_limit == 1000


async def test_a_filter_of_the_server_rejects_what_the_bot_says(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    place.refusal = Refusal(20009, "Explicit content cannot be sent to the desired recipient(s)")
    await discord.slash(ana, place, "imagine", prompt="a cat")
    await discord.until(lambda: discord.rest.calls[-1].status == 400)
    assert await refused(bot.seen[0].edit_original_response(content="x")) == 20009
    place.refusal = None


async def test_a_reply_needs_its_message(discord: FakeDiscord, ana: User, place: Channel) -> None:
    asked = discord.post(ana, place, "done?")
    reply = {"content": "done", "message_reference": {"message_id": str(asked.id)}}
    assert (await post(discord, place, reply))[0] == 200
    assert place.public[-1].reply_to == asked.id
    discord.remove(ana, asked)
    assert (await post(discord, place, reply))[1]["code"] == 50035
    discord.violations.clear()
    reply["message_reference"] = {"message_id": str(asked.id), "fail_if_not_exists": False}
    assert (await post(discord, place, reply))[0] == 200


async def test_mentions_ping_unless_they_are_forbidden(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    text = {"content": f"<@{ana.id}> @everyone"}
    await post(discord, place, text)
    await post(discord, place, {**text, "allowed_mentions": {"parse": []}})
    loud, quiet = place.public
    assert loud.pinged == {str(ana.id)}
    assert quiet.pinged == set()


async def test_a_locked_thread_takes_no_message_and_an_archived_one_no_edit(
    discord: FakeDiscord, place: Channel
) -> None:
    thread = discord.thread(place, "cats")
    _, said = await post(discord, thread, {"content": "x"})
    thread.archived = True
    path = f"/channels/{thread.id}/messages/{said['id']}"
    assert (await call(discord, "PATCH", path, {"content": "y"}))[1]["code"] == 50083
    await post(discord, thread, {"content": "z"})
    assert not thread.archived
    thread.locked = True
    assert (await post(discord, thread, {"content": "x"}))[1]["code"] == 160005


async def test_every_thing_that_can_be_read_is_shown_as_discord_shows_it(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    guild = place.guild
    assert guild is not None
    discord.role(guild, "Artists")
    discord.allow(place, ana, May.SEND_MESSAGES)
    forum = discord.forum(guild, "ideas")
    said = discord.post(ana, place, "hello", [File("a.png", png())])
    places = (place, forum, discord.thread(forum, "dogs"), discord.dm(ana))
    home, app = f"/guilds/{guild.id}", f"/applications/{discord.app_id}"
    for path in (
        *(f"/channels/{c.id}" for c in places),
        *(home, f"{home}/channels", f"{home}/roles", f"{home}/members/{ana.id}"),
        *(f"/channels/{place.id}/messages", f"/channels/{place.id}/messages/{said.id}"),
        *("/users/@me", f"/users/{ana.id}", "/users/@me/guilds", "/gateway/bot"),
        *("/applications/@me", "/oauth2/applications/@me", f"{app}/commands"),
    ):
        assert (await call(discord, "GET", path))[0] == 200, path
    assert list(discord.violations) == []


async def test_what_people_write_is_hidden_without_the_intent(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    said = discord.post(ana, place, "secret")
    path = f"/channels/{place.id}/messages/{said.id}"
    assert (await call(discord, "GET", path))[1]["content"] == ""
    discord.reads_messages = True
    assert (await call(discord, "GET", path))[1]["content"] == "secret"


async def test_a_wrong_token_is_told_so(discord: FakeDiscord) -> None:
    discord.token = "other"
    status, answer = await call(discord, "GET", "/users/@me")
    assert (status, answer["code"]) == (401, 0)
