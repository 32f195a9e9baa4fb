"""A file in the making: hashed as it is written, and gone unless it is kept."""

import errno
import hashlib
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import BinaryIO, Final

_SUFFIX: Final = ".part"


class PartFile:
    """A hidden file in `folder` that becomes a whole one in a single step.

    Every method blocks and raises OSError; too little space is ENOSPC, also when `min_free_bytes`
    of the disk would not stay free. The lock makes `discard` wait for a write that a cancelled task
    has left behind in its thread, and any call after `discard` or `keep` does nothing.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._path = folder / f".{secrets.token_hex(8)}{_SUFFIX}"
        self._min_free = min_free_bytes
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._over = False
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 (hex) of all that was written."""
        return self._hash.hexdigest()

    def open(self, expected_size: int) -> None:
        """Create the folder and the file if `expected_size` bytes fit on the disk."""
        with self._lock:
            if self._over:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._check_space(expected_size)
            self._file = self._path.open("xb", buffering=0)

    def write(self, data: bytes | bytearray) -> None:
        """Append `data`."""
        with self._lock:
            if self._over or self._file is None:
                return
            self._check_space(len(data))
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._hash.update(data)
            self.size += len(data)

    def keep(self, suffix: str) -> Path:
        """Sync the file to disk and give it its final name, `<sha256><suffix>`."""
        path = self._path.with_name(f"{self.sha256}{suffix}")
        with self._lock:
            if self._over or self._file is None:
                return path
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(path)
            self._over = True
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return path

    def discard(self) -> None:
        """Remove the file unless it was kept."""
        with self._lock:
            if not self._over and self._file is not None:
                self._file.close()
                self._path.unlink(missing_ok=True)
            self._over = True

    def _check_space(self, size: int) -> None:
        if shutil.disk_usage(self._path.parent).free - size < self._min_free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def remove_leftovers(folder: Path) -> int:
    """Remove what a killed process left half-done in `folder`; blocks, returns how many files.

    Call it at start, while nothing is being written there.
    """
    leftovers = list(folder.glob(f".*{_SUFFIX}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
