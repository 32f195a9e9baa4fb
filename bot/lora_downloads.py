"""LoRAs from the web: fetched once, kept up to a number of bytes, the least recently used going.

    lora-cache/<sha256>.safetensors      a whole file
    lora-cache/.….part                   one that is arriving; the next start removes it

Which address led to which file is a row in the jobs database, so that a restart fetches nothing
again. An address may hold a token: only its hash is written down.
"""

import asyncio
import contextlib
import hashlib
import re
import time
import urllib.parse
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from backends.base import ModelName
from bot.database import Database
from bot.jobs.supervisor import LoraUnavailable, Report
from bot.lora_folder import SUFFIX, require_fit
from lora_registry.fetch import (
    AddressRefused,
    FetchError,
    GuardedFetcher,
    NotFetched,
    remove_leftovers,
)
from lora_registry.weights import HeaderIncomplete, LoraInfo, WeightsError, inspect, inspect_header

QUOTA: Final = 20 * 2**30
IN_USE_S: Final = 3600.0
"""A job ends within half an hour of its LoRAs being prepared (the supervisor's deadline), so a file
that nobody has asked for within an hour is used by none."""
_FIRST_READ: Final = 64 * 1024
_SECRET_NAME: Final = re.compile(
    r"token|key|sig|auth|secret|passw|credential|policy|expires|jwt", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file in the cache; `public` is None until it was found out."""

    path: Path
    sha256: str
    info: LoraInfo
    public: bool | None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that fits; `public` where anybody may fetch the same address."""

    path: Path
    sha256: str
    public: bool


class LoraDownloads:
    """LoRAs by https address.

    `fetcher` may have tokens and trust private hosts. `anonymous` must do neither: what it reaches,
    a service such as fal can fetch by itself. `quota` is in bytes.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        fetcher: GuardedFetcher,
        anonymous: GuardedFetcher,
        *,
        quota: int = QUOTA,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._folder = folder
        self._fetcher = fetcher
        self._anonymous = anonymous
        self._quota = quota
        self._clock = clock
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._arriving: dict[str, int] = {}
        self._making_room = asyncio.Lock()

    async def start(self) -> None:
        """Remove what an earlier process left half-done, or did not come to note."""
        await asyncio.to_thread(remove_leftovers, self._folder)
        rows = await self._database.rows("SELECT DISTINCT sha256 FROM lora_downloads")
        known = {self._path(row["sha256"]) for row in rows}
        await asyncio.to_thread(_remove_strangers, self._folder, known)

    def check(self, url: str) -> None:
        """Look at the address alone, without asking anybody.

        Raises:
            LoraUnavailable
        """
        try:
            self._fetcher.check(url)
        except AddressRefused as error:
            raise _unavailable(url, error) from error

    async def get(self, url: str, architecture: ModelName, report: Report) -> Downloaded:
        """The file behind `url`, which fits `architecture`; jobs that need it at once wait for one.

        Raises:
            LoraUnavailable: it cannot be had, is no LoRA, or does not fit.
        """
        address = hashlib.sha256(url.encode()).hexdigest()
        lock = self._locks.setdefault(address, asyncio.Lock())
        title = f"downloading the LoRA {file_name(url)}"
        if lock.locked():
            report(title, None)
        async with lock:
            try:
                found = await self._kept(address)
                if found is None:
                    report(title, None)
                    found = await self._fetch(
                        url, address, architecture, lambda part: report(title, part)
                    )
                require_fit(_label(url), found.info, architecture)
                public = found.public
                if public is None:
                    public = await self._find_out(url, address)
            except (FetchError, WeightsError) as error:
                raise _unavailable(url, error) from error
            except OSError as error:
                why = LoraUnavailable(f"Its file cannot be read here: {error.strerror or error}.")
                raise _unavailable(url, why) from error
        return Downloaded(found.path, found.sha256, public)

    # --- Getting a file -----------------------------------------------------------------------

    async def _kept(self, address: str) -> "_Kept | None":
        # With the lock, nothing is thrown away between the look and the note.
        async with self._making_room, self._database.write() as sql:
            rows = await sql.execute_fetchall(
                "UPDATE lora_downloads SET used_at = ? WHERE address = ?"
                " RETURNING sha256, is_public",
                (self._clock(), address),
            )
        for row in rows:
            path, public = self._path(row["sha256"]), row["is_public"]
            with contextlib.suppress(OSError):  # somebody has tidied the folder
                info = await asyncio.to_thread(inspect, path)
                return _Kept(path, row["sha256"], info, None if public is None else bool(public))
        return None

    async def _fetch(
        self,
        url: str,
        address: str,
        architecture: ModelName,
        progress: Callable[[float], None],
    ) -> "_Kept":
        info = await self._look(url)
        require_fit(_label(url), info, architecture)
        await self._make_room(address, info.size)
        try:
            download = await self._fetcher.download(
                url,
                self._folder,
                suffix=SUFFIX,
                max_bytes=info.size,
                on_progress=lambda saved, _total: progress(saved / info.size),
            )
            # With the lock, nothing throws it away before it is noted.
            async with self._making_room:
                info = await self._inspect_or_remove(download.path)
                async with self._database.write() as sql:
                    await sql.execute(
                        "INSERT OR REPLACE INTO lora_downloads (address, sha256, size, used_at)"
                        " VALUES (?, ?, ?, ?)",
                        (address, download.sha256, download.size, self._clock()),
                    )
        finally:
            del self._arriving[address]
        return _Kept(download.path, download.sha256, info, None)

    @staticmethod
    async def _inspect_or_remove(path: Path) -> LoraInfo:
        try:
            return await asyncio.to_thread(inspect, path)
        except WeightsError:  # so no other address has led to these bytes
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise

    async def _look(self, url: str) -> LoraInfo:
        """Read the header alone: a file for another model is refused before it is fetched."""
        start = await self._fetcher.read_start(url, _FIRST_READ)
        try:
            return await asyncio.to_thread(inspect_header, start.data, start.total_size)
        except HeaderIncomplete as error:
            start = await self._fetcher.read_start(url, error.needed)
            return await asyncio.to_thread(inspect_header, start.data, start.total_size)

    async def _find_out(self, url: str, address: str) -> bool:
        """Whether anybody may fetch the address, noted where that can be told now."""
        parts = httpx.URL(url)
        public = parts.scheme == "https" and not any(map(_SECRET_NAME.search, parts.params))
        try:
            if public:
                await self._anonymous.read_start(url, 1)
        except (NotFetched, AddressRefused):
            public = False
        except FetchError:
            return False  # it may answer the next time
        async with self._database.write() as sql:
            await sql.execute(
                "UPDATE lora_downloads SET is_public = ? WHERE address = ?", (public, address)
            )
        return public

    # --- Room ---------------------------------------------------------------------------------

    async def _make_room(self, address: str, size: int) -> None:
        """Throw away what was used longest ago, until `size` bytes more are within the quota.

        Raises:
            LoraUnavailable: everything that is here may be in use.
        """
        async with self._making_room:
            rows = await self._database.rows(
                "SELECT sha256, max(size) AS size, max(used_at) AS used_at FROM lora_downloads"
                " GROUP BY sha256 ORDER BY used_at"
            )
            total = sum(row["size"] for row in rows) + sum(self._arriving.values()) + size
            idle_since = self._clock() - IN_USE_S
            for row in rows:
                if total <= self._quota or row["used_at"] > idle_since:
                    break
                async with self._database.write() as sql:
                    await sql.execute(
                        "DELETE FROM lora_downloads WHERE sha256 = ?", (row["sha256"],)
                    )
                await asyncio.to_thread(self._path(row["sha256"]).unlink, missing_ok=True)
                total -= row["size"]
            if total > self._quota:
                raise LoraUnavailable(
                    "There is no room for another LoRA now: those that are here were all used "
                    "within the last hour. Try again later, or ask the owner for a smaller one."
                )
            self._arriving[address] = size

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{SUFFIX}"


def _remove_strangers(folder: Path, known: Collection[Path]) -> None:
    for file in folder.glob(f"*{SUFFIX}"):
        if file not in known:
            file.unlink(missing_ok=True)


def file_name(url: str) -> str:
    """What people call the file behind a URL: the last part of its path, without its ending."""
    last = urllib.parse.unquote(without_query(url).rstrip("/").rpartition("/")[2])
    return "".join(char for char in last if char.isprintable()).removesuffix(SUFFIX)[:100] or "?"


def without_query(url: str) -> str:
    """The URL without what may hold a token."""
    return re.split(r"[?#]", url, maxsplit=1)[0]


def _label(url: str) -> str:
    """Host and path, at most 120 characters of them."""
    label = re.sub(r"^[^/]*@", "", without_query(url).partition("://")[2])
    return label if len(label) <= 120 else f"{label[:119]}…"


def _unavailable(url: str, error: Exception) -> LoraUnavailable:
    """Say which LoRA, unless the error does."""
    label = _label(url)
    return LoraUnavailable(
        str(error) if label in str(error) else f"The LoRA {label} cannot be used. {error}"
    )
