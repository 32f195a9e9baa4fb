"""When the next edit of a message is welcome.

Edits with an interaction's token have a lane each; those with the bot's own token share the lane of
their channel. Edits in a lane are 2 to 2.5 s apart, and further where Discord's headers say that
only one is left: that one is kept for the end of a job. Jobs that share a lane take turns.

All lanes together start a hundred edits a second at most: commands are answered between them.
"""

import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

SPACING_S: Final = (2.0, 2.5)
APART_S: Final = 0.01
"""Between two edits, whatever their lanes."""
LOOK_AGAIN_S: Final = 5.0
"""Whoever waits looks again after so long at the latest: those before may have ended."""
MOST_LANES: Final = 5000
_LONGEST_S: Final = 60.0


@dataclass(slots=True)
class _Lane:
    free_at: float = 0.0
    reset_at: float = 0.0
    remaining: int | None = None
    waiting: deque[str] = field(default_factory=deque)

    @property
    def blocked_until(self) -> float:
        """Until then, what is left is kept for the end of a job."""
        return self.reset_at if self.remaining is not None and self.remaining <= 1 else 0.0


class Pace:
    """Keeps the edits of every lane apart. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._waits_in: dict[str, str] = {}
        self._starts: dict[str, float] = {}
        self._next = 0.0

    def turn(self, lane: str, job_id: str) -> float:
        """0 when it is this job's turn to edit its message, else seconds until it looks again.

        A job that was told to wait keeps its place until its turn, or until it has ended (`leave`).
        """
        known, now = self._lane(lane), self._clock()
        if self._waits_in.get(job_id) != lane:
            self.leave(job_id)
            self._waits_in[job_id] = lane
            known.waiting.append(job_id)
        before = known.waiting.index(job_id)
        wait = max(0.0, known.free_at - now, known.blocked_until - now)
        if before or wait:
            return min(wait + before * sum(SPACING_S) / 2, LOOK_AGAIN_S)
        if job_id not in self._starts:
            self._starts[job_id] = max(now, self._next)
            self._next = self._starts[job_id] + APART_S
        if (start := self._starts[job_id]) > now:
            return start - now
        self.leave(job_id)
        known.free_at = now + _spacing()
        return 0.0

    def sent(self, lane: str) -> float:
        """Note that an edit was made; returns the seconds until the next one is welcome."""
        known, now = self._lane(lane), self._clock()
        known.free_at = max(now + _spacing(), known.blocked_until)
        return known.free_at - now

    def leave(self, job_id: str) -> None:
        """Give up this job's place, if it has one."""
        self._starts.pop(job_id, None)
        if (lane := self._waits_in.pop(job_id, None)) is not None:
            self._lane(lane).waiting.remove(job_id)

    def heard(self, lane: str, status: int, headers: Mapping[str, str]) -> None:
        """Learn from the headers of an answer."""
        known, now = self._lane(lane), self._clock()
        after = _number(headers.get("X-RateLimit-Reset-After"))
        remaining = _number(headers.get("X-RateLimit-Remaining"))
        if status == 429:
            after = _number(headers.get("Retry-After")) or after
            remaining = 0.0
        if remaining is not None:
            known.remaining = int(remaining)
            known.reset_at = now + min(after or 0.0, _LONGEST_S)

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.setdefault(name, _Lane())
        self._lanes.move_to_end(name)
        if len(self._lanes) > MOST_LANES:
            _, forgotten = self._lanes.popitem(last=False)
            for job_id in forgotten.waiting:
                self._waits_in.pop(job_id, None)
        return lane


def _spacing() -> float:
    return random.uniform(*SPACING_S)  # noqa: S311 - so that many jobs do not edit at once


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
