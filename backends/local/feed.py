"""News of a job for a listener that may be slow: progress, latest wins, and then the outcome."""

import asyncio
from typing import Generic, TypeVar

from backends.base import Rendered
from backends.errors import BackendError
from backends.local.messages import Loaded, Progress, Stopped

Outcome = Loaded | Rendered | Stopped | BackendError

T = TypeVar("T")


class LatestWins(Generic[T]):
    """What waits for a slow listener: of every kind only the latest, in order of arrival."""

    def __init__(self) -> None:
        self._items: dict[type, T] = {}

    def put(self, kind: type, item: T) -> None:
        self._items.pop(kind, None)
        self._items[kind] = item

    def pop(self) -> T | None:
        """Take the oldest; None when nothing waits."""
        return self._items.pop(next(iter(self._items))) if self._items else None

    def __len__(self) -> int:
        return len(self._items)


class Feed:
    """News of one job: its progress, latest wins, and then for good its outcome."""

    def __init__(self) -> None:
        self._progress: LatestWins[Progress] = LatestWins()
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self.outcome: Outcome | None = None

    def put(self, event: Progress) -> None:
        self._progress.put(type(event), event)
        self._news.set()

    def end(self, outcome: Outcome) -> None:
        """Set the outcome; the first one counts."""
        if self.outcome is None:
            self.outcome = outcome
            self._news.set()
            self._over.set()

    async def take(self) -> Progress | Outcome:
        """Wait for what comes next; once all progress is taken that is the outcome, every time."""
        while True:
            if (event := self._progress.pop()) is not None:
                return event
            if self.outcome is not None:
                return self.outcome
            self._news.clear()
            await self._news.wait()

    async def over(self) -> None:
        """Wait for the outcome."""
        await self._over.wait()
