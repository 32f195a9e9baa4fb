"""Chores of a running instance: gauges, and throwing away what is old."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from bot.database import DatabaseError
from bot.jobs.job import JobState
from bot.jobs.store import JobStore
from bot.settings import Settings
from bot.storage import PictureStore, StorageError

_EVERY_S: Final = 15.0
_SWEEP_EVERY_S: Final = 3600.0
_DAY_S: Final = 86_400.0

log = structlog.get_logger()


async def keep_house(
    jobs: JobStore,
    pictures: PictureStore,
    settings: Settings,
    registry: CollectorRegistry,
    sweeps: Sequence[Callable[[], Awaitable[None]]] = (),
) -> None:
    """Refresh the gauges every few seconds and sweep every hour, until cancelled.

    `sweeps` are those of others.
    """
    depth = Gauge("atelier_jobs", "Jobs that are not reported yet.", ["state"], registry=registry)
    sweep_at = time.monotonic()
    while True:
        try:
            counts = await jobs.depth()
            for state in JobState:
                depth.labels(state.value).set(counts.get(state, 0))
            if time.monotonic() >= sweep_at:
                sweep_at = time.monotonic() + _SWEEP_EVERY_S
                await throw_away(jobs, pictures, settings)
                for sweep in sweeps:
                    await sweep()
        except (DatabaseError, StorageError, OSError) as error:
            log.warning("housekeeping stumbled", error=str(error))
        await asyncio.sleep(_EVERY_S)


async def throw_away(jobs: JobStore, pictures: PictureStore, settings: Settings) -> None:
    """Delete pictures and jobs that are older than the owner keeps them; 0 days is for ever."""
    now = time.time()
    await jobs.forget_emptied()
    if settings.keep_jobs_days:
        await jobs.forget(now - settings.keep_jobs_days * _DAY_S)
    since = now - settings.keep_pictures_days * _DAY_S if settings.keep_pictures_days else 0.0
    needed = await jobs.picture_keys(since)

    async def keep(keys: Collection[str]) -> Collection[str]:
        return needed.intersection(keys)

    swept = await pictures.sweep(keep)
    log.info("swept", deleted=swept.deleted.pictures, left=swept.left.pictures)
    await asyncio.to_thread(_clear, settings.spool_dir, now - _DAY_S)


def _clear(spool: Path, before: float) -> None:
    """Remove what terminals that are gone have left behind."""
    for file in spool.glob("*.json*"):
        if file.stat().st_mtime < before:
            file.unlink(missing_ok=True)
