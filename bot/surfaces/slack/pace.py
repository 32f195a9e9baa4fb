"""When the next progress edit is welcome.

Slack counts `chat.update` by app and workspace, so all jobs share one budget: its Tier 3 allows 50
calls a minute and a little more. Some are left for the ends of jobs.
"""

import random
import time
from collections.abc import Callable
from typing import Final

PER_MINUTE: Final = 45
LEAST_S: Final = 2.0
"""Seconds between two edits of one message, however few there are."""


class Pace:
    """Shares the budget among the jobs that are shown. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at = 0.0
        self._shown: set[str] = set()

    def wait(self) -> float:
        """Seconds until any edit is welcome; 0 when one is."""
        return max(0.0, self._free_at - self._clock())

    def sent(self, job_id: str) -> float:
        """Note an edit for this job; returns the seconds until its next one is welcome."""
        self._shown.add(job_id)
        self._free_at = max(self._free_at, self._clock()) + 60.0 / PER_MINUTE
        every = max(LEAST_S, len(self._shown) * 60.0 / PER_MINUTE)
        return every * random.uniform(1.0, 1.2)  # noqa: S311 - so that jobs do not move in step

    def ended(self, job_id: str) -> None:
        """A job needs no more edits; the others get its share."""
        self._shown.discard(job_id)

    def hold(self, seconds: float) -> None:
        """Slack wants no edit for so long."""
        self._free_at = max(self._free_at, self._clock() + seconds)
