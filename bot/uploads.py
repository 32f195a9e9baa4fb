"""Files that programs upload, by an unguessable id, until they expire.

    uploads/<sha256>     a whole file, synced to disk; several uploads may share it
    uploads/.….part      one that is arriving; the next start removes it

A file's URL is `…/files/uploads/<id>/<name>`, whatever host it was asked from, and what is behind a
URL never changes.

    UploadError           str(error) is a sentence for people
    ├── UploadTooLarge    one file is too large
    ├── QuotaReached      the requester has too much here
    ├── UploadUnknown     no such file or unfinished upload, or no longer
    ├── BadUpload         what was sent makes no file, or the URL already has another one
    └── NotStored         the disk is full or refuses, or the bytes stopped coming
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bot.database import Database
from lora_registry.fetch import (
    FetchError,
    NotSaved,
    PartFile,
    TooLarge,
    decode_data_uri,
    disk_errors_told,
    readable_size,
    remove_leftovers,
)

PREFIX: Final = "/files/uploads/"
KEEP_S: Final = 7 * 86_400.0
KEEP_ADOPTED_S: Final = 86_400.0
"""A data URI serves one job, which keeps its file while it is in flight."""
MAX_DATA_URI: Final = 64 * 2**20
_INLINE: Final = "inline.safetensors"
_GIB: Final = 2**30
_BLOCK: Final = 2**20
_MIN_FREE: Final = 512 * 2**20
_MOST_FILES: Final = 10_000
_SWEPT_AT_ONCE: Final = 1_000
_PATH: Final = re.compile(rf"{PREFIX}(?P<id>[A-Za-z0-9_-]{{32}})/[A-Za-z0-9._-]+\Z")


class UploadError(Exception):
    """Base of the tree."""


class UploadTooLarge(UploadError):
    """The file is beyond the limit for one file."""


class QuotaReached(UploadError):
    """The requester's files take all the room they may."""


class UploadUnknown(UploadError):
    """There is no such file or unfinished upload."""


class BadUpload(UploadError):
    """The pieces make no file, or the URL already has another one."""


class NotStored(UploadError):
    """The file cannot be written."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one file, chosen before its bytes arrive so that its URL can be told.

    `lifetime` is in seconds from when the file is whole.
    """

    id: str
    name: str
    requester: str
    lifetime: float

    @classmethod
    def new(cls, name: str, requester: str, lifetime: float = KEEP_S) -> "Slot":
        """A fresh one. Its name is made safe for a URL, its lifetime at most `KEEP_S`."""
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[-100:] or "upload.bin"
        return cls(secrets.token_urlsafe(24), safe, requester, min(KEEP_S, max(1.0, lifetime)))

    @property
    def path(self) -> str:
        """The path of the file's URL; a stored request may name the file by it alone."""
        return f"{PREFIX}{self.id}/{self.name}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A whole file; `size` is in bytes."""

    name: str
    sha256: str
    size: int
    path: Path


