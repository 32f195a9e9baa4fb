"""One SQLite file: a single writer, migrations with a backup first, errors as sentences.

SQL stays with the store that owns the tables; this module knows only connections. Nothing newer
than SQLite 3.40 is used.
"""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiosqlite
import stamina

BUSY_TIMEOUT_S: Final = 10.0
"""How long a write waits for another process (`atelier imagine` beside `atelier run`)."""

Row = aiosqlite.Row


class DatabaseError(Exception):
    """The database cannot be used; str() is a sentence that says what to do."""


class DatabaseDamaged(DatabaseError):
    """The file is no sound SQLite database."""


class DatabaseTooNew(DatabaseError):
    """The file was written by a newer Atelier."""


class DatabaseUnwritable(DatabaseError):
    """The disk is full, the folder is read-only or another process holds the file."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `number` counts from 1 without gaps."""

    number: int
    name: str
    sql: str


def load_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read `NNNN_name.sql` files, in order. A gap or a double number is a programming error."""
    files = sorted(folder.glob("*.sql"))
    steps = tuple(
        Migration(int(file.stem[:4]), file.stem[5:], file.read_text("utf-8")) for file in files
    )
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise ValueError(f"the migrations in {folder.name} are not numbered 1 to {len(steps)}")
    return steps


class Database:
    """An open database. Reads run beside the one writer; `write()` is a whole transaction."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, migrations: Sequence[Migration]) -> "Database":
        """Open or create the file and bring its schema up to date.

        Raises:
            DatabaseError: says whether it is damaged, too new or cannot be written.
        """
        try:
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            async for attempt in stamina.retry_context(
                on=_collided, attempts=6, timeout=BUSY_TIMEOUT_S, wait_initial=0.05, wait_max=1.0
            ):
                with attempt:
                    return await cls._open(path, migrations)
        except (sqlite3.Error, OSError) as error:
            raise _explained(error, path) from error
        raise DatabaseError(f"{path.name} could not be opened.")

    @classmethod
    async def _open(cls, path: Path, migrations: Sequence[Migration]) -> "Database":
        connections: list[aiosqlite.Connection] = []
        try:
            connections.append(await _connect(path))
            await _check(connections[0], path)
            await _migrate(connections[0], path, migrations)
            connections.append(await _connect(path))
        except BaseException:
            await _close(connections)
            raise
        return cls(path, *connections)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[aiosqlite.Connection, None]:
        """One transaction: committed on leaving, rolled back on any exception.

        Raises:
            DatabaseError: the write could not be made; nothing of it remains.
        """
        async with self._turn:
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                await self._writer.commit()
            except sqlite3.Error as error:
                await self._roll_back()
                raise _explained(error, self.path) from error
            except BaseException:
                await self._roll_back()
                raise

    async def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query, as of the last commit."""
        try:
            return list(await self._reader.execute_fetchall(sql, args))
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    async def row(self, sql: str, args: Sequence[Any] = ()) -> Row | None:
        """The first row of a query."""
        rows = await self.rows(sql, args)
        return rows[0] if rows else None

    async def version(self) -> int:
        """A number that changes whenever anybody else commits to the file."""
        row = await self.row("PRAGMA data_version")
        return int(row[0]) if row else 0

    async def close(self) -> None:
        """Close both connections; an unfinished transaction is rolled back."""
        async with self._turn:
            await _close([self._reader, self._writer])

    async def _roll_back(self) -> None:
        # Unconditionally: a `BEGIN` whose caller was cancelled may only be about to take the lock,
        # and outside a transaction this does nothing.
        await asyncio.shield(self._writer.rollback())


def _collided(error: Exception) -> bool:
    """Whether two processes opened a new file at the same moment.

    Switching it to WAL asks no busy handler, so one of them is told that it is locked, or even of
    an I/O error; a moment later all is well.
    """
    text = str(error)
    return isinstance(error, sqlite3.OperationalError) and ("locked" in text or "I/O" in text)


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.row_factory = aiosqlite.Row
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute("PRAGMA foreign_keys = ON")
        # What people have erased is overwritten where that costs no further write.
        await connection.execute("PRAGMA secure_delete = FAST")
    except BaseException:
        await connection.close()  # its thread would keep the process from ending
        raise
    return connection


async def _close(connections: Iterable[aiosqlite.Connection]) -> None:
    for connection in connections:
        await connection.close()


async def _check(connection: aiosqlite.Connection, path: Path) -> None:
    found = [row[0] for row in await connection.execute_fetchall("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise DatabaseDamaged(_damaged(path))


async def _migrate(
    connection: aiosqlite.Connection, path: Path, migrations: Sequence[Migration]
) -> None:
    """Apply what is missing, each step and its version in one transaction.

    A crash in the middle therefore leaves the version before the step. The backup is made once,
    under a temporary name first, so that a file with the final name is always whole.
    """
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    if version > len(migrations):
        raise DatabaseTooNew(
            f"{path.name} was written by a newer Atelier (schema {version}, this one knows "
            f"{len(migrations)}). Start the newer version, or restore the backup "
            f"{path.name}.v{len(migrations)}.bak beside it."
        )
    missing = migrations[version:]
    if missing and version > 0:
        await _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
    for step in missing:
        await connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have taken this step while we waited for the lock.
            [(now,)] = await connection.execute_fetchall("PRAGMA user_version")
            if now < step.number:
                for statement in _statements(step.sql):
                    await connection.execute(statement)
                await connection.execute(f"PRAGMA user_version = {step.number:d}")
            await connection.commit()
        except BaseException:
            await connection.rollback()
            raise


async def _back_up(connection: aiosqlite.Connection, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    async with aiosqlite.connect(unfinished) as copy:
        await connection.backup(copy)
    await asyncio.to_thread(unfinished.replace, target)


def _statements(sql: str) -> list[str]:
    statements, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    if pending.strip() and not pending.lstrip().startswith("--"):
        raise ValueError("a migration ends in the middle of a statement")
    return statements


def _damaged(path: Path) -> str:
    return (
        f"{path.name} is damaged. Stop Atelier, move {path.name}, {path.name}-wal and "
        f"{path.name}-shm away and restore a backup of {path.name}; without one, Atelier starts "
        f"with an empty queue once they are gone."
    )


def _explained(error: Exception, path: Path) -> DatabaseError:
    text = str(error).lower()
    if "full" in text or "no space" in text:
        return DatabaseUnwritable(f"The disk that holds {path} is full; free some space.")
    if "malformed" in text or "not a database" in text:
        return DatabaseDamaged(_damaged(path))
    if "locked" in text:
        return DatabaseUnwritable(
            f"{path} has been locked by another process for {BUSY_TIMEOUT_S:.0f} s; end it."
        )
    if (
        "readonly" in text
        or "read-only" in text
        or "permission" in text
        or "unable to open" in text
    ):
        return DatabaseUnwritable(
            f"{path} cannot be written; make its folder writable for the user who runs Atelier, "
            f"or name another one with ATELIER_DATA_DIR."
        )
    return DatabaseError(f"{path.name} could not be used: {error}.")
