"""The pictures that show a preset on its card."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from bot.commands.jobs import PictureGone, PictureUnreadable
from bot.policy import Treatment
from bot.surfaces.discord import files, places
from bot.surfaces.discord.desk import Desk, Interaction
from bot.surfaces.discord.messages import Upload
from lora_registry.revisions import Revision

MOST_EXAMPLES: Final = 4
EXAMPLE_BYTES: Final = 2 * 2**20
"""What an example may weigh; a larger one is made smaller."""
_LOOKED_AT: Final = 200
"""The owner's newest pictures, among which examples are found."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture that shows the preset."""

    upload: Upload
    caption: str
    hidden: bool


async def examples(desk: Desk, interaction: Interaction, revision: Revision) -> tuple[Example, ...]:
    """Its example pictures, as far as they are among what its owner has drawn here and may be
    shown both where they were drawn and here."""
    wanted = {one.picture: one.caption for one in revision.body.examples}
    if not wanted:
        return ()
    here = places.place(interaction).model_copy(update={"private": True})
    found: dict[str, Example] = {}
    for job in await desk.jobs.history(revision.preset.owner, before=None, limit=_LOOKED_AT):
        pictures = () if job.result is None else job.result.pictures
        for index, picture in enumerate(pictures):
            digest = picture.key.rpartition("/")[2].partition(".")[0]
            if digest not in wanted or digest in found or len(found) == MOST_EXAMPLES:
                continue
            shown = [(await desk.jobs.shown(one))[index] for one in (job, replace(job, place=here))]
            if any(one.treatment is Treatment.WITHHOLD for one in shown):
                continue
            try:
                _, data = await desk.jobs.bytes_of(job.id, index)
                fitted = await asyncio.to_thread(
                    files.fit, data, picture.format, picture.recipe, EXAMPLE_BYTES
                )
            except (PictureGone, PictureUnreadable, files.TooLarge):
                continue
            upload = Upload(f"example-{len(found) + 1}.{fitted.suffix}", fitted.data)
            hidden = any(one.treatment is not Treatment.SHOW for one in shown)
            found[digest] = Example(upload, wanted[digest], hidden)
    return tuple(found.values())
