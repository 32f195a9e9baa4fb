"""What cannot be made again, in one file: both databases and the keys.

A backup is made while Atelier runs: SQLite's own backup reads a database as of one moment. It is
written beside its place and renamed, so that a file of the final name is always whole. Restoring
needs the data folder for itself; what was there is kept, and every file is replaced by one rename,
so after a crash each of them is the old or the new one and restoring again finishes.

    BackupError         str(error) is a sentence for people
    ├── NotABackup      it cannot be restored; nothing was changed
    └── StillInUse      something works in the data folder
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bot.app import DataFolderLock
from bot.database import Migration, load_migrations
from bot.jobs.store import migrations
from bot.settings import Settings
from lora_registry.tables import MIGRATIONS

DATABASES: Final = ("jobs.db", "registry.db")
"""In this order, so that the registry's copy, the younger one, has every preset of a job."""

KEYS: Final = ("secret.key", "webhook.key")
LEFT_OUT: Final = "pictures, LoRA files, uploads and .env"
"""What a backup does not hold."""

_MANIFEST: Final = "atelier-backup.json"
_UNPACKED: Final = ".restore-"
_FORMAT: Final = 1
_MAGIC: Final = b"SQLite format 3\0"
_BLOCK: Final = 2**20


class BackupError(Exception):
    """Base of the tree."""


class NotABackup(BackupError):
    """The file is no whole backup of an Atelier like this one."""


