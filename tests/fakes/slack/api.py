"""The Web API: every call is read, counted, judged and answered here."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.slack.asking import Asked, Method
from tests.fakes.slack.errors import RateLimited, SlackError
from tests.fakes.slack.state import Json, Team
from tests.fakes.slack.world import World

_ENCODED = ("blocks", "attachments", "files", "metadata", "view")
"""Arguments that are JSON inside forms and queries."""


@dataclass(frozen=True)
class Call:
    """A call as it arrived, and what it was answered."""

    method: str
    args: Json = field(repr=False)
    team: Team | None = field(repr=False)
    status: int
    error: str | None
    at: float
    """On the fake's clock."""


@dataclass
class Fault:
    """What goes wrong with the next `times` calls of a method.

    `upload`, `response_url` and `files-pri` are methods here too.

    The answer is late by `delay` seconds, is `status` (500, 429 …) or the named `error` in place of
    the proper one, or is `cut` off with its connection. `after`: the call has taken effect and only
    its answer is lost.
    """

    method: str
    status: int | None = None
    error: str | None = None
    cut: bool = False
    delay: float = 0.0
    after: bool = False
    times: int = 1
    retry_after: int = 1
    """Seconds in `Retry-After` of a 429."""

    @property
    def spoils(self) -> bool:
        """Whether the proper answer does not arrive."""
        return self.cut or self.status is not None or self.error is not None


class Api:
    """Serves `/api/METHOD`. `calls` holds the latest calls, `faults` what is to go wrong."""

    def __init__(self, world: World, methods: Mapping[str, Method], app_token: str) -> None:
        self._world = world
        self._methods = methods
        self._app_token = app_token
        self.calls: deque[Call] = deque(maxlen=50_000)
        self.faults: list[Fault] = []

    def made(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [c for c in self.calls if c.method == method]

    @property
    def limited(self) -> list[Call]:
        """The calls that were answered 429."""
        return [c for c in self.calls if c.status == 429]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        fault = self.fault(name)
        try:
            args = await _read(request)
        except (ValueError, SlackError):
            self._world.violate(name, ["the body cannot be read"])
            return web.json_response({"ok": False, "error": "invalid_json"})
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.spoils and not fault.after:
                self._record(name, args, None, fault.status or 200, fault.error or "fault")
                return spoilt(fault, request)
        team, headers, status = None, {}, 200
        try:
            team = self._authorised(request, args, name)
            headers = self._scopes_told(team, name)
            self._count(name, team, args)
            answer = {"ok": True, **self._answer(name, args, team)}
        except RateLimited as error:
            status, headers["Retry-After"] = 429, str(error.wait)
            answer = error.body()
        except SlackError as error:
            answer = error.body()
        self._record(name, args, team, status, answer.get("error"))
        if fault is not None and fault.spoils:
            return spoilt(fault, request)
        return web.json_response(answer, status=status, headers=headers)

    def fault(self, method: str) -> Fault | None:
        """The fault that is to hit this call, used up by one."""
        for fault in self.faults:
            if fault.method == method and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    # --- Steps ----------------------------------------------------------------------------------

    def _authorised(self, request: web.Request, args: Json, name: str) -> Team | None:
        """The workspace of the token; None for the app-level token."""
        if name not in self._methods:
            self._world.violate(name, ["the fake has no such method"])
            raise SlackError("unknown_method")
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = given or str(args.pop("token", ""))
        if not token:
            raise SlackError("not_authed")
        if token == self._app_token:
            if name != "apps.connections.open":
                raise SlackError("not_allowed_token_type")
            return None
        for team in self._world.teams.values():
            if token == team.bot_token:
                if team.token_error is not None:
                    raise SlackError(team.token_error)
                if name == "apps.connections.open":
                    raise SlackError("not_allowed_token_type")
                return team
        raise SlackError("invalid_auth")

    def _scopes_told(self, team: Team | None, name: str) -> dict[str, str]:
        granted = ["connections:write"] if team is None else sorted(team.scopes)
        return {
            "X-OAuth-Scopes": ",".join(granted),
            "X-Accepted-OAuth-Scopes": ",".join(self._methods[name].scopes),
        }

    def _count(self, name: str, team: Team | None, args: Json) -> None:
        channel = args.get("channel") if isinstance(args.get("channel"), str) else None
        place = team.id if team is not None else "app"
        wait = self._world.limits.take(name, self._methods[name].tier, place, channel)
        if wait is not None:
            raise RateLimited(wait)

    def _answer(self, name: str, args: Json, team: Team | None) -> Json:
        method = self._methods[name]
        asked = Asked(name, args, team or self._world.team)
        if method.scopes and team is not None:
            asked.need(*method.scopes)
        try:
            return method.handler(asked)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Without the schemas nothing has looked at the form of blocks and views yet.
            self._world.violate(name, [f"not understood: {error!r}"])
            raise SlackError("invalid_arguments", [f"not understood: {error!r}"]) from error

    def _record(
        self, name: str, args: Json, team: Team | None, status: int, error: str | None
    ) -> None:
        now = self._world.clock.now()
        self.calls.append(Call(name, args, team, status, error, now))
        self._world.changes.tell(self)


def spoilt(fault: Fault, request: web.Request) -> web.StreamResponse:
    """What arrives in place of the proper answer."""
    if fault.cut and request.transport is not None:
        request.transport.abort()
        return web.Response(status=500)
    if fault.error is not None:
        return web.json_response({"ok": False, "error": fault.error}, status=fault.status or 200)
    if fault.status == 429:
        headers = {"Retry-After": str(fault.retry_after)}
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
    # Slack's own 5xx pages are no JSON.
    return web.Response(status=fault.status or 500, text="<html>Server Error</html>")


async def _read(request: web.Request) -> Json:
    """The arguments from query and body together, JSON inside them decoded."""
    args: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        args |= body
    elif request.can_read_body:
        args |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    for name in _ENCODED:
        if isinstance(args.get(name), str):
            args[name] = json.loads(args[name])
    return {k: v for k, v in args.items() if v is not None}
