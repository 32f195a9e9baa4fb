"""Backups: whole, private, made while others write, and put back without losing anything."""

import asyncio
import contextlib
import io
import json
import signal
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.app import DataFolderLock
from bot.backup import BackupError, NotABackup, StillInUse, restore, save
from bot.commands import presets
from bot.database import Database
from bot.jobs.store import migrations
from bot.settings import Settings
from lora_registry.models import PresetBody
from tests.bot.registries import ANNA, opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
async def filled(settings: Settings) -> Settings:
    """A data folder with everything in it."""
    await fill(settings, "dreamy")
    await (await Database.open(settings.jobs_db, migrations())).close()
    for name in ("secret.key", "webhook.key"):
        (settings.data_dir / name).write_text(f"the {name}", "utf-8")
    return settings


async def fill(settings: Settings, *names: str) -> None:
    async with opened(settings.data_dir) as registry:
        for name in names:
            await presets.create(registry, ANNA, name, PresetBody())


async def names(settings: Settings) -> list[str]:
    async with opened(settings.data_dir) as registry:
        return [one.name for one in await presets.list_presets(registry, ANNA)]


def left(settings: Settings) -> set[str]:
    """What lies in the data folder under names that are not its own."""
    known = {"jobs.db", "registry.db", "secret.key", "webhook.key", "engine.lock"}
    return names_in(settings.data_dir) - known


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        yield database
    finally:
        database.close()


async def test_what_was_saved_comes_back_on_another_machine(
    filled: Settings, tmp_path: Path
) -> None:
    saved = save(filled, tmp_path / "b.tar")
    assert saved.names == ("jobs.db", "registry.db", "secret.key", "webhook.key")
    assert saved.path.stat().st_mode & 0o777 == 0o600
    assert saved.size == saved.path.stat().st_size

    other = Settings(data_dir=tmp_path / "other")
    restored = restore(other, tmp_path / "b.tar")
    assert (restored.names, restored.kept) == (saved.names, None)
    assert await names(other) == ["dreamy"]
    assert (other.data_dir / "secret.key").read_text("utf-8") == "the secret.key"
    for name in saved.names:
        assert (other.data_dir / name).stat().st_mode & 0o077 == 0
    assert left(other) == set()
    assert names_in(tmp_path) == {"b.tar", "data", "other"}


async def test_a_backup_holds_what_was_committed_while_somebody_goes_on_writing(
    filled: Settings, tmp_path: Path
) -> None:
    with writing(filled.registry_db) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO content (name) VALUES ('half-done')")
        save(filled, tmp_path / "b.tar")
        database.execute("COMMIT")
    other = Settings(data_dir=tmp_path / "other")
    restore(other, tmp_path / "b.tar")
    with writing(other.registry_db) as database:
        assert database.execute("SELECT name FROM content").fetchall() == []


async def test_what_was_there_is_kept(filled: Settings, tmp_path: Path) -> None:
    save(filled, tmp_path / "b.tar")
    await fill(filled, "later")
    (filled.data_dir / "secret.key").write_text("another", "utf-8")

    kept = restore(filled, tmp_path / "b.tar").kept
    assert kept is not None
    assert await names(filled) == ["dreamy"]
    assert (filled.data_dir / "secret.key").read_text("utf-8") == "the secret.key"
    assert left(filled) == {kept.name}
    assert (kept / "secret.key").read_text("utf-8") == "another"
    assert await names(Settings(data_dir=kept)) == ["dreamy", "later"]


async def test_a_damaged_database_is_replaced_and_kept(filled: Settings, tmp_path: Path) -> None:
    save(filled, tmp_path / "b.tar")
    filled.registry_db.write_bytes(b"nonsense" * 1000)
    filled.registry_db.with_name("registry.db-wal").write_bytes(b"more nonsense")
    kept = restore(filled, tmp_path / "b.tar").kept
    assert kept is not None
    assert (kept / "registry.db-wal").read_bytes() == b"more nonsense"
    assert await names(filled) == ["dreamy"]


async def test_nothing_is_restored_beside_a_running_atelier(
    filled: Settings, tmp_path: Path
) -> None:
    save(filled, tmp_path / "b.tar")
    lock = DataFolderLock(filled)
    assert lock.take()
    with pytest.raises(StillInUse, match="Stop it first"):
        restore(filled, tmp_path / "b.tar")
    lock.release()
    async with opened(filled.data_dir):
        with pytest.raises(StillInUse, match=r"Another command is using registry\.db"):
            restore(filled, tmp_path / "b.tar")
    assert left(filled) == set()
    assert restore(filled, tmp_path / "b.tar").names


