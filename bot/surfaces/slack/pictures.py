"""The pictures of a job with their bytes, as a place allows them."""

from dataclasses import replace

from bot.commands.jobs import PictureGone, PictureUnreadable
from bot.jobs.job import Job, Place
from bot.policy import Treatment
from bot.surfaces.base import DeliveredPicture
from bot.surfaces.slack.desk import Desk


def public(job: Job) -> Place:
    """Where everybody sees it: what was private has been shared there."""
    return job.place.model_copy(update={"private": False})


async def pictures_of(
    desk: Desk, job: Job, place: Place, *, hidden: bool = False
) -> tuple[DeliveredPicture, ...]:
    """A job's pictures as a place allows them, none of them openly where they are to be `hidden`.

    Hidden pictures that cannot be read are withheld: hiding must not fail.

    Raises:
        PictureGone, PictureUnreadable: one cannot be read, and some are to be shown openly.
    """
    alone = place.model_copy(update={"private": True})
    offered = [
        one.treatment is Treatment.SPOILER
        for one in await desk.jobs.shown(replace(job, place=alone))
    ]
    try:
        found = await desk.jobs.pictures(job, place)
    except (PictureGone, PictureUnreadable):
        shown = await desk.jobs.shown(replace(job, place=place))
        if not hidden and any(one.treatment is Treatment.SHOW for one in shown):
            raise
        return tuple(DeliveredPicture(one.picture, b"", Treatment.WITHHOLD) for one in shown)
    return tuple(
        replace(one, treatment=Treatment.SPOILER)
        if hidden and one.treatment is Treatment.SHOW
        else replace(one, offered=offer and one.treatment is Treatment.WITHHOLD)
        for one, offer in zip(found, offered, strict=True)
    )
