"""People and their own jobs: looking, cancelling, deleting, and the pictures' bytes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from backends.base import Verdict
from bot.jobs.job import Job, JobState, Place, StoredPicture
from bot.jobs.store import JobStore
from bot.policy import Treatment
from bot.storage import PictureDamaged, PictureMissing, PictureStore, StorageError
from bot.surfaces.base import DeliveredPicture, Waiting

_MOST_UNFINISHED: Final = 1000
_MOST_LISTED: Final = 5

Treat = Callable[[Verdict, Place], Awaitable[Treatment]]


class NoSuchJob(Exception):
    """There is no such job, or it is not this person's; the two look the same from outside."""


class JobErased(NoSuchJob):
    """It was theirs, and they have deleted its content; `job` is what is left of it."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


class PictureGone(Exception):
    """The picture is not stored any more, or not for these eyes."""


class PictureUnreadable(Exception):
    """The picture is stored, but the storage does not give it at the moment."""


class Canceller(Protocol):
    """Ends jobs wherever they are."""

    async def cancel(self, job_id: str) -> Job | None: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """A stored picture and how it may appear where its job was asked for."""

    picture: StoredPicture
    treatment: Treatment


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody's job that is being drawn, or waits as `standing` says; never what it is about."""

    requester: str
    channel: str | None
    standing: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """How many jobs run and wait in a community, and the first of them. Private ones do not count.

    `following` are those next in line, as far as their place is known.
    """

    running: int
    waiting: int
    now: tuple[Turn, ...]
    following: tuple[Turn, ...]


class Jobs:
    """What a requester may do with jobs of theirs on one surface."""

    def __init__(
        self,
        *,
        store: JobStore,
        pictures: PictureStore,
        canceller: Canceller,
        treat: Treat,
        surface: str,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._canceller = canceller
        self._treat = treat
        self._surface = surface

    async def history(self, requester: str, *, before: int | None, limit: int) -> list[Job]:
        """Jobs of this requester here, newest first, with numbers below `before`."""
        return await self._store.history(self._surface, requester, before=before, limit=limit)

    async def unfinished(self, requester: str) -> list[Job]:
        """Those that they still wait for, oldest first; of thousands the oldest thousand."""
        waiting = await self._store.unfinished(self._surface, requester, _MOST_UNFINISHED)
        return [job for job in waiting if not job.erased]

    async def line(self, community: str, standing: Mapping[str, Waiting]) -> Line:
        """The queue of a community as its members may see it.

        `standing` says where the first of all waiting jobs stand, by id.
        """
        counts = await self._store.busy(self._surface, community)
        running = await self._store.running(self._surface, community, _MOST_LISTED)
        queued = await self._store.queued(self._surface, community, standing)
        queued.sort(key=lambda job: standing[job.id].ahead)
        return Line(
            running=counts.get(JobState.RUNNING, 0),
            waiting=counts.get(JobState.QUEUED, 0),
            now=tuple(Turn(job.requester, job.place.channel) for job in running),
            following=tuple(
                Turn(job.requester, job.place.channel, standing[job.id])
                for job in queued[:_MOST_LISTED]
            ),
        )

    async def get(self, requester: str, job_id: str) -> Job:
        """One of them.

        Raises:
            NoSuchJob: there is none of theirs with this id, or (JobErased) no longer.
        """
        job = await self._store.get(job_id)
        if job is None or (job.requester, job.surface) != (requester, self._surface):
            raise NoSuchJob(job_id)
        if job.erased:
            raise JobErased(job)
        return job

    async def seen(self, requester: str, place: Place, job_id: str) -> Job:
        """One of theirs, or one of somebody else that everybody sees at this place.

        Raises:
            NoSuchJob: as for `get`.
        """
        job = await self._store.get(job_id)
        if job is not None and not job.place.private:
            there = job.place.community, job.place.channel
            if there == (place.community, place.channel):
                requester = job.requester
        return await self.get(requester, job_id)

    async def fleeting(self, before: float) -> list[Job]:
        """Jobs here of which nothing may be kept, and whose ends were told before then."""
        return await self._store.fleeting(self._surface, before)

    async def cancel(self, requester: str, job_id: str) -> Job:
        """End a job; one that has ended already stays as it is.

        Raises:
            NoSuchJob: as for `get`.
        """
        await self.get(requester, job_id)
        return await self._canceller.cancel(job_id) or await self.get(requester, job_id)

    async def delete(self, requester: str, job_id: str) -> Job:
        """Delete a job with its pictures, or end it first if it has not ended.

        The pictures' files go unless another job has the same pictures. Returns the job as it was.

        Raises:
            NoSuchJob: as for `get`.
        """
        job = await self.cancel(requester, job_id)
        orphans = await self._store.erase(job.id)
        for key in orphans:
            await self._pictures.delete(key)
        return job

    async def shown(self, job: Job) -> tuple[Shown, ...]:
        """The pictures of a job with their treatment."""
        if job.result is None:
            return ()
        return tuple(
            [
                Shown(picture, await self._treat(picture.verdict, job.place))
                for picture in job.result.pictures
            ]
        )

    async def pictures(self, job: Job, place: Place) -> tuple[DeliveredPicture, ...]:
        """The pictures of a job with their bytes, as `place` allows them.

        Raises:
            PictureGone: one is not stored any more.
            PictureUnreadable: the storage is in trouble.
        """
        found = []
        for shown in await self.shown(replace(job, place=place)):
            data = b""
            if shown.treatment is not Treatment.WITHHOLD:
                data = await self._read(job.id, shown.picture)
            found.append(DeliveredPicture(shown.picture, data, shown.treatment))
        return tuple(found)

    async def bytes_of(self, job_id: str, index: int) -> tuple[StoredPicture, bytes]:
        """Picture `index` of a job, for who holds a signed link to it.

        Raises:
            PictureGone: it was deleted, has expired, or may not be shown.
            PictureUnreadable: the storage is in trouble.
        """
        job = await self._store.get(job_id)
        shown = await self.shown(job) if job is not None else ()
        if index >= len(shown) or shown[index].treatment is Treatment.WITHHOLD:
            raise PictureGone(job_id)
        picture = shown[index].picture
        return picture, await self._read(job_id, picture)

    async def _read(self, job_id: str, picture: StoredPicture) -> bytes:
        try:
            return await self._pictures.get(picture.key)
        except (PictureMissing, PictureDamaged) as error:
            raise PictureGone(job_id) from error
        except StorageError as error:
            raise PictureUnreadable(job_id) from error
