"""The LoRA files of an instance: fetched once, kept by their hash, healed, and never swapped."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.database import Database, load_migrations
from lora_registry.fetch import DiskFull, FetchRules, HashMismatch, Progress, TooLarge
from lora_registry.library import Checked, FileChanged, Library, Loan, NoRoom, NoSource, StillUsed
from lora_registry.lora_store import LoraStore
from lora_registry.models import (
    CivitaiSource,
    HttpsSource,
    HuggingFaceSource,
    LocalSource,
    LoraRecord,
    Source,
)
from lora_registry.sources.candidate import NotUsable
from lora_registry.sources.places import Places
from lora_registry.tables import MIGRATIONS
from lora_registry.weights import Damaged, Family, Layout, WeightsError
from tests.lora_registry import loras
from tests.lora_registry.sites import (
    File,
    Internet,
    answer,
    lora_bytes,
    recorded,
    sha256,
)
from tests.lora_registry.web import Site

INK = lora_bytes("ink")
INK_SHA = sha256(INK)
COMMIT = "3f2a9c1d8b7e6f5a4c3b2d1e0f9a8b7c6d5e4f3a"
HF = HuggingFaceSource(repo="ada/ink", commit=COMMIT, file="ink.safetensors")
HF_PATH = f"/ada/ink/resolve/{COMMIT}/ink.safetensors"
MIRROR = HttpsSource(url="https://files.example/ink.safetensors")
SOURCES: tuple[Source, ...] = (HF, MIRROR)


class Ledger:
    """Writes down what is noted of sources."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, str | None]] = []

    async def mark(self, sha256: str, source: Source, failure: str | None = None) -> None:
        self.marks.append((source.kind, failure))


def record(body: bytes = INK, name: str = "ink") -> LoraRecord:
    return LoraRecord(
        sha256=sha256(body),
        name=name,
        size=len(body),
        family=Family.FLUX_1,
        layout=Layout.DIFFUSERS,
    )


def nobody(_saved: int, _total: int | None) -> None:
    """A listener without interest."""


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture
def loras_folder(tmp_path: Path) -> Path:
    path = tmp_path / "loras"
    path.mkdir()
    return path


@pytest.fixture
def make(web: Internet, folder: Path, loras_folder: Path, ledger: Ledger) -> Callable[..., Library]:
    def make(**options: Any) -> Library:
        fetcher = web.fetcher()
        places = Places(fetcher, [loras_folder])
        return Library(folder, fetcher, places, **{"ledger": ledger, "min_free": 0, **options})

    return make


