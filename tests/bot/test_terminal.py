"""`atelier imagine` in this process, with a stub that draws; tests/scenarios has the real one.

The stub draws what the prompt says: see tests/fakes/backend.py.
"""

import asyncio
import json
import logging
import os
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import stamina
import structlog
from filelock import FileLock

from backends.base import parse_request
from bot import terminal, wording
from bot.app import Backends
from bot.database import Database, DatabaseUnwritable
from bot.jobs.job import Fault, Job, JobDraft, JobState, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, QuotaExceeded, migrations
from bot.log import OWN_PACKAGES
from bot.settings import Settings
from bot.surfaces.terminal.options import Options
from bot.surfaces.terminal.surface import NAME, receipt
from tests.fakes.backend import StubBackend, picture

LOGGERS: Final = (None, *OWN_PACKAGES)


@dataclass
class Installation:
    """A data folder with a stub in place of a model."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    def imagine(self, prompt: str, *, as_json: bool = False) -> int:
        output = self.home / "out.png"
        return terminal.run_imagine(Options(prompt, output=output, seed=1, as_json=as_json))

    def sql(self, statement: str, *args: object) -> list[tuple[object, ...]]:
        database = sqlite3.connect(self.data / "jobs.db", timeout=10, isolation_level=None)
        try:
            return database.execute(statement, args).fetchall()
        finally:
            database.close()

    def states(self) -> list[object]:
        """The state of every job, oldest first; none while there is no database yet."""
        try:
            return [state for (state,) in self.sql("SELECT state FROM jobs ORDER BY number")]
        except sqlite3.OperationalError:
            return []

    def leave(self, prompt: str, output: str) -> None:
        """Hand in a job as a terminal does that is gone meanwhile."""
        asyncio.run(self._leave(prompt, output))

    async def _leave(self, prompt: str, output: str) -> None:
        database = await Database.open(self.data / "jobs.db", migrations())
        try:
            job_id = str(uuid.uuid4())
            draft = JobDraft(
                id=job_id,
                surface=NAME,
                requester="owner",
                place=Place(private=True),
                request=parse_request({"prompt": prompt, "seed": 2, "output_format": "png"}),
                backend="stub",
            )
            spool_file = self.data / "terminal" / f"{job_id}.json"
            await JobStore(database).submit(
                draft, Limits(), receipt(spool_file, self.home / output)
            )
        finally:
            await database.close()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in LOGGERS}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def atelier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_DATA_DIR", str(tmp_path / "data"))

    def build(_: Settings) -> Backends:
        return Backends({"stub": StubBackend(tmp_path / "stub")})

    monkeypatch.setattr(terminal, "build_backends", build)
    return Installation(tmp_path)


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Do something in another thread, as another process would."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


Meanwhile = Callable[[Callable[[], None]], None]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def owned_by_another(data: Path) -> FileLock:
    data.mkdir()
    lock = FileLock(data / "engine.lock", thread_local=False)
    lock.acquire()
    return lock


# --- One job -----------------------------------------------------------------------------------


def test_a_job_that_is_drawn_ends_with_0_and_leaves_no_spool(
    atelier: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atelier.imagine("steps=2") == 0

    out, err = capsys.readouterr()
    assert out.startswith(str(atelier.home / "out.png"))
    assert err == ""
    assert (atelier.home / "out.png").read_bytes()[:8] == picture(1).data[:8]
    assert atelier.states() == ["delivered"]
    assert list((atelier.data / "terminal").iterdir()) == []


def test_a_worker_that_is_lost_once_costs_nothing(atelier: Installation) -> None:
    assert atelier.imagine("flaky=1") == 0
    assert atelier.sql("SELECT state, failures FROM jobs") == [("delivered", 1)]


def test_a_job_that_fails_ends_with_3_and_its_sentence(
    atelier: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atelier.imagine("fail") == 3
    assert capsys.readouterr() == ("", "The stub does not draw this.\n")

    assert atelier.imagine("fail", as_json=True) == 3
    out, err = capsys.readouterr()
    assert err == ""
    answer = json.loads(out)
    assert (answer["state"], answer["error"]) == ("failed", "The stub does not draw this.")
    assert not (atelier.home / "out.png").exists()


def test_a_quota_that_is_used_up_ends_with_2(
    atelier: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def submit(*_: object) -> Job:
        raise QuotaExceeded("requester_queued", 3)

    monkeypatch.setattr(JobStore, "submit", submit)

    assert atelier.imagine("steps=2") == 2
    assert "3 jobs" in capsys.readouterr().err


def test_an_interrupt_cancels_a_drawing_that_hangs(
    atelier: Installation, meanwhile: Meanwhile, capsys: pytest.CaptureFixture[str]
) -> None:
    def press() -> None:
        until(lambda: atelier.states() == ["running"])
        interrupt()

    meanwhile(press)
    assert atelier.imagine("hang") == 130
    assert capsys.readouterr() == ("", wording.CANCELLED + "\n")
    assert atelier.states() == ["cancelled"]


# --- Whoever owns the data folder ----------------------------------------------------------------


def test_a_terminal_takes_over_when_the_owner_is_gone(
    atelier: Installation, meanwhile: Meanwhile
) -> None:
    lock = owned_by_another(atelier.data)

    def die() -> None:
        until(lambda: atelier.states() == ["queued"])
        lock.release()

    meanwhile(die)
    assert atelier.imagine("steps=2") == 0
    assert atelier.states() == ["delivered"]


@pytest.mark.parametrize(
    ("state", "fault", "code", "told"),
    [
        ("failed", Fault(kind="X", sentence="It broke."), 3, "It broke."),
        ("cancelled", None, 130, wording.CANCELLED),
        ("delivered", None, 3, wording.ENDED_SILENTLY),
    ],
)
def test_an_end_that_the_owner_could_not_spool_is_found_in_the_database(
    atelier: Installation,
    meanwhile: Meanwhile,
    capsys: pytest.CaptureFixture[str],
    state: str,
    fault: Fault | None,
    code: int,
    told: str,
) -> None:
    lock = owned_by_another(atelier.data)

    def end() -> None:
        until(lambda: atelier.states() == ["queued"])
        written = None if fault is None else fault.model_dump_json()
        atelier.sql("UPDATE jobs SET state = ?, fault = ?, reported_at = 1", state, written)

    meanwhile(end)
    assert atelier.imagine("steps=2") == code
    assert capsys.readouterr() == ("", told + "\n")
    lock.release()


def test_the_owner_stays_until_the_jobs_of_others_are_drawn(atelier: Installation) -> None:
    atelier.leave("steps=30 pause=0.05", "theirs.png")

    assert atelier.imagine("steps=2") == 0
    assert (atelier.home / "theirs.png").exists()
    assert atelier.states() == ["delivered", "delivered"]


def test_an_interrupt_leaves_the_jobs_of_others_to_them(
    atelier: Installation, meanwhile: Meanwhile
) -> None:
    atelier.leave("hang", "theirs.png")

    def press() -> None:
        until((atelier.home / "out.png").exists)
        until(lambda: atelier.states()[-1] == "delivered")
        interrupt()

    meanwhile(press)
    assert atelier.imagine("steps=2") == 0
    assert atelier.sql("SELECT state, failures FROM jobs") == [("queued", 0), ("delivered", 0)]


# --- A disk that takes nothing any more ----------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "left"), [("begin", JobState.QUEUED), ("render", JobState.RUNNING)]
)
def test_a_job_whose_state_cannot_be_noted_is_kept_and_not_waited_for(
    atelier: Installation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    write: str,
    left: JobState,
) -> None:
    async def full(*_: object) -> Job:
        raise DatabaseUnwritable("The disk is full.")

    monkeypatch.setattr(JobStore, write, full)
    monkeypatch.setattr(terminal, "_STALLED_S", 0.5)
    with stamina.set_testing(True, attempts=1):
        assert atelier.imagine("steps=2") == 3
    assert capsys.readouterr() == ("", wording.BROKEN_OFF + "\n")
    assert atelier.states() == [left]


def test_a_file_that_the_system_refuses_is_named(
    atelier: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    atelier.data.mkdir()
    (atelier.data / "terminal").write_text("no folder")

    assert atelier.imagine("steps=2") == 3
    told = f"{atelier.data / 'terminal'} cannot be used: file exists.\n"
    assert capsys.readouterr() == ("", told)
    assert atelier.states() == []
