"""One call of a Web API method: what arrived, and for whom."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.state import Json, Team


@dataclass(frozen=True)
class Asked:
    """A call that has been read: the method, its arguments, and the workspace of its token."""

    method: str
    args: Json
    team: Team = field(repr=False)

    def need(self, *scopes: str) -> None:
        """Refuse the call unless the token has one of these scopes."""
        if not self.team.scopes.intersection(scopes):
            provided = ",".join(sorted(self.team.scopes))
            raise SlackError("missing_scope", needed=scopes[0], provided=provided)

    def text(self, name: str) -> str:
        """A required argument."""
        value = self.args.get(name)
        if value in (None, ""):
            detail = f"missing required field: {name}"
            raise SlackError("invalid_arguments", [detail])
        return str(value)

    def number(self, name: str, default: int) -> int:
        return int(self.args.get(name) or default)

    def flag(self, name: str) -> bool:
        return str(self.args.get(name, "")).lower() in ("1", "true")

    def json(self, name: str) -> Any:
        return self.args.get(name)


@dataclass(frozen=True)
class Method:
    """How a method is served: its tier (0 is special) and the scopes of which it needs one."""

    handler: Callable[[Asked], Json]
    tier: int
    scopes: tuple[str, ...] = ()
