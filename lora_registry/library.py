"""The LoRA files of this instance: one folder, each file once, named by its SHA-256.

    library/<sha256>.safetensors    a whole file
    library/incoming/               those that are arriving; the next start empties it

    LibraryError            str(error) is a sentence for people
    ├── FileChanged         an alarm: a source gives other bytes than those that were added
    ├── NoSource            no source has the file now
    ├── NoRoom              the quota or the disk is full of files that are in use
    └── StillUsed           a job needs the file now

What is fetched is known by its hash beforehand wherever the registry or the site tells it. Any
source that gives the right bytes will do; other bytes are thrown away, whoever sends them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from lora_registry._arrivals import Arrivals
from lora_registry._intake import Intake
from lora_registry._library_errors import (
    FileChanged,
    LibraryError,
    NoRoom,
    NoSource,
    StillUsed,
    described,
)
from lora_registry._shelf import Loan, Shelf, Shelved
from lora_registry.fetch import (
    FetchError,
    GuardedFetcher,
    HashMismatch,
    NotSaved,
    Progress,
    TooLarge,
)
from lora_registry.models import LocalSource, LoraRecord, Source
from lora_registry.sources.candidate import Candidate, NotThere, SourceError, require_usable
from lora_registry.sources.places import Places, remote_url
from lora_registry.weights import WeightsError, inspect

__all__ = [
    "MIN_FREE",
    "QUOTA",
    "Checked",
    "FileChanged",
    "Ledger",
    "Library",
    "LibraryError",
    "Loan",
    "NoRoom",
    "NoSource",
    "Shelved",
    "StillUsed",
    "described",
]

QUOTA: Final = 20 * 2**30
MIN_FREE: Final = 512 * 2**20

log = structlog.get_logger()


class Ledger(Protocol):
    """Where the registry notes how its sources do."""

    async def mark(self, sha256: str, source: Source, failure: str | None = None) -> None:
        """`source` gave the right bytes just now, or did not: `failure` says why."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was hashed anew. One that is not `sound` was thrown away unless it is in use."""

    sha256: str
    size: int
    sound: bool


