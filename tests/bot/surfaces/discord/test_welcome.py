"""The message to a server that has just installed the app: once, where it may be written."""

from pathlib import Path

from bot.surfaces.discord.welcome import RECENT, WELCOME
from tests.bot.surfaces.discord.stage import running
from tests.fakes.discord import FakeDiscord, Fault, Guild, May

TALK = int(May.SEND_MESSAGES)


def said(guild: Guild) -> list[str]:
    return [message.text for channel in guild.channels for message in channel.public]


def noted(folder: Path, *guilds: Guild) -> bool:
    notes = folder / "data" / "discord" / "welcomed"
    return all((notes / str(guild.id)).exists() for guild in guilds)


async def test_a_server_is_welcomed_once_where_it_can_be_read(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        old = discord.guild("Old")
        homes = [discord.guild(name, has_bot=False) for name in ("Top", "System", "Closed", "Mute")]
        top, system, closed, mute = homes
        system.system_channel = discord.text(system, "arrivals")
        discord.allow(closed.channel("general"), closed.everyone, deny=TALK)
        discord.text(closed, "bots")
        discord.allow(mute.channel("general"), mute.everyone, deny=TALK)
        async with running(discord, tmp_path):
            for home in homes:
                discord.install(home)
            await discord.until(lambda: noted(tmp_path, top, system, closed))
            assert [m.text for m in top.channel("general").public] == [WELCOME]
            assert [m.text for m in system.channel("arrivals").public] == [WELCOME]
            assert [m.text for m in closed.channel("bots").public] == [WELCOME]
            assert top.channel("general").public[0].pinged == set()
            discord.expel(top)
            discord.install(top)
            second = discord.guild("Second", has_bot=False)
            discord.install(second)
            await discord.until(lambda: noted(tmp_path, second))
        async with running(discord, tmp_path):
            third = discord.guild("Third", has_bot=False)
            discord.install(third)
            await discord.until(lambda: noted(tmp_path, third))
        assert said(old) == said(mute) == []
        for home in (top, system, closed, second, third):
            assert said(home) == [WELCOME]


async def test_who_installed_it_while_it_was_away_is_welcomed_later_but_not_years_later(
    tmp_path: Path,
) -> None:
    async with FakeDiscord() as discord:
        early, late = discord.guild("Early", has_bot=False), discord.guild("Late", has_bot=False)
        discord.clock.move(-RECENT.total_seconds() - 60)
        discord.install(early)
        discord.clock.move(RECENT.total_seconds())
        discord.install(late)
        discord.clock.move(60)
        async with running(discord, tmp_path):
            await discord.until(lambda: noted(tmp_path, late))
        assert (said(early), said(late)) == ([], [WELCOME])


async def test_a_welcome_whose_answer_was_lost_is_not_said_twice(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        home = discord.guild("Home", has_bot=False)
        discord.install(home)
        cut = Fault("POST", "/messages", cut=True, after=True, times=9)
        discord.rest.faults.append(cut)
        async with running(discord, tmp_path):
            await discord.until(lambda: said(home))
        assert not noted(tmp_path, home)  # as if the process had died before
        discord.rest.faults.clear()
        async with running(discord, tmp_path):
            await discord.until(lambda: noted(tmp_path, home))
        assert said(home) == [WELCOME]
