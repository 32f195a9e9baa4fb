"""Coming to Discord, being refused there, and coming back."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.sealing import Vault
from bot.surfaces.discord import bot, install
from bot.surfaces.discord.bot import DiscordBot, DiscordRefused
from bot.surfaces.discord.install import invite_link
from tests.bot.surfaces.discord.stage import running
from tests.fakes.discord import FakeDiscord, Fault


async def test_a_wrong_token_is_told_with_the_way_to_a_right_one(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        discord.token = "wrong"
        with pytest.raises(DiscordRefused, match="DISCORD_TOKEN") as refused:
            async with running(discord, tmp_path):
                pass
        assert "wrong" not in str(refused.value)


async def test_a_discord_that_is_away_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "_AGAIN_S", (0.05, 0.1))
    async with FakeDiscord() as discord:
        ana = discord.user("Ana")
        home = discord.guild(members=(ana,))
        discord.rest.faults.append(Fault("GET", "/users/@me", cut=True, times=3))
        async with running(discord, tmp_path) as (_, _, _, connected):
            answer = await discord.slash(ana, home.channel("general"), "imagine", prompt="a cat")
            await answer.message.until(lambda m: m.pictures)
            assert connected.trouble is None


def test_the_token_is_in_no_representation(tmp_path: Path) -> None:
    made = DiscordBot(SecretStr("very-secret"), tmp_path, Vault("s" * 32))
    assert "very-secret" not in repr(vars(made))


def test_the_page_has_the_link_with_every_permission_and_every_button(root: Path) -> None:
    page = (root / "docs" / "discord.md").read_text("utf-8")
    link = invite_link(1).replace("client_id=1&", "client_id=APPLICATION_ID&")
    assert link in page
    for name in install.NEEDED:
        assert name.replace("_", " ").replace("view channel", "view channels") in page.lower()
    for name in (
        "Cancel",
        "Again",
        "Edit",
        "Vary",
        "Recipe",
        "Save as preset",
        "Delete",
        "Report",
        "Try again",
    ):
        assert f"| {name} |" in page


async def test_the_page_names_every_command_and_option(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "discord.md").read_text("utf-8")
    async with FakeDiscord() as discord, running(discord, tmp_path):
        for command in discord.commands.everywhere:
            in_a_menu = command["type"] == 3
            assert (f"| {command['name']} |" if in_a_menu else f"`/{command['name']}") in page
            for option in command.get("options", []):
                subcommand = option["type"] == 1
                name = f"/{command['name']} {option['name']}" if subcommand else option["name"]
                assert f"`{name}`" in page
