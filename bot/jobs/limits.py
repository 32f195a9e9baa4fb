"""How many jobs may wait, run and be asked for a day, and whose turn counts how much.

The settings of a community produce these numbers. The job store enforces `queued` and `per_day`
inside the transaction that inserts a job, so that two requests at once cannot both take the last
place; the scheduler enforces the rest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps and weights for one requester and for the whole community. None is no limit.

    `queued` counts jobs that wait, `running` jobs that are being drawn, `per_day` jobs submitted
    since midnight UTC that neither failed nor were cancelled. `community_budget` is what the jobs
    of such a day may cost, in US dollars. A requester's weight is their share of the community's
    turns, the community's weight its share of the instance's.
    """

    requester_queued: int | None = None
    requester_running: int | None = None
    requester_per_day: int | None = None
    requester_weight: float = 1.0
    community_queued: int | None = None
    community_running: int | None = None
    community_per_day: int | None = None
    community_budget: float | None = None
    community_weight: float = 1.0


def day_start(now: float) -> float:
    """The last midnight, UTC, before `now`; both are seconds since 1970."""
    return now - now % 86_400.0
