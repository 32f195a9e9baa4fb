"""Brings files onto the shelf: room first, then the bytes, then a hold on what has arrived."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from lora_registry._library_errors import NoRoom
from lora_registry._partfile import PartFile
from lora_registry._shelf import SUFFIX, Loan, Shelf
from lora_registry.fetch import (
    GuardedFetcher,
    HashMismatch,
    Progress,
    TooLarge,
    disk_errors_told,
    readable_size,
)

_BLOCK: Final = 8 * 2**20


class Intake:
    """`quota` and `min_free` are in bytes, the latter what the disk must keep free."""

    def __init__(self, shelf: Shelf, fetcher: GuardedFetcher, *, quota: int, min_free: int) -> None:
        self._shelf = shelf
        self._fetcher = fetcher
        self._quota = quota
        self._min_free = min_free
        self._making_room = asyncio.Lock()
        self._reserved = 0

    async def download(self, url: str, size: int, sha256: str | None, tell: Progress) -> Loan:
        """Bring in at most `size` bytes from `url`.

        Raises:
            FetchError: they cannot be had, HashMismatch when they are not those of `sha256`.
            NoRoom
        """
        async with self._room(size):
            tell(0, size)
            download = await self._fetcher.download(
                url,
                self._shelf.incoming,
                suffix=SUFFIX,
                expected_sha256=sha256,
                max_bytes=size,
                on_progress=lambda saved, _: tell(saved, size),
            )
            return await self._take_in(download.path, download.sha256)

    async def copy(self, path: Path, size: int, sha256: str | None, tell: Progress) -> Loan:
        """Bring in a file of this machine.

        Raises:
            OSError: it cannot be opened.
            HashMismatch, TooLarge: it is not that of `sha256` and `size`.
            NotSaved: it cannot be read to its end, or not be written.
            NoRoom
        """
        file = await asyncio.to_thread(path.open, "rb")
        part = PartFile(self._shelf.incoming, self._min_free)
        with file:
            async with self._room(size):
                try:
                    await self._fill(part, file, size, tell)
                    _check_hash(sha256, part.sha256)
                    with disk_errors_told():
                        arrived = await asyncio.to_thread(part.keep, SUFFIX)
                except BaseException:
                    # Shielded: a second cancellation must not stop the tidying.
                    await asyncio.shield(asyncio.to_thread(part.discard))
                    raise
                return await self._take_in(arrived, part.sha256)

    @staticmethod
    async def _fill(part: PartFile, file: BinaryIO, size: int, tell: Progress) -> None:
        with disk_errors_told():
            await asyncio.to_thread(part.open, size)
            while block := await asyncio.to_thread(file.read, _BLOCK):
                if part.size + len(block) > size:
                    raise TooLarge(size)
                await asyncio.to_thread(part.write, block)
                tell(part.size, size)

    async def _take_in(self, arrived: Path, sha256: str) -> Loan:
        with disk_errors_told():
            await asyncio.to_thread(self._shelf.take_in, arrived, sha256)
            loan = await asyncio.to_thread(self._shelf.borrow, sha256)
        if loan is None:  # another process needed the room
            raise NoRoom("The LoRA was thrown away as soon as it was here. Try again later.")
        return loan

    @contextlib.asynccontextmanager
    async def _room(self, size: int) -> AsyncIterator[None]:
        """Make room for a file on its way, by throwing away what was used longest ago."""
        async with self._making_room:
            with disk_errors_told():
                fits = await asyncio.to_thread(
                    self._shelf.make_room,
                    size + self._reserved,
                    quota=self._quota,
                    min_free=self._min_free,
                )
            if not fits:
                raise NoRoom(
                    f"There is no room for a LoRA of {readable_size(size)}: at most "
                    f"{readable_size(self._quota)} are kept here, and what is here is in use, or "
                    "the disk is full. Try again later, or ask the owner for more room."
                )
            self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size


def _check_hash(expected: str | None, actual: str) -> None:
    if expected and expected != actual:
        raise HashMismatch(expected, actual)
