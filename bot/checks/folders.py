"""What Atelier keeps: the data folder, its two databases, the pictures, the LoRA files."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from backends.errors import shown
from backends.local.families import DEMO_LORAS
from bot.checks.finding import Finding, amount, broken, ok, reason, warning
from bot.database import load_migrations
from bot.jobs.store import migrations
from bot.lora_folder import LoraFolder
from bot.settings import Settings
from bot.storage import PictureStore, StorageError, Usage
from lora_registry.tables import MIGRATIONS
from lora_registry.weights import WeightsError, inspect

_LITTLE_SPACE: Final = 2_000_000_000
_NO_SPACE: Final = 200_000_000
_BUSY_S: Final = 2.0
_MOST_NAMED: Final = 5


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Can it be written, and is there room?"""
    yield _usable(settings.data_dir, "data folder", "ATELIER_DATA_DIR")
    yield _space(settings.data_dir, "data folder")


def _usable(folder: Path, what: str, variable: str) -> Finding:
    place = _nearest(folder)
    if not place.is_dir():
        return broken(
            f"The {what} {folder} cannot be made, because {place} is no folder.",
            f"Move that file away, or name another folder with {variable}.",
        )
    if (error := _unwritable(place)) is not None:
        verb = "written" if place == folder else "made"
        return broken(
            f"The {what} {folder} cannot be {verb} ({reason(error)}).",
            f"Make {place} writable for the user who runs Atelier, or name another folder with "
            f"{variable}.",
        )
    if place != folder:
        return ok(f"The {what} {folder} is made when it is first needed.")
    return ok(f"The {what} {folder} can be written.")


def _space(folder: Path, what: str) -> Finding:
    free = shutil.disk_usage(_nearest(folder)).free
    if free >= _LITTLE_SPACE:
        return ok(f"{amount(free)} are free on the disk of the {what}.")
    finding = broken if free < _NO_SPACE else warning
    return finding(
        f"Only {amount(free)} are free on the disk of the {what}.",
        "Free some space; on a full disk no job is taken and no picture kept.",
    )


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _unwritable(folder: Path) -> OSError | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"?")
            file.flush()
    except OSError as error:
        return error
    return None


# --- The database -----------------------------------------------------------------------------


def database(settings: Settings) -> Iterator[Finding]:
    """Are jobs sound, of this version, and what waits there? Read only: nothing is migrated."""
    yield from _database(settings.jobs_db, len(migrations()), _jobs)


def registry(settings: Settings) -> Iterator[Finding]:
    """The same for presets and LoRAs."""
    yield from _database(settings.registry_db, len(load_migrations(MIGRATIONS)), _presets)


Count = Callable[[sqlite3.Connection], str]
"""Says in a few words what a sound database holds."""


def _database(path: Path, known: int, count: Count) -> Iterator[Finding]:
    if not path.exists():
        yield ok(f"There is no {path.name} yet; the first start makes it.")
        return
    try:
        with path.open("r+b"):
            pass
        with closing(_read_only(path)) as connection:
            yield from _schema(connection, path, known)
            yield from _content(connection, path, count)
    except OSError as error:
        yield broken(
            f"{path} cannot be opened ({reason(error)}).",
            "Make it readable and writable for the user who runs Atelier.",
        )
    except sqlite3.OperationalError as error:
        yield broken(
            f"{path} cannot be read ({error}).",
            "End what else uses it; if nothing does, see that its disk is in order.",
        )
    except sqlite3.DatabaseError:
        yield _damaged(path)


def _read_only(path: Path) -> sqlite3.Connection:
    # Beside a log somebody has it open, or has crashed. Without one nobody has, and `immutable`
    # keeps SQLite from leaving a log of its own behind, which it needs even for reading.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=_BUSY_S)


def _schema(connection: sqlite3.Connection, path: Path, known: int) -> Iterator[Finding]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > known:
        yield broken(
            f"{path.name} was written by a newer Atelier (schema {version}, this one knows "
            f"{known}).",
            f"Start the newer version, or restore {path.name}.v{known}.bak if it is beside it.",
        )
    elif version < known:
        yield ok(
            f"{path.name} has schema {version}; the next start brings it to {known} and keeps a "
            f"copy first."
        )
    else:
        yield ok(f"{path.name} has the schema of this version ({known}).")


