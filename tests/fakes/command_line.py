"""The installed `atelier` command in a folder of its own, as a person has it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import psutil

from bot.jobs.job import JobState

ATELIER: Final = str(Path(sys.executable).parent / "atelier")
PATIENCE_S: Final = 100.0
"""A busy machine is slow, not wrong."""

_MARK: Final = "SCENARIO_HOME"


def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for {what}"
        time.sleep(0.02)


def sentence(stderr: str) -> str:
    """Check that a person was told one clear sentence, or a few, on one line; return it."""
    assert "Traceback" not in stderr
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].endswith((".", "?")), stderr
    assert "Errno" not in stderr
    return lines[0]


class CommandLine:
    """Runs `atelier` with its data in `home`; whatever still runs at the end is found and ended."""

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        self.data = home / "data"
        self.before: Callable[[], None] | None = None
        """Called in every new process, before it becomes the command."""
        self.env = os.environ | {
            "ATELIER_DATA_DIR": str(self.data),
            "ATELIER_PORT": "0",
            _MARK: str(home),
            "COLUMNS": "100",
            **env,
        }

    def __call__(
        self, *args: str, stdout: IO[Any] | int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [ATELIER, *args],
            cwd=self.home,
            env=self.env,
            text=True,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
            preexec_fn=self.before,
        )

    def start(self, *args: str) -> "subprocess.Popen[str]":
        """Run a command in the background."""
        return subprocess.Popen(
            [ATELIER, *args],
            cwd=self.home,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @contextmanager
    def running(self) -> Iterator["Service"]:
        """`atelier run`, once it says that it is running; stopped at the end if it still is."""
        log = (self.home / f"service-{time.monotonic_ns()}.log").open("w+")
        process = subprocess.Popen(
            [ATELIER, "run"],
            cwd=self.home,
            env=self.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        service = Service(process, log)
        try:
            until(lambda: service.url, "the service")
            yield service
        finally:
            service.stop()
            log.close()

    # --- What there is afterwards --------------------------------------------------------------

    def jobs(self) -> list[dict[str, Any]]:
        """Every row of the database, oldest first."""
        with suppress(sqlite3.OperationalError):
            database = sqlite3.connect(f"file:{self.data}/jobs.db?mode=ro", uri=True, timeout=10)
            try:
                database.row_factory = sqlite3.Row
                return [dict(row) for row in database.execute("SELECT * FROM jobs ORDER BY number")]
            finally:
                database.close()
        return []

    def states(self) -> list[JobState]:
        return [JobState(job["state"]) for job in self.jobs()]

    def drawing(self, number: int = -1) -> bool:
        """The terminal of a job has been told of a step."""
        jobs = self.jobs()
        return bool(jobs) and '"drawing"' in read(self.data / f"terminal/{jobs[number]['id']}.json")

    def freeze(self) -> psutil.Process:
        """Stop the drawing process in the middle of the newest job, which must be a long one."""
        until(self.drawing, "the first step")
        (child,) = self.children()
        child.suspend()
        return child

    def files(self) -> list[str]:
        """What lies in the folder, but for the data and the logs of services."""
        return sorted(
            path.name
            for path in self.home.iterdir()
            if path.name != "data" and path.suffix != ".log"
        )

    def spooled(self) -> list[str]:
        return sorted(path.name for path in self.data.glob("terminal/*"))

    def processes(self, part: str = "") -> list[psutil.Process]:
        """What commands of this folder have left running, with `part` in the command line."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if (
                    process.environ().get(_MARK) == str(self.home)
                    and process.status() != psutil.STATUS_ZOMBIE
                    and part in " ".join(process.cmdline())
                ):
                    found.append(process)
        return found

    def children(self) -> list[psutil.Process]:
        """The drawing processes."""
        return self.processes("backends.local.child")

    def clean_up(self) -> None:
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


class Service:
    """A running `atelier run`."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: IO[str]) -> None:
        self.process = process
        self._log = Path(log.name)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Where it answers; empty until it does."""
        assert self.process.poll() is None or "running at" in self.log, self.log
        _, found, after = self.log.partition("Atelier is running at ")
        return after.split()[0] if found and "\n" in after else ""

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> bool:
        status, body = self.get("/readyz")
        return status == 200 and bool(json.loads(body)["ready"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def read(file: Path) -> str:
    """The file's text; nothing where it has just gone."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
