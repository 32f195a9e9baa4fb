"""Files in one folder, named by their SHA-256, that nobody takes away while somebody uses them.

A file that is in use carries a shared lock of the kernel (flock), one that is being thrown away an
exclusive one. That holds between processes, and a killed process leaves no lock behind. When a file
was used last is its time of modification: its bytes never change.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

SUFFIX: Final = ".safetensors"
_NAME: Final = re.compile(rf"([0-9a-f]{{64}}){re.escape(SUFFIX)}")


class Loan:
    """A file that stays where it is until `release`, or until nobody has this loan any more."""

    def __init__(self, path: Path, sha256: str, held: BinaryIO) -> None:
        self.path = path
        self.sha256 = sha256
        self._held = held

    def again(self) -> "Loan":
        """The same file for somebody else: it stays until both have released it."""
        return Loan(self.path, self.sha256, os.fdopen(os.dup(self._held.fileno()), "rb"))

    def release(self) -> None:
        """Let the file go; any number of times."""
        self._held.close()

    def until_done(self, task: asyncio.Task[object]) -> None:
        """Release the file when `task` ends, however it ends."""
        task.add_done_callback(lambda _: self.release())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class Shelved:
    """A file that is here; `used_at` in seconds since 1970."""

    sha256: str
    size: int
    used_at: float


class Shelf:
    """The folder. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"

    def path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}{SUFFIX}"

    def borrow(self, sha256: str) -> Loan | None:
        """Hold a file and note that it was used; None where it is not here."""
        path = self.path(sha256)
        try:
            held = path.open("rb")
        except FileNotFoundError:
            return None
        loan = Loan(path, sha256, held)
        if not _lock(held, fcntl.LOCK_SH) or os.fstat(held.fileno()).st_nlink == 0:
            loan.release()  # it is being thrown away, or was since it was opened
            return None
        os.utime(path)
        return loan

    def take_in(self, arrived: Path, sha256: str) -> None:
        """Move a file in from `incoming`. One that is here already stays: somebody may hold it."""
        path = self.path(sha256)
        try:
            os.link(arrived, path)
        except (FileExistsError, FileNotFoundError):
            pass  # somebody has brought the same bytes in meanwhile
        except OSError:  # a disk without hard links
            arrived.replace(path)
        arrived.unlink(missing_ok=True)
        _sync(self.folder)

    def clear_incoming(self) -> None:
        """Remove what a killed process left behind; only while no other is bringing files in."""
        for path in self.incoming.glob("*"):
            path.unlink(missing_ok=True)

    def throw_away(self, sha256: str) -> bool:
        """Remove a file unless somebody uses it; says whether it is gone."""
        path = self.path(sha256)
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if not _lock(file, fcntl.LOCK_EX):
                return False
            path.unlink(missing_ok=True)
        return True

    def files(self) -> list[Shelved]:
        """What is here, the least recently used first."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if name := _NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):
                        stat = entry.stat()
                        found.append(Shelved(name[1], stat.st_size, stat.st_mtime))
        return sorted(found, key=lambda file: file.used_at)

    def make_room(self, size: int, *, quota: int, min_free: int) -> bool:
        """Throw away what was used longest ago until `size` bytes more fit; says whether they do.

        They fit when all files together are within `quota` and the disk keeps `min_free`.
        """
        self.incoming.mkdir(parents=True, exist_ok=True)
        files = self.files()
        here = sum(file.size for file in files)
        free = shutil.disk_usage(self.folder).free
        needed = max(here + size - quota, size + min_free - free)
        if needed > here:
            return False
        for file in files:
            if needed <= 0:
                break
            if self.throw_away(file.sha256):
                needed -= file.size
        return needed <= 0

    def digest(self, sha256: str) -> str | None:
        """Hash a file anew; None where it is not here."""
        with contextlib.suppress(FileNotFoundError), self.path(sha256).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return None


def _lock(file: BinaryIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