class Uploads:
    """The uploaded files of one instance.

    `max_bytes` bounds one file, `quota` what one requester has here in bytes, files that are
    arriving included; `min_free_bytes` of the disk stay free.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        max_bytes: int = 2 * _GIB,
        quota: int = 10 * _GIB,
        min_free_bytes: int = _MIN_FREE,
        idle_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._database = database
        self._max_bytes = max_bytes
        self._quota = quota
        self._min_free = min_free_bytes
        self._idle_s = idle_s
        self._clock = clock
        self._held: Counter[str] = Counter()  # bytes by requester that belong to no row yet
        self._settling = asyncio.Lock()  # no sweep between a file's name and its row

    async def start(self) -> None:
        """Remove what an earlier process left half-done, and what has expired."""
        await asyncio.to_thread(remove_leftovers, self.folder)
        await self.sweep()

    async def store(self, slot: Slot, content: AsyncIterator[bytes]) -> Upload:
        """Write a file as it arrives. The same bytes for the same slot again change nothing.

        Raises:
            UploadError: nothing of it remains.
        """
        async with self.arriving(self.folder, slot.requester, content) as part:
            async with self._settling:
                path = await self.keep(part)
                await self._note(slot, part)
            return Upload(slot.name, part.sha256, part.size, path)

    async def find(self, reference: str, *, expired: bool = False) -> Upload | None:
        """The file that a URL or path of ours names; with `expired` also one that is about to go,
        which a job in flight may still need.
        """
        if (file_id := _id_in(reference)) is None:
            return None
        row = await self._database.row("SELECT * FROM uploads WHERE id = ?", (file_id,))
        if row is None or (not expired and row["expires_at"] <= self._clock()):
            return None
        return Upload(row["name"], row["sha256"], row["size"], self.folder / row["sha256"])

    async def adopt_data_uris(
        self, fields: Mapping[str, object], requester: str
    ) -> dict[str, object]:
        """A request's fields, with each LoRA that is a `data:` URI stored and named by its path.

        For fields that are not parsed yet: checking the characters of such a URI takes seconds.

        Raises:
            UploadError: one is damaged or too large, or the quota is reached.
        """
        loras = fields.get("loras")
        if not isinstance(loras, list):
            return dict(fields)
        adopted: list[object] = []
        for index, lora in enumerate(loras):
            path = lora.get("path") if isinstance(lora, dict) else None
            if isinstance(path, str) and path[:5].lower() == "data:":
                path = await self._adopt(path, f"loras.{index}.path", requester)
                adopted.append({**lora, "path": path})
            else:
                adopted.append(lora)
        return {**fields, "loras": adopted}

    async def sweep(self) -> None:
        """Delete what has expired, unless a job in flight names it."""
        async with self._settling:
            async with self._database.write() as sql:
                await sql.execute(
                    "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE expires_at <= ?"
                    " AND NOT EXISTS (SELECT 1 FROM jobs WHERE reported_at IS NULL"
                    " AND instr(request, ? || uploads.id)) LIMIT ?)",
                    (self._clock(), PREFIX, _SWEPT_AT_ONCE),
                )
            rows = await self._database.rows("SELECT DISTINCT sha256 FROM uploads")
            needed = frozenset(row["sha256"] for row in rows)
            await asyncio.to_thread(_remove_all_but, self.folder, needed)

    # --- For uploads in several parts too -----------------------------------------------------

    @asynccontextmanager
    async def arriving(
        self, folder: Path, requester: str, content: AsyncIterator[bytes]
    ) -> AsyncGenerator[PartFile, None]:
        """Write what arrives into a part file, which is discarded on leaving unless it was kept.

        Raises:
            UploadError
        """
        files, size = await self._stored(requester)
        if files >= _MOST_FILES:
            raise QuotaReached(f"You have {files:,} files here, which is the limit; {_WAIT}.")
        part, taken = PartFile(folder, self._min_free), 0

        async def flush(block: bytearray) -> None:
            nonlocal taken
            taken += len(block)
            self.hold(requester, len(block))
            if size + self._held[requester] > self._quota:
                raise self._no_room()
            with _disk_told():
                await asyncio.to_thread(part.write, block)

        try:
            with _disk_told():
                await asyncio.to_thread(part.open, 0)
            block = bytearray()
            while chunk := await self._next(content):
                block += chunk
                if taken + len(block) > self._max_bytes:
                    raise UploadTooLarge(
                        f"The file is too large: at most {readable_size(self._max_bytes)} can be "
                        "uploaded. Use a smaller one."
                    )
                if len(block) >= _BLOCK:
                    await flush(block)
                    block = bytearray()
            await flush(block)
            yield part
        finally:
            self.hold(requester, -taken)
            # Shielded: a second cancellation must not stop the tidying.
            await asyncio.shield(asyncio.to_thread(part.discard))

    async def keep(self, part: PartFile, suffix: str = "") -> Path:
        """Give a part file its final name, `<sha256><suffix>`.

        Raises:
            NotStored
        """
        with _disk_told():
            return await asyncio.to_thread(part.keep, suffix)

    def hold(self, requester: str, size: int) -> None:
        """Count bytes against a requester's quota that belong to no whole file yet; negative ones
        are let go.
        """
        self._held[requester] += size
        if not self._held[requester]:
            del self._held[requester]

    # --- Small things -------------------------------------------------------------------------

    async def _next(self, content: AsyncIterator[bytes]) -> bytes:
        """The next bytes; none at the end. An empty chunk in the middle is skipped."""
        try:
            async with asyncio.timeout(self._idle_s):
                async for chunk in content:
                    if chunk:
                        return chunk
        except TimeoutError:
            raise NotStored("The file stopped arriving halfway; send it again.") from None
        return b""

    async def _note(self, slot: Slot, part: PartFile) -> None:
        async with self._database.write() as sql:
            rows = await sql.execute_fetchall("SELECT sha256 FROM uploads WHERE id = ?", (slot.id,))
            for row in rows:
                if row["sha256"] != part.sha256:
                    raise BadUpload("This URL already has another file; ask for a new one.")
                return
            [row] = await sql.execute_fetchall(_STORED, (slot.requester,))
            if row["size"] + part.size > self._quota:
                raise self._no_room()
            await sql.execute(
                "INSERT INTO uploads (id, requester, name, sha256, size, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    slot.id,
                    slot.requester,
                    slot.name,
                    part.sha256,
                    part.size,
                    self._clock() + slot.lifetime,
                ),
            )

    async def _stored(self, requester: str) -> tuple[int, int]:
        """How many files of a requester are here, and their bytes."""
        row = await self._database.row(_STORED, (requester,))
        return (row["files"], row["size"]) if row else (0, 0)

    def _no_room(self) -> QuotaReached:
        return QuotaReached(
            f"Your files would take more than the {readable_size(self._quota)} that you may have "
            f"here; {_WAIT}."
        )

    async def _adopt(self, uri: str, field: str, requester: str) -> str:
        try:
            data, sha256 = await asyncio.to_thread(_decoded, uri)
        except TooLarge as error:
            raise UploadTooLarge(
                f"{field} is a data URI of more than {readable_size(MAX_DATA_URI)}; upload the "
                "file and give its URL."
            ) from error
        except FetchError as error:
            raise BadUpload(f"{field} cannot be read. {error}") from error
        slot = Slot.new(_INLINE, requester, KEEP_ADOPTED_S)
        if (known := await self._known(slot, sha256)) is not None:
            return known.path

        async def blocks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), _BLOCK):
                yield data[start : start + _BLOCK]

        await self.store(slot, blocks())
        return slot.path

    async def _known(self, slot: Slot, sha256: str) -> Slot | None:
        """The slot of an earlier request with the same data URI, kept for as long as this one."""
        async with self._database.write() as sql:
            rows = await sql.execute_fetchall(
                "UPDATE uploads SET expires_at = ? WHERE id = (SELECT id FROM uploads"
                " WHERE sha256 = ? AND requester = ? AND name = ? LIMIT 1) RETURNING id",
                (self._clock() + slot.lifetime, sha256, slot.requester, slot.name),
            )
        return next((replace(slot, id=row["id"]) for row in rows), None)


_WAIT: Final = "wait until some expire, or give LoRAs by their https address"
_STORED: Final = "SELECT count(*) AS files, total(size) AS size FROM uploads WHERE requester = ?"


def is_ours(reference: str) -> bool:
    """Whether a URL or path looks like one of an upload's, here or at another Atelier."""
    return _id_in(reference) is not None


def _id_in(reference: str) -> str | None:
    found = _PATH.search(re.split(r"[?#]", reference, maxsplit=1)[0])
    return found["id"] if found else None


@contextmanager
def _disk_told() -> Generator[None, None, None]:
    try:
        with disk_errors_told():
            yield
    except NotSaved as error:
        raise NotStored(str(error)) from error


def _decoded(uri: str) -> tuple[bytes, str]:
    data = decode_data_uri(uri, MAX_DATA_URI)
    return data, hashlib.sha256(data).hexdigest()


def _remove_all_but(folder: Path, names: Collection[str]) -> None:
    for file in folder.glob("[!.]*"):
        if file.is_file() and file.name not in names:
            file.unlink(missing_ok=True)
