"""The local backend: draws in a process of its own, which may crash without taking the bot along.

start ──> starting ──> ready <──> drawing
             │  ^          │         │
             │  └──────────┴─────────┘   the process ended: another one follows
             v
           failed                        the model cannot be loaded, or three processes in a
                                         row ended without a picture; the next job tries again
"""

import asyncio
import enum
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from backends.base import (
    Cancelled,
    Capabilities,
    Event,
    Failed,
    GenerationRequest,
    LoraFile,
    Rendered,
)
from backends.errors import BackendError, ModelUnavailable, WorkerLost
from backends.local.messages import Loaded, MessageError, Progress, RendererSpec, Stopped
from backends.local.worker import Timeouts, Worker

log = logging.getLogger(__name__)

_MAX_LOSSES: Final = 3
_RESTART_DELAY: Final = 1.0


class Phase(enum.StrEnum):
    """What the local backend is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAWING = "drawing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """For readiness probes: `reason` is a sentence, given when the phase is `FAILED`."""

    phase: Phase
    reason: str | None = None


class LocalBackend:
    """Draws one request at a time with the renderer of `spec`; the others wait in line.

    The process is started by `start` or else by the first job. When it dies, the job that it was
    drawing fails with `WorkerLost` and another process is started at once, unless several in a row
    have achieved nothing. An object belongs to one event loop.
    """

    def __init__(
        self,
        name: str,
        spec: RendererSpec,
        capabilities: Capabilities,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._name = name
        self._spec = spec
        self._capabilities = capabilities
        self._timeouts = timeouts or Timeouts()
        self._turn = asyncio.Lock()
        self._worker: Worker | None = None
        self._losses = 0
        self._closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def status(self) -> Status:
        worker = self._worker
        if worker is None or self._closed:
            return Status(Phase.STOPPED)
        if isinstance(worker.loading.outcome, BackendError):
            return Status(Phase.FAILED, str(worker.loading.outcome))
        if worker.ended is not None:
            return Status(Phase.FAILED, f"The drawing process {worker.ended}.")
        if worker.leaving or worker.loading.outcome is None:
            return Status(Phase.STARTING)
        return Status(Phase.DRAWING if worker.drawing else Phase.READY)

    async def start(self) -> None:
        """Launch the process and have it load the model in the background."""
        if self._worker is None and not self._closed:
            self._launch()

    async def close(self) -> None:
        """End the process, whatever it is doing; a job under way fails with `WorkerLost`."""
        self._closed = True
        if self._worker is not None:
            self._worker.stop("was stopped")
            await self._worker.gone()

    async def run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        *,
        remote: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Draw; see `Backend.run`. `remote` means nothing here: a local job is drawn again."""
        async with self._turn:
            worker = await self._usable()
            if worker is None:
                yield Failed(WorkerLost("The drawing process was stopped."))
                return
            while worker.loading.outcome is None:
                if isinstance(news := await worker.loading.take(), Progress):
                    yield news
            if isinstance(worker.loading.outcome, BackendError):
                yield Failed(self._unloaded(worker.loading.outcome))
                return
            try:
                job = worker.draw(request, loras)
            except MessageError:
                error = BackendError("This request cannot be handed to the drawing process.")
                yield Failed(error)
                return
            try:
                while isinstance(news := await job.take(), Progress):
                    yield news
            finally:
                if job.outcome is None:
                    await worker.cancel()
            match news:
                case Rendered():
                    self._losses = 0
                    yield news
                case BackendError():
                    yield Failed(news)
                case Stopped() | Loaded():
                    yield Cancelled()

    async def cancel(self, remote: Mapping[str, str]) -> None:
        """Do nothing: a local job ends with its stream."""

    async def _usable(self) -> Worker | None:
        """Find or launch a process that will take the next job; None once closed."""
        if self._worker is not None:
            await self._worker.settled()
        if self._closed:
            return None
        if self._worker is None or self._worker.ended is not None:
            return self._launch()
        return self._worker

    def _launch(self, delay: float = 0.0) -> Worker:
        self._worker = Worker(self._spec, self._timeouts, self._bury, delay=delay)
        return self._worker

    def _bury(self, worker: Worker) -> None:
        """Log the end of a process and start another one where that has a prospect."""
        if self._closed:
            return
        log.warning(
            "the drawing process %s; its last words: %s", worker.ended, worker.tail or "none"
        )
        self._losses += 1
        # A renderer that said why it cannot load would only say it again.
        unloadable = isinstance(worker.loading.outcome, BackendError)
        if self._losses < _MAX_LOSSES and not unloadable:
            self._launch(delay=_RESTART_DELAY * (self._losses - 1))

    def _unloaded(self, error: BackendError) -> BackendError:
        """Say that there is no model; loading is tried again only as often as it makes sense."""
        if isinstance(error, WorkerLost) and self._losses >= _MAX_LOSSES and not self._closed:
            return ModelUnavailable(
                f"{error} That was the end of {self._losses} drawing processes in a row; "
                "the log says more."
            )
        return error