@pytest.fixture
def library(make: Callable[..., Library]) -> Library:
    return make()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def names(folder: Path) -> set[str]:
    """All files there, those that are arriving too."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


# --- Fetching ---------------------------------------------------------------------------------


async def test_a_file_is_fetched_once_and_then_lent_from_the_folder(
    web: Internet, library: Library, ledger: Ledger, folder: Path
) -> None:
    file = File(INK)
    web.serve(HF_PATH, file)
    seen: list[tuple[int, int | None]] = []
    with await library.fetch(record(), SOURCES, lambda *at: seen.append(at)) as loan:
        assert loan.path == folder / f"{INK_SHA}.safetensors"
        assert loan.path.read_bytes() == INK
    with await library.fetch(record(), SOURCES, nobody):
        pass
    assert file.asked == 1
    assert (seen[0], seen[-1]) == ((0, len(INK)), (len(INK), len(INK)))
    assert ledger.marks == [("huggingface", None)]
    assert names(folder) == {f"{INK_SHA}.safetensors"}


async def test_any_source_with_the_right_hash_heals_a_dead_one(
    web: Internet, library: Library, ledger: Ledger
) -> None:
    web.serve("/ink.safetensors", File(INK))
    with await library.fetch(record(), SOURCES, nobody) as loan:
        assert loan.path.read_bytes() == INK
    (dead, why), healed = ledger.marks
    assert (dead, healed) == ("huggingface", ("https", None))
    assert why is not None
    assert "404" in why


async def test_other_bytes_are_an_alarm_and_never_an_update(
    web: Internet, library: Library, ledger: Ledger, folder: Path
) -> None:
    other = lora_bytes("oil")
    assert len(other) == len(INK)
    web.serve(HF_PATH, File(other))
    with pytest.raises(FileChanged, match=r"ada/ink on Hugging Face has another one") as error:
        await library.fetch(record(), [HF], nobody)
    assert (error.value.expected, error.value.actual) == (INK_SHA, sha256(other))
    assert names(folder) == set()
    assert "not the file that was added" in str(ledger.marks[0][1])


async def test_a_longer_file_in_its_place_is_broken_off_and_an_alarm(
    web: Internet, library: Library, folder: Path
) -> None:
    web.serve(HF_PATH, File(INK + b"more"))
    with pytest.raises(FileChanged):
        await library.fetch(record(), [HF], nobody)
    assert names(folder) == set()


async def test_a_changed_source_is_noted_while_another_one_still_serves(
    web: Internet, library: Library, ledger: Ledger
) -> None:
    web.serve(HF_PATH, File(lora_bytes("oil")))
    web.serve("/ink.safetensors", File(INK))
    with await library.fetch(record(), SOURCES, nobody) as loan:
        assert loan.path.read_bytes() == INK
    assert [kind for kind, _ in ledger.marks] == ["huggingface", "https"]
    assert "not the file that was added" in str(ledger.marks[0][1])


async def test_when_all_sources_are_dead_each_ones_reason_is_said(library: Library) -> None:
    with pytest.raises(NoSource) as error:
        await library.fetch(record(), SOURCES, nobody)
    assert "ada/ink on Hugging Face: " in str(error.value)
    assert "files.example/ink.safetensors: " in str(error.value)
    assert [source for source, _ in error.value.failures] == list(SOURCES)


async def test_a_lora_whose_sources_are_dead_is_found_on_civitai_by_its_hash(
    web: Internet, library: Library, ledger: Ledger
) -> None:
    version = recorded("civitai_version")
    version["files"][1]["hashes"]["SHA256"] = INK_SHA.upper()
    web.serve(f"/api/v1/model-versions/by-hash/{INK_SHA}", answer(version))
    web.serve("/api/download/models/843538", File(INK))
    with await library.fetch(record(), [MIRROR], nobody) as loan:
        assert loan.sha256 == INK_SHA
    assert ledger.marks[-1] == (CivitaiSource(version=843538).kind, None)


async def test_a_local_file_is_copied_and_a_changed_one_is_an_alarm(
    library: Library, loras_folder: Path, folder: Path
) -> None:
    source = LocalSource(path="ink.safetensors")
    path = loras_folder / "ink.safetensors"
    path.write_bytes(INK)
    with await library.fetch(record(), [source], nobody) as loan:
        assert loan.path.read_bytes() == INK
    await library.remove(INK_SHA)
    for other in (lora_bytes("oil"), INK + b"more"):
        path.write_bytes(other)
        with pytest.raises(FileChanged, match=r"ink\.safetensors in the LoRA folder"):
            await library.fetch(record(), [source], nobody)
    path.unlink()
    with pytest.raises(NoSource, match="any more"):
        await library.fetch(record(), [source], nobody)
    assert names(folder) == set()


async def test_another_file_of_the_same_name_in_another_folder_is_no_alarm(
    web: Internet, ledger: Ledger, tmp_path: Path
) -> None:
    folders = [tmp_path / "mine", tmp_path / "theirs"]
    for folder, data in zip(folders, (lora_bytes("oil"), INK), strict=True):
        folder.mkdir()
        (folder / "ink.safetensors").write_bytes(data)
    fetcher = web.fetcher(FetchRules(min_free_bytes=0))
    library = Library(tmp_path / "library", fetcher, Places(fetcher, folders), ledger, min_free=0)
    with await library.fetch(record(), [LocalSource(path="ink.safetensors")], nobody) as loan:
        assert loan.path.read_bytes() == INK


async def test_a_full_disk_is_no_fault_of_the_source(
    web: Internet, library: Library, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    web.serve(HF_PATH, File(INK))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        await library.fetch(record(), SOURCES, nobody)
    assert ledger.marks == []


# --- Sharing ----------------------------------------------------------------------------------


async def test_jobs_that_need_one_file_download_it_once_and_all_see_its_progress(
    web: Internet, library: Library
) -> None:
    file = File(INK, gate=asyncio.Event())
    web.serve(HF_PATH, file)
    seen: list[list[int]] = [[], [], []]

    def fetch(into: list[int]) -> "asyncio.Task[Loan]":
        listener: Progress = lambda saved, _: into.append(saved)  # noqa: E731
        return asyncio.create_task(library.fetch(record(), SOURCES, listener))

    jobs = [fetch(into) for into in seen]
    await until(lambda: file.sent)
    late: list[int] = []
    jobs.append(fetch(late))
    await until(lambda: late)
    assert file.gate
    file.gate.set()
    loans = await asyncio.gather(*jobs)
    assert file.asked == 1
    assert all(at[-1] == len(INK) for at in [*seen, late])
    loans[0].release()
    with pytest.raises(StillUsed):
        await library.remove(INK_SHA)
    for loan in loans:
        loan.release()
    await library.remove(INK_SHA)


async def test_a_cancelled_job_does_not_stop_the_download_that_another_waits_for(
    web: Internet, library: Library
) -> None:
    file = File(INK, gate=asyncio.Event())
    web.serve(HF_PATH, file)
    first, second = (asyncio.create_task(library.fetch(record(), [HF], nobody)) for _ in range(2))
    await until(lambda: file.sent)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert file.gate
    file.gate.set()
    with await second as loan:
        assert loan.path.read_bytes() == INK
    assert file.asked == 1


async def test_when_the_last_one_is_cancelled_nothing_is_left_and_the_next_starts_anew(
    web: Internet, library: Library, folder: Path
) -> None:
    file = File(INK, gate=asyncio.Event())
    web.serve(HF_PATH, file)
    jobs = [asyncio.create_task(library.fetch(record(), [HF], nobody)) for _ in range(2)]
    await until(lambda: file.sent)
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)
    assert names(folder) == set()
    web.serve(HF_PATH, File(INK))
    with await library.fetch(record(), [HF], nobody) as loan:
        assert loan.path.exists()


async def test_all_who_wait_hear_of_the_same_failure(web: Internet, library: Library) -> None:
    gate = asyncio.Event()
    web.serve(HF_PATH, File(lora_bytes("oil"), gate=gate))
    jobs = [asyncio.create_task(library.fetch(record(), [HF], nobody)) for _ in range(3)]
    await until(lambda: web.asked(HF_PATH))
    gate.set()
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(one) for one in outcomes] == [FileChanged] * 3
    assert len(web.asked(HF_PATH)) == 1


async def test_bytes_that_arrive_a_second_time_leave_the_file_that_is_held(
    web: Internet, library: Library, folder: Path
) -> None:
    for path in ("/a", "/b"):
        web.serve(path, File(INK))
    first = await library.add_address("https://files.example/a", len(INK), nobody)
    inode = first.path.stat().st_ino
    second = await library.add_address("https://files.example/b", len(INK), nobody)
    second.release()
    assert first.path.stat().st_ino == inode
    with pytest.raises(StillUsed):
        await library.remove(INK_SHA)
    assert names(folder) == {f"{INK_SHA}.safetensors"}


# --- Adding -----------------------------------------------------------------------------------


async def test_a_candidate_is_added_under_the_hash_of_what_arrived(
    web: Internet, library: Library
) -> None:
    web.serve("/ink.safetensors", File(INK))
    candidate = await library._places.describe(MIRROR.url)
    assert candidate.sha256 is None
    with await library.add(candidate, nobody) as loan:
        assert candidate.record("ink", loan.sha256) == record().model_copy(
            update={"rank": 1, "title": "ink"}
        )


async def test_a_file_that_its_site_describes_by_another_hash_is_not_added(
    web: Internet, library: Library, folder: Path
) -> None:
    document = recorded("huggingface_lora")
    web.serve("/api/models/ada/ink/revision/main", answer(document))
    web.serve(f"/ada/ink-wash-flux/resolve/{document['sha']}/ink-wash.safetensors", File(INK))
    candidate = await library._places.describe("ada/ink")
    with pytest.raises(HashMismatch):
        await library.add(candidate, nobody)
    assert names(folder) == set()


async def test_values_that_are_no_numbers_are_found_and_the_file_is_thrown_away(
    web: Internet, library: Library, folder: Path
) -> None:
    web.serve("/ink.safetensors", File(INK[:-2] + b"\x80\x7f"))
    candidate = await library._places.describe(MIRROR.url)
    with pytest.raises(WeightsError):
        await library.add(candidate, nobody)
    assert names(folder) == set()


async def test_a_file_that_changed_since_it_was_described_is_not_added(
    web: Internet, library: Library, folder: Path
) -> None:
    web.serve("/ink.safetensors", File(INK))
    candidate = await library._places.describe(MIRROR.url)
    web.serve("/ink.safetensors", File(INK + b"more"))
    with pytest.raises(TooLarge):
        await library.add(candidate, nobody)
    start, size = loras.header(loras.factors({"down_blocks.1.attn2.to_k": (2048, 640)}, rank=1))
    web.serve("/ink.safetensors", File(start + bytes(size)))
    with pytest.raises((NotUsable, Damaged)):
        await library.add(candidate, nobody)
    assert names(folder) == set()


async def test_the_registry_remembers_which_source_worked_and_why_the_other_did_not(
    web: Internet, make: Callable[..., Library], tmp_path: Path
) -> None:
    database = await Database.open(tmp_path / "registry.db", load_migrations(MIGRATIONS))
    try:
        store = LoraStore(database)
        library = make(ledger=store)
        path = "/ink.safetensors"
        web.serve(path, File(INK))
        candidate = await library._places.describe(MIRROR.url)
        with await library.add(candidate, nobody) as loan:
            added = candidate.record("ink", loan.sha256)
        await store.put(added, candidate.source, HF, by="ada")
        await library.remove(INK_SHA)
        del web.site.pages[path]
        web.serve(HF_PATH, File(INK))
        for _ in range(2):
            sources = [one.source for one in await store.sources(INK_SHA)]
            (await library.fetch(added, sources, nobody)).release()
            await library.remove(INK_SHA)
        assert len(web.asked(path)) == 3  # its header, the file, and once in vain
        good, bad = await store.sources(INK_SHA)
    finally:
        await database.close()
    assert (good.source, good.failure) == (HF, None)
    assert (bad.source, bad.verified_at) == (MIRROR, None)
    assert "404" in str(bad.failure)


# --- Room -------------------------------------------------------------------------------------


def shelve(folder: Path, body: bytes, age: float) -> str:
    """Put a file there that was used `age` seconds ago."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{sha256(body)}.safetensors"
    path.write_bytes(body)
    used = path.stat().st_mtime - age
    os.utime(path, (used, used))
    return sha256(body)


