"""What is kept about a person: told, given to them, and erased.

Erasing goes in steps, each of which is whole: what waits is ended, jobs are forgotten page by page
with their pictures, then settings, then what the registry has. A crash between two of them leaves
the rest for the next time; pictures that no job has any more are swept within hours.
"""

import asyncio
import gzip
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, Final

import structlog

from bot.commands.jobs import Canceller
from bot.community_store import CommunityStore
from bot.jobs.job import Job
from bot.jobs.reports import ReportStore
from bot.jobs.store import JobStore
from bot.storage import PictureStore, StorageError
from lora_registry.models import Viewer
from lora_registry.people import PeopleStore

ENDING_S: Final = 20.0
"""How long erasing waits for jobs to end, which takes a moment as a rule."""
_LOOK_S: Final = 0.2
_PAGE: Final = 50
_ERASED_AT_ONCE: Final = 500
_KEYS: Final = 5000
_MOST_UNPACKED: Final = 2**30

ERASING: Final = (
    "What waits or is being drawn is cancelled.",
    "Your jobs with prompts and pictures go, wherever you asked for them; so do your defaults, "
    "presets, likes and reports. Others can no longer use your presets; what they forked stays "
    "theirs.",
    "What you drew today stays as bare numbers until midnight (UTC), so that limits and budgets "
    "hold. Lines that say what was changed in a community stay without your name. If a community "
    "made you a moderator or blocked you, it keeps that.",
)
"""What erasing does and what stays, a sentence or two each."""

log = structlog.get_logger()


class PrivacyError(Exception):
    """Nothing was given or erased; str() tells the person why and what to do."""


