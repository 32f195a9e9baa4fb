"""The real discord.py and the fake understand each other, from login to a form's files."""

import asyncio

import pytest

from tests.discord_fake.demo import Demo, png, running
from tests.fakes.discord import Channel, FakeDiscord, File, May, Refused, User


async def test_a_command_is_deferred_edited_and_becomes_a_gallery_behind_a_spoiler(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    answer = await discord.slash(ana, place, "imagine", prompt="a cat")
    await answer.message.until(lambda m: m.pictures)
    (message,) = place.public
    assert answer.message is message
    assert [v["content"] for v in message.versions] == ["drawing a cat", "still drawing a cat", ""]
    (picture,) = message.pictures
    assert picture.spoiler
    assert picture.alt == "a cat"
    assert picture.attachment is not None
    assert picture.attachment.data == png()
    assert message.v2
    assert message.pinged == set()
    assert not bot.errors


async def test_a_picture_goes_with_a_command_and_is_read_by_the_bot(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    sent = File("pencil.png", png("blue"))
    await discord.slash(ana, place, "imagine", prompt="a cat", picture=sent, images=2)
    (interaction,) = bot.seen
    assert interaction.namespace.images == 2
    assert await interaction.namespace.picture.read() == sent.data
    assert interaction.filesize_limit == 10 * 1024 * 1024


async def test_suggestions_come_for_the_option_that_is_being_typed(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    shown = await discord.autocomplete(ana, place, "imagine", "preset", preset="dr")
    assert shown == [{"name": "dreamy", "value": "dreamy"}]


async def test_a_button_opens_a_form_after_the_bot_was_replaced_and_the_form_brings_files(
    discord: FakeDiscord, ana: User, place: Channel
) -> None:
    async with running(discord):
        answer = await discord.slash(ana, place, "imagine", prompt="a cat")
        await answer.message.until(lambda m: m.pictures)
    async with running(discord):
        form = (await discord.click(ana, answer.message, "Edit")).modal
        assert form.title == "Edit"
        assert list(form.fields) == ["Prompt", "Size", "Where", "Image"]
        assert form.value("Prompt") == "a cat"
        with pytest.raises(Refused, match="Size"):
            await discord.submit(form, {"Size": ["Round"]})
        with pytest.raises(Refused, match="not of a kind"):
            await discord.submit(form, {"Size": "Wide", "Where": [discord.thread(place, "x")]})
        filled = {"Size": ["Wide"], "Where": [place]}
        sent = await discord.submit(form, filled, {"Image": [File("a.png", png())]})
    assert sent.text == f"a cat, Wide, ['general'], [{len(png())}]"
    assert sent.ephemeral
    assert sent.message not in place.public
    assert place.seen_by(discord.owner) == [answer.message]


async def test_a_message_menu_reads_what_a_person_wrote(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    written = discord.post(ana, place, "seed 7", [File("a.png", png())])
    answer = await discord.message_menu(ana, "Use recipe", written)
    assert answer.text == "read seed 7"


async def test_a_subcommand_takes_a_person_and_says_more_afterwards(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    answer = await discord.slash(ana, place, "preset show", owner=ana)
    assert answer.text == "of Ana"
    assert (await answer.follow_up()).text == "more"
    assert len(answer.private) == 2


async def test_the_app_of_a_person_works_where_the_bot_is_not(
    discord: FakeDiscord, bot: Demo
) -> None:
    ben, cleo = discord.user("Ben", installed=True), discord.user("Cleo")
    away = discord.guild("Away", members=(ben,), has_bot=False).channel("general")
    answer = await discord.slash(ben, away, "imagine", prompt="a dog")
    await answer.message.until(lambda m: m.pictures)
    assert bot.seen[0].is_user_integration()
    assert not bot.seen[0].is_guild_integration()
    apart = await discord.slash(ben, discord.dm(ben, cleo), "imagine", prompt="a dog")
    await apart.message.until(lambda m: m.pictures)
    own = await discord.slash(ben, discord.dm(ben), "imagine", prompt="a dog")
    await own.message.until(lambda m: m.pictures)
    with pytest.raises(Refused, match="not installed"):
        await discord.slash(cleo, discord.dm(ben, cleo), "imagine", prompt="a dog")


async def test_threads_and_forum_posts_are_places_too(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    assert place.guild is not None
    forum = discord.forum(place.guild, "ideas", nsfw=True)
    for thread in (discord.thread(place, "cats"), discord.thread(forum, "dogs", by=ana)):
        answer = await discord.slash(ana, thread, "imagine", prompt="a cat")
        await answer.message.until(lambda m: m.pictures)
    first, second = bot.seen
    assert not first.channel.is_nsfw()  # type: ignore[union-attr]
    assert second.channel.is_nsfw()  # type: ignore[union-attr]


async def test_a_command_for_adults_is_offered_in_age_restricted_channels_only(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    with pytest.raises(Refused, match="age-restricted"):
        await discord.slash(ana, place, "adult")
    discord.set_nsfw(place, True)
    assert (await discord.slash(ana, place, "adult")).text == "hello"


async def test_a_panel_changes_with_each_choice_and_goes_away(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    with pytest.raises(Refused, match="lacks the permissions"):
        await discord.slash(ana, place, "settings")
    assert place.guild is not None
    role = discord.role(place.guild, "Artists", May.MANAGE_GUILD)
    discord.join(place.guild, ana, role)
    panel = await discord.slash(ana, place, "settings")
    changed = await discord.select(ana, panel.message, "Rule", ["Withheld"])
    assert changed.message is panel.message
    assert panel.text == "rule: Withheld"
    with pytest.raises(Refused, match="1 to 2"):
        await discord.select(ana, panel.message, "Roles", [])
    await discord.select(ana, panel.message, "Roles", [role])
    assert panel.text == "Artists"
    with pytest.raises(Refused, match="does not see"):
        await discord.click(discord.owner, panel.message, "Nothing")
    await discord.click(ana, panel.message, "Nothing")
    await panel.message.until(lambda m: m.deleted)
    with pytest.raises(Refused, match="does not see"):
        await discord.click(ana, panel.message, "Nothing")


async def test_the_bot_learns_of_new_roles_channels_and_servers(
    discord: FakeDiscord, bot: Demo, ana: User, place: Channel
) -> None:
    home = place.guild
    assert home is not None
    seen = bot.get_guild(home.id)
    assert seen is not None
    attic = discord.text(home, "attic")
    discord.join(home, discord.bot, discord.role(home, "Bots", May.MANAGE_MESSAGES))
    await discord.until(lambda: seen.get_channel(attic.id))
    await discord.until(lambda: seen.me.guild_permissions.manage_messages)
    away = discord.guild("Away", members=(ana,))
    await discord.until(lambda: bot.get_guild(away.id))
    discord.expel(away)
    await discord.until(lambda: not bot.get_guild(away.id))
    discord.delete_channel(attic)
    await discord.until(lambda: not seen.get_channel(attic.id))


async def test_a_server_that_installs_the_app_is_told_of_as_joined(
    discord: FakeDiscord, bot: Demo
) -> None:
    await bot.wait_until_ready()
    away = discord.guild("Away", has_bot=False)
    away.system_channel = away.channel("general")
    joining = asyncio.create_task(bot.wait_for("guild_join", timeout=20.0))
    await asyncio.sleep(0)  # it listens from now on
    discord.install(away)
    joined = await joining
    assert joined.system_channel is not None
    assert joined.system_channel.id == away.channel("general").id
    assert joined.me.joined_at is not None
    assert abs(joined.me.joined_at.timestamp() - discord.clock.now()) < 60


async def test_commands_are_put_once_and_keep_their_versions(
    discord: FakeDiscord, bot: Demo
) -> None:
    before = {c["name"]: c["version"] for c in discord.commands.everywhere}
    assert set(before) == {"imagine", "adult", "preset", "settings", "Use recipe"}
    await bot.tree.sync()
    assert discord.commands.puts == 2
    assert {c["name"]: c["version"] for c in discord.commands.everywhere} == before
