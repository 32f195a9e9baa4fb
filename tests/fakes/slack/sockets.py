"""Socket Mode: apps.connections.open, and up to ten websockets that share what happens."""

import asyncio
import json
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.fakes.slack.delivery import Delivery, Envelope
from tests.fakes.slack.state import Json
from tests.fakes.slack.world import World

_MOST = 10


@dataclass(eq=False)
class Socket:
    """One connection of the app. `waiting` are the envelopes that it has not acknowledged."""

    link: web.WebSocketResponse = field(repr=False)
    transport: asyncio.Transport | None = field(repr=False)
    waiting: dict[str, Envelope] = field(default_factory=dict, repr=False)


class Sockets:
    """Holds the app's connections, and carries envelopes to one of them in turn."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._delivery = delivery
        self._tickets: set[str] = set()
        self._next = 0
        self.connected: list[Socket] = []
        self.opened = 0
        """How many connections there have been."""

    # --- What tests do --------------------------------------------------------------------------

    async def until_connected(self, number: int = 1, seconds: float = 30.0) -> None:
        """Wait until so many sockets are open."""
        there = await self._world.changes.until(lambda: len(self.connected) >= number, seconds)
        assert there, f"{len(self.connected)} of {number} sockets came in {seconds} s"

    async def ask_to_leave(self, reason: str = "refresh_requested") -> None:
        """Tell every socket to go: `warning` (10 s before), or `refresh_requested` now."""
        for socket in list(self.connected):
            frame = {"type": "disconnect", "reason": reason, "debug_info": {"host": "fake"}}
            await socket.link.send_str(json.dumps(frame))

    async def kill(self, *, politely: bool = False) -> None:
        """Cut every connection; `politely`, with a closing frame."""
        for socket in list(self.connected):
            self._gone(socket)
            if politely:
                await socket.link.close(code=1001)
            elif socket.transport is not None:
                socket.transport.abort()

    # --- Serving --------------------------------------------------------------------------------

    def ticket(self) -> Json:
        """The answer of apps.connections.open: an address that is good once."""
        ticket = self._world.new_id("K")
        self._tickets.add(ticket)
        base = self._world.address.replace("http", "ws", 1)
        return {"url": f"{base}/link/?ticket={ticket}&app_id={self._world.app_id}"}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403)
        self._tickets.discard(ticket)
        if len(self.connected) >= _MOST:
            return web.Response(status=429)
        link = web.WebSocketResponse(compress=False)
        await link.prepare(request)
        socket = Socket(link, request.transport)
        await link.send_str(json.dumps(self._hello(len(self.connected) + 1)))
        self.connected.append(socket)
        self.opened += 1
        self._delivery.arrivals += 1
        self._world.changes.tell(self)
        try:
            async for frame in link:
                if frame.type is WSMsgType.TEXT:
                    self._take(socket, frame.data)
        finally:
            self._gone(socket)
        return link

    async def carry(self, envelope: Envelope) -> bool:
        """Send an envelope by the next socket in turn."""
        if not self.connected:
            return False
        self._next = (self._next + 1) % len(self.connected)
        socket = self.connected[self._next]
        socket.waiting[envelope.id] = envelope
        frame: Json = {
            "envelope_id": envelope.id,
            "type": envelope.kind,
            "payload": envelope.payload,
            "accepts_response_payload": envelope.kind != "events_api",
        }
        if envelope.kind == "events_api" or envelope.attempts:
            frame |= {
                "retry_attempt": envelope.attempts,
                "retry_reason": envelope.retry_reason or "",
            }
        try:
            await socket.link.send_str(json.dumps(frame))
        except (ConnectionError, RuntimeError):
            self._gone(socket)
            return False
        return True

    def _take(self, socket: Socket, data: str) -> None:
        try:
            frame = json.loads(data)
            identity = frame["envelope_id"]
        except (ValueError, KeyError, TypeError):
            self._world.violate("socket", [f"a frame that is no ack: {data[:200]}"])
            return
        envelope = socket.waiting.get(identity)
        if envelope is None:
            self._world.violate("socket", [f"acknowledged {identity}, which it was never told"])
            return
        self._delivery.acked(envelope, frame.get("payload"))

    def _gone(self, socket: Socket) -> None:
        if socket in self.connected:
            self.connected.remove(socket)
            self._delivery.losses += 1
            self._world.changes.tell(self)

    def _hello(self, number: int) -> Json:
        return {
            "type": "hello",
            "num_connections": number,
            "debug_info": {"host": "fake", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._world.app_id},
        }
