"""One SQLite file: migrations, damage, full disks."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from bot.database import (
    Database,
    DatabaseDamaged,
    DatabaseError,
    DatabaseTooNew,
    DatabaseUnwritable,
    Migration,
    load_migrations,
)

ONE = Migration(1, "first", "CREATE TABLE notes (text TEXT NOT NULL);")
TWO = Migration(
    2, "second", "ALTER TABLE notes ADD COLUMN at REAL;\n-- a comment\nCREATE TABLE more (x);"
)
TORN = Migration(2, "torn", "CREATE TABLE half (x);\nCREATE TABLE notes (again);")


async def tables(database: Database) -> set[str]:
    rows = await database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {row[0] for row in rows}


async def test_a_new_file_gets_the_whole_schema_and_no_backup(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "sub" / "x.db", [ONE, TWO])
    assert await tables(database) == {"notes", "more"}
    await database.close()
    assert {file.suffix for file in (tmp_path / "sub").iterdir()} == {".db"}


async def test_an_old_file_is_backed_up_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    old = await Database.open(path, [ONE])
    async with old.write() as sql:
        await sql.execute("INSERT INTO notes VALUES ('kept')")
    await old.close()
    new = await Database.open(path, [ONE, TWO])
    assert [tuple(r) for r in await new.rows("SELECT text, at FROM notes")] == [("kept", None)]
    await new.close()
    backup = sqlite3.connect(tmp_path / "x.db.v1.bak")
    assert backup.execute("SELECT * FROM notes").fetchall() == [("kept",)]
    backup.close()


async def test_a_step_that_fails_halfway_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(path, [ONE])).close()
    with pytest.raises(Exception, match=r"x\.db could not be used"):
        await Database.open(path, [ONE, TORN])
    back = await Database.open(path, [ONE])
    assert await tables(back) == {"notes"}
    await back.close()


async def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(path, [ONE, TWO])).close()
    with pytest.raises(DatabaseTooNew, match="newer Atelier"):
        await Database.open(path, [ONE])
    again = await Database.open(path, [ONE, TWO])
    await again.close()


@pytest.mark.parametrize("damage", ["not sqlite", "header", "page"])
async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.db"
    database = await Database.open(path, [ONE])
    async with database.write() as sql:
        for number in range(500):
            await sql.execute("INSERT INTO notes VALUES (?)", (f"{number}" * 50,))
    await database.close()
    data = bytearray(path.read_bytes())
    match damage:
        case "not sqlite":
            data = bytearray(b"something else entirely" * 100)
        case "header":
            data[:16] = b"\0" * 16
        case "page":
            data[4096 : 4096 * 3] = b"\xff" * 8192
    path.write_bytes(data)
    with pytest.raises(DatabaseDamaged, match="restore a backup"):
        await Database.open(path, [ONE])


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(DatabaseError) as caught:
        await Database.open(blocked / "x.db", [ONE])
    assert "x.db" in str(caught.value)


async def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.db", [ONE])
    async with database.write() as sql:
        await sql.execute("PRAGMA max_page_count = 20")

    async def write_much() -> None:
        async with database.write() as sql:
            for _ in range(100):
                await sql.execute("INSERT INTO notes VALUES (?)", ("x" * 5000,))

    with pytest.raises(DatabaseUnwritable, match="full"):
        await write_much()
    assert (await database.rows("SELECT count(*) FROM notes"))[0][0] == 0
    async with database.write() as sql:
        await sql.execute("INSERT INTO notes VALUES ('small')")
    await database.close()


async def test_an_exception_or_a_cancellation_rolls_back(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.db", [ONE])

    async def write_slowly() -> None:
        async with database.write() as sql:
            await sql.execute("INSERT INTO notes VALUES ('gone')")
            await asyncio.sleep(30)

    async def stumble() -> None:
        async with database.write() as sql:
            await sql.execute("INSERT INTO notes VALUES ('gone')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stumble()
    task = asyncio.create_task(write_slowly())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.rows("SELECT * FROM notes") == []
    async with database.write() as sql:
        await sql.execute("INSERT INTO notes VALUES ('kept')")
    assert len(await database.rows("SELECT * FROM notes")) == 1
    await database.close()


@pytest.mark.parametrize("ticks", range(4))
async def test_a_writer_cancelled_on_its_way_to_the_lock_does_not_keep_it(
    tmp_path: Path, ticks: int
) -> None:
    database = await Database.open(tmp_path / "x.db", [ONE])

    async def write() -> None:
        async with database.write() as sql:
            await sql.execute("INSERT INTO notes VALUES ('written')")

    for count in range(1, 51):
        hasty = asyncio.create_task(write())
        for _ in range(ticks):
            await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.gather(hasty, return_exceptions=True)
        before = len(await database.rows("SELECT * FROM notes"))
        async with asyncio.timeout(5):
            await write()
        assert len(await database.rows("SELECT * FROM notes")) == before + 1, count
    await database.close()


async def test_two_openers_at_once_migrate_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    opened = await asyncio.gather(*(Database.open(path, [ONE, TWO]) for _ in range(4)))
    assert [await tables(database) for database in opened] == [{"notes", "more"}] * 4
    for database in opened:
        await database.close()


async def test_the_version_changes_when_somebody_writes(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "x.db", [ONE])
    other = await Database.open(tmp_path / "x.db", [ONE])
    before = await one.version()
    async with other.write() as sql:
        await sql.execute("INSERT INTO notes VALUES ('new')")
    assert await one.version() != before
    await one.close()
    await other.close()


def test_gaps_in_the_numbers_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;")
    (tmp_path / "0003_c.sql").write_text("SELECT 1;")
    with pytest.raises(ValueError, match="not numbered 1 to 2"):
        load_migrations(tmp_path)
