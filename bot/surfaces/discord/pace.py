"""When the next edit of a message is welcome.

Edits with an interaction's token have a lane each; those with the bot's own token share the lane of
their channel. A lane's spacing is 2 to 2.5 s, and longer where Discord's headers say that only one
edit is left: that one is kept for the end of the job.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

SPACING_S: Final = (2.0, 2.5)
MOST_LANES: Final = 5000
_LONGEST_S: Final = 60.0


@dataclass(slots=True)
class _Lane:
    free_at: float = 0.0
    reset_at: float = 0.0
    remaining: int | None = None


class Pace:
    """Keeps apart the edits of every lane. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()

    def wait(self, lane: str) -> float:
        """Seconds until an edit is welcome; 0 when it is."""
        return max(0.0, self._lane(lane).free_at - self._clock())

    def sent(self, lane: str) -> float:
        """Note an edit; returns the seconds until the next one is welcome."""
        known, now = self._lane(lane), self._clock()
        pause = random.uniform(*SPACING_S)  # noqa: S311 - so that many jobs do not edit at once
        if known.remaining is not None and known.remaining <= 1:
            pause = max(pause, known.reset_at - now)
        known.free_at = now + pause
        return pause

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
            self._lanes.popitem(last=False)
        return lane


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
