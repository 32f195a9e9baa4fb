"""What Slack tells the app, by Socket Mode or signed HTTP, and whether it was acknowledged.

Commands, clicks and forms are told once and must be acknowledged within 3 seconds. Events are
told again, up to three times: at once, after a minute, after five; and as soon as a socket comes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.slack.state import Json
from tests.fakes.slack.world import World

COMMAND, INTERACTIVE, EVENT = "slash_commands", "interactive", "events_api"
"""Kinds of envelopes, in Socket Mode's words."""

_PAUSES = (0.0, 60.0, 300.0)
"""Seconds before each repetition of an event."""


@dataclass(eq=False)
class Envelope:
    """Something that the app is told. `acked_at` is on the fake's clock, None without an ack."""

    id: str
    kind: str
    payload: Json = field(repr=False)
    sent_at: float
    attempts: int = 0
    retry_reason: str | None = None
    trouble: str | None = None
    """Why the last attempt failed, where it was not for time: `http_error`, `connection_failed`."""
    acked_at: float | None = None
    answer: Json | None = None
    """What came with the first ack; a text is `{"text": …}`."""
    acks: int = 0
    refused: bool = False
    """Whether nobody was there to take it, or its answer over HTTP was an error."""
    timed_out: bool = False
    """Whether the person was told that the app did not answer."""
    deadline: float = 3.0

    @property
    def acked(self) -> bool:
        """Whether an ack came in time."""
        return self.acked_at is not None and self.acked_at - self.sent_at <= self.deadline


class Delivery:
    """Sends envelopes. The carrier is the sockets' or, with a request URL, HTTP's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.carry: Callable[[Envelope], Coroutine[Any, Any, bool]] = _nowhere
        """Sends one envelope; False where nobody took it."""
        self.ready: Callable[[], bool] = lambda: True
        """Whether the carrier could reach the app; repetitions wait for it."""
        self.sent: deque[Envelope] = deque(maxlen=20_000)
        self.ack_within = 3.0
        self.copies = 1
        """How often each envelope is delivered; 2 makes every one arrive twice."""
        self.retried = {EVENT}
        """Kinds that are told again without an ack. Slack documents it for events only."""
        self.losses = 0
        """How often a connection was lost; whoever waits for an ack on it need not wait on."""
        self.arrivals = 0
        """How often a connection came."""
        self._held: list[Envelope] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- What tests ask and do ------------------------------------------------------------------

    @property
    def late(self) -> list[Envelope]:
        """Commands, clicks and forms that were not acknowledged in time."""
        return [e for e in self.sent if e.timed_out and e.kind != EVENT]

    def hold(self) -> None:
        """Keep everything back from now on."""
        self._held = []

    def release(self, *, backwards: bool = False) -> None:
        """Send what was kept back; `backwards`, the newest first."""
        held, self._held = self._held or [], None
        for envelope in reversed(held) if backwards else held:
            self._start(self._deliver(envelope))

    async def repeat(self, envelope: Envelope, reason: str = "timeout") -> None:
        """Tell the app the same thing once more, whatever it answered before."""
        envelope.attempts += 1
        envelope.retry_reason = reason
        await self.carry(envelope)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- Inside ---------------------------------------------------------------------------------

    def send(self, kind: str, payload: Json, identity: str | None = None) -> Envelope:
        """Start to tell the app something."""
        now = self._world.clock.now()
        identity = identity or self._world.new_id("E")
        envelope = Envelope(identity, kind, payload, now, deadline=self.ack_within)
        self.sent.append(envelope)
        if self._held is not None:
            self._held.append(envelope)
        else:
            self._start(self._deliver(envelope))
        return envelope

    def acked(self, envelope: Envelope, answer: Json | None) -> None:
        """Take an ack. Only the first one counts."""
        envelope.acks += 1
        if envelope.acked_at is None:
            envelope.acked_at = self._world.clock.now()
            envelope.answer = answer
        self._world.changes.tell(envelope)

    async def answered(self, envelope: Envelope) -> bool:
        """Wait for the ack; whether it came in time."""
        now, end = self._world.clock.now, envelope.sent_at + self.ack_within
        await self._world.changes.until(
            lambda: envelope.acked_at is not None or envelope.refused or now() > end,
            self.ack_within + 0.1,
            about=envelope,
        )
        envelope.timed_out = not envelope.acked
        return envelope.acked

    async def _deliver(self, envelope: Envelope) -> None:
        if envelope.kind not in self.retried:
            taken = await asyncio.gather(*(self.carry(envelope) for _ in range(self.copies)))
            envelope.refused = not any(taken)
            self._world.changes.tell(envelope)
            return
        told_at, arrivals = self._world.clock.now(), self.arrivals
        for number, pause in enumerate((None, *_PAUSES)):
            if pause is not None:
                await self._pause(envelope, told_at + pause, arrivals)
            if envelope.acked_at is not None:
                return
            told_at, arrivals = self._world.clock.now(), self.arrivals
            if envelope.kind == EVENT:  # a person who waits for an answer does not wait longer
                envelope.sent_at = told_at
            envelope.attempts = number
            envelope.retry_reason = (envelope.trouble or "timeout") if number else None
            envelope.trouble = None
            await self._attempt(envelope, self.copies if number == 0 else 1)

    async def _attempt(self, envelope: Envelope, copies: int) -> None:
        """Tell an event once, and wait until it is acknowledged, lost or late."""
        carrying = [self._start(self.carry(envelope)) for _ in range(copies)]
        now, losses = self._world.clock.now, self.losses
        end = now() + self.ack_within
        await self._world.changes.until(
            lambda: (
                envelope.acked_at is not None
                or now() > end
                or self.losses != losses
                or all(c.done() and not c.result() for c in carrying)
            ),
            self.ack_within + 0.1,
        )

    async def _pause(self, envelope: Envelope, until: float, arrivals: int) -> None:
        """Wait until then, or for a new connection; and until the app can be reached at all."""
        await self._world.changes.until(
            lambda: (
                envelope.acked_at is not None
                or (
                    self.ready() and (self._world.clock.now() >= until or self.arrivals != arrivals)
                )
            ),
            3600.0,
        )

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _nowhere(envelope: Envelope) -> bool:
    return False
