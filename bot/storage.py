"""Pictures by content: a picture's key is its SHA-256, so equal bytes are kept once.

    pictures/3f/3fa9….png    a picture
    incoming/…               a picture that is being written into a folder

Who uses a picture is the jobs database's business; `sweep` asks it before deleting anything.

    StorageError             str(error) is a sentence for people
    ├── BadKey               no key that `put` could have returned
    ├── PictureMissing
    ├── PictureDamaged       its bytes are not those that were put
    ├── PictureTooLarge
    ├── StorageFull
    ├── StorageDenied        read-only, or not permitted
    └── StorageUnreachable   no answer, or an answer that means nothing here; may pass
"""

import asyncio
import errno
import hashlib
import os
import re
import tempfile
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore

from backends.base import OutputFormat
from backends.errors import shown

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MAX_PICTURE: Final = 64 * 2**20
GRACE: Final = timedelta(hours=1)
"""How long a picture is safe from `sweep`, so that a job can note what it has just put."""
_TIMEOUT_S: Final = 60.0
_INCOMING: Final = "incoming"
_KEY: Final = re.compile(r"pictures/([0-9a-f]{2})/(\1[0-9a-f]{62})\.(?:jpeg|png|webp)")
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})

Keep = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Answers which of these keys somebody still needs. At most a few thousand are asked at once."""


class StorageError(Exception):
    """Base of the tree."""


class BadKey(StorageError):
    """The text is no key of a picture."""


class PictureMissing(StorageError):
    """Nothing is stored under the key."""


class PictureDamaged(StorageError):
    """What is stored under the key is not what was put there."""


class PictureTooLarge(StorageError):
    """The picture is beyond the limit for one picture."""


class StorageFull(StorageError):
    """There is no room."""


class StorageDenied(StorageError):
    """Atelier may not read or write here."""


class StorageUnreachable(StorageError):
    """The storage did not answer, or failed in a way of its own."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One picture in a listing; `modified` is when it was last put."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is stored, in pictures and bytes."""

    pictures: int = 0
    size: int = 0

    def __add__(self, file: StoredFile) -> "Usage":
        return Usage(self.pictures + 1, self.size + file.size)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep deleted and what it left."""

    deleted: Usage
    left: Usage


