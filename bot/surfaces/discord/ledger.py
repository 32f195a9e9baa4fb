"""What moderators want to know later, in the channel that the server has named for it."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import discord
import structlog

from bot.communities import CommunitySettings, Effective
from bot.surfaces import ledger
from bot.surfaces.discord.cards import MOST_TEXT, note
from bot.surfaces.discord.messages import Messages, OutOfReach

_TRIES: Final = 3
_AGAIN_S: Final = (1.0, 3.0)
_POST_S: Final = 20.0

log = structlog.get_logger()


class Ledger(ledger.Ledger):
    """Posts lines to the `log_channel` of their server."""

    def __init__(
        self,
        messages: Messages,
        community: Callable[[str], Awaitable[Effective[CommunitySettings]]],
    ) -> None:
        super().__init__(community, most_text=MOST_TEXT)
        self._messages = messages

    def note(self, community: str, line: str) -> None:
        if community.isdecimal():  # what belongs to no server has no log
            super().note(community, line)

    async def post(self, community: str, channel: str, text: str) -> None:
        if not channel.isdecimal():
            return
        nonce = uuid.uuid4().hex[:24]  # so that a try whose answer was lost is not shown twice
        trouble: Exception | None = None
        for tries in range(_TRIES):
            if tries:
                await asyncio.sleep(random.uniform(*_AGAIN_S))  # noqa: S311 - jitter
            try:
                async with asyncio.timeout(_POST_S):
                    await self._messages.say(int(channel), int(community), note(text), (), nonce)
            except OutOfReach as error:
                trouble = error
                break
            except (discord.DiscordException, aiohttp.ClientError, TimeoutError) as error:
                trouble = error
            else:
                return
        log.warning("ledger not written", community=community, error=type(trouble).__name__)
