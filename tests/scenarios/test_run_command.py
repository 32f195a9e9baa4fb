"""`atelier run` as whoever keeps it running sees it: stops, crashes, other processes, bad disks."""

import os
import resource
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bot import recipe
from bot.jobs.job import JobState
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service, sentence, until

PROMPT = "a small yellow star at the top on a black background"
QUICK = ("--steps", "2", "--size", "128x128")
UNWRITABLE = (
    "/sys/atelier" if os.geteuid() == 0 else "read-only"
)  # root may write nearly everywhere

SLOW = ("--steps", "50", "--images", "4", "--size", "128x128")
Served = tuple[CommandLine, Service]

pytestmark = pytest.mark.timeout(300)


def seed_of(path: Path) -> int:
    found = recipe.read(path.read_bytes())
    assert isinstance(found, recipe.Recipe)
    return found.seed


def run(atelier: CommandLine) -> subprocess.CompletedProcess[str]:
    return atelier("run")


def imagine(atelier: CommandLine) -> subprocess.CompletedProcess[str]:
    return atelier("imagine", PROMPT, "-o", "out.png", *QUICK)


both = pytest.mark.parametrize("command", [run, imagine])
Command = Callable[[CommandLine], subprocess.CompletedProcess[str]]


# --- Serving -----------------------------------------------------------------------------------


def test_a_service_tells_how_it_is(served: Served) -> None:
    atelier, service = served
    until(service.ready, "the service to be ready")
    done = atelier("imagine", PROMPT, "-o", "served.png", "--seed", "11", *QUICK)

    assert (done.returncode, done.stderr) == (0, "")
    assert seed_of(atelier.home / "served.png") == 11
    assert service.get("/healthz") == (200, '{"status":"ok"}')
    status, metrics = service.get("/metrics")
    assert status == 200
    assert 'atelier_jobs_ended_total{backend="demo",state="rendered"}' in metrics
    assert PROMPT not in metrics
    assert PROMPT not in service.log
    assert "Traceback" not in service.log


def test_terminals_beside_a_service_start_no_model_of_their_own(served: Served) -> None:
    atelier, _ = served
    terminals = [
        atelier.start("imagine", PROMPT, "-o", f"beside-{seed}.png", "--seed", str(seed), *QUICK)
        for seed in range(3)
    ]
    most = 0
    while any(terminal.poll() is None for terminal in terminals):
        most = max(most, len(atelier.children()))
    outputs = [terminal.communicate() for terminal in terminals]

    assert [terminal.returncode for terminal in terminals] == [0, 0, 0], outputs
    assert [seed_of(atelier.home / f"beside-{seed}.png") for seed in range(3)] == [0, 1, 2]
    assert most == 1


def test_a_crash_of_the_drawing_process_costs_a_moment_and_no_job(served: Served) -> None:
    atelier, service = served
    before = len(atelier.jobs())
    terminal = atelier.start("imagine", PROMPT, "-o", "crash.png", "--seed", "4", *SLOW)
    until(lambda: len(atelier.jobs()) > before, "the job")
    atelier.freeze().kill()
    _, err = terminal.communicate(timeout=PATIENCE_S)

    assert (terminal.returncode, err) == (0, "")
    assert [seed_of(atelier.home / f"crash-{number}.png") for number in (1, 4)] == [4, 7]
    assert atelier.jobs()[-1]["failures"] == 1
    assert "was killed" in service.log


def test_a_second_service_in_the_same_folder_waits_and_then_gives_way(served: Served) -> None:
    atelier, _ = served
    second, stopped = atelier.start("run"), atelier.start("run")
    with pytest.raises(subprocess.TimeoutExpired):
        stopped.wait(5)
    stopped.send_signal(signal.SIGINT)

    assert stopped.wait(PATIENCE_S) == 130
    assert stopped.communicate() == ("", "")
    out, err = second.communicate(timeout=PATIENCE_S)
    assert (second.returncode, out) == (3, "")
    assert str(atelier.data) in sentence(err)


# --- Stopping and dying ------------------------------------------------------------------------


def test_a_terminal_takes_over_from_a_killed_service_all_that_was_left(
    atelier: CommandLine,
) -> None:
    with atelier.running() as service:
        terminal = atelier.start("imagine", PROMPT, "-o", "a.png", "--seed", "1", *SLOW)
        atelier.freeze()
        gone = atelier.start("imagine", PROMPT, "-o", "b.png", "--seed", "9", *QUICK)
        until(lambda: len(atelier.jobs()) == 2, "both jobs")
        gone.kill()
        gone.wait()
        service.process.kill()
        service.process.wait()
        _, err = terminal.communicate(timeout=PATIENCE_S)

    assert (terminal.returncode, err) == (0, "")
    assert [seed_of(atelier.home / file) for file in atelier.files()] == [1, 2, 3, 4, 9]
    assert atelier.states() == [JobState.DELIVERED, JobState.DELIVERED]
    assert [job["failures"] for job in atelier.jobs()] == [1, 0]
    assert atelier.processes() == []


