"""Who waits how long: the real `FairQueue` beside first come, first served, in simulated time.

    python -m benchmarks.fairness [--jobs 4000] [--seed 1]

Four workers keep four LoRAs each; a picture takes 8 s, loading a LoRA 2.5 s. Sixty LoRAs are asked
for by Zipf's law. Twenty-seven people ask now and then, three in bursts of up to 60. Arrivals are
set to 92 % of what the workers manage at 0.6 loads a job, so FIFO and fair turns without affinity
run near saturation.
"""

import argparse
import bisect
import heapq
import itertools
import random
import statistics
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Protocol

from bot.jobs.scheduler import PATIENCE_S, FairQueue, Ticket

WORKERS, CACHED, LORAS = 4, 4, 60
RENDER_S, LOAD_S = 8.0, 2.5
RATE = 0.92 * WORKERS / (RENDER_S + 0.6 * LOAD_S)
LIGHT, HEAVY = 27, 3


@dataclass(frozen=True)
class Arrival:
    at: float
    ticket: Ticket
    heavy: bool


class Queue(Protocol):
    def add(self, ticket: Ticket) -> None: ...

    def take(self, now: float, loaded: frozenset[str] = ...) -> Ticket | None: ...


@dataclass
class Fifo:
    """First come, first served."""

    tickets: deque[Ticket] = field(default_factory=deque)

    def add(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)

    def take(self, now: float, loaded: frozenset[str] = frozenset()) -> Ticket | None:
        return self.tickets.popleft() if self.tickets else None


def arrivals(jobs: int, seed: int) -> list[Arrival]:
    """Half of the work comes from three people in bursts, half from everybody else singly."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, LORAS + 1)))
    events: list[tuple[float, str, bool]] = []
    span = jobs / RATE
    while len(events) < jobs / 2:
        events.append((rng.uniform(0, span), f"light-{rng.randrange(LIGHT)}", False))
    while len(events) < jobs:
        start, who = rng.uniform(0, span), f"heavy-{rng.randrange(HEAVY)}"
        events += [(start + i * 0.5, who, True) for i in range(rng.randint(20, 60))]
    found = []
    for number, (at, who, heavy) in enumerate(sorted(events)):
        lora = bisect.bisect(weights, rng.random() * weights[-1])
        needs = frozenset({f"lora-{lora}"})
        found.append(Arrival(at, Ticket(str(number), number, "home", who, 1.0, needs), heavy))
    return found


@dataclass
class Outcome:
    loads_per_job: float
    light: list[float]
    heavy: list[float]


def simulate(queue: Queue, work: list[Arrival]) -> Outcome:
    """Run all arrivals through the queue; waits are from submission to the start of work."""
    by_id = {a.ticket.job_id: a for a in work}
    caches: list[OrderedDict[str, None]] = [OrderedDict() for _ in range(WORKERS)]
    idle = set(range(WORKERS))
    busy: list[tuple[float, int]] = []
    pending = deque(work)
    loads, now = 0, 0.0
    light: list[float] = []
    heavy: list[float] = []
    while pending or busy:
        following = [pending[0].at] if pending else []
        following += [busy[0][0]] if busy else []
        now = min(following)
        while pending and pending[0].at <= now:
            queue.add(pending.popleft().ticket)
        while busy and busy[0][0] <= now:
            idle.add(heapq.heappop(busy)[1])
        for worker in sorted(idle):
            cache = caches[worker]
            ticket = queue.take(now, frozenset(cache))
            if ticket is None:
                break
            idle.discard(worker)
            missing = ticket.needs - cache.keys()
            loads += len(missing)
            for lora in ticket.needs:
                cache[lora] = None
                cache.move_to_end(lora)
                if len(cache) > CACHED:
                    cache.popitem(last=False)
            heapq.heappush(busy, (now + RENDER_S + LOAD_S * len(missing), worker))
            arrival = by_id[ticket.job_id]
            (heavy if arrival.heavy else light).append(now - arrival.at)
    return Outcome(loads / len(work), light, heavy)


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    work = arrivals(args.jobs, args.seed)
    policies: list[tuple[str, Queue]] = [
        ("FIFO (baseline)", Fifo()),
        ("fair, no affinity", FairQueue(window=1)),
        ("fair + window 8", FairQueue(window=8, patience=PATIENCE_S)),
        ("fair + window 32", FairQueue(window=32, patience=PATIENCE_S)),
    ]
    print(f"{len(work)} jobs, seed {args.seed}, {RATE:.3f} jobs/s, {WORKERS} workers")
    print("| policy | loads/job | light p50 | light p95 | heavy p50 | light p50 vs FIFO |")
    print("|---|---|---|---|---|---|")
    baseline = 0.0
    for name, queue in policies:
        result = simulate(queue, work)
        p50 = percentile(result.light, 50)
        baseline = baseline or p50
        print(
            f"| {name} | {result.loads_per_job:.2f} | {p50:.0f} s | "
            f"{percentile(result.light, 95):.0f} s | {percentile(result.heavy, 50):.0f} s | "
            f"{p50 / baseline:.2f}x |"
        )


if __name__ == "__main__":
    main()
