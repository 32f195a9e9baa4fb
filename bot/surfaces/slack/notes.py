"""What has been done about a job at Slack, on disk.

A crash between a call to Slack and the database must neither lose a message nor show it twice.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from bot.surfaces.slack.receipts import Message, Where

KEPT_S: Final = 7 * 86_400.0
"""How long notes are kept: longer than any delivery is tried."""


class Note(BaseModel):
    """`asked` is where the job was asked for, `leaving` a message that is to be taken away.

    `files` are Slack's ids of the pictures that were uploaded, by their index. `posting` says that
    the result may have been posted, from the time `begun` on (seconds since 1970), `posted` is the
    `ts` under which it certainly was, and `whole` that Slack has taken all pictures that may be
    shown there. Where that took the place of an older message, `old_files` are the files of the
    latter, and `cleared` says that it is gone with them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked: Where | None = None
    leaving: Message | None = None
    files: dict[int, str] = {}
    posting: bool = False
    begun: float | None = None
    posted: str | None = None
    whole: bool = True
    old_files: tuple[str, ...] = ()
    cleared: bool = False


class Notes:
    """One small file a job."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    async def read(self, job_id: str) -> Note:
        """What was noted; an empty note where nothing was, or nothing readable."""
        return await asyncio.to_thread(self._read, job_id)

    async def write(self, job_id: str, note: Note) -> None:
        """Note it for good before going on."""
        await asyncio.to_thread(self._write, job_id, note.model_dump_json(exclude_defaults=True))

    async def forget(self, job_id: str) -> None:
        """Nothing was ever noted."""
        await asyncio.to_thread(self._path(job_id).unlink, missing_ok=True)

    async def of(self, job_id: str) -> dict[str, Note]:
        """The notes of all posts of a job, by their names."""
        return await asyncio.to_thread(self._of, job_id)

    async def leaving(self) -> dict[str, Message]:
        """The messages that are still to be taken away, by the names of their notes."""
        return await asyncio.to_thread(self._leaving)

    async def sweep(self) -> None:
        """Delete what is older than anybody needs."""
        await asyncio.to_thread(self._sweep)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"

    def _read(self, job_id: str) -> Note:
        try:
            return Note.model_validate_json(self._path(job_id).read_bytes())
        except (OSError, ValueError):
            return Note()

    def _of(self, job_id: str) -> dict[str, Note]:
        names = [path.stem for path in self._folder.glob(f"{job_id}-*.json")]
        return {name: self._read(name) for name in sorted(names)}

    def _leaving(self) -> dict[str, Message]:
        notes = {path.stem: self._read(path.stem) for path in self._folder.glob("*-progress.json")}
        return {name: note.leaving for name, note in notes.items() if note.leaving is not None}

    def _write(self, job_id: str, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f"{job_id}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path(job_id))

    def _sweep(self) -> None:
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.stat().st_mtime < self._clock() - KEPT_S:
                path.unlink(missing_ok=True)
