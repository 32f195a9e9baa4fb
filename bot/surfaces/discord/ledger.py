"""What moderators want to know later, as lines in the channel that the community has named.

Best effort: nothing waits for it, and a line that cannot be posted is logged as lost and forgotten.
"""

import asyncio
import contextlib
import random
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import discord
import structlog

from bot.communities import CommunitySettings, Effective, SettingsDamaged
from bot.surfaces.discord.cards import MOST_TEXT, note
from bot.surfaces.discord.messages import Messages, OutOfReach

MOST_LINES: Final = 200
"""Lines of one community that may wait; further ones are counted and left out."""
MOST_COMMUNITIES: Final = 2000
MOST_CHARACTERS: Final = 1000
_PAUSE_S: Final = 2.0
"""Between two rounds of posts; what comes meanwhile is told together."""
_TRIES: Final = 3
_AGAIN_S: Final = (1.0, 3.0)
_POST_S: Final = 20.0
_FLUSH_S: Final = 5.0

log = structlog.get_logger()


class Ledger:
    """Posts lines to the `log_channel` of their community; `community` reads its settings."""

    def __init__(
        self,
        messages: Messages,
        community: Callable[[str], Awaitable[Effective[CommunitySettings]]],
        *,
        pause: float = _PAUSE_S,
    ) -> None:
        self._messages = messages
        self._community = community
        self._pause = pause
        self._waiting: dict[str, deque[str]] = {}
        self._left_out: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, community: str, line: str) -> None:
        """Write a line, already safe to show, into this community's log.

        Never blocks and never raises. Where no channel is named, nothing is written.
        """
        if not community.isdecimal():
            return
        if community not in self._waiting and len(self._waiting) >= MOST_COMMUNITIES:
            log.warning("ledger is full")
            return
        lines = self._waiting.setdefault(community, deque())
        if len(lines) >= MOST_LINES:
            self._left_out[community] = self._left_out.get(community, 0) + 1
            return
        lines.append(line[:MOST_CHARACTERS])
        self._wake.set()

    def start(self) -> None:
        """Begin to post."""
        self._task = asyncio.create_task(self._work(), name="discord ledger")

    async def close(self) -> None:
        """Post what still waits, for a few seconds at most, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._round()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._round()
            await asyncio.sleep(self._pause)

    async def _round(self) -> None:
        """Post what waits now, one community after the other."""
        for community in tuple(self._waiting):
            lines = self._waiting.pop(community)
            if left_out := self._left_out.pop(community, 0):
                lines.append(f"-# {left_out} more lines are left out.")
            try:
                if (channel := await self._channel(community)) is None:
                    continue
                while lines:
                    await self._post(community, channel, _together(lines))
            except Exception:
                log.exception("ledger not written", community=community)

    async def _channel(self, community: str) -> int | None:
        try:
            named = (await self._community(community)).settings.log_channel
        except SettingsDamaged as error:
            log.warning("ledger not written", community=community, error=type(error).__name__)
            return None
        return int(named) if named is not None and named.isdecimal() else None

    async def _post(self, community: str, channel: int, text: str) -> None:
        nonce = uuid.uuid4().hex[:24]  # so that a try whose answer was lost is not shown twice
        trouble: Exception | None = None
        for tries in range(_TRIES):
            if tries:
                await asyncio.sleep(random.uniform(*_AGAIN_S))  # noqa: S311 - jitter
            try:
                async with asyncio.timeout(_POST_S):
                    await self._messages.say(channel, int(community), note(text), (), nonce)
            except OutOfReach as error:
                trouble = error
                break
            except (discord.DiscordException, aiohttp.ClientError, TimeoutError) as error:
                trouble = error
            else:
                return
        log.warning("ledger not written", community=community, error=type(trouble).__name__)


def _together(lines: deque[str]) -> str:
    """Take as many lines as one message has room for."""
    taken, room = [], MOST_TEXT
    while lines and len(lines[0]) < room:
        room -= len(lines[0]) + 1
        taken.append(lines.popleft())
    return "\n".join(taken)
