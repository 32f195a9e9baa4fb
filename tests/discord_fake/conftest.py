from collections.abc import AsyncIterator

import pytest

from tests.discord_fake.demo import Demo, running
from tests.fakes.discord import Channel, FakeDiscord, User


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as fake:
        yield fake


@pytest.fixture
def ana(discord: FakeDiscord) -> User:
    return discord.user("Ana")


@pytest.fixture
def place(discord: FakeDiscord, ana: User) -> Channel:
    """The one channel of the one server, with Ana and the bot in it."""
    return discord.guild(members=(ana,)).channel("general")


@pytest.fixture
async def bot(discord: FakeDiscord, place: Channel) -> AsyncIterator[Demo]:
    async with running(discord) as client:
        yield client
