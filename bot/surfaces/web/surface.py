"""The web as a surface: what happens to jobs goes to every open page.

Nothing here has to survive a restart. A page that (re)connects is given its jobs as the database
has them; what follows is the newest state of whatever changes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from bot.jobs.job import Job, Receipt
from bot.surfaces.base import Outcome, Progress

NAME: Final = "web"
MOST_PAGES: Final = 200
_PACE_S: Final = 0.1
_NOTES_KEPT: Final = 1000


class TooManyPages(Exception):
    """More pages listen than this server serves at once."""


class Listener:
    """One open page: ids of the jobs that have changed since it last looked, each once."""

    def __init__(self) -> None:
        self._changed: OrderedDict[str, None] = OrderedDict()
        self._news = asyncio.Event()

    def tell(self, job_id: str) -> None:
        self._changed[job_id] = None
        self._news.set()

    async def changes(self) -> AsyncIterator[str]:
        """Ids of changed jobs, for ever; a job that changes twice meanwhile comes once."""
        while True:
            await self._news.wait()
            while self._changed:
                yield self._changed.popitem(last=False)[0]
            self._news.clear()


class WebSurface:
    """Keeps the progress of jobs that have not ended, and wakes pages up."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._progress: dict[str, Progress] = {}
        self._notes: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    @property
    def name(self) -> str:
        return NAME

    async def start(self, job: Job) -> Receipt:
        """A page needs no message of its own: it shows whatever jobs there are."""
        self.tell(job.id)
        return {}

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | None:
        self._progress[job.id] = state
        self.tell(job.id)
        return _PACE_S

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        self._progress.pop(job.id, None)
        self.tell(job.id)

    def progress_of(self, job_id: str) -> Progress | None:
        return self._progress.get(job_id)

    def keep_notes(self, job_id: str, notes: tuple[str, ...]) -> None:
        """Remember what was said when a job was taken, for as long as memory lasts."""
        if notes:
            self._notes[job_id] = notes
            if len(self._notes) > _NOTES_KEPT:
                self._notes.popitem(last=False)

    def notes_of(self, job_id: str) -> tuple[str, ...]:
        return self._notes.get(job_id, ())

    def tell(self, job_id: str) -> None:
        """Have every page look at this job again."""
        for listener in self._listeners:
            listener.tell(job_id)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """A page's subscription.

        Raises:
            TooManyPages: it is refused.
        """
        if len(self._listeners) >= MOST_PAGES:
            raise TooManyPages(f"{MOST_PAGES} pages are open already; close one.")
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
