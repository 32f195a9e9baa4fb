"""What people, other processes and the end of this one do at the worst moment."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from bot import wording
from bot.jobs.job import Job, JobState, Receipt
from bot.jobs.limits import Limits
from bot.jobs.store import QuotaExceeded
from bot.jobs.supervisor import NotStarted
from tests.fakes.surface import RecordingSurface
from tests.fakes.world import World, draft, world


async def paying(w: World, job_id: str) -> None:
    """Wait until the service has been paid for a job, and we have not heard of it yet."""
    async with asyncio.timeout(5):
        while not w.service.submits:
            await asyncio.sleep(0.01)
    job = await w.job(job_id)
    assert job.submitting
    assert job.remote is None


def slow(surface: RecordingSurface) -> Callable[[Job], Awaitable[Receipt]]:
    start = surface.start

    async def slowly(job: Job) -> Receipt:
        await asyncio.sleep(0.1)
        return await start(job)

    return slowly


async def test_stopping_waits_for_the_id_of_a_paid_request_on_its_way(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.supervisor.submit(draft("slow=0.1", backend="service"), Limits())
        await paying(w, job.id)
        await w.supervisor.drain(grace=0.0)
        left = await w.job(job.id)
        assert (left.state, left.remote) == (JobState.RUNNING, {"id": "1-0"})
    async with world(tmp_path) as w:
        await w.until(job.id, JobState.DELIVERED)
        assert w.service.submits == 1


async def test_cancelling_waits_for_the_id_of_a_paid_request_and_calls_it_off(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        job = await w.supervisor.submit(draft("slow=0.1", backend="service"), Limits())
        await paying(w, job.id)
        await w.supervisor.cancel(job.id)
        await w.until(job.id, JobState.CANCELLED)
        assert w.service.cancelled == ["1-0"]


async def test_a_paid_request_that_never_answers_is_still_stopped(tmp_path: Path) -> None:
    async with world(tmp_path, deadline=0.5) as w:
        job = await w.supervisor.submit(draft("slow=3600", backend="service"), Limits())
        async with asyncio.timeout(5):
            while not (await w.job(job.id)).submitting:
                await asyncio.sleep(0.01)
        await w.supervisor.cancel(job.id)
        ended = await w.until(job.id, JobState.CANCELLED, timeout=3)
        assert ended.remote is None
        assert w.service.submits == 0


async def test_a_wish_to_cancel_holds_when_the_job_goes_back_to_the_queue(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        requeue = w.store.requeue

        async def cancelled_just_before(job: Job, *, failed: bool) -> Job | None:
            await w.supervisor.cancel(job.id)
            return await requeue(job, failed=failed)

        with patch.object(w.store, "requeue", cancelled_just_before):
            job = await w.submit("flaky=1")
            await w.until(job.id, JobState.CANCELLED)
        assert w.surface.message(job.id) == {"state": wording.CANCELLED, "endings": 1}


async def test_a_job_that_pauses_before_its_next_attempt_can_be_cancelled(tmp_path: Path) -> None:
    async with world(tmp_path, slots=1) as w:
        job = await w.submit("flaky=1")
        async with asyncio.timeout(5):
            while not (await w.job(job.id)).failures:
                await asyncio.sleep(0.005)
        await w.submit("hang", seed=2)  # so that there will be no free slot for it
        await w.supervisor.cancel(job.id)
        await w.until(job.id, JobState.CANCELLED)
        assert w.surface.message(job.id)["endings"] == 1


async def test_a_job_cancelled_while_it_is_shown_ends_as_cancelled(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = draft()
        with patch.object(w.surface, "start", slow(w.surface)):
            submitting = asyncio.create_task(w.supervisor.submit(sent, Limits()))
            await asyncio.sleep(0.05)
            await w.supervisor.cancel(sent.id)
            await submitting
        await w.until(sent.id, JobState.CANCELLED)
        assert w.surface.message(sent.id) == {"state": wording.CANCELLED, "endings": 1}


async def test_a_job_that_is_cancelled_and_cannot_be_shown_is_over(tmp_path: Path) -> None:
    async with world(tmp_path) as w:

        async def cancelled_then_gone(job: Job) -> Receipt:
            await w.supervisor.cancel(job.id)
            raise RuntimeError("no such channel")

        sent = draft()
        with patch.object(w.surface, "start", cancelled_then_gone), pytest.raises(NotStarted):
            await w.supervisor.submit(sent, Limits())
        assert (await w.job(sent.id)).reported


async def test_the_same_submission_twice_at_once_is_shown_and_drawn_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = draft()
        with patch.object(w.surface, "start", slow(w.surface)):
            first, second = await asyncio.gather(
                w.supervisor.submit(sent, Limits()), w.supervisor.submit(sent, Limits())
            )
        assert first == second
        await w.settle()
        assert w.surface.calls("start", sent.id) == w.surface.calls("finish", sent.id) == 1
        assert (await w.job(sent.id)).attempt == 1


async def test_a_program_may_repeat_a_submission_while_the_restarted_bot_shows_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, start=False) as w:
        sent = draft()
        await w.store.submit(sent, Limits())
        with patch.object(w.surface, "start", slow(w.surface)):
            await w.supervisor.start()
            again = await w.supervisor.submit(sent, Limits())
        assert again.receipt is not None
        await w.settle()
        assert w.surface.calls("start", sent.id) == w.surface.calls("finish", sent.id) == 1


async def test_a_caller_who_stops_waiting_does_not_stop_the_job(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = draft()
        with patch.object(w.surface, "start", slow(w.surface)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(w.supervisor.submit(sent, Limits()), 0.05)
            await w.until(sent.id, JobState.DELIVERED)


async def test_a_refused_submission_leaves_nothing_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        with pytest.raises(QuotaExceeded):
            await w.supervisor.submit(draft(), Limits(requester_per_day=0))
        assert w.supervisor.idle


async def test_a_surface_that_is_away_when_the_bot_restarts_shows_the_job_later(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, start=False) as w:
        sent = draft()
        await w.store.submit(sent, Limits())
        w.surface.trouble = [OSError("not connected yet"), OSError("not connected yet")]
        await w.supervisor.start()
        shown = await w.until(sent.id, JobState.DELIVERED)
        assert shown.receipt is not None
        assert w.surface.trouble == []


async def test_a_job_that_was_shown_and_cancelled_before_a_crash_ends_where_it_was_shown(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, start=False) as w:
        job = await w.store.submit(draft(), Limits())
        await w.surface.start(job)  # the crash comes before the receipt is saved
        await w.store.request_cancel(job.id)
    async with world(tmp_path) as w:
        await w.until(job.id, JobState.CANCELLED)
        assert w.surface.message(job.id) == {"state": wording.CANCELLED, "endings": 1}


async def test_another_process_that_brings_its_own_receipt_is_never_shown_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, world(tmp_path, start=False) as other:
        job = await other.store.submit(draft("gone"), Limits(), {"message": "elsewhere"})
        done = await w.until(job.id, JobState.UNDELIVERABLE, timeout=3)
        assert done.receipt == {"message": "elsewhere"}
        assert w.surface.calls("start", job.id) == 0
