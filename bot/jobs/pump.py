"""Progress on its way to a surface: the latest state wins, the surface sets the pace."""

import asyncio
from dataclasses import replace

import structlog

from bot.jobs.job import Job, Receipt
from bot.policy import Treatment
from bot.surfaces.base import Drawing, NotYet, Progress, Surface

_CALL_TIMEOUT_S = 20.0
_PAUSE_AFTER_TROUBLE_S = 5.0

log = structlog.get_logger()


class ProgressPump:
    """Shows the progress of one job. `show` never waits and never fails."""

    def __init__(self, surface: Surface, job: Job, receipt: Receipt) -> None:
        self._surface = surface
        self._job = job
        self._receipt = receipt
        self._latest: Progress | None = None
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"progress {job.id}")

    def show(self, state: Progress) -> None:
        """Replace what is shown next. A step without a preview of its own keeps the last one."""
        self._latest = _with_preview(state, self._latest)
        self._changed.set()

    async def close(self) -> None:
        """Let a call under way end, so that the final message cannot be overtaken by it."""
        self._closing.set()
        self._changed.set()
        await asyncio.wait({self._task}, timeout=_CALL_TIMEOUT_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            if self._closing.is_set() or self._latest is None:
                return
            self._changed.clear()
            pause = await self._call(self._latest)
            if pause is None:
                return
            if isinstance(pause, NotYet):
                self._changed.set()
                pause = pause.seconds
            try:
                await asyncio.wait_for(self._closing.wait(), pause)
            except TimeoutError:
                continue

    async def _call(self, state: Progress) -> float | NotYet | None:
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                return await self._surface.progress(self._job, self._receipt, state)
        except Exception as error:  # noqa: BLE001 - a surface's trouble must not reach the job
            log.warning(
                "progress not shown",
                job=self._job.id,
                surface=self._surface.name,
                error=type(error).__name__,
            )
            return _PAUSE_AFTER_TROUBLE_S


def _with_preview(state: Progress, before: Progress | None) -> Progress:
    """Not every step has a preview, and a surface looks at few of them."""
    if not (isinstance(state, Drawing) and isinstance(before, Drawing)) or state.preview:
        return state
    if state.preview_treatment is Treatment.WITHHOLD:
        return state
    return replace(state, preview=before.preview)
