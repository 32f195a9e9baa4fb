"""Which files a service already has: a small book on disk.

It may be lost or damaged at any time: then files are uploaded once more.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

log = structlog.get_logger()

MAX_ENTRIES: Final = 1000
_MAX_BYTES: Final = 4 * 2**20


class _Entry(BaseModel):
    url: str
    until: float


class _Page(BaseModel):
    """Entries by `SHA-256 service`."""

    uploads: dict[str, _Entry] = {}


class UploadBook:
    """Remembers addresses in the file `path` until they end, at most `MAX_ENTRIES` of them.

    `clock` gives seconds since 1970. The lock is one of threads, because a task that is cancelled
    leaves its thread behind.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    async def find(self, service: str, sha256: str) -> str | None:
        """Where `service` has the file, if it still does."""
        uploads = await asyncio.to_thread(self._read)
        entry = uploads.get(_key(service, sha256))
        return entry.url if entry else None

    async def keep(self, service: str, sha256: str, url: str, until: float) -> None:
        """Remember `url` until then. A book that cannot be written costs an upload, not the job."""
        entry = _Entry(url=url, until=until)
        await asyncio.to_thread(self._change, _key(service, sha256), entry)

    async def forget(self, service: str, sha256: str) -> None:
        """The service does not have the file any more."""
        await asyncio.to_thread(self._change, _key(service, sha256), None)

    def _read(self) -> dict[str, _Entry]:
        try:
            with self._path.open("rb") as file:
                page = _Page.model_validate_json(file.read(_MAX_BYTES))
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError):
            log.warning("the book of uploads cannot be read; files are uploaded once more")
            return {}
        now = self._clock()
        return {key: entry for key, entry in page.uploads.items() if entry.until > now}

    def _change(self, key: str, entry: _Entry | None) -> None:
        with self._lock:
            uploads = self._read()
            uploads.pop(key, None)
            if entry:
                uploads[key] = entry
            newest = sorted(uploads.items(), key=lambda item: item[1].until)[-MAX_ENTRIES:]
            document = _Page(uploads=dict(newest)).model_dump_json(indent=1)
            new = self._path.with_name(f"{self._path.name}.new")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with new.open("w", encoding="utf-8") as file:
                    file.write(document)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self._path)
            except OSError as error:
                log.warning("the book of uploads cannot be written", reason=error.strerror)


def _key(service: str, sha256: str) -> str:
    return f"{sha256} {service}"
