"""One drawing process as the bot sees it, from its launch to its end."""

import asyncio
import contextlib
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from backends.base import GenerationRequest, LoraFile, Preparing, Rendered, Started, Step
from backends.errors import WorkerLost
from backends.local.feed import Feed
from backends.local.messages import (
    Body,
    Cancel,
    Frame,
    Heartbeat,
    Loaded,
    MessageError,
    Refused,
    Render,
    RendererSpec,
    Setup,
    Stopped,
    encode,
    receive,
)
from backends.local.process import describe, exited, kill, launch

_HEARTBEAT: Final = 1.0
_TICKS: Final = 10
_EXIT_GRACE: Final = 2.0
_REAP_TIMEOUT: Final = 10.0
_TAIL_BYTES: Final = 4096
_READ_LIMIT: Final = 2**20


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How patient the bot is with the drawing process, in seconds.

    silence: without any sign of life, from its launch on, it hangs
    progress: longest time that loading or drawing may take without reporting any progress
    cancel: time to drop a cancelled job
    """

    silence: float = 60.0
    progress: float = 900.0
    cancel: float = 5.0


class Worker:
    """A process that loads one renderer and draws with it until one of both sides has enough.

    It is launched `delay` seconds after it was made. `on_end` is called once, when the process is
    gone and before anybody who waits for a feed learns of it. Belongs to the running event loop.
    """

    def __init__(
        self,
        spec: RendererSpec,
        timeouts: Timeouts,
        on_end: Callable[["Worker"], None],
        *,
        delay: float = 0.0,
    ) -> None:
        self._spec = spec
        self._timeouts = timeouts
        self._on_end = on_end
        self.loading = Feed()
        self.leaving = False
        """The process is about to end and takes no more orders."""
        self.ended: str | None = None
        """What became of the process ("was killed…"), once it is gone."""
        self.tail = ""
        """The last lines that it wrote, for the owner's log only."""
        self._job: Feed | None = None
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._stop = asyncio.Event()
        self._verdict: str | None = None
        self._silent = 0
        self._stalled = 0
        self._life = asyncio.create_task(self._live(delay), name="drawing process")

    @property
    def drawing(self) -> bool:
        return self._job is not None and self._job.outcome is None

    def draw(self, request: GenerationRequest, loras: Sequence[LoraFile]) -> Feed:
        """Hand over a request; the model is loaded and nothing else is being drawn.

        Raises:
            MessageError: the request has no written form.
        """
        order = encode(Frame(self._number + 1, Render(request, tuple(loras))))
        self._number += 1
        self._stalled = 0
        self._job = Feed()
        self._send(order)
        if self.ended is not None:
            self._job.end(self._loss())
        return self._job

    async def cancel(self) -> None:
        """Have the current job dropped; returns when it is, or else when the process is gone."""
        if (job := self._job) is None:
            return
        self._send(encode(Frame(self._number, Cancel())))
        patience = self._timeouts.cancel

        def insist() -> None:
            if job.outcome is None:
                self.stop(f"did not stop within {patience:g} seconds of being cancelled")

        asyncio.get_running_loop().call_later(patience, insist)
        await job.over()

    async def settled(self) -> None:
        """Wait until the process is ready for more, or gone, after a job that was cancelled."""
        if self._job is not None:
            await self._job.over()
        if self.leaving:
            await self.gone()

    def stop(self, verdict: str) -> None:
        """End the process at once. There is nothing that it would save; see `child.py`."""
        self.leaving = True
        self._verdict = self._verdict or verdict
        self._stop.set()

    async def gone(self) -> None:
        """Wait until the process has been reaped and everything of it let go."""
        await asyncio.wait({self._life})

    def _send(self, pieces: Sequence[bytes]) -> None:
        if self._writer is not None:
            self._writer.writelines(pieces)

    def _loss(self) -> WorkerLost:
        return WorkerLost(f"The drawing process {self.ended}.")

    async def _live(self, delay: float) -> None:
        try:
            ended = await self._attend(delay)
        except OSError as error:
            ended = f"could not be started ({error.strerror})"
        except asyncio.CancelledError:
            # The event loop is going away without `close`: nobody may start anything any more.
            self._bury("was left behind")
            raise
        self.ended = ended
        self._on_end(self)
        self._bury(ended)

    def _bury(self, ended: str) -> None:
        self.ended = ended
        for feed in filter(None, (self.loading, self._job)):
            feed.end(self._loss())

    async def _attend(self, delay: float) -> str:
        """Launch the process, listen to it, see it to its end and say what became of it."""
        if delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)
        if self._verdict is not None:
            return self._verdict
        ours, theirs = socket.socketpair()
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_READ_LIMIT)
        try:
            with theirs:
                process = await launch(theirs.fileno())
            heartbeat = min(_HEARTBEAT, self._timeouts.silence / _TICKS)
            self._send(encode(Frame(0, Setup(self._spec, heartbeat))))
            await self._follow(process, reader)
        finally:
            self._writer.transport.abort()
        return self._verdict or describe(process.returncode)

    async def _follow(self, process: Process, reader: asyncio.StreamReader) -> None:
        """Stay with the process until it has been reaped."""
        listening = asyncio.create_task(self._listen(reader), name="listen to the drawing process")
        watching = asyncio.create_task(self._watch(), name="watch the drawing process")
        output = asyncio.create_task(self._keep_tail(process), name="read what it writes")
        try:
            await asyncio.wait({listening, watching}, return_when=asyncio.FIRST_COMPLETED)
            if self._verdict is None:
                # It closed its end and is about to exit; its exit status tells why.
                await exited(process, _EXIT_GRACE)
            kill(process)
            await exited(process, _REAP_TIMEOUT)
            await asyncio.wait({output}, timeout=_EXIT_GRACE)
        finally:
            kill(process)
            for task in (listening, watching, output):
                task.cancel()
            await asyncio.gather(listening, watching, output, return_exceptions=True)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while (frame := await receive(reader)) is not None:
                self._silent = 0
                if not isinstance(frame.body, Heartbeat):
                    self._stalled = 0
                    self._sort(frame.job, frame.body)
        except MessageError:
            self.stop("sent something that cannot be read")
        self.leaving = True

    def _sort(self, job: int, body: Body) -> None:
        feed = self.loading if job == 0 else self._job
        if feed is None or job not in (0, self._number):
            return
        match body:
            case Preparing() | Started() | Step():
                feed.put(body)
            case Loaded() | Rendered() | Stopped():
                feed.end(body)
            case Refused():
                self.leaving = self.leaving or body.fatal
                feed.end(body.error())

    async def _watch(self) -> None:
        """Wait until the process is to be stopped, and stop it when it hangs.

        Time is counted in ticks of this loop, so that a bot that was itself suspended or kept busy
        does not take its own absence for the process'.
        """
        tick = self._timeouts.silence / _TICKS
        while self._verdict is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), tick)
            self._silent += 1
            self._stalled += 1
            busy = self.drawing or self.loading.outcome is None
            if self._silent > _TICKS:
                self.stop(f"gave no sign of life for {self._timeouts.silence:g} seconds")
            elif busy and self._stalled * tick > self._timeouts.progress:
                self.stop(f"made no progress for {self._timeouts.progress:g} seconds")

    async def _keep_tail(self, process: Process) -> None:
        while process.stdout and (chunk := await process.stdout.read(_TAIL_BYTES)):
            self.tail = (self.tail + chunk.decode(errors="replace"))[-_TAIL_BYTES:]
