"""Which job runs next: fair among communities, then among their requesters.

Weighted fair queueing on two levels, with the virtual clock of WF2Q+ (Bennett and Zhang,
"Hierarchical Packet Fair Queueing Algorithms", 1996): whoever waits carries a virtual start time;
the earliest goes first, and running a job moves its owner's start time on by the job's cost over
the owner's weight. Somebody who comes back after a pause starts at the present virtual time, so
idling earns no credit; the clock moves with every job, so that newcomers, however many, line up
behind those who wait and nobody starves.

Inside a small window of that order, the job whose model and LoRAs are already loaded goes first,
because switching costs everybody time. A job that has been passed over for `patience` seconds is
not passed over again.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from backends.base import GenerationRequest

WINDOW: Final = 8
PATIENCE_S: Final = 60.0
_SWEEP_EVERY: Final = 256


def cost(request: GenerationRequest) -> float:
    """Work of a request in megapixel steps: megapixels x steps x pictures."""
    size = request.image_size
    return size.pixels / 1e6 * request.num_inference_steps * request.num_images


@dataclass(frozen=True, slots=True)
class Ticket:
    """A waiting job, as far as its turn is concerned. `number` orders what is otherwise equal.

    `needs` is what must be loaded to run it: the model and the LoRAs' names. Weights above 1 give
    a larger share.
    """

    job_id: str
    number: int
    community: str
    requester: str
    cost: float
    needs: frozenset[str] = frozenset()
    requester_weight: float = 1.0
    community_weight: float = 1.0


@dataclass(slots=True)
class _Requester:
    start: float
    weight: float = 1.0
    tickets: deque[Ticket] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        return len(self.tickets)


@dataclass(slots=True)
class _Community:
    start: float
    weight: float = 1.0
    now: float = 0.0  # virtual time among this community's requesters
    waiting: int = 0
    requesters: dict[str, _Requester] = field(default_factory=dict)
    first: int | None = None  # number of its next job; None while it has to be looked up

    def next_number(self) -> int:
        """The number of the job whose turn is next. Looked up once until the queue changes."""
        if self.first is None:
            self.first = min(_heads(self))[1]
        return self.first


class FairQueue:
    """The waiting jobs of one backend. Pure: no clock, no I/O; `now` is in seconds."""

    def __init__(self, window: int = WINDOW, patience: float = PATIENCE_S) -> None:
        self._window = window
        self._patience = patience
        self._now = 0.0  # virtual time among communities
        self._communities: dict[str, _Community] = {}
        self._tickets: dict[str, Ticket] = {}
        self._passed_over: dict[str, float] = {}
        self._removed = 0

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._tickets

    def add(self, ticket: Ticket) -> None:
        """Let a job wait. Adding the same job again changes nothing."""
        if ticket.job_id in self._tickets:
            return
        self._tickets[ticket.job_id] = ticket
        community = self._communities.setdefault(ticket.community, _Community(self._now))
        if not community.waiting:
            community.start = max(community.start, self._now)
        requester = community.requesters.setdefault(ticket.requester, _Requester(community.now))
        if not requester.tickets:
            requester.start = max(requester.start, community.now)
        requester.tickets.append(ticket)
        requester.weight = ticket.requester_weight
        community.weight = ticket.community_weight
        community.waiting += 1
        community.first = None

    def remove(self, job_id: str) -> None:
        """Forget a waiting job; one that is not waiting is none of our business."""
        ticket = self._tickets.pop(job_id, None)
        self._passed_over.pop(job_id, None)
        if ticket is None:
            return
        community = self._communities[ticket.community]
        community.requesters[ticket.requester].tickets.remove(ticket)
        community.waiting -= 1
        community.first = None
        self._removed += 1
        if self._removed % _SWEEP_EVERY == 0 or not self._tickets:
            self._sweep()

    def order(self) -> Iterator[Ticket]:
        """The waiting jobs in the order in which they would run if nothing else came."""
        heads = [
            (community.start, community.next_number(), name)
            for name, community in self._communities.items()
            if community.waiting
        ]
        heapq.heapify(heads)
        turns: dict[str, tuple[Ticket, Iterator[Ticket]]] = {}  # of those who had one already
        while heads:
            start, _, name = heads[0]
            community = self._communities[name]
            if name in turns:
                ticket, rest = turns[name]
            else:
                rest = _turns(community)
                ticket = next(rest)
            yield ticket
            following = next(rest, None)
            if following is None:
                heapq.heappop(heads)
            else:
                turns[name] = following, rest
                start += ticket.cost / community.weight
                heapq.heapreplace(heads, (start, following.number, name))

    def take(
        self,
        now: float,
        loaded: frozenset[str] = frozenset(),
        may_run: Callable[[Ticket], bool] = lambda _: True,
    ) -> Ticket | None:
        """Choose the next job, remove it and charge its owner.

        `loaded` names what the backend has in memory; `may_run` tells whose running jobs leave
        room for another. None when nobody may run.
        """
        candidates: list[Ticket] = []
        for ticket in self.order():
            if may_run(ticket):
                candidates.append(ticket)
                if len(candidates) == self._window:
                    break
        if not candidates:
            return None
        chosen = self._nearest(candidates, loaded, now)
        for ticket in candidates[: candidates.index(chosen)]:
            self._passed_over.setdefault(ticket.job_id, now)
        self._charge(chosen)
        self.remove(chosen.job_id)
        return chosen

    def _nearest(self, candidates: list[Ticket], loaded: frozenset[str], now: float) -> Ticket:
        for ticket in candidates:
            if now - self._passed_over.get(ticket.job_id, now) >= self._patience:
                return ticket
        return min(candidates, key=lambda ticket: len(ticket.needs - loaded))

    def _charge(self, ticket: Ticket) -> None:
        community = self._communities[ticket.community]
        requester = community.requesters[ticket.requester]
        self._now = _advanced(self._now, ticket.cost, self._communities.values())
        community.start += ticket.cost / community.weight
        community.now = _advanced(community.now, ticket.cost, community.requesters.values())
        requester.start += ticket.cost / requester.weight

    def _sweep(self) -> None:
        """Drop owners whose past no longer matters: coming back, they start at the present."""
        for name, community in list(self._communities.items()):
            community.requesters = {
                key: requester
                for key, requester in community.requesters.items()
                if requester.tickets or (self._tickets and requester.start > community.now)
            }
            if not community.requesters and (not self._tickets or community.start <= self._now):
                del self._communities[name]


def _advanced(now: float, work: float, owners: Iterable[_Requester | _Community]) -> float:
    """The virtual clock after `work` was given to one of those who wait."""
    waiting = [owner for owner in owners if owner.waiting]
    share = work / sum(owner.weight for owner in waiting)
    return max(now + share, min(owner.start for owner in waiting))


def _heads(community: _Community) -> list[tuple[float, int, str, int]]:
    """Every requester who waits: start, number of the first job, name, index of that job."""
    return [
        (requester.start, requester.tickets[0].number, name, 0)
        for name, requester in community.requesters.items()
        if requester.tickets
    ]


def _turns(community: _Community) -> Iterator[Ticket]:
    """One community's jobs in their order, its requesters taking turns."""
    heads = _heads(community)
    heapq.heapify(heads)
    while heads:
        start, _, name, index = heads[0]
        tickets = community.requesters[name].tickets
        ticket = tickets[index]
        yield ticket
        if index + 1 == len(tickets):
            heapq.heappop(heads)
        else:
            start += ticket.cost / community.requesters[name].weight
            heapq.heapreplace(heads, (start, tickets[index + 1].number, name, index + 1))
