"""Jobs from submission to report, and everything that may come between."""

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest

from bot import wording
from bot.database import DatabaseUnwritable
from bot.jobs.job import JobState
from bot.jobs.limits import Limits
from bot.jobs.store import QuotaExceeded
from bot.jobs.supervisor import NotStarted
from bot.policy import FlaggedRule
from bot.storage import StorageFull
from bot.surfaces.base import Drawing, Preparing, Waiting
from tests.fakes.world import draft, world


async def test_a_prompt_becomes_a_delivered_picture(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit(seed=5)
        done = await w.until(job.id, JobState.DELIVERED)
        assert done.result is not None
        [picture] = done.result.pictures
        assert (picture.seed, picture.recipe.seed) == (5, 5)
        data = await w.pictures.get(picture.key)
        assert data[:4] == b"\x89PNG"
        message = w.surface.message(job.id)
        assert message["endings"] == 1
        assert message["state"][0].startswith("show ")


async def test_progress_reaches_the_surface_and_ends_before_the_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("steps=5 pause=0.03")
        await w.until(job.id, JobState.DELIVERED)
        states = [state for job_id, state in w.surface.states if job_id == job.id]
        steps = [state.step for state in states if isinstance(state, Drawing)]
        assert any(isinstance(state, Preparing) for state in states)
        assert steps == sorted(steps)
        assert steps[-1] >= 4
        count = len(w.surface.states)
        await asyncio.sleep(0.1)
        assert len(w.surface.states) == count


async def test_a_slow_surface_gets_the_latest_state_and_never_slows_the_job(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.surface.pace = 0.2
        job = await w.submit("steps=40 pause=0.01")
        await w.until(job.id, JobState.DELIVERED, timeout=3)
        steps = [state for _, state in w.surface.states if isinstance(state, Drawing)]
        assert 1 <= len(steps) <= 6


@patch("bot.jobs.supervisor._TICK_S", 0.01)
async def test_waiting_jobs_hear_where_they_stand(tmp_path: Path) -> None:
    async with world(tmp_path, slots=1) as w:
        first = await w.submit("hang")
        await w.until(first.id, JobState.RUNNING)
        second, third = await w.submit(), await w.submit()
        assert w.supervisor.waiting(second.id) == Waiting(1)
        assert w.supervisor.waiting(third.id) == Waiting(2)
        await asyncio.sleep(0.1)
        assert (third.id, Waiting(2)) in w.surface.states
        await w.supervisor.cancel(first.id)
        await w.until(third.id, JobState.DELIVERED)


async def test_what_jobs_took_becomes_the_estimate_of_the_next(tmp_path: Path) -> None:
    async with world(tmp_path, slots=1) as w:
        for _ in range(2):
            job = await w.submit("steps=5 pause=0.02")
            await w.until(job.id, JobState.DELIVERED)
        await w.submit("hang")
        waiting = await w.submit("steps=5")
        state = w.supervisor.waiting(waiting.id)
        assert state is not None
        assert state.eta is not None
        assert 0.05 < state.eta < 5.0


async def test_a_failure_is_told_in_its_own_words_and_not_repeated(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("fail")
        failed = await w.until(job.id, JobState.FAILED)
        assert failed.attempt == 1
        assert w.surface.message(job.id) == {
            "state": "The stub does not draw this.",
            "endings": 1,
        }


async def test_a_lost_worker_is_tried_again_and_then_works(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("flaky=2")
        done = await w.until(job.id, JobState.DELIVERED)
        assert (done.attempt, done.failures) == (3, 2)


async def test_a_job_that_loses_its_worker_three_times_fails_with_a_message(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("flaky=9")
        failed = await w.until(job.id, JobState.FAILED)
        assert failed.attempt == 3
        assert failed.fault is not None
        assert failed.fault.kind == "WorkerLost"
        assert "3 times" in failed.fault.sentence
        assert "lost its worker" in failed.fault.sentence


async def test_a_missing_lora_fails_the_job_with_its_name(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = draft()
        request = sent.request.model_validate(
            {**sent.request.model_dump(), "loras": [{"path": "nope"}]}
        )
        job = await w.supervisor.submit(
            type(sent)(sent.id, "test", "ann", sent.place, request, "stub"), Limits()
        )
        failed = await w.until(job.id, JobState.FAILED)
        assert failed.fault is not None
        assert failed.fault.sentence == "There is no LoRA nope here."


async def test_a_waiting_job_is_cancelled_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, slots=1) as w:
        await w.submit("hang")
        job = await w.submit()
        await w.supervisor.cancel(job.id)
        await w.until(job.id, JobState.CANCELLED)
        assert w.surface.message(job.id)["state"] == wording.CANCELLED


async def test_a_running_job_is_cancelled_within_a_step(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("steps=1000 pause=0.02")
        await w.until(job.id, JobState.RUNNING)
        await w.supervisor.cancel(job.id)
        await w.until(job.id, JobState.CANCELLED, timeout=2)
        assert w.surface.message(job.id)["endings"] == 1


async def test_a_paid_job_is_cancelled_at_the_service(tmp_path: Path) -> None:
    async with world(tmp_path, paid=True) as w:
        job = await w.submit("hang", seed=3)
        async with asyncio.timeout(5):
            while (await w.job(job.id)).remote is None:
                await asyncio.sleep(0.01)
        await w.supervisor.cancel(job.id)
        await w.until(job.id, JobState.CANCELLED)
        assert w.backend.cancelled == ["3-0"]


async def test_another_process_can_submit_and_cancel(tmp_path: Path) -> None:
    async with world(tmp_path) as w, world(tmp_path, start=False) as other:
        theirs = await other.store.submit(draft("hang"), Limits())
        await other.store.save_receipt(theirs.id, await other.surface.start(theirs))
        await w.until(theirs.id, JobState.RUNNING, timeout=3)
        await other.store.request_cancel(theirs.id)
        await w.until(theirs.id, JobState.CANCELLED, timeout=3)
        assert w.surface.message(theirs.id)["state"] == wording.CANCELLED
        drawn = await other.store.submit(draft(), Limits())
        await w.until(drawn.id, JobState.DELIVERED, timeout=3)


async def test_a_job_that_takes_too_long_is_stopped_with_a_message(tmp_path: Path) -> None:
    async with world(tmp_path, deadline=0.2) as w:
        job = await w.submit("hang")
        failed = await w.until(job.id, JobState.FAILED)
        assert failed.fault is not None
        assert "longer than" in failed.fault.sentence


async def test_one_requester_runs_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    async with world(tmp_path, slots=4) as w:
        limits = Limits(requester_running=1)
        jobs = [await w.submit("steps=2 pause=0.05", limits=limits) for _ in range(3)]
        await w.settle()
        assert w.backend.most_at_once == 1
        assert {(await w.job(job.id)).state for job in jobs} == {JobState.DELIVERED}
        for _ in range(4):
            await w.submit("steps=2 pause=0.05")
        await w.settle()
        assert w.backend.most_at_once == 4


async def test_a_used_up_quota_refuses_before_anything_is_shown(tmp_path: Path) -> None:
    async with world(tmp_path, slots=1) as w:
        await w.submit("hang")
        await asyncio.sleep(0.05)
        limits = Limits(requester_queued=1)
        await w.submit(limits=limits)
        sent = draft()
        with pytest.raises(QuotaExceeded):
            await w.supervisor.submit(sent, limits)
        assert w.surface.calls("start", sent.id) == 0
        assert await w.store.get(sent.id) is None


async def test_the_same_submission_twice_is_one_message_and_one_picture(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = draft()
        await w.supervisor.submit(sent, Limits())
        await w.supervisor.submit(sent, Limits())
        await w.until(sent.id, JobState.DELIVERED)
        await w.settle()
        assert w.surface.calls("start", sent.id) == 1
        assert w.surface.calls("finish", sent.id) == 1


async def test_a_job_that_cannot_be_shown_is_cancelled_and_never_runs(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.surface.trouble = [RuntimeError("no such channel")]
        sent = draft()
        with pytest.raises(NotStarted):
            await w.supervisor.submit(sent, Limits())
        job = await w.job(sent.id)
        assert (job.state, job.attempt, job.reported) == (JobState.CANCELLED, 0, True)


async def test_a_result_that_cannot_be_delivered_is_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        with patch("bot.jobs.delivery._LONGEST_PAUSE_S", 0.01):
            job = await w.submit("pause=0.05")
            w.surface.trouble = [OSError("down"), OSError("still down")]
            done = await w.until(job.id, JobState.DELIVERED)
        assert done.deliveries == 2
        assert w.surface.message(job.id)["endings"] == 1


async def test_a_result_without_a_place_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("pause=0.05")
        w.surface.gone.add(job.id)
        kept = await w.until(job.id, JobState.UNDELIVERABLE)
        assert kept.result is not None
        assert await w.pictures.get(kept.result.pictures[0].key)


async def test_delivery_gives_up_after_a_bounded_number_of_tries(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        with patch("bot.jobs.delivery._LONGEST_PAUSE_S", 0.001):
            job = await w.submit("pause=0.05")
            w.surface.trouble = [OSError("down") for _ in range(50)]
            await w.until(job.id, JobState.UNDELIVERABLE)
        assert w.surface.calls("finish", job.id) == 12


async def test_a_lost_file_is_told_with_the_seed_that_draws_it_again(tmp_path: Path) -> None:
    async with world(tmp_path, start=False) as w:
        sent = await w.store.submit(draft(seed=77), Limits())
        await w.store.save_receipt(sent.id, await w.surface.start(sent))
    async with world(tmp_path) as w:
        done = await w.until(sent.id, JobState.DELIVERED)
        assert done.result is not None
        await w.pictures.delete(done.result.pictures[0].key)
        async with w.database.write() as sql:
            await sql.execute("UPDATE jobs SET state = 'rendered', reported_at = NULL")
    async with world(tmp_path) as w:
        await w.until(sent.id, JobState.UNDELIVERABLE)
        assert "seed 77" in w.surface.message(sent.id)["state"]


async def test_previews_are_hidden_as_unchecked_pictures_are(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.rules.rule = FlaggedRule.WITHHOLD
        job = await w.submit("steps=3 pause=0.02")
        await w.until(job.id, JobState.DELIVERED)
        drawings = [s for _, s in w.surface.states if isinstance(s, Drawing)]
        assert drawings
        assert all(s.preview is None for s in drawings)


async def test_a_full_disk_for_a_while_loses_no_picture(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        put, trouble = w.pictures.put, [StorageFull("full"), StorageFull("full")]

        async def full_at_first(*args: object) -> str:
            if trouble:
                raise trouble.pop()
            return await put(*args)  # type: ignore[arg-type]

        with patch.object(w.pictures, "put", full_at_first):
            job = await w.submit()
            done = await w.until(job.id, JobState.DELIVERED)
        assert done.attempt == 1


async def test_a_database_in_trouble_for_a_while_loses_no_outcome(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        render, trouble = w.store.render, [DatabaseUnwritable("full"), DatabaseUnwritable("full")]

        async def full_at_first(*args: object) -> object:
            if trouble:
                raise trouble.pop()
            return await render(*args)  # type: ignore[arg-type]

        with patch.object(w.store, "render", full_at_first):
            job = await w.submit()
            done = await w.until(job.id, JobState.DELIVERED)
        assert trouble == []
        assert done.attempt == 1


async def test_stopping_lets_a_drawing_end_and_delivers_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("steps=5 pause=0.05")
        await w.until(job.id, JobState.RUNNING)
        await w.supervisor.drain(grace=5.0)
        assert (await w.job(job.id)).state is JobState.DELIVERED


async def test_stopping_sends_what_does_not_end_back_to_the_queue(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit("steps=500 pause=0.05")
        waiting = await w.submit()
        await w.until(job.id, JobState.RUNNING)
        await w.supervisor.drain(grace=0.05)
        back = await w.job(job.id)
        assert (back.state, back.failures) == (JobState.QUEUED, 0)
    async with world(tmp_path) as w:
        await w.until(waiting.id, JobState.DELIVERED)
        await w.until(job.id, JobState.RUNNING)
        await w.supervisor.cancel(job.id)
        await w.until(job.id, JobState.CANCELLED)


async def test_stopping_leaves_a_paid_request_to_be_taken_up_by_its_id(tmp_path: Path) -> None:
    async with world(tmp_path, paid=True) as w:
        job = await w.submit("steps=20 pause=0.05")
        async with asyncio.timeout(5):
            while (await w.job(job.id)).remote is None:
                await asyncio.sleep(0.01)
        await w.supervisor.drain(grace=0.0)
        left = await w.job(job.id)
        assert (left.state, left.remote) == (JobState.RUNNING, {"id": "1-0"})
        assert w.backend.cancelled == []
    async with world(tmp_path, paid=True) as w:
        await w.until(job.id, JobState.DELIVERED)
        assert w.backend.submits == 1


async def test_a_job_for_a_backend_that_is_gone_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = draft()
        gone = type(sent)(sent.id, "test", "ann", sent.place, sent.request, "fal")
        job = await w.supervisor.submit(gone, Limits())
        failed = await w.until(job.id, JobState.FAILED)
        assert failed.fault is not None
        assert failed.fault.sentence == wording.BACKEND_GONE
