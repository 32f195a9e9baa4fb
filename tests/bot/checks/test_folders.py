"""What doctor says about the data folder, the database, the pictures and the LoRA files."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bot.checks import folders
from bot.checks.finding import Finding
from bot.database import Database
from bot.demo_presets import install_demo
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, migrations
from bot.registry import open_registry
from bot.settings import Settings
from bot.storage import PictureStore
from tests.bot.checks.conftest import Configure
from tests.fakes.world import draft
from tests.lora_registry.loras import Layers, factors, flux1, flux2, only, write


@pytest.fixture
def settings(configure: Configure) -> Settings:
    return configure()


def said(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.status.value, f"{finding.what} {finding.advice}") for finding in findings]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- Data folder ------------------------------------------------------------------------------


def test_a_data_folder_that_is_not_there_yet_can_be_made_and_is_not(settings: Settings) -> None:
    found = said(folders.data_folder(settings))
    assert found[0] == (
        "ok",
        f"The data folder {settings.data_dir} is made when it is first needed. ",
    )
    assert not settings.data_dir.exists()


def test_a_data_folder_is_tried_out_without_a_trace(settings: Settings) -> None:
    settings.data_dir.mkdir()
    assert said(folders.data_folder(settings))[0][0] == "ok"
    assert not list(settings.data_dir.iterdir())


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("/sys/atelier", "cannot be made (permission denied)"),
        ("/sys", "cannot be written (permission denied)"),
        ("/proc/version/data", "cannot be made, because /proc/version is no folder"),
        ("/proc/version", "cannot be made, because /proc/version is no folder"),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_broken(
    configure: Configure, folder: str, problem: str
) -> None:
    status, sentence = said(folders.data_folder(configure(data_dir=folder)))[0]
    assert status == "broken"
    assert problem in sentence
    assert "ATELIER_DATA_DIR" in sentence


class Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (57_300_000_000, "ok"),
        (2_000_000_000, "ok"),
        (1_999_999_999, "warning"),
        (200_000_000, "warning"),
        (199_000_000, "broken"),
        (0, "broken"),
    ],
)
def test_little_space_is_a_warning_and_hardly_any_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**12, 0, free))
    found, sentence = said(folders.data_folder(settings))[1]
    assert found == status
    assert ("Free some space" in sentence) is (status != "ok")


# --- Database ---------------------------------------------------------------------------------


async def filled(settings: Settings, jobs: int = 0) -> Database:
    """A database with jobs, the first of which runs."""
    database = await Database.open(settings.jobs_db, migrations())
    store = JobStore(database)
    for number in range(jobs):
        job = draft(seed=number)
        await store.submit(job, Limits())
        await store.save_receipt(job.id, {})
        if number == 0:
            await store.begin(job.id)
    return database


def test_no_database_is_as_it_should_be_before_the_first_start(settings: Settings) -> None:
    assert said(folders.database(settings)) == [
        ("ok", "There is no jobs.db yet; the first start makes it. ")
    ]


async def test_the_jobs_that_people_wait_for_are_counted_by_state(settings: Settings) -> None:
    await (await filled(settings, jobs=3)).close()
    before = snapshot(settings.data_dir)
    found = said(folders.database(settings))
    assert [status for status, _ in found] == ["ok", "ok"]
    assert f"has the schema of this version ({len(migrations())})" in found[0][1]
    assert "jobs that people still wait for: 2 queued, 1 running." in found[1][1]
    assert snapshot(settings.data_dir) == before


async def test_jobs_of_a_running_atelier_are_counted_before_they_are_in_the_main_file(
    settings: Settings,
) -> None:
    database = await filled(settings, jobs=2)
    try:
        assert "1 queued, 1 running" in said(folders.database(settings))[1][1]
        await JobStore(database).submit(draft(seed=9), Limits())
        assert "2 queued, 1 running" in said(folders.database(settings))[1][1]
    finally:
        await database.close()


async def test_an_old_schema_is_told_and_left_for_the_next_start(settings: Settings) -> None:
    old = await Database.open(settings.jobs_db, migrations()[:1])
    await old.close()
    before = snapshot(settings.data_dir)
    status, sentence = said(folders.database(settings))[0]
    assert status == "ok"
    assert f"has schema 1; the next start brings it to {len(migrations())}" in sentence
    assert "keeps a copy first" in sentence
    assert snapshot(settings.data_dir) == before


async def test_a_newer_schema_is_broken(settings: Settings) -> None:
    await (await filled(settings)).close()
    with sqlite3.connect(settings.jobs_db) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    status, sentence = said(folders.database(settings))[0]
    assert status == "broken"
    assert "written by a newer Atelier (schema 99" in sentence


@pytest.mark.parametrize("damage", ["other file", "page"])
async def test_damage_is_broken_with_how_to_go_on(settings: Settings, damage: str) -> None:
    await (await filled(settings, jobs=60)).close()
    data = bytearray(settings.jobs_db.read_bytes())
    if damage == "page":
        data[4096 * 8 : 4096 * 12] = b"\xa5" * 4096 * 4
    else:
        data[:] = b"<!DOCTYPE html>" * 1000
    settings.jobs_db.write_bytes(data)
    status, sentence = said(folders.database(settings))[-1]
    assert status == "broken"
    assert "jobs.db is damaged" in sentence
    assert "restore a backup" in sentence


async def test_a_database_that_another_program_locks_is_not_waited_for(
    settings: Settings,
) -> None:
    await (await filled(settings)).close()
    connection = sqlite3.connect(settings.jobs_db, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    settings.jobs_db.with_name("jobs.db-wal").touch()  # as if it were open
    connection.execute("BEGIN EXCLUSIVE")
    try:
        status, sentence = said(folders.database(settings))[0]
    finally:
        connection.close()
    assert status == "broken"
    assert "locked" in sentence


def test_an_empty_file_is_a_new_database(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.jobs_db.touch()
    assert [status for status, _ in said(folders.database(settings))] == ["ok", "ok"]


def test_a_folder_in_the_place_of_the_database_is_broken(settings: Settings) -> None:
    settings.jobs_db.mkdir(parents=True)
    ((status, sentence),) = said(folders.database(settings))
    assert (status, "is a directory" in sentence) == ("broken", True)


# --- Pictures ---------------------------------------------------------------------------------


async def test_pictures_are_counted(settings: Settings) -> None:
    store = await PictureStore.in_folder(settings.storage_dir)
    found = await asyncio.to_thread(said, folders.pictures(settings))
    assert found[-1] == ("ok", "No picture is kept yet. ")
    for data in (b"one" * 500_000, b"two" * 500_000):
        await store.put(data, "png")
    found = await asyncio.to_thread(said, folders.pictures(settings))
    assert found[-1] == ("ok", "2 pictures are kept (3 MB). ")
    assert {status for status, _ in found} == {"ok"}


def test_a_picture_folder_that_is_not_there_is_not_made(settings: Settings) -> None:
    ((status, sentence),) = said(folders.pictures(settings))
    assert (status, "is made when it is first needed" in sentence) == ("ok", True)
    assert not settings.storage_dir.exists()


def test_a_picture_folder_that_cannot_be_made_is_broken(configure: Configure) -> None:
    status, sentence = said(folders.pictures(configure(storage_dir="/sys/pictures")))[0]
    assert status == "broken"
    assert "ATELIER_STORAGE_URL" in sentence


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second file system")
def test_pictures_on_a_disk_of_their_own_have_its_space_looked_at(configure: Configure) -> None:
    found = said(folders.pictures(configure(storage_dir="/dev/shm/atelier-pictures")))
    assert "free on the disk of the picture folder" in found[1][1]


# --- LoRAs ------------------------------------------------------------------------------------

FLUX_1 = only(flux1(), "transformer_blocks.0.attn.to_q")
SDXL: Layers = {"down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (2048, 640)}


def of_the_owner(settings: Settings) -> list[tuple[str, str]]:
    """Without what is said about the demo model's."""
    return [line for line in said(folders.loras(settings)) if "demo model" not in line[1]]


