"""Posts that are about to be made, on disk: after a crash it is known that they may have been."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Journal:
    """When keys were written, each kept for at least `seconds`.

    A note is one appended line. A process that dies while it writes spoils its own line and no
    other. The older of two files goes when the newer one has become so old, so what is kept stays
    bounded.
    """

    def __init__(
        self, folder: Path, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._now, self._before = folder / "now.jsonl", folder / "before.jsonl"
        self._seconds = seconds
        self._clock = clock
        self._began: float | None = None
        self._writing = threading.Lock()

    async def write(self, key: str) -> None:
        """Note that something is about to be done."""
        await asyncio.to_thread(self._write, key)

    async def find(self, key: str) -> float | None:
        """When this was written last, in seconds since 1970; None where it never was."""
        return await asyncio.to_thread(self._find, key)

    def _write(self, key: str) -> None:
        with self._writing:
            now = self._clock()
            if self._began is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._began = next((at for at, _ in _lines(self._now)), now)
            if now - self._began >= self._seconds:
                self._now.replace(self._before)
                self._began = now
            descriptor = os.open(self._now, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                # The line before may have been cut off by a crash.
                os.write(descriptor, f"\n{json.dumps([now, key])}\n".encode())
            finally:
                os.close(descriptor)

    def _find(self, key: str) -> float | None:
        found = [at for path in (self._before, self._now) for at, one in _lines(path) if one == key]
        return found[-1] if found else None


def _lines(path: Path) -> list[tuple[float, str]]:
    """The notes of a file, oldest first."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.split("\n"):
        try:
            at, key = json.loads(line)
            found.append((float(at), str(key)))
        except (ValueError, TypeError):
            continue
    return found
