"""The endpoint as a surface: what is known of a job's progress, and who waits for its end.

Progress lives in memory, for as long as a job runs and a while longer. After a restart a client
misses log lines, never a state or a result: those come from the database.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from bot.jobs.job import Job, Receipt
from bot.surfaces.base import Done, Drawing, Outcome, Preparing, Progress, Waiting

NAME: Final = "fal_api"
MOST_LINES: Final = 1000
MOST_WAITERS: Final = 2000
MOST_ENDED: Final = 1000
ENDED_KEPT_S: Final = 3600.0
_PACE_S: Final = 0.05
_BLOCKS: Final = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's log; `at` is in seconds since 1970."""

    message: str
    at: float

    def body(self) -> dict[str, str]:
        """As fal writes it."""
        stamp = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return {"message": self.message, "timestamp": stamp, "level": "INFO", "source": "USER"}


@dataclass(slots=True)
class Watch:
    """What is known of one job. `version` grows with every change; `steps` is 0 until known."""

    ahead: int = 0
    drawn: bool = False
    steps: int = 0
    lines: list[LogLine] = field(default_factory=list)
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: float = 0.0

    def tell(self) -> None:
        """Wake everybody who waits for a change."""
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


class FalApiSurface:
    """Keeps what is going on, and wakes those who wait for it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._live: dict[str, Watch] = {}
        self._ended: OrderedDict[str, Watch] = OrderedDict()
        self._receipts: dict[str, Receipt] = {}
        self._waiters = 0

    @property
    def name(self) -> str:
        return NAME

    # --- The port -----------------------------------------------------------------------------

    async def start(self, job: Job) -> Receipt:
        """Nothing is shown: the requester asks. The receipt is what `expecting` was given."""
        if job.id not in self._live:
            self._live[job.id] = Watch(ahead=self.waiting)
        return self._receipts.get(job.id, {})

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | None:
        watch = self.watch(job.id)
        match state:
            case Waiting(ahead=ahead):
                watch.ahead, watch.drawn = ahead, False
            case Preparing(what=what, fraction=fraction):
                watch.drawn = True
                self._log(watch, what if fraction is None else f"{what}: {fraction:.0%}")
            case Drawing(step=step, steps=steps):
                watch.drawn, watch.steps = True, steps
                self._log(watch, bar(step, steps))
        watch.tell()
        return _PACE_S

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        """Wake everybody who waits for the end."""
        watch = self._live.pop(job.id, None) or self._ended.get(job.id) or Watch()
        if isinstance(outcome, Done) and watch.steps:
            self._log(watch, bar(watch.steps, watch.steps))  # progress may leave out the last one
        watch.ended_at = self._clock()
        watch.ended.set()
        watch.tell()
        self._ended[job.id] = watch
        self._ended.move_to_end(job.id)
        self._forget()

    # --- For the routes -----------------------------------------------------------------------

    @contextmanager
    def expecting(self, job_id: str, receipt: Receipt) -> Iterator[None]:
        """Give a job that starts meanwhile this receipt."""
        self._receipts[job_id] = receipt
        try:
            yield
        finally:
            self._receipts.pop(job_id, None)

    @property
    def waiting(self) -> int:
        """How many of this endpoint's requests wait for their turn."""
        return sum(not watch.drawn for watch in self._live.values())

    def watch(self, job_id: str) -> Watch:
        """What is known of a job that has not ended, or has not long ago."""
        if (ended := self._ended.get(job_id)) is not None:
            return ended
        return self._live.setdefault(job_id, Watch())

    def peek(self, job_id: str) -> Watch:
        """The same, remembering nothing about a job that is not known."""
        return self._live.get(job_id) or self._ended.get(job_id) or Watch()

    @property
    def has_room(self) -> bool:
        """Whether one more connection may wait for a job."""
        return self._waiters < MOST_WAITERS

    @contextmanager
    def waiter(self) -> Iterator[None]:
        """A connection that waits for a job."""
        self._waiters += 1
        try:
            yield
        finally:
            self._waiters -= 1

    async def changed(self, job_id: str, version: int, timeout: float) -> None:  # noqa: ASYNC109
        """Wait until a job's watch has another version, or `timeout` seconds have passed."""
        watch = self.watch(job_id)
        if watch.version == version:
            await _wait(watch.changed, timeout)

    async def ended(self, job_id: str, timeout: float) -> None:  # noqa: ASYNC109
        """Wait until a job has ended, or `timeout` seconds have passed."""
        await _wait(self.watch(job_id).ended, timeout)

    def _log(self, watch: Watch, message: str) -> None:
        known = watch.lines
        if len(known) < MOST_LINES and not (known and known[-1].message == message):
            known.append(LogLine(message, self._clock()))

    def _forget(self) -> None:
        oldest = self._clock() - ENDED_KEPT_S
        while self._ended:
            first = next(iter(self._ended))
            if len(self._ended) <= MOST_ENDED and self._ended[first].ended_at > oldest:
                return
            del self._ended[first]


def bar(step: int, steps: int) -> str:
    """A step as tqdm draws it, ` 36%|███▌      | 10/28`, which fal's users know to read."""
    full, eighths = divmod(step * 80 // steps, 8)
    drawn = "█" * full + _BLOCKS[eighths].strip()
    return f"{step / steps:4.0%}|{drawn:<10}| {step}/{steps}"


async def _wait(event: asyncio.Event, timeout: float) -> None:  # noqa: ASYNC109
    try:
        await asyncio.wait_for(event.wait(), timeout)
    except TimeoutError:
        return
