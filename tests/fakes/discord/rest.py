"""REST: every request is matched, counted, judged and answered here."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from tests.fakes.discord.endpoints import Endpoints
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.messages import Upload
from tests.fakes.discord.openapi import OpenApi, is_here
from tests.fakes.discord.routes import ROUTES
from tests.fakes.discord.state import Json
from tests.fakes.discord.world import World

_PREFIX = "/api/v10"
_OLD = 3600.0


@dataclass(frozen=True)
class Call:
    """A request as it arrived, and the status that it got."""

    method: str
    template: str
    path: str
    query: Mapping[str, str]
    body: Any
    files: tuple[str, ...]
    status: int
    at: float
    """On the fake's clock."""


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path has the pattern `where` in it.

    The answer is late by `delay` seconds, is `status` (502, say) in place of the proper one, or is
    `cut` off with its connection. `after`: the request has taken effect and only its answer is
    lost. `uploads`: only requests with files are meant.
    """

    method: str
    where: str
    status: int | None = None
    cut: bool = False
    delay: float = 0.0
    after: bool = False
    times: int = 1
    uploads: bool = False

    @property
    def spoils(self) -> bool:
        """Whether the proper answer does not arrive."""
        return self.cut or self.status is not None


@dataclass(frozen=True)
class Asked:
    """A request that has been read: path parameters, query, JSON part and files."""

    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    uploads: list[Upload]


@dataclass
class Rest:
    """Serves `/api/v10`. `calls` holds the latest requests, `faults` what is to go wrong."""

    world: World
    endpoints: Endpoints
    token: str
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=50_000))
    faults: list[Fault] = field(default_factory=list)
    judge: OpenApi | None = field(default_factory=lambda: OpenApi.load() if is_here() else None)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(_PREFIX)
        found = _match(request.method, path)
        if found is None:
            self.world.violations.append(f"{request.method} {path}: the fake has no such route")
            return _json(404, {"message": "404: Not Found", "code": 0})
        if not request.headers.get("User-Agent"):
            self.world.violations.append(f"{request.method} {path}: no User-Agent")
        template, parameters = found
        fault: Fault | None = None
        headers: Mapping[str, str] = {}
        body: Any = None
        uploads: list[Upload] = []
        try:
            body, uploads = await _read(request)
            fault = self._fault(request.method, path, uploads)
            if fault is not None:
                await asyncio.sleep(fault.delay)
                if fault.spoils and not fault.after:
                    return _spoilt(fault, request)
            self._authorise(request, template)
            verdict = self._count(request.method, template, parameters)
            headers = verdict.headers
            if verdict.wait is not None:
                status, answer = 429, verdict.body()
            else:
                asked = Asked(parameters, request.query, body, uploads)
                status, answer = self._answer(request.method, template, asked)
        except ApiError as error:
            status, answer = error.status, error.body()
            label = f"{request.method} {template}"
            self.world.violations.extend(f"{label}: {p}" for p in error.problems)
        files = tuple(u.filename for u in uploads)
        query, now = dict(request.query), self.world.clock.now()
        self.calls.append(Call(request.method, template, path, query, body, files, status, now))
        self.world.changes.tell(self)
        if fault is not None and fault.spoils:
            return _spoilt(fault, request)
        return _json(status, answer, headers)

    def made(self, method: str, template: str) -> list[Call]:
        """The calls of one route, named as Discord's description names it."""
        return [c for c in self.calls if (c.method, c.template) == (method, template)]

    @property
    def limited(self) -> list[Call]:
        """The calls that were answered 429."""
        return [c for c in self.calls if c.status == 429]

    @property
    def invalid(self) -> int:
        """How many answers count towards Discord's ban: 10,000 in ten minutes."""
        return sum(c.status in (401, 403, 429) for c in self.calls)

    # --- Steps ----------------------------------------------------------------------------------

    def _answer(self, method: str, template: str, asked: Asked) -> tuple[int, Any]:
        label = f"{method} {template}"
        if self.judge is not None:
            problems = self.judge.of_request(method, template, asked.query, asked.body)
            if problems:
                raise ApiError(50035, problems=problems)
        handler: Callable[[Asked], tuple[int, Any]] = getattr(self.endpoints, ROUTES[label])
        try:
            status, answer = handler(asked)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Without Discord's file nothing has looked at the body's form yet.
            raise ApiError(50035, problems=[f"not understood: {error!r}"]) from error
        if self.judge is not None:
            for problem in self.judge.of_answer(method, template, status, answer):
                self.world.violations.append(f"the fake's own answer to {label}: {problem}")
        return status, answer

    def _authorise(self, request: web.Request, template: str) -> None:
        open_to_all = template.startswith(("/interactions/", "/webhooks/"))
        given = request.headers.get("Authorization")
        if not open_to_all and given != f"Bot {self.token}":
            raise ApiError(0)

    def _count(self, method: str, template: str, parameters: Mapping[str, str]) -> Any:
        named = ("channel_id", "guild_id", "webhook_id", "webhook_token", "interaction_token")
        major = "+".join(parameters[k] for k in named if k in parameters)
        return self.world.limits.take(
            method, template, major, old_message=self._old(method, template, parameters)
        )

    def _old(self, method: str, template: str, parameters: Mapping[str, str]) -> str | None:
        """The message's id, if this is an edit by the bot of one that is over an hour old."""
        if (method, template) != ("PATCH", "/channels/{channel_id}/messages/{message_id}"):
            return None
        channel = self.world.channels.get(int(parameters["channel_id"]))
        message = channel.messages.get(int(parameters["message_id"])) if channel else None
        if message is None or self.world.clock.now() - message.created < _OLD:
            return None
        return str(message.id)

    def _fault(self, method: str, path: str, uploads: list[Upload]) -> Fault | None:
        for fault in self.faults:
            if fault.uploads and not uploads:
                continue
            if fault.method == method and fault.times > 0 and re.search(fault.where, path):
                fault.times -= 1
                return fault
        return None


