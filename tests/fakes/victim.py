"""A bot to be killed: the real supervisor over a folder, dead by SIGKILL at a given point.

    python -m tests.fakes.victim

reads one `Life` a line from its input. For each it writes the pid of the process that lives it and,
once that has ended, its exit code. Importing a bot takes longer than its whole life here, so every
life is a fork of a process that has imported already.

The points are all places at which the bot touches what outlives it: before and after every write
of the job store, every call of the surface, every picture that is stored or read, every flush of a
picture to disk, and between what the stub backends do. A folder's `points.log` lists those that
were reached.
"""

import asyncio
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, TextIO
from unittest.mock import patch

import aiosqlite
import structlog
from pydantic import BaseModel, ConfigDict

from bot.jobs.job import JobState
from bot.jobs.limits import Limits
from tests.fakes.world import World, draft, world

WRITES: Final = (
    "submit",
    "save_receipt",
    "begin",
    "take_up",
    "submitting",
    "submitted",
    "render",
    "fail",
    "cancel",
    "requeue",
    "request_cancel",
    "deliver",
    "give_up",
    "report",
    "delivery_failed",
)
"""Every write of the job store that a job meets on its trip."""
UNKNOWN_WRITE: Final = "a write that is not in WRITES"
SLOTS: Final = 3
LONGEST_LIFE_S: Final = 60.0
HURRY: Final = {
    "bot.jobs.supervisor._AGAIN_S": 0.02,
    "bot.jobs.supervisor._WATCH_S": 0.03,
    "bot.jobs.supervisor._TICK_S": 0.03,
    "bot.jobs.delivery._LONGEST_PAUSE_S": 0.02,
}
"""Pauses that serve people, and would only make a short life longer."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sent(_Value):
    """A job that somebody asks for."""

    id: str
    prompt: str = "steps=2"
    seed: int = 1
    images: int = 1
    backend: str = "stub"


class Life(_Value):
    """What a process does: take up what is there, take `submit`, and end once nothing is left.

    Of the known jobs, `cancel` are cancelled at once and `interrupt` while they are drawn. With
    `drain` the process stops in the middle of the first drawing, with `stay` it waits for its
    killer. `kill` is the name of the point at which it dies (`store.begin:after`; a second time
    has a ` 2` behind it), or `#7` for the seventh, whichever that is.
    """

    folder: str
    submit: tuple[Sent, ...] = ()
    cancel: tuple[str, ...] = ()
    interrupt: tuple[str, ...] = ()
    drain: bool = False
    stay: bool = False
    kill: str = ""
    limits: Limits = Limits()


_in_a_write: ContextVar[bool] = ContextVar("in_a_write", default=False)


class Points:
    """Counts the places where a process may die, and lets it die at one of them."""

    def __init__(self, kill: str, log: TextIO) -> None:
        self._kill = kill
        self._log = log
        self._reached: Counter[str] = Counter()

    def reach(self, name: str) -> None:
        self._reached[name] += 1
        times = self._reached[name]
        point = name if times == 1 else f"{name} {times}"
        self._log.write(f"{point}\n")
        if self._kill in {point, f"#{self._reached.total()}"}:
            os.kill(os.getpid(), signal.SIGKILL)

    def surround(self, owner: object, name: str, label: str) -> None:
        """Put a point before and after every call of a method."""
        method: Callable[..., Awaitable[object]] = getattr(owner, name)

        async def surrounded(*args: Any, **named: Any) -> object:
            self.reach(f"{label}:before")
            outer = _in_a_write.set(True)
            try:
                result = await method(*args, **named)
            finally:
                _in_a_write.reset(outer)
            self.reach(f"{label}:after")
            return result

        setattr(owner, name, surrounded)

    def flush(self, descriptor: int, fsync: Callable[[int], None] = os.fsync) -> None:
        self.reach("disk.flush")
        fsync(descriptor)


def _lay(points: Points, w: World) -> None:
    write = w.database.write

    @asynccontextmanager
    async def watched() -> AsyncGenerator[aiosqlite.Connection, None]:
        if not _in_a_write.get():
            points.reach(UNKNOWN_WRITE)
        async with write() as sql:
            yield sql

    w.database.write = watched  # type: ignore[method-assign]
    for name in WRITES:
        points.surround(w.store, name, f"store.{name}")
    for name in ("start", "finish"):
        points.surround(w.surface, name, f"surface.{name}")
    for name in ("put", "get"):
        points.surround(w.pictures, name, f"pictures.{name}")
    w.surface.point = lambda name: points.reach(f"surface.{name}")
    w.backend.point = lambda name: points.reach(f"backend.{name}")
    w.service.point = lambda name: points.reach(f"service.{name}")


async def _live(life: Life, points: Points) -> None:
    folder = Path(life.folder)
    async with (
        asyncio.timeout(LONGEST_LIFE_S),
        world(folder, slots=SLOTS, start=False) as w,
    ):
        _lay(points, w)
        await w.supervisor.start()
        sent = [
            draft(s.prompt, seed=s.seed, images=s.images, job_id=s.id, backend=s.backend)
            for s in life.submit
        ]
        await asyncio.gather(*(w.supervisor.submit(one, life.limits) for one in sent))
        for job_id in life.cancel:
            await w.supervisor.cancel(job_id)
        await asyncio.gather(*(_interrupt(w, job_id) for job_id in life.interrupt))
        if life.stay:
            await asyncio.Event().wait()
        if not life.drain:
            await w.settle(LONGEST_LIFE_S)
            return
        while not (w.backend.drawing or w.service.drawing):
            await asyncio.sleep(0.005)
        await w.supervisor.drain(grace=0.0)


async def _interrupt(w: World, job_id: str) -> None:
    """Cancel a job once it is drawn, paid where it has to be; one that has ended is left alone."""
    while (job := await w.store.get(job_id)) is not None:
        match job.state:
            case JobState.RUNNING if job.backend != w.service.name or job.remote is not None:
                await w.supervisor.cancel(job_id)
                return
            case JobState.QUEUED | JobState.RUNNING:
                await asyncio.sleep(0.005)
            case _:
                return


def _fork(life: Life) -> int:
    """Begin a life in a process of its own."""
    if (pid := os.fork()) > 0:
        return pid
    code = 1
    folder = Path(life.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "bot.log").open("a", buffering=1) as log,
        (folder / "points.log").open("a", buffering=1) as reached,
        ExitStack() as hurry,
    ):
        try:
            reached.write(f"--- {life.kill}\n")
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
            points = Points(life.kill, reached)
            for name, seconds in HURRY.items():
                hurry.enter_context(patch(name, seconds))
            hurry.enter_context(patch("os.fsync", points.flush))
            asyncio.run(_live(life, points))
            code = 0
        except BaseException:
            traceback.print_exc(file=log)
        finally:
            os._exit(code)


def main() -> None:
    for line in sys.stdin:
        pid = _fork(Life.model_validate_json(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
