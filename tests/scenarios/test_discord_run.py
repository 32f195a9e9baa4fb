"""`atelier run` at a Discord: a person's command, the demo model's picture, a kill, old buttons."""

import asyncio
import io
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from bot.jobs.job import JobState
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service
from tests.fakes.discord import Channel, FakeDiscord, Guild, Picture, User
from tests.fakes.looking import BLUE, RED, colour, near

pytestmark = pytest.mark.timeout(300)

CIRCLE = "a large red circle at the center on a blue background"


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as discord:
        yield discord


@pytest.fixture
def ana(discord: FakeDiscord) -> User:
    return discord.user("Ana")


@pytest.fixture
def home(discord: FakeDiscord, ana: User) -> Guild:
    return discord.guild(members=(ana,))


@pytest.fixture
def general(home: Guild) -> Channel:
    return home.channel("general")


@asynccontextmanager
async def life(folder: Path, discord: FakeDiscord) -> AsyncIterator[tuple[CommandLine, Service]]:
    """One life of `atelier run`; it must not hold up the Discord of the test."""
    command = CommandLine(folder, ATELIER_BACKEND="demo", **discord.environment)
    before = discord.gateway.identified
    running = command.running()
    service = await asyncio.to_thread(running.__enter__)
    try:
        await discord.until(lambda: discord.gateway.identified > before, PATIENCE_S)
        yield command, service
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
        command.clean_up()


def opened(picture: Picture) -> Image.Image:
    assert picture.attachment is not None
    return Image.open(io.BytesIO(picture.attachment.data))


async def test_a_command_becomes_a_card_with_the_picture_and_its_buttons_outlive_a_kill(
    tmp_path: Path, discord: FakeDiscord, ana: User, general: Channel
) -> None:
    async with life(tmp_path, discord) as (_, service):
        answer = await discord.slash(ana, general, "imagine", prompt=CIRCLE, seed=5)
        card = await answer.message.until(lambda m: "Again" in m.buttons)
        [picture] = card.pictures
        assert not picture.spoiler
        assert "circle" in (picture.alt or "")
        drawn = opened(picture)
        assert near(colour(drawn, 0.5, 0.5), RED)
        assert near(colour(drawn, 0.02, 0.02), BLUE)
        assert "seed 5" in card.text
        slow = await discord.slash(ana, general, "imagine", prompt=CIRCLE, steps=50, images=4)
        await slow.message.until(lambda m: "of 200" in m.text or "/200" in m.text)
        service.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(service.process.wait, PATIENCE_S)

    async with life(tmp_path, discord) as (command, service):
        done = await slow.message.until(lambda m: len(m.pictures) == 4)
        again = await discord.click(ana, card, "Again")
        another = await again.message.until(lambda m: "Again" in m.buttons)
        assert opened(another.pictures[0]).tobytes() != drawn.tobytes()
        assert await asyncio.to_thread(service.ready)
        assert discord.token not in service.log
        assert CIRCLE not in service.log
        await discord.until(lambda: set(command.states()) == {JobState.DELIVERED}, PATIENCE_S)
        assert len(command.jobs()) == 3
        assert general.public == [card, done, another]


async def test_what_is_flagged_arrives_behind_a_spoiler(
    tmp_path: Path, discord: FakeDiscord, ana: User, general: Channel
) -> None:
    async with life(tmp_path, discord):
        answer = await discord.slash(ana, general, "imagine", prompt="a red chili pepper", seed=3)
        card = await answer.message.until(lambda m: "Again" in m.buttons)
        assert all(picture.spoiler for picture in card.pictures)


async def test_a_wrong_token_is_said_and_everything_else_goes_on(
    tmp_path: Path, discord: FakeDiscord
) -> None:
    environment = {**discord.environment, "DISCORD_TOKEN": "wrong.token.indeed"}
    command = CommandLine(tmp_path, ATELIER_BACKEND="demo", **environment)
    running = command.running()
    service = await asyncio.to_thread(running.__enter__)
    try:
        assert "Discord does not accept DISCORD_TOKEN" in service.log
        assert "wrong.token.indeed" not in service.log
        status, body = await asyncio.to_thread(service.get, "/readyz")
        assert status == 503
        assert "DISCORD_TOKEN" in body
        assert (await asyncio.to_thread(service.get, "/healthz"))[0] == 200
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
        command.clean_up()