def test_a_lora_folder_may_be_missing_or_empty(settings: Settings) -> None:
    ((status, sentence),) = of_the_owner(settings)
    assert (status, "is not there yet" in sentence) == ("ok", True)
    settings.lora_dir.mkdir(parents=True)
    ((status, sentence),) = of_the_owner(settings)
    assert (status, "has no LoRA file" in sentence) == ("ok", True)


def test_every_file_that_cannot_be_used_is_named_with_its_reason(settings: Settings) -> None:
    settings.lora_dir.mkdir(parents=True)
    write(settings.lora_dir / "ink.safetensors", factors(FLUX_1, rank=4))
    two = only(flux2(), "transformer_blocks.0.attn.to_q", "transformer_blocks.0.ff.")
    write(settings.lora_dir / "newer.safetensors", factors(two, rank=4))
    write(settings.lora_dir / "old.safetensors", factors(SDXL, rank=4))
    (settings.lora_dir / "page.safetensors").write_bytes(b"<!DOCTYPE html>")
    found = of_the_owner(settings)
    assert [status for status, _ in found] == ["ok", "warning", "warning", "ok"]
    assert "has 4 files" in found[0][1]
    assert "The LoRA “old” cannot be used. This LoRA was made for Stable" in found[1][1]
    assert "The LoRA “page” cannot be used. " in found[2][1]
    assert found[3][1] == "2 LoRA files can be used. "


def test_of_many_unusable_files_only_the_first_are_named(settings: Settings) -> None:
    settings.lora_dir.mkdir(parents=True)
    for number in range(12):
        (settings.lora_dir / f"broken {number:02}.safetensors").write_bytes(b"?")
    found = of_the_owner(settings)
    assert len(found) == 7
    assert found[-1][0] == "warning"
    assert found[-1][1].startswith("7 more LoRA files cannot be used.")


# --- The registry -----------------------------------------------------------------------------


async def test_the_registry_is_counted(configure: Configure, tmp_path: Path) -> None:
    settings = configure(data_dir=tmp_path)
    assert said(folders.registry(settings)) == [
        ("ok", "There is no registry.db yet; the first start makes it. ")
    ]
    async with open_registry(settings) as registry:
        await install_demo(registry)
        found = said(folders.registry(settings))
    assert found[0][0] == "ok"
    assert "has the schema of this version" in found[0][1]
    assert "registry.db is sound; it has 5 presets and 4 LoRAs." in found[1][1]


def test_a_damaged_registry_is_named(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"no database " * 1000)
    status, sentence = said(folders.registry(configure(data_dir=tmp_path)))[0]
    assert status == "broken"
    assert "registry.db is damaged." in sentence