def _content(connection: sqlite3.Connection, path: Path, count: Count) -> Iterator[Finding]:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        yield _damaged(path)
        return
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone():
        yield ok(f"{path.name} is sound and empty.")
        return
    yield ok(f"{path.name} is sound; {count(connection)}.")


def _jobs(connection: sqlite3.Connection) -> str:
    rows = connection.execute(
        "SELECT state, count(*) FROM jobs WHERE reported_at IS NULL GROUP BY state ORDER BY state"
    )
    counts = ", ".join(f"{count:,} {state}" for state, count in rows)
    return f"jobs that people still wait for: {counts or 'none'}"


def _presets(connection: sqlite3.Connection) -> str:
    (presets,) = connection.execute(
        "SELECT count(*) FROM preset WHERE deleted_at IS NULL"
    ).fetchone()
    (loras,) = connection.execute("SELECT count(*) FROM lora").fetchone()
    return f"it has {presets:,} presets and {loras:,} LoRAs"


def _damaged(path: Path) -> Finding:
    return broken(
        f"{path.name} is damaged.",
        f"Stop Atelier, move {path.name}, {path.name}-wal and {path.name}-shm away and restore a "
        f"backup of {path.name}; without one, Atelier starts with an empty one.",
    )


# --- Pictures ---------------------------------------------------------------------------------


def pictures(settings: Settings) -> Iterator[Finding]:
    """Can they be stored and read, and how many are there?"""
    folder = settings.storage_dir
    yield _usable(folder, "picture folder", "ATELIER_STORAGE_URL")
    if _nearest(folder).stat().st_dev != _nearest(settings.data_dir).stat().st_dev:
        yield _space(folder, "picture folder")
    if not folder.is_dir():
        return
    for part in (folder / "pictures", folder / "incoming"):
        if part.is_dir() and (error := _unwritable(part)) is not None:
            yield broken(
                f"{part} cannot be written ({reason(error)}).",
                f"Give all of {folder} to the user who runs Atelier.",
            )
    try:
        usage = asyncio.run(_usage(folder))
    except StorageError as error:
        yield broken(str(error))
        return
    yield ok(
        f"{usage.pictures:,} pictures are kept ({amount(usage.size)})."
        if usage.pictures
        else "No picture is kept yet."
    )


async def _usage(folder: Path) -> Usage:
    return await (await PictureStore.in_folder(folder)).usage()


# --- LoRA files -------------------------------------------------------------------------------


def loras(settings: Settings) -> Iterator[Finding]:
    """Which LoRA files can be used, and what is wrong with the others?"""
    folder = settings.lora_dir
    files = LoraFolder([folder]).files()
    if not files:
        where = "has no LoRA file" if folder.is_dir() else "is not there yet"
        yield ok(f"The LoRA folder {folder} {where}; put .safetensors files into it to use them.")
    else:
        yield ok(f"The LoRA folder {folder} has {len(files):,} files.")
        yield from _inspected(files)
    if demo := LoraFolder([DEMO_LORAS]).files():
        yield ok(f"{len(demo)} LoRAs come with the demo model: {', '.join(sorted(demo))}.")


def _inspected(files: dict[str, Path]) -> Iterator[Finding]:
    unusable = 0
    for name, path in sorted(files.items()):
        if (problem := _problem(path)) is not None:
            unusable += 1
            if unusable <= _MOST_NAMED:
                yield warning(f"The LoRA {shown(name)} cannot be used. {problem}")
    if unusable > _MOST_NAMED:
        yield warning(
            f"{unusable - _MOST_NAMED:,} more LoRA files cannot be used.",
            "`atelier lora list` shows all of them.",
        )
    if unusable < len(files):
        yield ok(f"{len(files) - unusable:,} LoRA files can be used.")


def _problem(path: Path) -> str | None:
    try:
        info = inspect(path)
        info.require_model(info.family.model or "flux-1")
    except WeightsError as error:
        return str(error)
    except OSError as error:
        return f"Its file cannot be read ({reason(error)})."
    return None
