"""What moderators want to know later, as lines in the channel that their community has named.

Best effort: nothing waits for it, and a line that cannot be posted is logged as lost and forgotten.
How a line is posted is each platform's.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bot.communities import CommunitySettings, Effective, SettingsDamaged

MOST_LINES: Final = 200
"""Lines of one community that may wait; further ones are counted and left out."""
MOST_COMMUNITIES: Final = 2000
MOST_CHARACTERS: Final = 1000
PAUSE_S: Final = 2.0
"""Between two rounds of posts; what comes meanwhile is told together."""
_FLUSH_S: Final = 5.0

log = structlog.get_logger()


class Ledger(ABC):
    """Posts lines to the `log_channel` of their community; `community` reads its settings."""

    def __init__(
        self,
        community: Callable[[str], Awaitable[Effective[CommunitySettings]]],
        *,
        most_text: int,
    ) -> None:
        """`most_text` is the number of characters of one message."""
        self._community = community
        self._most_text = most_text
        self._waiting: dict[str, deque[str]] = {}
        self._left_out: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, community: str, line: str) -> None:
        """Write a line, already safe to show, into this community's log.

        Never blocks and never raises. Where no channel is named, nothing is written.
        """
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
        self._task = asyncio.create_task(self._work(), name="ledger")

    async def close(self) -> None:
        """Post what still waits, for a few seconds at most, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._round()

    @abstractmethod
    async def post(self, community: str, channel: str, text: str) -> None:
        """Post lines as one message. Whatever it raises is logged."""

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._round()
            await asyncio.sleep(PAUSE_S)

    async def _round(self) -> None:
        """Post what waits now, one community after the other."""
        for community in tuple(self._waiting):
            lines = self._waiting.pop(community)
            if left_out := self._left_out.pop(community, 0):
                lines.append(f"{left_out} more lines are left out.")
            try:
                channel = (await self._community(community)).settings.log_channel
                while lines and channel is not None:
                    await self.post(community, channel, self._together(lines))
            except SettingsDamaged as error:
                log.warning("ledger not written", community=community, error=type(error).__name__)
            except Exception:
                log.exception("ledger not written", community=community)

    def _together(self, lines: deque[str]) -> str:
        """Take as many lines as one message has room for."""
        taken, room = [], self._most_text
        while lines and len(lines[0]) < room:
            room -= len(lines[0]) + 1
            taken.append(lines.popleft())
        return "\n".join(taken)
