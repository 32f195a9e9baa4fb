"""Jobs in SQLite: states, fences, quotas, retention."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends.base import Verdict, parse_request
from bot.database import Database
from bot.jobs.job import TRANSITIONS, Fault, Job, JobDraft, JobState, Place, Result, StoredPicture
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, QuotaExceeded, migrations
from bot.recipe import Recipe

FREE = Limits()
FAULT = Fault(kind="WorkerLost", sentence="It went away.")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[JobStore]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    yield JobStore(database, clock)
    await database.close()


def draft(requester: str = "ann", community: str = "home", surface: str = "test") -> JobDraft:
    return JobDraft(
        id=str(uuid.uuid4()),
        surface=surface,
        requester=requester,
        place=Place(community=community, channel="c1"),
        request=parse_request({"prompt": "a cat", "seed": 7}),
        backend="stub",
    )


def result(key: str = "pictures/aa", cost: float | None = None) -> Result:
    recipe = Recipe(
        model="flux-1",
        weights="w",
        prompt="a cat",
        seed=7,
        width=64,
        height=64,
        steps=4,
        guidance=3,
    )
    picture = StoredPicture(
        key=key, format="png", width=64, height=64, seed=7, verdict=Verdict.CLEAR, recipe=recipe
    )
    return Result(pictures=(picture,), prompt="a cat", weights="w", seconds=2.0, cost=cost)


async def waiting(store: JobStore, **of: str) -> Job:
    job = await store.submit(draft(**of), FREE)
    return await store.save_receipt(job.id, {"message": 1})


async def running(store: JobStore, **of: str) -> Job:
    job = await store.begin((await waiting(store, **of)).id)
    assert job is not None
    return job


async def in_state(store: JobStore, state: JobState) -> Job:
    match state:
        case JobState.QUEUED:
            return await waiting(store)
        case JobState.RUNNING:
            return await running(store)
        case JobState.RENDERED:
            job = await store.render(await running(store), result())
        case JobState.DELIVERED:
            job = await store.deliver(await in_state(store, JobState.RENDERED))
        case JobState.UNDELIVERABLE:
            job = await store.give_up(await in_state(store, JobState.RENDERED))
        case JobState.FAILED:
            job = await store.fail(await running(store), FAULT)
        case JobState.CANCELLED:
            job = await store.cancel(await running(store))
    assert job is not None
    return job


async def test_what_is_submitted_comes_back_the_same(store: JobStore) -> None:
    sent = draft()
    job = await store.submit(sent, FREE)
    assert (job.request, job.place, job.state, job.attempt) == (
        sent.request,
        sent.place,
        JobState.QUEUED,
        0,
    )
    assert await store.get(sent.id) == job


async def test_the_same_id_twice_is_one_job(store: JobStore) -> None:
    sent = draft()
    first, second = await asyncio.gather(store.submit(sent, FREE), store.submit(sent, FREE))
    assert first == second
    assert len(await store.unreported(["test"])) == 1


async def test_a_job_does_not_run_before_it_has_a_receipt(store: JobStore) -> None:
    job = await store.submit(draft(), FREE)
    assert await store.begin(job.id) is None
    await store.save_receipt(job.id, {})
    assert await store.begin(job.id) is not None


async def test_only_one_of_two_starts_wins(store: JobStore) -> None:
    job = await waiting(store)
    begun = await asyncio.gather(store.begin(job.id), store.begin(job.id))
    assert [b is not None for b in begun].count(True) == 1


@pytest.mark.parametrize("start", list(JobState))
@pytest.mark.parametrize("end", list(JobState))
async def test_no_way_leads_around_the_transition_table(
    store: JobStore, start: JobState, end: JobState
) -> None:
    job = await in_state(store, start)
    moves = {
        JobState.RENDERED: lambda: store.render(job, result()),
        JobState.FAILED: lambda: store.fail(job, FAULT),
        JobState.CANCELLED: lambda: store.cancel(job),
        JobState.QUEUED: lambda: store.requeue(job, failed=True),
        JobState.DELIVERED: lambda: store.deliver(job),
        JobState.UNDELIVERABLE: lambda: store.give_up(job),
        JobState.RUNNING: lambda: store.begin(job.id),
    }
    moved: Job | None
    try:
        moved = await moves[end]()
    except ValueError:
        moved = None
    assert (moved is not None) == (end in TRANSITIONS[start])
    now = await store.get(job.id)
    assert now is not None
    assert now.state is (end if moved else start)


async def test_a_write_from_a_past_attempt_changes_nothing(store: JobStore) -> None:
    zombie = await running(store)
    successor = await store.take_up(zombie)
    assert successor is not None
    assert await store.render(zombie, result()) is None
    assert await store.fail(zombie, FAULT) is None
    assert await store.cancel(zombie) is None
    assert await store.requeue(zombie, failed=True) is None
    assert await store.submitted(zombie, {"id": "1"}) is None
    now = await store.get(zombie.id)
    assert now == successor


async def test_a_requeued_job_forgets_its_remote_and_counts_its_failure(store: JobStore) -> None:
    job = await running(store)
    job = await store.submitting(job) or job
    job = await store.submitted(job, {"request_id": "r1"}) or job
    assert job.remote == {"request_id": "r1"}
    again = await store.requeue(job, failed=True)
    assert again is not None
    assert (again.remote, again.submitting, again.failures) == (None, False, 1)


async def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_marked(
    store: JobStore,
) -> None:
    queued, drawn = await waiting(store), await running(store)
    first, second = await store.request_cancel(queued.id), await store.request_cancel(drawn.id)
    assert first is not None
    assert second is not None
    assert first.state is JobState.CANCELLED
    assert (second.state, second.cancel_requested) == (JobState.RUNNING, True)
    assert await store.begin(queued.id) is None
    assert set(await store.cancel_requests()) == {queued.id, drawn.id}
    assert await store.request_cancel("nobody") is None


async def test_a_finished_job_is_not_cancelled(store: JobStore) -> None:
    job = await in_state(store, JobState.DELIVERED)
    after = await store.request_cancel(job.id)
    assert after == job


async def test_unreported_jobs_of_the_asked_surfaces_come_in_order(store: JobStore) -> None:
    first = await waiting(store)
    await waiting(store, surface="other")
    third = await in_state(store, JobState.FAILED)
    await in_state(store, JobState.DELIVERED)
    found = await store.unreported(["test"])
    assert [job.id for job in found] == [first.id, third.id]
    assert [job.id for job in await store.unreported(["test"], after=first.number)] == [third.id]
    await store.report(third)
    assert [job.id for job in await store.unreported(["test"])] == [first.id]


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        (Limits(requester_queued=2), "requester_queued"),
        (Limits(requester_per_day=2), "requester_per_day"),
        (Limits(community_queued=2), "community_queued"),
        (Limits(community_per_day=2), "community_per_day"),
    ],
)
async def test_the_third_of_two_is_refused_and_not_inserted(
    store: JobStore, limits: Limits, quota: str
) -> None:
    for _ in range(2):
        await store.submit(draft(), limits)
    with pytest.raises(QuotaExceeded) as caught:
        await store.submit(draft(), limits)
    assert (caught.value.quota, caught.value.limit) == (quota, 2)
    assert (caught.value.resets_at is not None) == quota.endswith("per_day")
    assert len(await store.unreported(["test"])) == 2
    await store.submit(draft(community="elsewhere"), limits)


async def test_two_requests_at_once_cannot_both_take_the_last_place(store: JobStore) -> None:
    limits = Limits(requester_queued=3)
    results = await asyncio.gather(
        *(store.submit(draft(), limits) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(r, Job) for r in results) == 3


async def test_the_day_begins_again_at_midnight(store: JobStore, clock: Clock) -> None:
    limits = Limits(requester_per_day=1)
    await store.submit(draft(), limits)
    with pytest.raises(QuotaExceeded) as caught:
        await store.submit(draft(), limits)
    assert caught.value.resets_at is not None
    clock.now = caught.value.resets_at
    await store.submit(draft(), limits)


async def test_jobs_without_a_picture_do_not_use_up_the_day(store: JobStore) -> None:
    limits = Limits(requester_per_day=1)
    await in_state(store, JobState.FAILED)
    await in_state(store, JobState.CANCELLED)
    assert (await store.submit(draft(), limits)).state is JobState.QUEUED


async def test_the_day_s_spending_is_the_sum_of_what_results_cost(store: JobStore) -> None:
    for cost in (0.035, None, 0.07):
        await store.render(await running(store), result(cost=cost))
    assert await store.spent_today("home") == pytest.approx(0.105)
    assert await store.spent_today("elsewhere") == 0.0


async def test_until_a_job_ends_its_price_counts_as_spent(store: JobStore) -> None:
    paid = replace(draft(), price=0.05)
    await store.submit(paid, Limits())
    assert await store.spent_today("home") == pytest.approx(0.05)
    await store.save_receipt(paid.id, {})
    job = await store.begin(paid.id)
    assert job is not None
    await store.render(job, result(cost=0.07))
    assert await store.spent_today("home") == pytest.approx(0.07)
    await store.erase(paid.id)
    assert await store.spent_today("home") == pytest.approx(0.07)


@pytest.mark.parametrize(
    ("ending", "charge"),
    [
        ("failed", 0.0),
        ("unknown", 0.05),
        ("cancelled while it waits", 0.0),
        ("cancelled before it was submitted", 0.0),
        ("cancelled after it was submitted", 0.05),
        ("requeued", 0.05),
        ("rendered, the service telling no cost", 0.05),
    ],
)
async def test_only_what_may_be_billed_counts_as_spent(
    store: JobStore, ending: str, charge: float
) -> None:
    paid = replace(draft(), price=0.05)
    await store.submit(paid, Limits())
    await store.save_receipt(paid.id, {})
    if ending == "cancelled while it waits":
        await store.request_cancel(paid.id)
    else:
        job = await store.begin(paid.id)
        assert job is not None
        match ending:
            case "failed":
                await store.fail(job, Fault(kind="BadRequest", sentence="No."))
            case "unknown":
                await store.fail(
                    job, Fault(kind="OutcomeUnknown", sentence="Perhaps.", billed=True)
                )
            case "cancelled before it was submitted":
                await store.cancel(job)
            case "cancelled after it was submitted":
                job = await store.submitted(job, {"id": "7"})
                assert job is not None
                await store.cancel(job)
            case "requeued":
                await store.requeue(job, failed=True)
            case _:
                await store.render(job, result())
    assert await store.spent_today("home") == pytest.approx(charge)


async def test_two_jobs_at_once_cannot_both_take_the_last_of_the_budget(store: JobStore) -> None:
    limits = Limits(community_budget=0.1)
    results = await asyncio.gather(
        *(store.submit(replace(draft(), price=0.04), limits) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(r, Job) for r in results) == 2
    refused = [r for r in results if isinstance(r, QuotaExceeded)]
    assert {(r.quota, r.limit) for r in refused} == {("community_budget", 0.1)}
    await store.submit(draft(), limits)  # what costs nothing goes on


async def test_retention_keeps_what_is_recent_or_unreported(store: JobStore, clock: Clock) -> None:
    old = await store.render(await running(store), result("pictures/old"))
    assert old is not None
    await store.deliver(old)
    clock.now += 1000
    await store.render(await running(store), result("pictures/open"))
    new = await store.render(await running(store), result("pictures/new"))
    assert new is not None
    await store.deliver(new)
    since = clock.now - 500
    assert await store.picture_keys(since) == {"pictures/open", "pictures/new"}
    assert await store.forget(since) == 1
    assert await store.get(old.id) is None
    assert await store.get(new.id) is not None


async def test_samples_tell_how_long_past_jobs_took(store: JobStore) -> None:
    await in_state(store, JobState.DELIVERED)
    await in_state(store, JobState.FAILED)
    [sample] = await store.samples()
    assert (sample.backend, sample.seconds, sample.request.prompt) == ("stub", 2.0, "a cat")
