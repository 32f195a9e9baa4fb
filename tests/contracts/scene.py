"""What the contract of surfaces asks of a platform: people who ask and look on, and trouble.

Each platform has one adapter, in a module of its own; the bot behind it is a real one, and what
members see is read from the platform, never from the bot.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from aiosqlite import Connection

from bot.app import CommunityRules
from bot.community_store import CommunityStore
from bot.database import Database
from bot.jobs.delivery import Delivery
from bot.jobs.job import Job, JobState, Receipt
from bot.jobs.store import JobStore
from bot.jobs.supervisor import Supervisor
from bot.storage import PictureStore
from bot.surfaces.base import Outcome, Surface
from tests.fakes.backend import StubBackend

State = Literal["going on", "result", "no result"]


@dataclass(frozen=True)
class Card:
    """A job as a member who did not ask for it sees it.

    `name` is the platform's own of what shows it. `opened` pictures are seen without a click,
    `hidden` ones after it.
    """

    name: str
    state: State
    words: str
    opened: int = 0
    hidden: int = 0


@dataclass
class Run:
    """One life of the bot, from its start to its end or death."""

    database: Database
    jobs: JobStore
    communities: CommunityStore
    pictures: PictureStore
    supervisor: Supervisor
    surface: Surface
    backend: StubBackend

    async def until(self, job: Job, *states: JobState) -> Job:
        """Wait until people know of a job's end, or it has come to one of these states."""
        async with asyncio.timeout(20):
            while True:
                now = await self.jobs.get(job.id)
                assert now is not None
                if now.state in states or (not states and now.reported):
                    return now
                await asyncio.sleep(0.01)

    async def finish_again(self, job: Job) -> None:
        """Repeat what follows a job's end, as a start after a crash does."""
        treat = CommunityRules(self.communities).treatment
        surfaces = {self.surface.name: self.surface}
        found = await self.jobs.get(job.id)
        assert found is not None
        await Delivery(self.jobs, self.pictures, surfaces, treat).deliver(found)
        again = await self.jobs.get(job.id)
        assert again is not None
        assert again.deliveries == found.deliveries, "it failed at first"

    def dies(self) -> None:
        """From now on nothing is noted any more: whoever tries to is gone, as in a crash."""

        def write() -> AbstractAsyncContextManager[Connection]:
            raise asyncio.CancelledError

        self.database.write = write  # type: ignore[method-assign, assignment]

    def dies_after_start(self) -> asyncio.Event:
        """Let it die between a job's first message and the note of its receipt."""
        start, dead = self.surface.start, asyncio.Event()

        async def started(job: Job) -> Receipt:
            receipt = await start(job)
            self.dies()
            dead.set()
            return receipt

        self.surface.start = started  # type: ignore[method-assign]
        return dead

    def dies_after_finish(self) -> asyncio.Event:
        """Let it die between a job's last message and the note that it is delivered."""
        finish, dead = self.surface.finish, asyncio.Event()

        async def finished(job: Job, receipt: Receipt, outcome: Outcome) -> None:
            await finish(job, receipt, outcome)
            self.dies()
            dead.set()

        self.surface.finish = finished  # type: ignore[method-assign]
        return dead


class Scene(Protocol):
    """One place with somebody who asks, members who look on, and a bot that can be restarted."""

    @property
    def community(self) -> str:
        """Whose settings hold there."""
        ...

    @property
    def requester(self) -> str:
        """Who asks."""
        ...

    @property
    def without_place(self) -> JobState:
        """What becomes of a result whose place is gone."""
        ...

    def run(self, slots: int = 2) -> AbstractAsyncContextManager[Run]:
        """A life of the bot; another one may follow in the same folder."""
        ...

    async def ask(self, text: str) -> None:
        """Ask for a picture; returns once the platform has an answer."""
        ...

    async def cancel(self, card: Card) -> None:
        """Whoever asked clicks on Cancel."""
        ...

    async def cards(self) -> list[Card]:
        """What a member sees, oldest first."""
        ...

    async def handed_out(self) -> int:
        """How many pictures have left the bot, whether anybody sees them or not."""
        ...

    def break_upload(self, *, after: bool) -> None:
        """Cut the connection of the next upload: before it has arrived, or its answer only."""
        ...

    def limit(self) -> None:
        """Say “too many requests” to the next result."""
        ...

    async def later(self) -> None:
        """Let so much time pass that an answer at once is no longer possible."""
        ...

    async def close_place(self) -> None:
        """Let the place be gone for the bot, for good."""
        ...