def test_a_service_ends_its_drawing_when_it_is_stopped_and_the_next_one_draws_the_rest(
    atelier: CommandLine,
) -> None:
    with atelier.running() as service:
        finished = atelier.start("imagine", PROMPT, "-o", "a.png", "--seed", "1", *SLOW)
        child = atelier.freeze()
        waiting = atelier.start("imagine", PROMPT, "-o", "b.png", "--seed", "9", *QUICK)
        until(lambda: len(atelier.jobs()) == 2, "both jobs")
        waiting.kill()
        waiting.wait()
        service.process.send_signal(signal.SIGTERM)
        until(lambda: "Stopping" in service.log, "it to stop")
        child.resume()
        assert service.process.wait(PATIENCE_S) == 0
        assert atelier.states() == [JobState.DELIVERED, JobState.QUEUED]
        assert "Traceback" not in service.log
        _, err = finished.communicate(timeout=PATIENCE_S)
    assert (finished.returncode, err) == (0, "")

    with atelier.running() as service:
        until(lambda: atelier.states()[-1] is JobState.DELIVERED, "the job that waited")
        assert service.stop(signal.SIGHUP) == 0
    assert [seed_of(atelier.home / file) for file in atelier.files()] == [1, 2, 3, 4, 9]
    assert [job["failures"] for job in atelier.jobs()] == [0, 0]
    assert atelier.processes() == []


# --- A machine that is not as it should be -----------------------------------------------------


def test_a_busy_port_is_named(atelier: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        atelier.env["ATELIER_PORT"] = str(port)
        failed = run(atelier)

    assert failed.returncode == 3
    assert f"Port {port} on 127.0.0.1 is already in use" in sentence(failed.stderr)
    assert atelier.processes() == []


@both
@pytest.mark.parametrize("folder", ["file/data", UNWRITABLE])
def test_a_data_folder_that_cannot_be_written_is_named(
    atelier: CommandLine, command: Command, folder: str
) -> None:
    (atelier.home / "file").write_text("no folder")
    (atelier.home / "read-only").mkdir(mode=0o555)
    atelier.env["ATELIER_DATA_DIR"] = str(atelier.home / folder)
    failed = command(atelier)

    assert (failed.returncode, failed.stdout) == (3, "")
    told = sentence(failed.stderr)
    assert str(atelier.home / folder) in told
    assert "ATELIER_DATA_DIR" in told
    assert atelier.files() == ["file", "read-only"]
    assert atelier.processes() == []


@both
def test_pictures_that_have_no_place_are_told_of_at_the_start(
    atelier: CommandLine, command: Command
) -> None:
    (atelier.home / "file").write_text("no folder")
    atelier.env["ATELIER_STORAGE_URL"] = str(atelier.home / "file")
    failed = command(atelier)

    assert (failed.returncode, failed.stdout) == (3, "")
    assert "ATELIER_STORAGE_URL" in sentence(failed.stderr)
    assert atelier.processes() == []


@both
def test_a_damaged_database_is_left_alone_and_named(atelier: CommandLine, command: Command) -> None:
    atelier.data.mkdir()
    damaged = b"SQLite format 3\x00" + b"\xff" * 4096
    (atelier.data / "jobs.db").write_bytes(damaged)
    failed = command(atelier)

    assert (failed.returncode, failed.stdout) == (3, "")
    assert "jobs.db is damaged" in sentence(failed.stderr)
    assert (atelier.data / "jobs.db").read_bytes() == damaged
    assert atelier.files() == []
    assert atelier.processes() == []


@both
def test_a_newer_database_is_refused(atelier: CommandLine, command: Command) -> None:
    atelier.data.mkdir()
    with sqlite3.connect(atelier.data / "jobs.db") as database:
        database.execute("PRAGMA user_version = 99")
    failed = command(atelier)

    assert (failed.returncode, failed.stdout) == (3, "")
    assert "newer Atelier" in sentence(failed.stderr)
    assert atelier.processes() == []


@both
def test_a_full_disk_is_told_at_once_when_no_job_can_be_noted(
    atelier: CommandLine, command: Command
) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    atelier.before = fill
    failed = command(atelier)

    assert (failed.returncode, failed.stdout) == (3, "")
    assert "jobs.db" in sentence(failed.stderr.splitlines()[-1])  # above it there may be a log
    assert atelier.files() == []
    assert atelier.jobs() == []
    assert atelier.processes() == []
