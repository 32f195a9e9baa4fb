"""A bot in a process of its own: killed without a word, and come back."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.fakes.discord import Channel, FakeDiscord, User


@contextlib.asynccontextmanager
async def bot_process(fake: FakeDiscord, root: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    before = fake.gateway.identified
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.discord_fake.demo"),
        cwd=root,
        env=os.environ | fake.environment,
    )
    try:
        await fake.until(lambda: fake.gateway.identified > before, 60)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_process_comes_back_and_answers_the_old_button(
    discord: FakeDiscord, ana: User, place: Channel, root: Path
) -> None:
    async with bot_process(discord, root) as process:
        answer = await discord.slash(ana, place, "imagine", prompt="a cat")
        await answer.message.until(lambda m: m.pictures)
        process.kill()
        await process.wait()
        await discord.until(lambda: not discord.gateway.connected)
        act = asyncio.create_task(discord.click(ana, answer.message, "Edit"))
        await asyncio.sleep(0)
        discord.clock.move(3.1)
        assert (await act).failed
    async with bot_process(discord, root):
        assert (await discord.click(ana, answer.message, "Edit")).modal.title == "Edit"
    assert place.public == [answer.message]
