"""fal's three error bodies.

    model           {"detail": [{"loc", "msg", "type", "input"?, "ctx"?, "url"}]}   this request
    infrastructure  {"detail": text, "error_type": type} and X-Fal-Error-Type       this service
    account         {"detail": text}                                                this key

fal's clients repeat 408, 409, 429 and 502 to 504 by themselves. Only what passes within seconds is
answered with one of these.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from backends.errors import shown

BILLABLE: Final = "x-fal-billable-units"
ERROR_TYPE: Final = "X-Fal-Error-Type"
NEEDS_RETRY: Final = "X-Fal-Needs-Retry"
_EXPLAINED_AT: Final = "https://fal.ai/docs/documentation/model-apis/errors#"
_LONGEST_INPUT: Final = 1000
_MOST_DETAILS: Final = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code, a JSON object and the headers beside it."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """Whatever route raises it, `answer` is what the client gets."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that is wrong: `loc` leads to it, `type` is fal's word for it.

    `given` is the value at fault, where there is one.
    """

    loc: Sequence[str | int]
    msg: str
    type: str
    given: object = field(default=None, repr=False)
    ctx: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As fal writes it."""
        body: dict[str, Any] = {
            "loc": list(self.loc),
            "msg": self.msg,
            "type": self.type,
            "url": f"{_EXPLAINED_AT}{self.type}",
        }
        if self.given is not None:
            body["input"] = _echo(self.given)
        if self.ctx:
            body["ctx"] = dict(self.ctx)
        return body


def model_error(status: int, *details: Detail, retry: bool = False) -> ApiError:
    """Something about this request, or about what became of it; it costs nothing."""
    details = details[:_MOST_DETAILS]
    headers = {BILLABLE: "0", NEEDS_RETRY: "1" if retry else "0", ERROR_TYPE: details[0].type}
    return ApiError(Answer(status, {"detail": [detail.body() for detail in details]}, headers))


def invalid(*details: Detail) -> ApiError:
    """What was asked for cannot be honoured."""
    return model_error(422, *details)


def infrastructure(
    status: int, text: str, error_type: str, *, retry_after: int | None = None
) -> ApiError:
    """Something about this service; `retry_after` seconds later it may have passed."""
    headers = {BILLABLE: "0", ERROR_TYPE: error_type}
    headers[NEEDS_RETRY] = "0" if retry_after is None else "1"
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return ApiError(Answer(status, {"detail": text, "error_type": error_type}, headers))


def account(status: int, text: str) -> ApiError:
    """Something about who asks, or about an address that leads nowhere."""
    return ApiError(Answer(status, {"detail": text}, {BILLABLE: "0"}))


def no_such_request() -> ApiError:
    """Nobody's, or somebody else's: the two look the same."""
    text = "There is no such request here, or it belongs to another key."
    return ApiError(Answer(404, {"status": "NOT_FOUND", "detail": text}))


def _echo(value: object) -> object:
    """A value as it was given, or a short text in its place where it is long or no JSON."""
    try:
        if len(json.dumps(value, allow_nan=False)) <= _LONGEST_INPUT:
            return value
    except (TypeError, ValueError, RecursionError):
        pass
    return shown(value)
