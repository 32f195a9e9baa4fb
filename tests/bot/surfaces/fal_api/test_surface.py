"""What is remembered about progress, and for how long."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from backends.base import parse_request
from bot.jobs.job import Job, Place
from bot.surfaces.base import Done, Drawing, Preparing, Waiting
from bot.surfaces.fal_api.surface import ENDED_KEPT_S, MOST_ENDED, MOST_LINES, FalApiSurface, bar
from tests.fakes.jobs import JOB


def a_job() -> Job:
    return replace(
        JOB,
        id=str(uuid.uuid4()),
        surface="fal_api",
        requester="local",
        place=Place(private=True),
        request=parse_request({"prompt": "a"}),
        attempt=0,
    )


@pytest.mark.parametrize(
    ("step", "steps", "drawn"),
    [
        (10, 28, " 36%|███▌      | 10/28"),
        (1, 200, "  0%|          | 1/200"),
        (28, 28, "100%|██████████| 28/28"),
    ],
)
def test_steps_are_drawn_as_tqdm_does(step: int, steps: int, drawn: str) -> None:
    assert bar(step, steps) == drawn


async def test_every_step_is_a_line_and_nothing_is_said_twice_in_a_row() -> None:
    surface, job = FalApiSurface(lambda: 0.0), a_job()
    for state in (
        Waiting(3),
        Preparing("fetching", 0.5),
        Preparing("fetching", 0.5),
        Preparing("loading"),
        Drawing(1, 2),
        Drawing(2, 2),
    ):
        assert await surface.progress(job, {}, state) is not None
    lines = [line.body() for line in surface.peek(job.id).lines]
    messages = [line["message"] for line in lines]
    assert messages == ["fetching: 50%", "loading", bar(1, 2), bar(2, 2)]
    assert {line["timestamp"] for line in lines} == {"1970-01-01T00:00:00.000+00:00"}


async def test_a_log_has_an_end() -> None:
    surface, job = FalApiSurface(), a_job()
    for step in range(MOST_LINES + 10):
        await surface.progress(job, {}, Drawing(step + 1, 10_000))
    assert len(surface.peek(job.id).lines) == MOST_LINES


async def test_jobs_that_have_ended_are_forgotten_by_number_and_by_time() -> None:
    now = 0.0
    surface = FalApiSurface(lambda: now)
    jobs = [a_job() for _ in range(MOST_ENDED + 5)]
    for job in jobs:
        await surface.start(job)
        await surface.progress(job, {}, Preparing("loading"))
        await surface.finish(job, {}, Done(()))
    kept = [job for job in jobs if surface.peek(job.id).lines]
    assert kept == jobs[5:]
    now = ENDED_KEPT_S + 1
    last = a_job()
    await surface.progress(last, {}, Preparing("loading"))
    await surface.finish(last, {}, Done(()))
    assert [job for job in jobs if surface.peek(job.id).lines] == []
    assert surface.peek(last.id).lines
    assert surface.waiting == 0


async def test_whoever_waits_is_woken_by_changes_and_by_the_end() -> None:
    surface, job = FalApiSurface(), a_job()
    change = asyncio.create_task(surface.changed(job.id, 0, 10))
    end = asyncio.create_task(surface.ended(job.id, 10))
    await asyncio.sleep(0)
    await surface.progress(job, {}, Waiting(1))
    async with asyncio.timeout(1):
        await change
    assert not end.done()
    await surface.finish(job, {}, Done(()))
    async with asyncio.timeout(1):
        await end
        await surface.ended(job.id, 10)  # also who comes too late
        await surface.changed(job.id, 1, 10)
    await surface.changed(job.id, surface.peek(job.id).version, 0.01)  # nothing more comes


async def test_finishing_twice_changes_nothing_that_is_seen() -> None:
    surface, job = FalApiSurface(), a_job()
    await surface.progress(job, {}, Drawing(1, 2))
    for _ in range(2):
        await surface.finish(job, {}, Done(()))
    # Progress may leave out the last step, the log does not.
    assert [line.message for line in surface.peek(job.id).lines] == [bar(1, 2), bar(2, 2)]


async def test_the_places_of_new_requests_count_those_before_them() -> None:
    surface = FalApiSurface()
    jobs = [a_job() for _ in range(3)]
    with surface.expecting(jobs[0].id, {"body": "x"}):
        receipts = [await surface.start(job) for job in jobs]
    assert receipts == [{"body": "x"}, {}, {}]
    assert [surface.peek(job.id).ahead for job in jobs] == [0, 1, 2]
    await surface.progress(jobs[0], {}, Drawing(1, 2))
    assert surface.waiting == 2
