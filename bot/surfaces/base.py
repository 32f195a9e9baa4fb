"""The surface port: three verbs, and the state that they are given.

A surface owns its rendering, pacing, uploads and spoilers. It is told what is meant (this picture
is to be hidden behind a spoiler), never how to show it.
"""

from dataclasses import dataclass, field
from typing import Protocol

from bot.jobs.job import Job, Receipt, StoredPicture
from bot.policy import Treatment


class SurfaceGone(Exception):
    """The message or its place no longer exists or may not be written to: trying again is vain.

    `sentence` tells the requester why and what to do, where the surface knows.
    """

    def __init__(self, detail: str, sentence: str | None = None) -> None:
        super().__init__(detail)
        self.sentence = sentence


# --- What is going on -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """In the queue with `ahead` jobs before it; `eta` is seconds until the picture, if known."""

    ahead: int
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Preparing:
    """Something is being loaded; `fraction` is 0 to 1 where it is known."""

    what: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """Step `step` of `steps`. `eta` is in seconds, `rate` in steps a second.

    `preview` is a small JPEG to be treated as `preview_treatment` says; None where nothing may be
    shown.
    """

    step: int
    steps: int
    eta: float | None = None
    rate: float | None = None
    preview: bytes | None = field(default=None, repr=False)
    preview_treatment: Treatment = Treatment.SPOILER


Progress = Waiting | Preparing | Drawing
"""The state of a job that has not ended yet."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """A state was not shown; the newest one is wanted after `seconds`, this one or another."""

    seconds: float


# --- How it ended -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeliveredPicture:
    """A picture with its bytes, which carry the recipe, and how to treat it.

    `offered` says that it is withheld here, but that its requester alone may see it.
    """

    stored: StoredPicture
    data: bytes = field(repr=False)
    treatment: Treatment
    offered: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    pictures: tuple[DeliveredPicture, ...]


@dataclass(frozen=True, slots=True)
class NotDone:
    """No picture; `sentence` tells the requester why and what to do. `cancelled` if asked for."""

    sentence: str
    cancelled: bool = False


Outcome = Done | NotDone


class Surface(Protocol):
    """Where answers go. Every method may be called again after a crash and must then change
    nothing that people see.
    """

    @property
    def name(self) -> str:
        """`discord`, `slack`, `web`, `cli`, …; stored with the job."""
        ...

    async def start(self, job: Job) -> Receipt:
        """Show that the job is taken and say where.

        Raises:
            SurfaceGone: the job cannot be shown any more; it is cancelled.
        """
        ...

    async def progress(self, job: Job, receipt: Receipt, state: Progress) -> float | NotYet | None:
        """Show the newest state.

        Returns the seconds after which the next one is welcome, `NotYet` where this one could not
        be shown now, or None when no more should come. Whatever it raises is logged and forgotten:
        progress is never worth a job.
        """
        ...

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        """Show the end of the job: exactly once, as far as people can see.

        Raises:
            SurfaceGone: there is no place to show it any more.
            Exception: anything else is tried again later.
        """
        ...
