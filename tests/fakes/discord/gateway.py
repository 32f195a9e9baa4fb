"""The gateway: one websocket per shard, resumable, its events numbered and kept for a while."""

import asyncio
import json
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.discord import payloads
from tests.fakes.discord.state import Channel, Guild, Json, Member, Role
from tests.fakes.discord.world import World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11

_GUILDS, _GUILD_MESSAGES, _DIRECT_MESSAGES = 1 << 0, 1 << 9, 1 << 12
_PRIVILEGED = 1 << 1 | 1 << 8 | 1 << 15
_BAD_TOKEN, _BAD_SHARD, _FORBIDDEN_INTENTS = 4004, 4010, 4014


@dataclass(eq=False)
class Session:
    """One shard of one login. Without a socket it may still be resumed."""

    id: str
    shard: int
    shards: int
    intents: int
    socket: web.WebSocketResponse | None = None
    sequence: int = 0
    written: int = 0
    """The last event that was written to a socket, or is being replayed to one."""
    sent: deque[Json] = field(default_factory=lambda: deque(maxlen=2000))
    resumable: bool = True


class Gateway:
    """Holds the sessions. `shards` is how many the app is told to open."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._token = token
        self._sessions: dict[str, Session] = {}
        self._outbox: asyncio.Queue[tuple[Session, Json]] = asyncio.Queue()
        self.shards = 1
        self.granted_intents = ~_PRIVILEGED
        """Intents that the app may ask for; a privileged one closes the socket with 4014."""
        self.identified = 0
        self.resumed = 0
        self.heartbeats = 0
        self.presences: list[Json] = []

    # --- What tests do --------------------------------------------------------------------------

    @property
    def connected(self) -> list[Session]:
        return [s for s in self._sessions.values() if s.socket is not None]

    async def until_ready(self, shards: int | None = None, seconds: float = 30.0) -> None:
        """Wait until so many shards (all of them, without a number) are logged in."""
        wanted = self.shards if shards is None else shards
        there = await self._world.changes.until(lambda: len(self.connected) >= wanted, seconds)
        assert there, f"{len(self.connected)} of {wanted} shards came in {seconds} s"

    async def drop(self, *, code: int = 4000, resumable: bool = True) -> None:
        """Close every socket. A session that is not resumable has to identify again."""
        for session in self.connected:
            session.resumable = resumable
            socket, session.socket = session.socket, None
            assert socket is not None
            await socket.close(code=code)

    async def ask_to_reconnect(self) -> None:
        """Tell every shard to come back by itself, as Discord does for its own upkeep."""
        for session in self.connected:
            assert session.socket is not None
            await _send(session.socket, {"op": RECONNECT, "d": None, "s": None, "t": None})

    def dispatch(
        self, event: str, data: Json, guild: Guild | None, *, always: bool = False
    ) -> None:
        """Send an event to the shard of its server; nothing where no shard ever logged in."""
        shard = (guild.id >> 22) if guild is not None else 0
        for session in self._sessions.values():
            if session.shard == shard % session.shards and (
                always or _wants(session, event, guild)
            ):
                self._send_event(session, event, data)

    # --- Serving --------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        await _send(socket, {"op": HELLO, "d": {"heartbeat_interval": 41250}, "s": None, "t": None})
        session: Session | None = None
        try:
            async for incoming in socket:
                if incoming.type is not WSMsgType.TEXT:
                    break
                frame = json.loads(incoming.data)
                if frame["op"] == HEARTBEAT:
                    self.heartbeats += 1
                    await _send(socket, {"op": ACK, "d": None, "s": None, "t": None})
                elif frame["op"] == IDENTIFY:
                    session = await self._identify(socket, frame["d"])
                elif frame["op"] == RESUME:
                    session = await self._resume(socket, frame["d"])
                elif frame["op"] == 3:
                    self.presences.append(frame["d"])
        finally:
            if session is not None and session.socket is socket:
                session.socket = None
                if socket.close_code in (1000, 1001):
                    self._sessions.pop(session.id, None)
            self._world.changes.tell(self)
        return socket

    async def deliver(self) -> None:
        """Send what is waiting, in order, for ever."""
        while True:
            session, frame = await self._outbox.get()
            socket = session.socket
            if socket is None or socket.closed or frame["s"] <= session.written:
                continue
            session.written = frame["s"]
            try:
                await _send(socket, frame)
            except (ConnectionError, RuntimeError):
                session.socket = None

    async def _identify(self, socket: web.WebSocketResponse, data: Json) -> Session | None:
        shard, shards = data.get("shard") or (0, 1)
        if data["token"] != self._token:
            await socket.close(code=_BAD_TOKEN, message=b"Authentication failed.")
            return None
        if not 0 <= shard < shards or shards < self.shards:
            await socket.close(code=_BAD_SHARD, message=b"Invalid shard.")
            return None
        if data["intents"] & ~self.granted_intents:
            await socket.close(code=_FORBIDDEN_INTENTS, message=b"Disallowed intent(s).")
            return None
        for old in [s for s in self._sessions.values() if s.shard == shard]:
            del self._sessions[old.id]
        session = Session(uuid.uuid4().hex, shard, shards, data["intents"], socket)
        self._sessions[session.id] = session
        self.identified += 1
        guilds = [
            g for g in self._world.guilds.values() if g.has_bot and (g.id >> 22) % shards == shard
        ]
        ready = {
            "v": 10,
            "user": payloads.user(self._world.bot),
            "guilds": [{"id": str(g.id), "unavailable": True} for g in guilds],
            "session_id": session.id,
            "resume_gateway_url": str(self._world.address).replace("http", "ws", 1) + "/gateway",
            "shard": [shard, shards],
            "application": {"id": str(self._world.app_id), "flags": 0},
        }
        self._send_event(session, "READY", ready)
        for guild in guilds if session.intents & _GUILDS else []:
            self._send_event(session, "GUILD_CREATE", payloads.guild_create(guild, self._world.bot))
        self._world.changes.tell(self)
        return session

    async def _resume(self, socket: web.WebSocketResponse, data: Json) -> Session | None:
        session = self._sessions.get(data["session_id"])
        if session is None or not session.resumable or data["token"] != self._token:
            await _send(socket, {"op": INVALID, "d": False, "s": None, "t": None})
            return None
        missed = [f for f in session.sent if f["s"] > data["seq"]]
        session.socket, session.written = socket, session.sequence
        self.resumed += 1
        for frame in missed:
            await _send(socket, frame)
        self._send_event(session, "RESUMED", {})
        self._world.changes.tell(self)
        return session

    def _send_event(self, session: Session, event: str, data: Json) -> None:
        session.sequence += 1
        frame: Json = {"op": DISPATCH, "t": event, "s": session.sequence, "d": data}
        session.sent.append(frame)
        self._outbox.put_nowait((session, frame))

    def announce(self, event: str, data: Json, guild: Guild | None) -> None:
        """Send what happened in the world, in the gateway's words."""
        shown: dict[str, Any] = dict(data)
        channel, role, member = data.get("channel"), data.get("role"), data.get("member")
        if event == "GUILD_CREATE" and guild is not None:
            shown = payloads.guild_create(guild, self._world.bot, entered=True)
        elif event == "GUILD_DELETE" and guild is not None:
            shown = {"id": str(guild.id)}
        elif isinstance(channel, Channel):
            shown = payloads.channel(channel)
        elif isinstance(role, Role) and guild is not None:
            shown = {"role": payloads.role(role), "guild_id": str(guild.id)}
        elif isinstance(member, Member) and guild is not None:
            shown = payloads.member(member) | {"guild_id": str(guild.id)}
        if guild is None or guild.has_bot:
            self.dispatch(event, shown, guild)


def _wants(session: Session, event: str, guild: Guild | None) -> bool:
    if event.startswith("MESSAGE_"):
        return bool(session.intents & (_GUILD_MESSAGES if guild else _DIRECT_MESSAGES))
    return bool(session.intents & _GUILDS)


async def _send(socket: web.WebSocketResponse, frame: Json) -> None:
    await socket.send_str(json.dumps(frame))
