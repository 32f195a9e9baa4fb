"""A whole bot in a folder: real stores and supervisor, a recording surface, and two stub backends:
`stub`, as the test wants it, and `service`, which has to be paid.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from backends.base import LoraFile, LoraRef, ModelName, Verdict, parse_request
from bot.database import Database
from bot.jobs.job import Job, JobDraft, JobState, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, migrations
from bot.jobs.supervisor import LoraUnavailable, Report, Supervisor
from bot.policy import FlaggedRule, Treatment, decide
from bot.storage import PictureStore
from tests.fakes.backend import StubBackend
from tests.fakes.surface import RecordingSurface


class NoLoras:
    async def prepare(
        self, ref: LoraRef, architecture: ModelName, report: Report, *, community: str
    ) -> LoraFile:
        raise LoraUnavailable(f"There is no LoRA {ref.path} here.")


class DefaultRules:
    rule = FlaggedRule.SPOILER

    async def treatment(self, verdict: Verdict, place: Place) -> Treatment:
        return decide(verdict, place, self.rule)


def draft(
    prompt: str = "steps=2",
    *,
    seed: int = 1,
    images: int = 1,
    requester: str = "ann",
    job_id: str | None = None,
    backend: str = "stub",
) -> JobDraft:
    fields = {"prompt": prompt, "seed": seed, "num_images": images, "output_format": "png"}
    return JobDraft(
        id=job_id or str(uuid.uuid4()),
        surface="test",
        requester=requester,
        place=Place(community="home"),
        request=parse_request(fields),
        backend=backend,
    )


@dataclass
class World:
    database: Database
    store: JobStore
    pictures: PictureStore
    backend: StubBackend
    service: StubBackend
    surface: RecordingSurface
    rules: DefaultRules
    supervisor: Supervisor

    async def submit(
        self, prompt: str = "steps=2", *, seed: int = 1, limits: Limits | None = None
    ) -> Job:
        return await self.supervisor.submit(draft(prompt, seed=seed), limits or Limits())

    async def job(self, job_id: str) -> Job:
        job = await self.store.get(job_id)
        assert job is not None
        return job

    async def until(self, job_id: str, state: JobState, timeout: float = 10.0) -> Job:
        """Wait for a state, and for its report where it is an end."""
        async with asyncio.timeout(timeout):
            while True:
                job = await self.job(job_id)
                final = state not in {JobState.QUEUED, JobState.RUNNING, JobState.RENDERED}
                if job.state is state and (job.reported or not final):
                    return job
                await asyncio.sleep(0.01)

    async def settle(self, timeout: float = 20.0) -> None:
        """Wait until nobody waits for anything any more."""
        async with asyncio.timeout(timeout):
            while not self.supervisor.idle or await self.store.unreported(["test"]):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def world(
    folder: Path, *, slots: int = 2, paid: bool = False, deadline: float = 60.0, start: bool = True
) -> AsyncIterator[World]:
    database = await Database.open(folder / "jobs.db", migrations())
    store = JobStore(database)
    pictures = await PictureStore.in_folder(folder / "pictures")
    backend = StubBackend(folder / "stub", slots=slots, paid=paid)
    service = StubBackend(folder / "service", name="service", slots=slots, paid=True)
    surface = RecordingSurface(folder / "surface")
    rules = DefaultRules()
    supervisor = Supervisor(
        store=store,
        pictures=pictures,
        backends={"stub": backend, "service": service},
        surfaces={"test": surface},
        loras=NoLoras(),
        rules=rules,
        deadline=deadline,
    )
    if start:
        await supervisor.start()
    try:
        yield World(database, store, pictures, backend, service, surface, rules, supervisor)
    finally:
        await supervisor.drain(grace=0.0)
        await database.close()
