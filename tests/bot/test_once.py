"""What a platform tells twice is handled once, also across a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.database import Database
from bot.jobs.store import migrations
from bot.once import KEPT_S, Once


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    database = await Database.open(folder / "jobs.db", migrations())
    try:
        yield database
    finally:
        await database.close()


async def handled(once: Once, key: str) -> bool:
    async with once.first(key) as new:
        return new


async def test_a_key_is_new_once_and_stays_known_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        once = Once(database)
        assert [await handled(once, key) for key in ("a", "a", "b")] == [True, False, True]
    async with opened(tmp_path) as database:
        assert not await handled(Once(database), "a")


async def test_what_has_no_key_is_always_new(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        once = Once(database)
        assert [await handled(once, "") for _ in range(2)] == [True, True]


async def test_what_breaks_may_be_handled_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        once = Once(database)
        with pytest.raises(RuntimeError):
            async with once.first("a"):
                raise RuntimeError
        assert await handled(once, "a")


async def test_a_copy_waits_until_the_first_has_been_handled(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        once, order, go = Once(database), [], asyncio.Event()

        async def first() -> None:
            async with once.first("a"):
                await go.wait()
                order.append("first")

        async def copy() -> None:
            async with once.first("a") as new:
                order.append(f"copy {new}")

        tasks = [asyncio.create_task(first()), asyncio.create_task(copy())]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        assert order == ["first", "copy False"]


async def test_old_keys_are_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        assert await handled(Once(database, lambda: 0.0), "a")
        later = Once(database, lambda: KEPT_S + 1)
        assert await handled(later, "b")
        assert await database.rows("SELECT key FROM handled") != []
        assert await handled(later, "a")
