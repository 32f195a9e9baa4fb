"""What somebody has used today of what they may ask for, and what is left."""

from dataclasses import dataclass

from bot import wording
from bot.community_store import CommunityStore
from bot.jobs.store import JobStore
from bot.permissions import Refusal, Requester, closed, limits


@dataclass(frozen=True, slots=True)
class Today:
    """Jobs of a person and their community since midnight, UTC, beside the limits; None is none.

    `spent` and `budget` are the community's, in US dollars. `closed` is why nothing can be drawn
    at all.
    """

    jobs: int
    most: int | None
    at_once: int | None
    community_jobs: int
    community_most: int | None
    spent: float
    budget: float | None
    closed: Refusal | None = None

    def told(self) -> tuple[str, ...]:
        """The same in sentences, as far as it matters."""
        if self.closed is not None:
            return (wording.refusal(self.closed),)
        said = [
            f"You have asked for {_jobs(self.jobs)} today; there is no limit for a day."
            if self.most is None
            else f"You have used {self.jobs} of your {_jobs(self.most)} of today."
        ]
        if self.at_once is not None:
            said.append(f"{_jobs(self.at_once)} of yours may wait at a time.")
        if self.community_most is not None:
            said.append(
                f"All here together have used {self.community_jobs} of {_jobs(self.community_most)}"
                " of today."
            )
        if self.spent and self.budget is not None:
            said.append(
                f"Of today's ${self.budget:.2f} for everybody here ${self.spent:.2f} are used."
            )
        if any(one is not None for one in (self.most, self.community_most)) or self.spent:
            said.append("The next day begins at 00:00 UTC.")
        return tuple(said)


class Quotas:
    """Tells people what they have left."""

    def __init__(self, communities: CommunityStore, jobs: JobStore) -> None:
        self._communities = communities
        self._jobs = jobs

    async def today(self, community: str, requester: Requester) -> Today:
        """What holds for this person in this community now.

        Raises:
            SettingsDamaged
        """
        here = await self._communities.effective(community)
        hold = limits(here, requester)
        return Today(
            jobs=await self._jobs.asked_today(community, requester.id),
            most=hold.requester_per_day,
            at_once=hold.requester_queued,
            community_jobs=await self._jobs.asked_today(community),
            community_most=hold.community_per_day,
            spent=await self._jobs.spent_today(community),
            budget=hold.community_budget,
            closed=closed(here, requester),
        )


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"
