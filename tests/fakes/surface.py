"""A surface whose messages live in files, as real ones live outside of the process.

`messages/ID.json` is what people see; `calls.log` is every call. Finishing a job twice with the
same end changes nothing that people see, as the port demands.

A prompt may ask for trouble: with the word `gone` the message is gone when the job ends, with
`away=N` the first N calls to finish it fail.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.jobs.job import Job, Receipt
from bot.surfaces.base import Done, Outcome, Progress, SurfaceGone


@dataclass(frozen=True)
class Seen:
    """One change of a message that people could see."""

    job_id: str
    what: str


class RecordingSurface:
    def __init__(self, folder: Path, name: str = "test", pace: float = 0.0) -> None:
        self.folder = folder
        self.pace = pace
        self.states: list[tuple[str, Progress]] = []
        self.gone: set[str] = set()
        self.trouble: list[Exception] = []
        self.point: Callable[[str], None] = lambda name: None
        """Called with the name of every place where a test may kill the process."""
        self._name = name
        (folder / "messages").mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        return self._name

    async def start(self, job: Job) -> Receipt:
        self._log("start", job)
        if self.trouble:
            raise self.trouble.pop()
        path = self._path(job.id)
        if not path.exists():
            self._write(path, {"state": "started", "endings": 0})
        self.point("started")
        return {"message": path.name}

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | None:
        self.states.append((job.id, state))
        return self.pace

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        self._log("finish", job)
        words = dict(word.partition("=")[::2] for word in job.request.prompt.split())
        if job.id in self.gone or "gone" in words:
            raise SurfaceGone(job.id)
        if "away" in words and self.calls("finish", job.id) <= int(words["away"]):
            raise OSError("away")
        if self.trouble:
            raise self.trouble.pop()
        path = self._path(job.id)
        message = json.loads(path.read_text())
        shown = _shown(outcome)
        if message["state"] != shown:
            self._write(path, {"state": shown, "endings": message["endings"] + 1})
        self.point("finished")

    def message(self, job_id: str) -> Any:
        """What people see of a job: its state and how often they saw it end."""
        return json.loads(self._path(job_id).read_text())

    def calls(self, what: str, job_id: str | None = None) -> int:
        log = self.folder / "calls.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(line.startswith(f"{what} {job_id or ''}") for line in lines)

    def _path(self, job_id: str) -> Path:
        return self.folder / "messages" / f"{job_id}.json"

    def _log(self, what: str, job: Job) -> None:
        with (self.folder / "calls.log").open("a") as log:
            log.write(f"{what} {job.id}\n")

    @staticmethod
    def _write(path: Path, message: dict[str, Any]) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(message))
        part.replace(path)


def _shown(outcome: Outcome) -> Any:
    if isinstance(outcome, Done):
        return [f"{p.treatment} {hashlib.sha256(p.data).hexdigest()}" for p in outcome.pictures]
    return outcome.sentence