def _spoilt(fault: Fault, request: web.Request) -> web.StreamResponse:
    if fault.cut and request.transport is not None:
        request.transport.abort()
    return _json(fault.status or 500, {"message": "The fake was told to fail.", "code": 0})


def _match(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    for label, pattern in _PATTERNS.items():
        wanted, template = label.split(" ", 1)
        found = pattern.fullmatch(path) if wanted == method else None
        if found is not None:
            return template, found.groupdict()
    return None


_PATTERNS = {
    label: re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", label.split(" ", 1)[1]))
    for label in ROUTES
}


async def _read(request: web.Request) -> tuple[Any, list[Upload]]:
    kind = request.content_type
    if kind == "multipart/form-data":
        body: Json | None = None
        uploads = []
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read(decode=False))
            place = re.fullmatch(r"files\[(\d+)\]", part.name or "")
            if part.name == "payload_json":
                body = json.loads(data)
            elif place is not None and part.filename:
                uploads.append(Upload(int(place[1]), part.filename, data))
            else:
                raise ApiError(50035, problems=[f"multipart: {part.name} is unknown"])
        return body or {}, uploads
    raw = await request.read()
    if not raw:
        return None, []
    if kind != "application/json":
        raise ApiError(50035, problems=[f"Content-Type {kind} is not understood"])
    try:
        return json.loads(raw), []
    except ValueError as error:
        raise ApiError(50035, problems=["the body is no JSON"]) from error


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    if status == 204:
        return web.Response(status=204, headers=headers)
    # With a charset beside it, discord.py takes JSON for text.
    kind = {"Content-Type": "application/json"}
    return web.Response(
        status=status, body=json.dumps(body).encode(), headers={**kind, **(headers or {})}
    )
