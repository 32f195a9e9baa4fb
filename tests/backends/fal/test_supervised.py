"""A fal job from its submission to its report, with the real supervisor and database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.database import Database
from bot.jobs.job import Job, JobState
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, migrations
from bot.jobs.supervisor import Supervisor
from bot.storage import PictureStore
from tests.fakes.fal_service import Act, FalService, Reply, fal_backend
from tests.fakes.surface import RecordingSurface
from tests.fakes.world import DefaultRules, NoLoras, draft


class Bot:
    """One life of Atelier in a folder."""

    def __init__(self, store: JobStore, supervisor: Supervisor) -> None:
        self.store = store
        self.supervisor = supervisor

    async def submit(self, prompt: str = "a red fox") -> Job:
        return await self.supervisor.submit(draft(prompt, backend="fal"), Limits())

    async def until(self, job: Job, state: JobState, *, remote: bool = False) -> Job:
        async with asyncio.timeout(20):
            while True:
                now = await self.store.get(job.id)
                assert now is not None
                if now.state is state and (now.remote is not None or not remote):
                    return now
                await asyncio.sleep(0.01)


@asynccontextmanager
async def life(service: FalService, folder: Path, deadline: float = 60.0) -> AsyncIterator[Bot]:
    database = await Database.open(folder / "jobs.db", migrations())
    store = JobStore(database)
    async with fal_backend(service, folder) as backend:
        supervisor = Supervisor(
            store=store,
            pictures=await PictureStore.in_folder(folder / "pictures"),
            backends={"fal": backend},
            surfaces={"test": RecordingSurface(folder / "surface")},
            loras=NoLoras(),
            rules=DefaultRules(),
            deadline=deadline,
        )
        await supervisor.start()
        try:
            yield Bot(store, supervisor)
        finally:
            await supervisor.drain(grace=0.0)
            await database.close()


async def test_a_job_is_drawn_charged_and_delivered(service: FalService, tmp_path: Path) -> None:
    async with life(service, tmp_path) as bot:
        done = await bot.until(await bot.submit(), JobState.DELIVERED)

    assert done.result is not None
    assert done.result.cost == pytest.approx(0.035)
    assert done.result.weights == "fal-ai/flux-lora@fal"
    assert len(service.submits) == 1
    assert not service.made("PUT")


async def test_cancelling_a_job_cancels_its_request(service: FalService, tmp_path: Path) -> None:
    async with life(service, tmp_path) as bot:
        job = await bot.submit("slow")
        await bot.until(job, JobState.RUNNING, remote=True)
        await bot.supervisor.cancel(job.id)
        await bot.until(job, JobState.CANCELLED)

    assert [call.path for call in service.made("PUT")] == [
        "/fal-ai/flux-lora/requests/flux-lora-0/cancel"
    ]
    assert len(service.submits) == 1


async def test_a_deadline_cancels_the_request(service: FalService, tmp_path: Path) -> None:
    async with life(service, tmp_path, deadline=2.0) as bot:
        await bot.until(await bot.submit("slow"), JobState.FAILED)

    assert len(service.made("PUT")) == 1


async def test_a_stop_leaves_the_request_and_the_next_life_takes_it_up_without_a_post(
    service: FalService, tmp_path: Path
) -> None:
    async with life(service, tmp_path) as first:
        job = await first.submit("slow")
        await first.until(job, JobState.RUNNING, remote=True)
    assert not service.made("PUT")

    service.job["prompt"] = "quick now"
    async with life(service, tmp_path) as second:
        await second.until(job, JobState.DELIVERED)

    assert len(service.submits) == 1
    assert not service.made("PUT")


@pytest.mark.parametrize("answer", [Act.DROP, Reply(502, b"")], ids=["dropped", "502"])
async def test_an_ambiguous_submit_fails_the_job_and_is_never_repeated(
    service: FalService, tmp_path: Path, answer: Reply | Act
) -> None:
    service.on_submit = [answer]
    async with life(service, tmp_path) as bot:
        failed = await bot.until(await bot.submit(), JobState.FAILED)

    assert failed.fault is not None
    assert failed.fault.kind == "OutcomeUnknown"
    assert failed.fault.billed
    assert "may have been billed" in failed.fault.sentence
    assert len(service.submits) == 1


async def test_a_service_that_is_too_busy_costs_nothing_and_the_job_runs_again(
    service: FalService, tmp_path: Path
) -> None:
    service.on_submit = [Reply(429, {}, {"Retry-After": "3600"})]
    async with life(service, tmp_path) as bot:
        await bot.until(await bot.submit(), JobState.DELIVERED)

    assert len(service.submits) == 2
    assert len(service.jobs) == 1


async def test_a_failure_after_the_submit_is_never_paid_for_again(
    service: FalService, tmp_path: Path
) -> None:
    service.on_result = [Reply(503, {"detail": "x", "error_type": "runner_disconnected"})]
    async with life(service, tmp_path) as bot:
        failed = await bot.until(await bot.submit(), JobState.FAILED)

    assert failed.fault is not None
    assert failed.fault.kind == "ServiceTrouble"
    assert len(service.submits) == 1