async def test_what_was_used_longest_ago_goes_but_never_what_is_in_use(
    web: Internet, make: Callable[..., Library], folder: Path
) -> None:
    oldest, old, young = (
        shelve(folder, lora_bytes(title), age)
        for title, age in (("a", 300), ("b", 200), ("c", 100))
    )
    library = make(quota=3 * len(INK) + 100)
    web.serve(HF_PATH, File(INK))
    held = await library.borrow(oldest)
    assert held is not None
    os.utime(held.path, (1, 1))
    with await library.fetch(record(), [HF], nobody):
        left = {file.sha256 for file in await library.files()}
    assert left == {oldest, young, INK_SHA}
    assert old not in left
    held.release()


async def test_borrowing_a_file_makes_it_the_last_to_go(
    web: Internet, make: Callable[..., Library], folder: Path
) -> None:
    first, second = shelve(folder, lora_bytes("a"), 300), shelve(folder, lora_bytes("b"), 200)
    library = make(quota=2 * len(INK) + 100)
    loan = await library.borrow(first)
    assert loan is not None
    loan.release()
    web.serve(HF_PATH, File(INK))
    with await library.fetch(record(), [HF], nobody):
        assert {file.sha256 for file in await library.files()} == {first, INK_SHA}
    assert second != first


async def test_where_all_is_in_use_nothing_is_fetched(
    web: Internet, make: Callable[..., Library], folder: Path
) -> None:
    used = shelve(folder, lora_bytes("a"), 300)
    library = make(quota=len(INK) + 100)
    web.serve(HF_PATH, File(INK))
    held = await library.borrow(used)
    assert held is not None
    with pytest.raises(NoRoom, match="is in use"):
        await library.fetch(record(), [HF], nobody)
    assert not web.asked(HF_PATH)
    held.release()
    with await library.fetch(record(), [HF], nobody) as loan:
        assert loan.sha256 == INK_SHA