@dataclass(frozen=True, slots=True)
class Keeps:
    """How long this instance keeps things, in days; 0 is for ever. `services` also see prompts."""

    jobs_days: int
    pictures_days: int
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Export:
    """A file with everything about a person, open at its start; it closes itself."""

    name: str
    file: BufferedIOBase


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased. `left` counts jobs that had not ended in time and are still there; with
    `swept_later` some pictures could not be deleted yet."""

    jobs: int
    left: int
    swept_later: bool

    def told(self) -> tuple[str, ...]:
        """The same in sentences."""
        count = f"{self.jobs} job{'' if self.jobs == 1 else 's'}"
        said = [f"Erased: {count} with prompts and pictures, and all else that was kept about you."]
        if self.left:
            said.append(
                f"{self.left} of your jobs had not ended yet and are still there. Erase once more "
                "in a minute."
            )
        if self.swept_later:
            said.append("The storage did not answer: some pictures go within a few hours instead.")
        return tuple(said)


class Privacy:
    """What people at one surface may do with what is kept about them.

    `forget_start` lets the surface forget what it may have noted of a job. Files that are being
    made lie in `folder`, without a name.
    """

    def __init__(
        self,
        *,
        jobs: JobStore,
        reports: ReportStore,
        communities: CommunityStore,
        people: PeopleStore,
        pictures: PictureStore,
        canceller: Canceller,
        forget_start: Callable[[str], Awaitable[None]],
        surface: str,
        keeps: Keeps,
        folder: Path,
        ending_s: float = ENDING_S,
    ) -> None:
        self._jobs = jobs
        self._reports = reports
        self._communities = communities
        self._people = people
        self._pictures = pictures
        self._canceller = canceller
        self._forget_start = forget_start
        self._surface = surface
        self._keeps = keeps
        self._folder = folder
        self._ending_s = ending_s
        self._busy: set[str] = set()

    def kept(self) -> tuple[str, ...]:
        """What is kept, and for how long, a sentence or two each."""
        pictures, jobs = _days(self._keeps.pictures_days), _days(self._keeps.jobs_days)
        drawn_by = " and ".join(self._keeps.services)
        told = (
            f" Pictures may be drawn by {drawn_by}, which gets their prompts." if drawn_by else ""
        )
        return (
            "What you asked for: prompts and settings, when and where, how it ended, "
            f"{jobs}. The pictures themselves {pictures}.",
            "Your own defaults, your presets and likes, the LoRAs you added, what you "
            "reported or decided as a moderator, until you change or erase it.",
            f"Nobody trains anything with it, and prompts stay out of the logs.{told}",
        )

    @asynccontextmanager
    async def exported(self, viewer: Viewer, limit: int) -> AsyncGenerator[Export, None]:
        """Everything about the viewer as one file of at most `limit` bytes, packed if need be.

        It is on disk, not in memory, and gone when the context is left.

        Raises:
            PrivacyError: it is being made already, or is too large.
        """
        with (
            self._alone(viewer.requester),
            tempfile.TemporaryFile(dir=self._folder) as plain,
            tempfile.TemporaryFile(dir=self._folder) as packed,
        ):
            await self._write(viewer, plain)
            name, file = "atelier-about-you.json", plain
            if plain.tell() > limit:
                await asyncio.to_thread(_pack, plain, packed)
                name, file = f"{name}.gz", packed
            if (size := file.tell()) > limit:
                raise PrivacyError(
                    f"What is kept about you has {size / 2**20:.0f} MB even when packed, and a "
                    f"file may have {limit / 2**20:.0f} MB here. Ask whoever runs this Atelier for "
                    "a copy, or erase it."
                )
            file.seek(0)
            yield Export(name, file)

    async def erase(self, viewer: Viewer) -> Erased:
        """Delete everything about the viewer on this surface. Doing it again finishes it.

        Raises:
            PrivacyError: it is being done already.
        """
        who = viewer.requester
        with self._alone(who):
            await self._end_all(who)
            count, swept_later = await self._erase_jobs(who)
            await self._reports.forget(who)
            await self._communities.forget(who)
            await self._people.erase(viewer)
            left = await self._jobs.unfinished(self._surface, who, _PAGE)
            log.info("person erased", surface=self._surface, jobs=count, left=len(left))
            return Erased(count, len(left), swept_later)

    # --- Giving -------------------------------------------------------------------------------

    async def _write(self, viewer: Viewer, file: IO[bytes]) -> None:
        """Write a JSON object, its jobs page by page."""
        who = viewer.requester
        head = {
            "person": who,
            "surface": self._surface,
            "settings": await self._communities.about(who),
            "reported_jobs": await self._reports.by(who),
            "registry": await self._people.export(viewer),
        }
        await asyncio.to_thread(_write_head, file, head)
        last: Job | None = None
        while page := await self._jobs.everything(self._surface, who, after=last, limit=_PAGE):
            await asyncio.to_thread(_write_jobs, file, page, first=last is None)
            last = page[-1]
            if file.tell() > _MOST_UNPACKED:
                raise PrivacyError(
                    "More is kept about you than fits into a file. Ask whoever runs this Atelier "
                    "for a copy, or erase it."
                )
        await asyncio.to_thread(file.write, b"\n]}\n")

    # --- Erasing ------------------------------------------------------------------------------

    async def _end_all(self, who: str) -> None:
        """Cancel what waits and runs, and wait until people know of it."""
        deadline = asyncio.get_running_loop().time() + self._ending_s
        asked: set[str] = set()
        while waiting := await self._jobs.unfinished(self._surface, who, _PAGE):
            for job in waiting:
                if job.id not in asked:
                    asked.add(job.id)
                    await self._canceller.cancel(job.id)
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_LOOK_S)

    async def _erase_jobs(self, who: str) -> tuple[int, bool]:
        """Erase the jobs that are over; how many, and whether pictures are left to be swept."""
        count, swept_later, more = 0, False, True
        while more:
            keys: set[str] = set()
            while more and len(keys) < _KEYS:
                ids, found = await self._jobs.erase_ended(self._surface, who, _ERASED_AT_ONCE)
                for job_id in ids:
                    await self._forget_start(job_id)
                count, more = count + len(ids), bool(ids)
                keys |= found
            swept_later |= not await self._delete(await self._jobs.unneeded(keys))
        return count, swept_later

    async def _delete(self, keys: set[str]) -> bool:
        try:
            for key in keys:
                await self._pictures.delete(key)
        except StorageError as error:
            log.warning("pictures of an erased person are left to be swept", error=str(error))
            return False
        return True

    @contextmanager
    def _alone(self, who: str) -> Generator[None, None, None]:
        """Do one thing at a time for a person."""
        if who in self._busy:
            raise PrivacyError("That is being done already; it takes a moment.")
        self._busy.add(who)
        try:
            yield
        finally:
            self._busy.discard(who)


def _days(days: int) -> str:
    if not days:
        return "until you erase it"
    return f"for {days} day{'' if days == 1 else 's'}"


def _write_head(file: IO[bytes], head: dict[str, Any]) -> None:
    text = json.dumps(head, ensure_ascii=False, indent=1)
    file.write(text.removesuffix("}").rstrip().encode() + b',\n "jobs": [\n')


def _write_jobs(file: IO[bytes], jobs: list[Job], *, first: bool) -> None:
    for job in jobs:
        file.write(b"" if first else b",\n")
        file.write(json.dumps(_about(job), ensure_ascii=False).encode())
        first = False


def _pack(plain: IO[bytes], packed: IO[bytes]) -> None:
    plain.seek(0)
    with gzip.GzipFile("atelier-about-you.json", "wb", fileobj=packed, mtime=0) as file:
        shutil.copyfileobj(plain, file, 2**20)


def _about(job: Job) -> dict[str, Any]:
    """A job as the person who asked for it may know it, without addresses of anything."""
    about = {
        "id": job.id,
        "state": job.state,
        "erased": job.erased,
        "asked_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "community": job.place.community,
        "channel": job.place.channel,
        "private": job.place.private,
        "preset": job.preset,
        "command": job.asked,
        "request": job.request.model_dump(mode="json"),
        "backend": job.backend,
        "price": job.price,
        "fault": job.fault and job.fault.sentence,
    }
    if job.result is not None:
        about["drawn_prompt"] = job.result.prompt
        about["cost"] = job.result.cost
        about["pictures"] = [
            {
                "format": one.format,
                "width": one.width,
                "height": one.height,
                "seed": one.seed,
                "verdict": one.verdict,
                "score": one.score,
                "recipe": one.recipe.model_dump(mode="json"),
            }
            for one in job.result.pictures
        ]
    return about
