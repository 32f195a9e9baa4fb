"""Remembers what has been dealt with, across restarts.

Chat platforms send the same thing again when they are not sure that it arrived. Whoever handles it
asks here first and says afterwards that it is done; a crash in between leaves it open, so that the
next copy is handled. Handling must therefore bear to be repeated up to its end.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from bot.database import Database

KEPT_S: Final = 86_400.0
"""Far longer than any platform repeats itself."""
PATIENCE_S: Final = 2.0
"""How long a copy waits for the first: platforms want an answer within 3 seconds."""
_SWEEP_EVERY: Final = 1000

_DONE: Final = "SELECT 1 FROM handled WHERE key = ?"
_NOTE: Final = "INSERT OR IGNORE INTO handled (key, at) VALUES (?, ?)"
_SWEEP: Final = "DELETE FROM handled WHERE at < ?"


class Once:
    """Keys of what was handled, in the jobs' database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._busy: dict[str, asyncio.Event] = {}
        self._since_sweep = _SWEEP_EVERY

    @asynccontextmanager
    async def first(self, key: str) -> AsyncIterator[bool]:
        """Whether this is to be handled now. It counts as done unless the body raises.

        A copy that comes while the first is being handled waits a moment for that, so that it is
        not answered before. Without a key everything is to be handled.
        """
        if not key:
            yield True
            return
        if (ended := self._busy.get(key)) is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), PATIENCE_S)
            yield False
            return
        ended = self._busy[key] = asyncio.Event()
        try:
            new = await self._database.row(_DONE, (key,)) is None
            yield new
            if new:
                await self._note(key)
        finally:
            del self._busy[key]
            ended.set()

    async def _note(self, key: str) -> None:
        self._since_sweep += 1
        async with self._database.write() as sql:
            await sql.execute(_NOTE, (key, self._clock()))
            if self._since_sweep >= _SWEEP_EVERY:
                self._since_sweep = 0
                await sql.execute(_SWEEP, (self._clock() - KEPT_S,))