class Library:
    """The files. `quota` and `min_free` are in bytes, the latter what the disk must keep free."""

    def __init__(
        self,
        folder: Path,
        fetcher: GuardedFetcher,
        places: Places,
        ledger: Ledger,
        *,
        quota: int = QUOTA,
        min_free: int = MIN_FREE,
    ) -> None:
        self._shelf = Shelf(folder)
        self._intake = Intake(self._shelf, fetcher, quota=quota, min_free=min_free)
        self._places = places
        self._ledger = ledger
        self._arrivals = Arrivals()

    async def start(self) -> None:
        """Remove what a killed process left half-done; only while no other fetches."""
        await asyncio.to_thread(self._shelf.clear_incoming)

    # --- Getting files ------------------------------------------------------------------------

    async def borrow(self, sha256: str) -> Loan | None:
        """Hold a file if it is here."""
        return await asyncio.to_thread(self._shelf.borrow, sha256)

    async def fetch(
        self, record: LoraRecord, sources: Sequence[Source], on_progress: Progress
    ) -> Loan:
        """Hold the file of a LoRA, from the first source that gives the right bytes.

        Whoever needs the same file at once shares the download. Release the loan when the job is
        over: until then nothing throws the file away.

        Raises:
            FileChanged: a source has other bytes, and no other has the right ones.
            NoSource: nobody has it.
            NoRoom, NotSaved: it cannot be kept.
        """

        async def bring(tell: Progress) -> Loan:
            return await self._from_any(record, sources, tell)

        loan = await self.borrow(record.sha256)
        return loan or await self._arrivals.share(record.sha256, bring, on_progress)

    async def add(self, candidate: Candidate, on_progress: Progress) -> Loan:
        """Bring a new LoRA in; all of it is read and every value checked. Its hash is the loan's.

        Raises:
            FetchError: it cannot be had, HashMismatch when its site describes another file.
            SourceError: it is gone, or cannot be used.
            WeightsError: it is damaged.
            NoRoom: it cannot be kept.
        """

        async def bring(tell: Progress) -> Loan:
            loan = await self.borrow(candidate.sha256) if candidate.sha256 else None
            if loan is None:
                loan = await self._bring(candidate.source, candidate.size, candidate.sha256, tell)
            return await self._sound(loan)

        key = candidate.sha256 or candidate.source.model_dump_json()
        return await self._arrivals.share(key, bring, on_progress)

    async def add_address(self, url: str, size: int, on_progress: Progress) -> Loan:
        """Bring in the file at an address whose hash nobody knows; `size` is in bytes.

        Raises:
            FetchError: it cannot be had.
            SourceError, WeightsError: it is no LoRA that can be used.
            NoRoom: it cannot be kept.
        """

        async def bring(tell: Progress) -> Loan:
            return await self._sound(await self._intake.download(url, size, None, tell))

        return await self._arrivals.share(url, bring, on_progress)

    async def _from_any(
        self, record: LoraRecord, sources: Sequence[Source], tell: Progress
    ) -> Loan:
        failures: list[tuple[Source, str]] = []
        alarm: FileChanged | None = None
        async for source in self._with_another(record, sources):
            try:
                loan = await self._unchanged(record, source, tell)
            except NotSaved:
                raise
            except FileChanged as error:
                log.error(
                    "a LoRA was changed at its source",
                    lora=record.name,
                    source=described(source),
                    expected=error.expected,
                    actual=error.actual,
                )
                alarm = alarm or error
                failures.append((source, str(error)))
            except (FetchError, SourceError) as error:
                failures.append((source, str(error)))
            else:
                await self._ledger.mark(record.sha256, source)
                return loan
            await self._ledger.mark(record.sha256, *failures[-1])
        raise alarm or NoSource(record.name, failures)

    async def _with_another(
        self, record: LoraRecord, sources: Sequence[Source]
    ) -> AsyncIterator[Source]:
        """The known sources, and when all of them have failed, one that knows the hash."""
        for source in sources:
            yield source
        with contextlib.suppress(FetchError, SourceError):
            found = await self._places.find_elsewhere(record.sha256)
            if found is not None and found not in sources:
                yield found

    async def _unchanged(self, record: LoraRecord, source: Source, tell: Progress) -> Loan:
        try:
            return await self._bring(source, record.size, record.sha256, tell)
        except HashMismatch as error:
            raise FileChanged(record.name, source, error.expected, error.actual) from error
        except TooLarge as error:
            if error.limit != record.size:
                raise
            raise FileChanged(record.name, source, record.sha256, None) from error

    async def _bring(self, source: Source, size: int, sha256: str | None, tell: Progress) -> Loan:
        if not isinstance(source, LocalSource):
            return await self._intake.download(remote_url(source), size, sha256, tell)
        paths = await asyncio.to_thread(self._places.local_paths, source)
        if not paths:
            raise NotThere(f"There is no file {source.path} in the LoRA folder any more.")
        try:
            *others, last = paths
            for path in others:
                # Another folder may have another file of the same name.
                with contextlib.suppress(HashMismatch, TooLarge):
                    return await self._intake.copy(path, size, sha256, tell)
            return await self._intake.copy(last, size, sha256, tell)
        except OSError as error:
            raise NotThere(
                f"{source.path} in the LoRA folder cannot be read "
                f"({(error.strerror or 'no reason given').lower()})."
            ) from error

    async def _sound(self, loan: Loan) -> Loan:
        """Look at a whole file, and throw it away if it is none that can be used."""
        try:
            require_usable(await asyncio.to_thread(inspect, loan.path, check_values=True))
        except (WeightsError, SourceError):
            loan.release()
            await asyncio.to_thread(self._shelf.throw_away, loan.sha256)
            raise
        except BaseException:
            loan.release()
            raise
        return loan

    # --- Looking after them -------------------------------------------------------------------

    async def files(self) -> list[Shelved]:
        """What is here, the least recently used first."""
        return await asyncio.to_thread(self._shelf.files)

    async def verify(self, only: Collection[str] | None = None) -> AsyncIterator[Checked]:
        """Hash the files anew, one by one; a damaged one is fetched again when it is needed."""
        for file in await self.files():
            if only is not None and file.sha256 not in only:
                continue
            digest = await asyncio.to_thread(self._shelf.digest, file.sha256)
            if digest is None:
                continue
            if digest != file.sha256:
                await asyncio.to_thread(self._shelf.throw_away, file.sha256)
            yield Checked(file.sha256, file.size, sound=digest == file.sha256)

    async def remove(self, sha256: str) -> None:
        """Throw a file away; its LoRA stays known and is fetched again when it is needed.

        Raises:
            StillUsed: a job needs it now.
        """
        if not await asyncio.to_thread(self._shelf.throw_away, sha256):
            raise StillUsed("A job is drawing with this LoRA now. Try again in a few minutes.")