async def test_files_that_arrive_together_share_the_quota(
    web: Internet, make: Callable[..., Library]
) -> None:
    library = make(quota=len(INK) + 100)
    gate = asyncio.Event()
    web.serve(HF_PATH, File(INK, gate=gate))
    other = lora_bytes("oil")
    web.serve("/ink.safetensors", File(other))
    first = asyncio.create_task(library.fetch(record(), [HF], nobody))
    await until(lambda: web.asked(HF_PATH))
    with pytest.raises(NoRoom):
        await library.fetch(record(other, "oil"), [MIRROR], nobody)
    gate.set()
    (await first).release()


async def test_the_disk_keeps_its_free_space(
    web: Internet, make: Callable[..., Library], folder: Path
) -> None:
    kept = shelve(folder, lora_bytes("a"), 300)
    library = make(min_free=2**62)
    web.serve(HF_PATH, File(INK))
    with pytest.raises(NoRoom, match="the disk is full"):
        await library.fetch(record(), [HF], nobody)
    assert not web.asked(HF_PATH)
    assert [file.sha256 for file in await library.files()] == [kept]  # it would not have helped


async def test_a_loan_ends_with_the_task_it_was_given_to(web: Internet, library: Library) -> None:
    web.serve(HF_PATH, File(INK))
    drawing, drawn = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        loan = await library.fetch(record(), [HF], nobody)
        task = asyncio.current_task()
        assert task is not None
        loan.until_done(task)
        drawing.set()
        await drawn.wait()
        raise RuntimeError

    task = asyncio.create_task(job())
    await drawing.wait()
    with pytest.raises(StillUsed):
        await library.remove(INK_SHA)
    drawn.set()
    with contextlib.suppress(RuntimeError):
        await task
    await library.remove(INK_SHA)
    assert await library.borrow(INK_SHA) is None


