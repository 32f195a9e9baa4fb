"""The last step of every job: telling people how it ended, exactly once, however often it takes.

`Surface.finish` is idempotent, so a crash between it and the note in the database only repeats a
call that changes nothing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from backends.base import Verdict
from bot import wording
from bot.jobs.job import Job, JobState, Place, Receipt, StoredPicture
from bot.jobs.store import JobStore
from bot.policy import Treatment
from bot.storage import PictureDamaged, PictureMissing, PictureStore
from bot.surfaces.base import DeliveredPicture, Done, NotDone, Outcome, Surface, SurfaceGone

MOST_TRIES: Final = 12
"""Tries to deliver, over about an hour, before a result waits to be fetched by its requester."""
_CALL_TIMEOUT_S: Final = 120.0
_LONGEST_PAUSE_S: Final = 600.0
_AT_ONCE: Final = 8

log = structlog.get_logger()

Treat = Callable[[Verdict, Place], Awaitable[Treatment]]
"""Says how a picture with this verdict is to be treated in this place."""


class Delivery:
    """Brings outcomes to surfaces and notes it in the store."""

    def __init__(
        self,
        store: JobStore,
        pictures: PictureStore,
        surfaces: Mapping[str, Surface],
        treat: Treat,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._surfaces = surfaces
        self._treat = treat
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def deliver(self, job: Job) -> None:
        """Tell people how `job` ended. Returns when they know or it has been given up."""
        if job.receipt is None:
            await self._store.report(job)  # nothing was ever shown
            return
        for tries in range(job.deliveries + 1, MOST_TRIES + 1):
            try:
                await self._try(job, job.receipt)
            except Exception as error:  # noqa: BLE001 - whatever a surface or a disk may raise
                log.warning("not delivered yet", job=job.id, tries=tries, error=repr(error))
            else:
                return
            await self._store.delivery_failed(job)
            pause = min(_LONGEST_PAUSE_S, 2.0**tries)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        await self._note(job, delivered=False)

    async def _try(self, job: Job, receipt: Receipt) -> None:
        async with self._slots, asyncio.timeout(_CALL_TIMEOUT_S):
            outcome = await self._outcome(job)
            try:
                await self._surfaces[job.surface].finish(job, receipt, outcome)
            except SurfaceGone:
                log.info("nowhere to deliver", job=job.id, surface=job.surface)
                await self._note(job, delivered=False)
            else:
                await self._note(job, delivered=isinstance(outcome, Done))

    async def _note(self, job: Job, *, delivered: bool) -> None:
        if job.state is not JobState.RENDERED:
            await self._store.report(job)
        elif delivered:
            await self._store.deliver(job)
        else:
            await self._store.give_up(job)

    async def _outcome(self, job: Job) -> Outcome:
        if job.state is JobState.CANCELLED:
            return NotDone(wording.CANCELLED, cancelled=True)
        if job.fault is not None:
            return NotDone(job.fault.sentence)
        if job.result is None:
            raise ValueError(f"job {job.id} is {job.state} without a result")
        try:
            return Done(tuple([await self._picture(job, one) for one in job.result.pictures]))
        except (PictureMissing, PictureDamaged) as error:
            log.error("picture lost", job=job.id, error=str(error))
            return NotDone(wording.picture_lost(job))

    async def _picture(self, job: Job, picture: StoredPicture) -> DeliveredPicture:
        data = await self._pictures.get(picture.key)
        treatment = await self._treat(picture.verdict, job.place)
        offered = False
        if treatment is Treatment.WITHHOLD:
            alone = job.place.model_copy(update={"private": True})
            offered = await self._treat(picture.verdict, alone) is Treatment.SPOILER
        return DeliveredPicture(picture, data, treatment, offered)
