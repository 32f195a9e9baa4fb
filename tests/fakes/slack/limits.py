"""Rate limits: Slack's tiers per method and workspace, and one post a second in a channel."""

import math
from collections import deque
from dataclasses import dataclass, field

from tests.fakes.discord.clock import Clock


@dataclass
class Rates:
    """How many calls fit into how many seconds. Tests may change a line, or switch all off.

    Slack promises at least 1, 20, 50 and 100 calls a minute in its tiers 1 to 4. A channel takes
    one post a second with short bursts, whose length Slack does not tell; (1, 1.0) allows none.
    """

    tiers: dict[int, tuple[int, float]] = field(
        default_factory=lambda: {1: (1, 60.0), 2: (20, 60.0), 3: (50, 60.0), 4: (100, 60.0)}
    )
    special: tuple[int, float] = (600, 60.0)
    """Methods that Slack calls special: auth.test, posting for a whole workspace, sockets."""
    posts_in_channel: tuple[int, float] = (4, 4.0)
    enforced: bool = True


@dataclass
class Limits:
    """Counts calls in windows that slide."""

    clock: Clock
    rates: Rates = field(default_factory=Rates)
    _taken: dict[tuple[str, ...], deque[float]] = field(default_factory=dict)

    def take(self, method: str, tier: int, team: str, channel: str | None) -> int | None:
        """Count one call; or the seconds for `Retry-After`, if it is one too many."""
        if not self.rates.enforced:
            return None
        count, seconds = self.rates.tiers.get(tier, self.rates.special)
        windows: list[tuple[tuple[str, ...], int, float]] = [((method, team), count, seconds)]
        if method == "chat.postMessage" and channel:
            windows.append(((method, team, channel), *self.rates.posts_in_channel))
        now = self.clock.now()
        for key, most, span in windows:
            past = self._taken.setdefault(key, deque())
            while past and not now - span < past[0] <= now:
                past.popleft()
            if len(past) >= most:
                return max(1, math.ceil(past[0] + span - now))
        for key, _, _ in windows:
            self._taken[key].append(now)
        return None
