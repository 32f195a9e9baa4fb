"""Time that tests can move, ids that carry it, and waiting for something to become true."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

EPOCH_MS = 1_420_070_400_000
"""The first second of 2015, where Discord's ids start to count."""


class Clock:
    """The real time plus an offset. Every deadline of the fake is read from here."""

    def __init__(self, changes: "Changes") -> None:
        self._offset = 0.0
        self._changes = changes

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._offset

    def move(self, seconds: float) -> None:
        """Let so many seconds pass (or come back, where negative) at once."""
        self._offset += seconds
        self._changes.tell()

    def iso(self, at: float | None = None) -> str:
        """A moment as Discord writes it; now without one."""
        moment = datetime.fromtimestamp(self.now() if at is None else at, UTC)
        return moment.isoformat(timespec="microseconds")


class Snowflakes:
    """Ids that are unique, and carry the moment at which they were made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0

    def next(self, *, place: int | None = None) -> int:
        """A new id. With `place`, the shard is `place` modulo 1, 2, 3, 4, 6 or 12 shards."""
        self._count += 1
        milliseconds = int(self._clock.now() * 1000) - EPOCH_MS
        if place is not None:
            milliseconds += (place - milliseconds) % 12
        return (milliseconds << 22) | (self._count & 0x3FFFFF)


class Changes:
    """Tells those who wait that something has changed.

    Whoever waits `about` one thing is woken by what is told about it, others by everything. Things
    outside the fake tell nothing here, so conditions are also looked at now and then.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, object] = {}

    def tell(self, about: object = None) -> None:
        """Something has changed; without `about`, anything may have."""
        for event, wanted in self._waiting.items():
            if about is None or wanted is None or wanted is about:
                event.set()

    async def until(
        self, condition: Callable[[], object], seconds: float, *, about: object = None
    ) -> bool:
        """Whether the condition came true within so many real seconds."""
        event = asyncio.Event()
        self._waiting[event] = about
        pause = 0.05 if about is None else 0.5
        end = time.monotonic() + seconds
        try:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                event.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), min(left, pause))
        finally:
            del self._waiting[event]
        return True
