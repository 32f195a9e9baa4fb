"""Uploads in several parts: each part is a file of its own until all are put together.

    uploads/unfinished/<upload id>/<sha256>.<number>

An unfinished upload lives in memory and ends with the process; its parts are removed at the next
start.
"""

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.uploads import BadUpload, QuotaReached, Slot, Upload, Uploads, UploadUnknown

MOST_PARTS: Final = 10_000
_MOST_UNFINISHED: Final = 10
_IDLE_S: Final = 3600.0
_BLOCK: Final = 2**20
_FOLDER: Final = "unfinished"


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    etag: str
    size: int


@dataclass(slots=True)
class _Unfinished:
    slot: Slot
    touched: float
    parts: dict[int, _Part] = field(default_factory=dict)
    completing: asyncio.Lock = field(default_factory=asyncio.Lock)
    file: Upload | None = None

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts.values())


class MultipartUploads:
    """Gathers parts, in any order and several at a time, for `uploads`.

    Every method but the first raises UploadUnknown where there is no such upload, or no longer.
    """

    def __init__(self, uploads: Uploads, clock: Callable[[], float] = time.monotonic) -> None:
        self._uploads = uploads
        self._folder = uploads.folder / _FOLDER
        self._clock = clock
        self._unfinished: dict[str, _Unfinished] = {}

    async def start(self) -> None:
        """Remove what an earlier process left."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def begin(self, slot: Slot) -> str:
        """The id of a new upload.

        Raises:
            QuotaReached: the requester has begun too many.
        """
        unfinished = (u.slot.requester for u in self._unfinished.values() if u.file is None)
        if sum(requester == slot.requester for requester in unfinished) >= _MOST_UNFINISHED:
            raise QuotaReached(
                f"You have {_MOST_UNFINISHED} uploads that are not finished; finish one, or wait "
                "an hour."
            )
        upload_id = secrets.token_urlsafe(24)
        self._unfinished[upload_id] = _Unfinished(slot, self._clock())
        return upload_id

    def slot(self, upload_id: str) -> Slot:
        """What an upload is for."""
        return self._get(upload_id).slot

    async def put(self, upload_id: str, number: int, content: AsyncIterator[bytes]) -> str:
        """Store part `number` (from 1), in place of an earlier one, and return its etag.

        Raises:
            UploadError
        """
        unfinished = self._get(upload_id)
        if not 1 <= number <= MOST_PARTS:
            raise BadUpload(f"The part number is {number}; use 1 to {MOST_PARTS:,}.")
        requester = unfinished.slot.requester
        async with (
            self._uploads.arriving(self._folder / upload_id, requester, content) as file,
            unfinished.completing,  # the parts are being read, and may be gone after
        ):
            if self._get(upload_id).file is not None:
                raise _unknown()
            path = await self._uploads.keep(file, f".{number}")
            earlier = unfinished.parts.get(number)
            unfinished.parts[number] = _Part(path, file.sha256, file.size)
            self._uploads.hold(requester, file.size - (earlier.size if earlier else 0))
            if earlier is not None and earlier.path != path:
                await asyncio.to_thread(earlier.path.unlink, missing_ok=True)
        unfinished.touched = self._clock()
        return file.sha256

    async def complete(self, upload_id: str, parts: Sequence[tuple[int, str]]) -> Upload:
        """Put the parts (number, etag) together in the order of their numbers.

        A client that asks twice gets the same file twice.

        Raises:
            UploadError: the parts are there still where one of them is not the one that was meant.
        """
        unfinished = self._get(upload_id)
        async with unfinished.completing:
            if unfinished.file is not None:
                return unfinished.file
            unfinished.touched = self._clock()
            chosen = [self._part(unfinished, number, etag) for number, etag in sorted(parts)]
            if not chosen or len({number for number, _ in parts}) < len(parts):
                raise BadUpload("The upload names no parts, or one of them twice.")
            held, requester = unfinished.size, unfinished.slot.requester
            self._uploads.hold(requester, -held)  # while the whole file is counted in their place
            try:
                unfinished.file = await self._uploads.store(unfinished.slot, _joined(chosen))
            finally:
                self._uploads.hold(requester, held)
            await self._discard(upload_id, unfinished)
            return unfinished.file

    async def sweep(self) -> None:
        """Give up what has not gone on for an hour."""
        for upload_id, unfinished in list(self._unfinished.items()):
            if self._clock() - unfinished.touched > _IDLE_S and not unfinished.completing.locked():
                del self._unfinished[upload_id]  # first, so that no more parts come
                await self._discard(upload_id, unfinished)

    def _get(self, upload_id: str) -> _Unfinished:
        if (unfinished := self._unfinished.get(upload_id)) is None:
            raise _unknown()
        return unfinished

    @staticmethod
    def _part(unfinished: _Unfinished, number: int, etag: str) -> _Part:
        part = unfinished.parts.get(number)
        if part is None or part.etag != etag.strip('"'):
            raise BadUpload(f"Part {number} has not arrived, or is another one; send it again.")
        return part

    async def _discard(self, upload_id: str, unfinished: _Unfinished) -> None:
        self._uploads.hold(unfinished.slot.requester, -unfinished.size)
        unfinished.parts.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder / upload_id, ignore_errors=True)


async def _joined(parts: Sequence[_Part]) -> AsyncIterator[bytes]:
    for part in parts:
        file = await asyncio.to_thread(part.path.open, "rb")
        with file:
            while block := await asyncio.to_thread(file.read, _BLOCK):
                yield block


def _unknown() -> UploadUnknown:
    return UploadUnknown("There is no such upload, or it was given up; start it again.")