class StillInUse(BackupError):
    """Atelier, or one of its commands, works in the data folder."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that was made; `size` is in bytes."""

    path: Path
    size: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, when it was backed up (ISO 8601), and where the former files are kept."""

    names: tuple[str, ...]
    made_at: str
    kept: Path | None


# --- Saving -----------------------------------------------------------------------------------


def save(settings: Settings, target: Path) -> Saved:
    """Write a backup to `target`, which must not exist. Blocks.

    Raises:
        BackupError: there is nothing to save, the file exists, or a database cannot be read.
        OSError: the file cannot be written.
    """
    target = target.absolute()
    if target.exists():
        raise BackupError(f"{target} is there already; choose another name.")
    if not target.parent.is_dir():
        raise BackupError(f"The folder {target.parent} does not exist; make it first.")
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as folder:
        files = _gathered(settings.data_dir, Path(folder))
        if not files:
            raise BackupError(f"There is nothing to back up in {settings.data_dir}.")
        unfinished = Path(folder, "backup.tar")
        with _private(unfinished) as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                _add_text(tar, _MANIFEST, json.dumps(_manifest(files), indent=1))
                for path in files:
                    tar.add(path, path.name, filter=_anonymous)
            file.flush()
            os.fsync(file.fileno())
        size = unfinished.stat().st_size
        unfinished.rename(target)
    _sync(target.parent)
    return Saved(target, size, tuple(path.name for path in files))


def _gathered(data: Path, folder: Path) -> list[Path]:
    """Copies of everything, as of now."""
    found = []
    for name in (*DATABASES, *KEYS):
        if not (data / name).is_file():
            continue
        copy = folder / name
        if name in DATABASES:
            _copy_database(data / name, copy)
        else:
            with _private(copy) as file:
                file.write((data / name).read_bytes())
        found.append(copy)
    return found


def _copy_database(path: Path, copy: Path) -> None:
    _private(copy).close()
    try:
        with (
            contextlib.closing(sqlite3.connect(path, timeout=10)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise BackupError(f"{path.name} cannot be backed up: {error}.") from error


def _manifest(files: Sequence[Path]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {path.name: _sha256(path) for path in files},
    }


# --- Restoring --------------------------------------------------------------------------------


def restore(settings: Settings, backup: Path) -> Restored:
    """Replace the data folder's databases and keys by those of a backup. Blocks.

    Raises:
        NotABackup, StillInUse: nothing was changed.
        DatabaseError: the data folder cannot be used.
        OSError: a file cannot be read or written.
    """
    data = settings.data_dir
    lock = DataFolderLock(settings)
    if not lock.take():
        raise StillInUse(f"Atelier is working in {data}. Stop it first.")
    try:
        for left_behind in data.glob(f"{_UNPACKED}*"):
            shutil.rmtree(left_behind)
        with tempfile.TemporaryDirectory(prefix=_UNPACKED, dir=data) as folder:
            manifest = _unpacked(backup, Path(folder))
            names = tuple(manifest["files"])
            for name in DATABASES:
                _settle(data / name)
            kept = _keep(data)
            for name in names:
                for tail in ("-wal", "-shm"):
                    (data / f"{name}{tail}").unlink(missing_ok=True)
                Path(folder, name).replace(data / name)
            _sync(data)
    finally:
        lock.release()
    return Restored(names, str(manifest["made_at"]), kept)


def _unpacked(backup: Path, folder: Path) -> dict[str, Any]:
    """Unpack a backup that is whole and of this Atelier."""
    try:
        with tarfile.open(backup, mode="r:") as tar:
            first = tar.next()
            text = tar.extractfile(first) if first is not None and first.isreg() else None
            if first is None or first.name != _MANIFEST or text is None:
                raise NotABackup(f"{backup.name} is no backup of Atelier.")
            manifest = _checked(json.loads(text.read(_BLOCK)), backup)
            for member in tar:
                _unpack(tar, member, manifest, folder)
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise NotABackup(f"{backup.name} is no backup of Atelier, or is cut off.") from error
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            raise NotABackup(f"{backup.name} is damaged: {name} is not what was backed up.")
        if name in DATABASES:
            _check_database(path)
    return manifest


def _checked(manifest: Any, backup: Path) -> dict[str, Any]:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise NotABackup(f"{backup.name} is no backup of Atelier.")
    if manifest.get("format") != _FORMAT or not {*DATABASES, *KEYS}.issuperset(manifest["files"]):
        raise NotABackup(f"{backup.name} was made by another Atelier; restore it with that one.")
    return {"made_at": "?", **manifest}


def _unpack(
    tar: tarfile.TarFile, member: tarfile.TarInfo, manifest: dict[str, Any], folder: Path
) -> None:
    if member.name == _MANIFEST:
        return
    source = tar.extractfile(member) if member.isreg() else None
    if member.name not in manifest["files"] or source is None:
        raise tarfile.TarError
    with _private(folder / member.name) as file:
        shutil.copyfileobj(source, file, _BLOCK)
        file.flush()
        os.fsync(file.fileno())


def _check_database(path: Path) -> None:
    known: Sequence[Migration] = (
        migrations() if path.name == DATABASES[0] else load_migrations(MIGRATIONS)
    )
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            [(sound,)] = database.execute("PRAGMA quick_check(1)").fetchall()
            [(version,)] = database.execute("PRAGMA user_version").fetchall()
    except sqlite3.Error as error:
        raise NotABackup(f"The {path.name} of this backup is damaged.") from error
    if sound != "ok":
        raise NotABackup(f"The {path.name} of this backup is damaged.")
    if version > len(known):
        raise NotABackup(f"The {path.name} of this backup is of a newer Atelier; install that one.")


def _settle(path: Path) -> None:
    """Fold the write-ahead log into the database, which also shows that nobody has it open.

    SQLite would throw the log of a file away that is no database; here it is kept with it.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1)) as database:
            database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StillInUse(f"Another command is using {path.name}. Wait for its end.") from error
    except sqlite3.DatabaseError:
        return  # damaged, which is why it is replaced


def _keep(data: Path) -> Path | None:
    """Link what is there into a folder of its own."""
    names = [f"{name}{tail}" for name in DATABASES for tail in ("", "-wal", "-shm")]
    there = [name for name in (*names, *KEYS) if (data / name).exists()]
    if not there:
        return None
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = data / f"before-restore-{now}-{uuid.uuid4().hex[:4]}"
    folder.mkdir(mode=0o700)
    for name in there:
        try:
            (folder / name).hardlink_to(data / name)
        except OSError:  # a disk without hard links
            shutil.copy2(data / name, folder / name)
    _sync(folder)
    return folder


# --- Files ------------------------------------------------------------------------------------


def _private(path: Path) -> io.BufferedWriter:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
