"""Answers that are about to be shown, on disk: a crash between showing one and saving its receipt
must not leave a message that nobody changes any more, nor show a second one.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from bot.sealing import Vault
from bot.surfaces.discord.receipts import TOKEN_S, Message, read


class Starts:
    """One small file a job, for as long as its interaction's token lives."""

    def __init__(self, folder: Path, vault: Vault, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._vault = vault
        self._clock = clock

    async def note(self, job_id: str, message: Message) -> None:
        """Remember whom an answer is for, before it is given."""
        text = json.dumps(message.receipt(self._vault))
        await asyncio.to_thread(self._write, job_id, text)

    async def find(self, job_id: str) -> Message | None:
        """What was noted before the process died; None where nothing was, or nothing readable."""
        return await asyncio.to_thread(self._read, job_id)

    async def forget(self, job_id: str) -> None:
        """The receipt is saved by now."""
        await asyncio.to_thread(self._path(job_id).unlink, missing_ok=True)

    async def sweep(self) -> None:
        """Delete notes whose tokens have expired."""
        await asyncio.to_thread(self._sweep)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"

    def _write(self, job_id: str, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f"{job_id}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(self._path(job_id))

    def _read(self, job_id: str) -> Message | None:
        try:
            return read(json.loads(self._path(job_id).read_text("utf-8")), self._vault)
        except (OSError, ValueError):
            return None

    def _sweep(self) -> None:
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.stat().st_mtime < self._clock() - TOKEN_S:
                path.unlink(missing_ok=True)
