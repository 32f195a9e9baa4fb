"""From a backend's pictures to stored ones: recipe into the file, file into the store."""

import asyncio
from collections.abc import Sequence

import structlog

from backends.base import LoraFile, Rendered
from bot.jobs.job import Job, Result, StoredPicture
from bot.recipe import RecipeError, embed, recipe_of
from bot.storage import PictureStore

log = structlog.get_logger()


async def save(
    job: Job, rendered: Rendered, loras: Sequence[LoraFile], pictures: PictureStore, seconds: float
) -> Result:
    """Store every picture with its recipe inside; the same pictures again change nothing.

    Raises:
        StorageError: some may be stored; without a result that names them they are swept away.
    """
    stored = []
    for index, picture in enumerate(rendered.pictures):
        recipe = recipe_of(job.request, loras, rendered, index, preset=job.preset)
        data = picture.data
        try:
            data = await asyncio.to_thread(embed, data, recipe)
        except RecipeError as error:  # the picture is fine, only its recipe does not fit into it
            log.warning("recipe not embedded", job=job.id, error=str(error))
        stored.append(
            StoredPicture(
                key=await pictures.put(data, picture.format),
                format=picture.format,
                width=picture.width,
                height=picture.height,
                seed=picture.seed,
                verdict=picture.verdict,
                score=picture.score,
                recipe=recipe,
            )
        )
    return Result(
        pictures=tuple(stored),
        prompt=rendered.prompt,
        weights=rendered.weights,
        seconds=seconds,
        timings=rendered.timings,
        hint=rendered.hint,
        cost=rendered.cost,
    )
