"""Work beside a stream: a task that cannot outlive it, and a box for what the task finds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, Generic, TypeVar

_T = TypeVar("_T")

_ROOM: Final = 256


class Inbox(Generic[_T]):
    """A queue whose sender never waits: where the reader is far behind, the oldest is lost."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[_T | None] = asyncio.Queue(_ROOM)

    def push(self, item: _T | None) -> None:
        """Leave something; None tells the reader to stop waiting."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(item)

    async def get(self) -> _T | None:
        return await self._queue.get()

    async def nap(self, seconds: float) -> None:
        """Wait for so long, or until something is pushed, which is dropped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queue.get()


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, _T]) -> AsyncIterator["asyncio.Task[_T]"]:
    """Let `work` run beside the block and be gone after it; its error is the block's to ask for."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