async def test_a_backup_replaces_nothing(filled: Settings, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("mine", "utf-8")
    with pytest.raises(BackupError, match="is there already"):
        save(filled, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text("utf-8") == "mine"
    with pytest.raises(BackupError, match="does not exist; make it first"):
        save(filled, tmp_path / "none" / "b.tar")


def test_there_is_nothing_to_save_in_an_empty_folder(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="nothing to back up"):
        save(settings, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


# --- Files that are no backup -----------------------------------------------------------------


def rewritten(source: Path, target: Path, **changed: bytes | None) -> Path:
    """The same archive with some members changed, or gone."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            file = old.extractfile(member)
            assert file is not None
            data = changed.get(member.name.replace(".", "_").replace("-", "_"), file.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return target


def manifest(**fields: object) -> bytes:
    return json.dumps({"format": 1, "made_at": "now", "files": {}, **fields}).encode()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"secret_key": b"somebody else's"}, "secret.key is not what was backed up"),
        ({"webhook_key": None}, "webhook.key is not what was backed up"),
        ({"atelier_backup_json": None}, "is no backup of Atelier"),
        ({"atelier_backup_json": b"{"}, "is no backup of Atelier"),
        ({"atelier_backup_json": b"[]"}, "is no backup of Atelier"),
        ({"atelier_backup_json": manifest(format=2)}, "made by another Atelier"),
        ({"atelier_backup_json": manifest(files={"../x": ""})}, "made by another Atelier"),
        ({"atelier_backup_json": manifest()}, "is no backup of Atelier"),
    ],
)
async def test_a_changed_backup_is_refused_and_changes_nothing(
    filled: Settings, tmp_path: Path, changed: dict[str, bytes | None], why: str
) -> None:
    save(filled, tmp_path / "b.tar")
    wrong = rewritten(tmp_path / "b.tar", tmp_path / "wrong.tar", **changed)
    await fill(filled, "later")
    with pytest.raises(NotABackup, match=why):
        restore(filled, wrong)
    assert await names(filled) == ["dreamy", "later"]
    assert left(filled) == set()


async def test_a_backup_that_is_cut_off_anywhere_is_refused(
    filled: Settings, tmp_path: Path
) -> None:
    whole = save(filled, tmp_path / "b.tar").path.read_bytes()
    cut = tmp_path / "cut.tar"
    for size in (0, 100, 700, len(whole) // 3, len(whole) // 2, 300_000):
        cut.write_bytes(whole[:size])
        with pytest.raises(NotABackup):
            restore(filled, cut)
    assert left(filled) == set()


async def test_a_database_of_a_newer_atelier_is_refused(filled: Settings, tmp_path: Path) -> None:
    with writing(filled.registry_db) as database:
        database.execute("PRAGMA user_version = 999")
    save(filled, tmp_path / "b.tar")
    with pytest.raises(NotABackup, match="of a newer Atelier"):
        restore(Settings(data_dir=tmp_path / "other"), tmp_path / "b.tar")


# --- Killed -----------------------------------------------------------------------------------

_KILLED = """
import os, pathlib, signal, sys
from bot import backup
from bot.settings import Settings

left = int(sys.argv[3])
plain = pathlib.Path.replace

def replace(self, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return plain(self, target)

pathlib.Path.replace = replace
backup.restore(Settings(data_dir=pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]))
"""


@pytest.mark.parametrize("after", range(4))
async def test_killed_while_restoring_every_file_is_whole_and_again_finishes(
    filled: Settings, tmp_path: Path, after: int
) -> None:
    save(filled, tmp_path / "b.tar")
    await fill(filled, "later")
    (filled.data_dir / "secret.key").write_text("another", "utf-8")
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED, filled.data_dir, tmp_path / "b.tar", str(after)
    )
    assert await asyncio.wait_for(killed.wait(), 60) == -signal.SIGKILL

    registry_is_new = after > 1
    expected = ["dreamy"] if registry_is_new else ["dreamy", "later"]
    assert await names(filled) == expected
    key = (filled.data_dir / "secret.key").read_text("utf-8")
    assert key == ("the secret.key" if after > 2 else "another")

    restore(filled, tmp_path / "b.tar")
    assert await names(filled) == ["dreamy"]
    assert not list(filled.data_dir.glob(".restore-*"))
    kept = sorted(filled.data_dir.glob("before-restore-*"))
    assert len(kept) == 2
    former = [(one / "secret.key").read_text("utf-8") for one in kept]
    assert "another" in former
