"""How often Slack is called: its limits are shared by all jobs, so their calls wait in line here.

Slack counts each method by app and workspace: https://docs.slack.dev/apis/web-api/rate-limits
promises at least 50 calls a minute in Tier 3 (chat.update, chat.delete) and 100 in Tier 4 (files),
and one message a second in a channel, with short bursts.
"""

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Final

PER_MINUTE: Final = 45
"""Progress edits; what is left of their tier is for the ends of jobs."""
LEAST_S: Final = 2.0
"""Seconds between two edits of one message, however few there are."""
TIDYING: Final = (45, 60.0)
"""Deletions of progress messages, and in how many seconds; people delete too."""
UPLOADS: Final = (90, 60.0)
POSTS: Final = (4, 4.2)
"""In one channel."""
MOST_CHANNELS: Final = 1000
_APART_S: Final = 0.002

Sleep = Callable[[float], Awaitable[object]]


class Pace:
    """Shares the edits among the jobs that are shown. `clock` gives seconds that only grow.

    Whoever has waited longest is told to come back first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at = 0.0
        self._waiting: dict[str, None] = {}

    def turn(self, job_id: str) -> float:
        """0 when this job may edit its message now, which is counted; else seconds until it may ask
        again.
        """
        now = self._clock()
        if self._free_at > now:
            self._waiting.setdefault(job_id)
            before = next(n for n, waits in enumerate(self._waiting) if waits == job_id)
            return self._free_at - now + before * _APART_S
        self.ended(job_id)
        self._free_at = now + 60.0 / PER_MINUTE
        return 0.0

    def ended(self, job_id: str) -> None:
        """A job needs no more edits."""
        self._waiting.pop(job_id, None)

    def hold(self, seconds: float) -> None:
        """Slack wants no edit for so long."""
        self._free_at = max(self._free_at, self._clock() + seconds)


def pause() -> float:
    """Seconds until the next edit of the same message is welcome."""
    return LEAST_S * random.uniform(1.0, 1.2)  # noqa: S311 - so that jobs do not move in step


class Line:
    """At most `most` calls in `seconds`, first come, first served."""

    def __init__(
        self,
        most: int,
        seconds: float,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._sleep = sleep
        self._clock = clock
        self._turns: deque[float] = deque(maxlen=most)
        self._held_until = 0.0

    def wait(self) -> float:
        """Seconds that somebody who comes now has to wait."""
        return max(0.0, self._next() - self._clock())

    async def turn(self) -> None:
        """Wait for one's turn; whoever waits while Slack says “not so fast” lines up anew."""
        while True:
            at = self._next()
            self._turns.append(at)
            if (wait := at - self._clock()) > 0:
                await self._sleep(wait)
            if self._held_until <= at:
                return

    def hold(self, seconds: float) -> None:
        """Slack wants no call for so long."""
        self._held_until = max(self._held_until, self._clock() + seconds)

    def _next(self) -> float:
        full = len(self._turns) == self._turns.maxlen
        return max(self._clock(), self._held_until, self._turns[0] + self._seconds if full else 0.0)


class Limits:
    """Everything that is counted."""

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self.edits = Pace()
        self.tidying = Line(*TIDYING, sleep)
        self.uploads = Line(*UPLOADS, sleep)
        self._posts: OrderedDict[str, Line] = OrderedDict()

    def posts(self, channel: str) -> Line:
        """The line of those who post in a channel."""
        line = self._posts.setdefault(channel, Line(*POSTS, self._sleep))
        self._posts.move_to_end(channel)
        if len(self._posts) > MOST_CHANNELS:
            self._posts.popitem(last=False)
        return line