class PictureStore:
    """Pictures in any store of obstore's. Safe to use from many tasks at once.

    A folder is written durably: when `put` returns, the picture survives a power cut. Two
    processes may share one.
    """

    def __init__(self, store: "ObjectStore", *, max_picture: int = MAX_PICTURE) -> None:
        self._store = store
        self._folder = store.prefix if isinstance(store, LocalStore) else None
        self._max_picture = max_picture
        self._max_read = max(max_picture, MAX_PICTURE)  # the limit may have been lowered since
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @classmethod
    async def in_folder(cls, folder: Path) -> "PictureStore":
        """Open a folder, which is made where it is missing.

        Raises:
            StorageError: it cannot be made or read.
        """
        async with _translated(writing=True):
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            return cls(await asyncio.to_thread(LocalStore, folder))

    async def put(self, data: bytes, output_format: OutputFormat) -> str:
        """Store a picture and return its key. Putting it again only renews its age.

        Raises:
            PictureTooLarge, StorageError: nothing was stored.
        """
        if len(data) > self._max_picture:
            raise PictureTooLarge(_too_large(len(data), self._max_picture))
        digest = await asyncio.to_thread(_sha256, data)
        key = f"pictures/{digest[:2]}/{digest}.{output_format}"
        async with self._lock(key), _translated(writing=True):
            # obstore does not flush a local file to disk, and has no option that would.
            if self._folder is not None:
                await asyncio.to_thread(_write_durably, self._folder, key, data)
            else:
                await obstore.put_async(self._store, key, data, use_multipart=False)
        return key

    async def get(self, key: str) -> bytes:
        """Return the picture, after checking that it is the one that was put.

        Raises:
            BadKey, PictureMissing, PictureDamaged, StorageError
        """
        digest = _digest(key)
        async with _translated():
            found = await obstore.get_async(self._store, key)
            size = found.meta["size"]
            data = bytes(await found.bytes_async()) if size <= self._max_read else b""
        if await asyncio.to_thread(_sha256, data) != digest:
            raise PictureDamaged("The stored picture is damaged; draw it again.")
        return data

    async def exists(self, key: str) -> bool:
        return await self._modified(key) is not None

    async def delete(self, key: str) -> None:
        """Delete the picture if it is there, whoever may need it."""
        _digest(key)
        async with self._lock(key):
            await self._delete(key)

    async def files(self, shard: str = "") -> AsyncIterator[StoredFile]:
        """List every picture, or those whose hash begins with the two digits of `shard`."""
        async for file in self._listed(f"pictures/{shard}"):
            if _KEY.fullmatch(file.key):
                yield file

    async def usage(self) -> Usage:
        """Count what is stored, file by file."""
        usage = Usage()
        async for file in self.files():
            usage += file
        return usage

    async def sweep(self, keep: Keep, *, older_than: timedelta = GRACE) -> Swept:
        """Delete the pictures that `keep` does not name and that nobody has put for a while.

        Whoever wants to keep an older picture must have noted it before `keep` is asked, or `put`
        it again. Nothing younger than `GRACE` is ever deleted, and no file that is not ours.
        """
        limit = datetime.now(UTC) - max(older_than, GRACE)
        deleted = left = Usage()
        for number in range(256):  # by shard: bounded memory, and no listing while deleting
            files = [file async for file in self.files(f"{number:02x}")]
            old = {file.key for file in files if file.modified < limit}
            unwanted = old.difference(await keep(sorted(old))) if old else old
            for file in files:
                if file.key in unwanted and await self._delete_if_old(file.key, limit):
                    deleted += file
                else:
                    left += file
        if self._folder is not None:
            abandoned = [file async for file in self._listed(_INCOMING) if file.modified < limit]
            for file in abandoned:
                await self._delete(file.key)
        return Swept(deleted, left)

    async def _delete_if_old(self, key: str, limit: datetime) -> bool:
        """Delete unless it was put again since it was listed."""
        async with self._lock(key):
            modified = await self._modified(key)
            if modified is None or modified >= limit:
                return False
            await self._delete(key)
            return True

    async def _modified(self, key: str) -> datetime | None:
        _digest(key)
        try:
            async with _translated():
                return (await obstore.head_async(self._store, key))["last_modified"]
        except PictureMissing:
            return None

    async def _delete(self, key: str) -> None:
        try:
            async with _translated():
                await obstore.delete_async(self._store, key)
        except PictureMissing:
            pass

    async def _listed(self, prefix: str) -> AsyncIterator[StoredFile]:
        listing = obstore.list(self._store, prefix, chunk_size=1_000)
        while True:
            async with _translated():
                files = await anext(listing, None)
            if files is None:
                return
            for file in files:
                yield StoredFile(file["path"], file["size"], file["last_modified"])

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


def _digest(key: str) -> str:
    """Return the hash in a key, which nothing but a picture's own key survives.

    Raises:
        BadKey: it is not of the form that `put` returns.
    """
    if (match := _KEY.fullmatch(key)) is None:
        raise BadKey(f"{shown(key)} is no stored picture.")
    return match[2]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _too_large(size: int, limit: int) -> str:
    return f"The picture has {size / 2**20:.1f} MB; at most {limit / 2**20:.1f} MB are stored."


def _write_durably(folder: Path, key: str, data: bytes) -> None:
    """Write beside, flush, rename into place, flush the folders that name it."""
    target, incoming = folder / key, folder / _INCOMING
    target.parent.mkdir(parents=True, exist_ok=True)
    incoming.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=incoming)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    for parent in (target.parent, target.parent.parent, folder):
        descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@asynccontextmanager
async def _translated(*, writing: bool = False) -> AsyncGenerator[None, None]:
    """Bound the wait and turn what goes wrong into our own errors; the cause stays attached."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise StorageUnreachable(
            f"The storage for pictures did not answer within {_TIMEOUT_S:.0f} seconds;"
            " check the disk or the service, then try again."
        ) from error
    except FileNotFoundError as error:
        if writing:  # a folder that cannot be made, not a picture that is gone
            raise StorageDenied(_DENIED_TEXT) from error
        raise PictureMissing("The picture is no longer stored; draw it again.") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StorageDenied(_DENIED_TEXT) from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageFull(
                "There is no room left to store pictures; free some space, then try again."
            ) from error
        if error.errno in _DENIED:
            raise StorageDenied(_DENIED_TEXT) from error
        raise StorageUnreachable(_FAILED_TEXT) from error
    except BaseError as error:
        raise StorageUnreachable(_FAILED_TEXT) from error


_DENIED_TEXT: Final = (
    "Pictures cannot be stored or read: Atelier has no permission for the place that"
    " ATELIER_STORAGE_URL names. Make it writable, then try again."
)
_FAILED_TEXT: Final = (
    "The storage for pictures failed; check the place that ATELIER_STORAGE_URL names, then try"
    " again."
)
