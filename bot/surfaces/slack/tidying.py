"""Takes progress messages away once their results are there.

Slack allows some fifty deletions a minute in a whole workspace. Where more are wanted they wait
here, noted on disk, and hold up no result.
"""

import asyncio
import random
from typing import Final

import structlog

from bot.surfaces.slack.calls import Busy, CallFailed
from bot.surfaces.slack.notes import Note, Notes
from bot.surfaces.slack.pace import Line, Sleep
from bot.surfaces.slack.posts import MessageGone, Posts
from bot.surfaces.slack.receipts import Message

MOST_WAITING: Final = 2000
"""With more than so many, results wait too."""
_TRIES: Final = 5
_PAUSE_S: Final = 5.0

log = structlog.get_logger()


class Tidying:
    """Deletes now, or in turn where `line` is full. People's own deletions do not wait here."""

    def __init__(
        self, posts: Posts, notes: Notes, line: Line, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._posts = posts
        self._notes = notes
        self._line = line
        self._sleep = sleep
        self._waiting: asyncio.Queue[tuple[str, Message]] = asyncio.Queue(MOST_WAITING)

    async def take_away(self, job_id: str, message: Message) -> None:
        """Have the message of a job taken away; where it cannot go it stays.

        Raises:
            CallFailed: it may be there or not; calling again does no harm.
        """
        if self._waiting.empty() and not self._line.wait():
            await self._delete(message)
            return
        name = f"{job_id}-progress"
        await self._notes.write(name, Note(leaving=message))
        await self._waiting.put((name, message))

    async def keep(self) -> None:
        """Delete what waits, for ever; what an earlier process has left comes first."""
        for name, message in (await self._notes.leaving()).items():
            await self._see_to(name, message)
        while True:
            await self._see_to(*await self._waiting.get())

    async def _see_to(self, name: str, message: Message) -> None:
        """What is not done after some tries is left to the next start."""
        for tries in range(_TRIES):
            try:
                await self._delete(message)
                await self._notes.forget(name)
            except (CallFailed, OSError) as error:
                log.info("progress message not yet gone", error=str(error))
            else:
                return
            await self._sleep(_PAUSE_S * 2**tries * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _delete(self, message: Message) -> None:
        await self._line.turn()
        try:
            await self._posts.delete(message)
        except MessageGone:
            return
        except CallFailed as error:
            if isinstance(error, Busy) or not error.certain:
                raise
            log.info("progress message stays", error=error.error)