# --- Verifying --------------------------------------------------------------------------------


async def test_a_damaged_file_is_found_thrown_away_and_fetched_again(
    web: Internet, library: Library, folder: Path
) -> None:
    web.serve(HF_PATH, File(INK))
    sound = shelve(folder, lora_bytes("oil"), 300)
    (folder / f"{INK_SHA}.safetensors").write_bytes(INK[:-1] + b"\x01")
    assert [one async for one in library.verify()] == [
        Checked(sound, len(INK), sound=True),
        Checked(INK_SHA, len(INK), sound=False),
    ]
    assert [one async for one in library.verify([sound])] == [Checked(sound, len(INK), sound=True)]
    with await library.fetch(record(), [HF], nobody) as loan:
        assert loan.path.read_bytes() == INK


async def test_an_empty_library_has_nothing_to_verify(library: Library) -> None:
    await library.start()
    assert [one async for one in library.verify()] == []
    await library.remove(INK_SHA)


# --- Dying ------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def borrower(*args: object) -> AsyncIterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.lora_registry.borrower", *map(str, args)]
    process = subprocess.Popen(  # noqa: ASYNC220 -- a start takes no time worth a thread
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def test_a_process_killed_in_the_middle_of_a_download_leaves_nothing_half_done(
    library: Library, folder: Path
) -> None:
    body = INK + bytes(3_000_000)
    file = File(body, gate=asyncio.Event())
    async with Site({"/big": file}).serving() as site:
        async with borrower(folder, f"http://127.0.0.1:{site.port}/big", len(body)) as process:
            await until(lambda: any(path.stat().st_size for path in folder.rglob(".*.part")))
            process.send_signal(signal.SIGKILL)
            assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
        assert file.gate
        file.gate.set()
    assert await library.files() == []
    assert len(names(folder)) == 1
    (folder / "incoming" / f"{INK_SHA}.safetensors").write_bytes(INK)  # whole, but not taken in
    await library.start()
    assert names(folder) == set()


async def test_a_file_that_another_process_uses_stays_until_that_process_dies(
    library: Library, folder: Path
) -> None:
    used = shelve(folder, INK, 300)
    async with borrower(folder, used) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "held\n"
        with pytest.raises(StillUsed):
            await library.remove(used)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    await library.remove(used)
    assert names(folder) == set()
