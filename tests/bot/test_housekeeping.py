"""Throwing away what is old, and only that."""

import asyncio
import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from bot.housekeeping import keep_house, throw_away
from bot.jobs.job import JobState
from bot.settings import Settings
from tests.fakes.world import World, world

DAY = 86_400.0


def settings(folder: Path, pictures: int = 30, jobs: int = 0) -> Settings:
    return Settings(data_dir=folder, keep_pictures_days=pictures, keep_jobs_days=jobs)


async def delivered(w: World, seed: int, days_ago: float) -> str:
    """A picture's key, of a job that was reported some days ago."""
    job = await w.submit(seed=seed)
    done = await w.until(job.id, JobState.DELIVERED)
    assert done.result is not None
    key = done.result.pictures[0].key
    at = time.time() - days_ago * DAY
    async with w.database.write() as sql:
        await sql.execute("UPDATE jobs SET reported_at = ? WHERE id = ?", (at, job.id))
    file = next((w.surface.folder.parent / "pictures").rglob(Path(key).name))
    os.utime(file, (at, at))
    return key


async def test_old_pictures_go_and_their_jobs_stay(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        old, new = await delivered(w, 1, days_ago=31), await delivered(w, 2, days_ago=29)
        await throw_away(w.store, w.pictures, settings(tmp_path))
        assert not await w.pictures.exists(old)
        assert await w.pictures.exists(new)
        rows = await w.database.rows("SELECT count(*) FROM jobs")
        assert rows[0][0] == 2


async def test_the_numbers_of_who_erased_everything_go_with_their_day(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.submit(seed=1)
        done = await w.until(job.id, JobState.DELIVERED)
        assert (await w.store.erase_ended(done.surface, done.requester, 10))[0] == [job.id]
        await throw_away(w.store, w.pictures, settings(tmp_path))
        assert await w.store.get(job.id) is not None
        async with w.database.write() as sql:
            await sql.execute("UPDATE jobs SET created_at = ?", (time.time() - DAY,))
        await throw_away(w.store, w.pictures, settings(tmp_path))
        assert await w.store.get(job.id) is None


async def test_zero_days_keeps_everything(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        old = await delivered(w, 1, days_ago=3650)
        await throw_away(w.store, w.pictures, settings(tmp_path, pictures=0))
        assert await w.pictures.exists(old)


async def test_a_picture_that_two_jobs_share_stays_for_the_newer_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        old = await delivered(w, 1, days_ago=40)
        assert await delivered(w, 1, days_ago=3) == old
        await throw_away(w.store, w.pictures, settings(tmp_path))
        assert await w.pictures.exists(old)


async def test_old_jobs_are_forgotten_when_the_owner_wants_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await delivered(w, 1, days_ago=400)
        await delivered(w, 2, days_ago=3)
        await throw_away(w.store, w.pictures, settings(tmp_path, jobs=365))
        rows = await w.database.rows("SELECT count(*) FROM jobs")
        assert rows[0][0] == 1


async def test_spools_of_terminals_that_are_gone_are_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        spool = settings(tmp_path).spool_dir
        spool.mkdir()
        for name, age in (("old.json", 2 * DAY), ("new.json", 60.0)):
            (spool / name).write_text("{}")
            os.utime(spool / name, (time.time() - age,) * 2)
        await throw_away(w.store, w.pictures, settings(tmp_path))
        assert [file.name for file in spool.iterdir()] == ["new.json"]


async def test_the_gauge_tells_how_many_jobs_wait(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with world(tmp_path, slots=1) as w:
        first = await w.submit("hang")
        await w.until(first.id, JobState.RUNNING)
        await w.submit()
        await w.submit()
        task = asyncio.create_task(keep_house(w.store, w.pictures, settings(tmp_path), registry))
        async with asyncio.timeout(5):
            while registry.get_sample_value("atelier_jobs", {"state": "queued"}) != 2.0:
                await asyncio.sleep(0.01)
        assert registry.get_sample_value("atelier_jobs", {"state": "running"}) == 1.0
        task.cancel()
