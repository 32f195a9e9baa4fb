"""What the job store does about one person, and what it tells of a community's queue."""

from dataclasses import replace

import pytest

from bot.jobs.job import Job, JobState, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, QuotaExceeded
from tests.bot.jobs.test_store import (
    Clock,
    clock,
    draft,
    result,
    running,
    store,
    waiting,
)

__all__ = ["clock", "store"]

DAY = 86_400.0


async def drawn(store: JobStore, key: str, **of: str) -> Job:
    done = await store.render(await running(store, **of), result(key))
    assert done is not None
    delivered = await store.deliver(done)
    assert delivered is not None
    return delivered


async def numbers(store: JobStore, who: str = "ann") -> list[Job]:
    return await store.everything("test", who, after=None, limit=100)


async def test_erasing_deletes_earlier_days_and_leaves_numbers_of_today(
    store: JobStore, clock: Clock
) -> None:
    old = await drawn(store, "pictures/old")
    clock.now += DAY
    new, bens = await drawn(store, "pictures/new"), await drawn(store, "pictures/b", requester="b")
    asleep = await waiting(store)
    elsewhere = await waiting(store, surface="other")
    ids, keys = await store.erase_ended("test", "ann", 10)
    assert (set(ids), keys) == ({old.id, new.id}, {"pictures/old", "pictures/new"})
    left, open_one = await numbers(store)
    assert (left.id, left.erased, left.result, left.receipt) == (new.id, True, None, None)
    assert (left.request.prompt, left.place) == ("(deleted)", Place(community="home"))
    assert open_one == asleep
    assert await store.get(bens.id) == bens
    assert await store.get(elsewhere.id) == elsewhere
    assert await store.erase_ended("test", "ann", 10) == ([], set())


async def test_erasing_frees_no_quota_and_the_numbers_go_with_their_day(
    store: JobStore, clock: Clock
) -> None:
    await drawn(store, "pictures/a")
    await store.erase_ended("test", "ann", 10)
    with pytest.raises(QuotaExceeded):
        await store.submit(draft(), Limits(requester_per_day=1))
    assert await store.forget_emptied() == 0
    clock.now += DAY
    deleted = await drawn(store, "pictures/c")
    await store.erase(deleted.id)
    assert await store.forget_emptied() == 1
    assert [job.id for job in await numbers(store)] == [deleted.id]


async def test_erasing_goes_on_where_it_was_broken_off(store: JobStore) -> None:
    for number in range(5):
        await drawn(store, f"pictures/{number}")
    found = set()
    while (part := await store.erase_ended("test", "ann", 2))[0]:
        assert len(part[0]) <= 2
        found |= part[1]
    assert found == {f"pictures/{number}" for number in range(5)}
    assert all(job.erased for job in await numbers(store))


async def test_a_picture_that_somebody_else_has_too_is_still_needed(store: JobStore) -> None:
    await drawn(store, "pictures/shared")
    await drawn(store, "pictures/mine")
    await drawn(store, "pictures/shared", requester="ben")
    _, keys = await store.erase_ended("test", "ann", 10)
    assert await store.unneeded(keys) == {"pictures/mine"}


async def test_unfinished_jobs_are_those_of_one_person_at_one_surface(store: JobStore) -> None:
    await drawn(store, "pictures/a")
    first, second = await waiting(store), await running(store)
    await waiting(store, requester="ben")
    await waiting(store, surface="other")
    assert await store.unfinished("test", "ann", 5) == [first, second]
    assert await store.unfinished("test", "ann", 1) == [first]
    pages = [await store.everything("test", "ann", after=job, limit=1) for job in (first, second)]
    assert pages == [[second], []]


async def test_a_queue_tells_of_its_own_community_and_never_of_private_jobs(
    store: JobStore,
) -> None:
    shown, drawing = await waiting(store), await running(store, requester="ben")
    hidden = draft()
    hidden = replace(hidden, place=hidden.place.model_copy(update={"private": True}))
    await store.submit(hidden, Limits())
    away = await waiting(store, community="away")
    gone = await waiting(store)
    await store.erase(gone.id)
    assert await store.busy("test", "home") == {JobState.QUEUED: 1, JobState.RUNNING: 1}
    assert await store.running("test", "home", 5) == [drawing]
    ids = [shown.id, hidden.id, away.id, gone.id, drawing.id, "unknown"]
    assert await store.queued("test", "home", ids) == [shown]
    assert await store.busy("other", "home") == {}
