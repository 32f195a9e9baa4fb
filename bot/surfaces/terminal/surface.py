"""The drawing process's side of the command line: pictures into files, states into the spool.

Writing the same picture to the same place again changes nothing, so a job that is delivered twice
after a crash looks as if it had been delivered once.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

from bot import wording
from bot.jobs.job import Job, Receipt
from bot.policy import Treatment
from bot.surfaces import base
from bot.surfaces.base import DeliveredPicture, Outcome, Progress, SurfaceGone
from bot.surfaces.terminal import spool

NAME: Final = "cli"
_PACE_S: Final = 0.05


def receipt(spool_file: Path, output: Path) -> Receipt:
    """What `atelier imagine` notes with its job: absolute paths of the spool and the picture."""
    return {"spool": str(spool_file), "output": str(output)}


def output_paths(output: Path, pictures: int) -> list[Path]:
    """Where pictures go: the file itself, or `-1` to `-4` before its suffix for several."""
    if pictures == 1:
        return [output]
    return [output.with_stem(f"{output.stem}-{number}") for number in range(1, pictures + 1)]


class TerminalSurface:
    """Answers `atelier imagine`, in whatever process it was called."""

    @property
    def name(self) -> str:
        return NAME

    async def start(self, job: Job) -> Receipt:
        """The terminal writes its own receipt; without one it went away before its job counted."""
        raise SurfaceGone("the terminal that asked is gone")

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | None:
        await spool.write(_spool(receipt), _state(state))
        return _PACE_S

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        if isinstance(outcome, base.NotDone):
            end: spool.State = spool.NotDone(sentence=outcome.sentence, cancelled=outcome.cancelled)
        else:
            paths = output_paths(Path(str(receipt["output"])), len(outcome.pictures))
            try:
                written = await asyncio.to_thread(_write, outcome.pictures, paths)
            except OSError as error:
                sentence = wording.not_written(paths[0], error, outcome.pictures[0].stored.key)
                await spool.write(_spool(receipt), spool.NotDone(sentence=sentence))
                raise SurfaceGone(str(error)) from error
            end = _done(job, written)
        await spool.write(_spool(receipt), end)


def _spool(receipt: Receipt) -> Path:
    return Path(str(receipt["spool"]))


def _state(state: Progress) -> spool.State:
    match state:
        case base.Waiting(ahead=ahead, eta=eta):
            return spool.Waiting(ahead=ahead, eta=eta)
        case base.Preparing(what=what, fraction=fraction):
            return spool.Preparing(what=what, fraction=fraction)
        case base.Drawing():
            return spool.Drawing(step=state.step, steps=state.steps, eta=state.eta, rate=state.rate)


def _write(
    pictures: tuple[DeliveredPicture, ...], paths: list[Path]
) -> tuple[spool.WrittenPicture, ...]:
    written = []
    for picture, path in zip(pictures, paths, strict=True):
        shown = picture.treatment is not Treatment.WITHHOLD
        if shown:
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                part.write_bytes(picture.data)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        written.append(
            spool.WrittenPicture(
                path=path if shown else None,
                verdict=picture.stored.verdict,
                score=picture.stored.score,
                recipe=picture.stored.recipe,
            )
        )
    return tuple(written)


def _done(job: Job, written: tuple[spool.WrittenPicture, ...]) -> spool.Done:
    if job.result is None:
        raise ValueError(f"job {job.id} is done without a result")
    return spool.Done(
        pictures=written,
        seconds=job.result.seconds,
        timings=dict(job.result.timings),
        hint=job.result.hint,
        cost=job.result.cost,
    )
