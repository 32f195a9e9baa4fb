"""The pictures of a job with their bytes, as one place or several allow."""

from dataclasses import replace
from typing import Final

from bot.commands.jobs import PictureGone
from bot.jobs.job import Job, Place
from bot.policy import Treatment
from bot.surfaces.base import DeliveredPicture
from bot.surfaces.discord.desk import Desk

_STRICTER: Final = (Treatment.SHOW, Treatment.SPOILER, Treatment.WITHHOLD)


async def pictures_for(
    desk: Desk, job: Job, place: Place, *, at_least: Treatment = Treatment.SHOW
) -> tuple[DeliveredPicture, ...]:
    """As the place that the job was meant for and this one allow, and hidden `at_least` so far.

    Raises:
        PictureGone, PictureUnreadable: one that is not withheld cannot be read.
    """
    found = []
    there = await desk.jobs.shown(job)
    here = await desk.jobs.shown(replace(job, place=place))
    for index, (one, other) in enumerate(zip(there, here, strict=True)):
        treatment = max(one.treatment, other.treatment, at_least, key=_STRICTER.index)
        data = b""
        if treatment is not Treatment.WITHHOLD:
            _, data = await desk.jobs.bytes_of(job.id, index)
        found.append(DeliveredPicture(one.picture, data, treatment))
    return tuple(found)


async def pictures_at_home(desk: Desk, job: Job) -> tuple[DeliveredPicture, ...]:
    """As the place that the job was meant for allows.

    A hidden picture that is no longer stored is withheld: hiding must not fail.

    Raises:
        PictureGone, PictureUnreadable: one cannot be read, and some are to be shown openly.
    """
    try:
        return await pictures_for(desk, job, job.place)
    except PictureGone:
        shown = await desk.jobs.shown(job)
        if any(one.treatment is Treatment.SHOW for one in shown):
            raise
        return tuple(DeliveredPicture(one.picture, b"", Treatment.WITHHOLD) for one in shown)
