"""Why a request is refused, or why its job failed, in fal's words.

A refusal that would be the same in a minute is never answered with a status that clients repeat.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from backends.base import NAMED_SIZES, ImageSize
from backends.errors import Problem
from bot.commands.imagine import LoraRefusal, QuotaUsedUp, Refused
from bot.jobs.job import Fault
from bot.permissions import (
    Blocked,
    ModelNotAllowed,
    OverAllowance,
    OverBudget,
    Paused,
    WordsBlocked,
)
from bot.surfaces.fal_api.errors import (
    ApiError,
    Detail,
    account,
    infrastructure,
    invalid,
    model_error,
)

RETRY_AFTER_S: Final = 5
_TYPES: Final = {
    "literal_error": "one_of",
    "too_long": "sequence_too_long",
    "too_short": "sequence_too_short",
    "control_character": "value_error",
    "blank": "value_error",
}
"""fal's word for what pydantic, or our own validation, calls otherwise."""

FAULTS: Final[Mapping[str, tuple[int, str]]] = {
    "BadRequest": (422, "value_error"),
    "ContentRefused": (422, "content_policy_violation"),
    "FileRefused": (422, "file_download_error"),
    "InputRefused": (422, "value_error"),
    "LoraNotFetched": (422, "file_download_error"),
    "LoraRejected": (422, "file_download_error"),
    "LoraUnavailable": (422, "file_download_error"),
    "ModelUnavailable": (500, "downstream_service_unavailable"),
    "OutcomeUnknown": (500, "downstream_service_error"),
    "ServiceTimeout": (500, "generation_timeout"),
    "ServiceTrouble": (500, "downstream_service_error"),
    "Unreachable": (500, "downstream_service_unavailable"),
}
"""Status and type for the kinds of fault; any other is an `internal_server_error`."""

PASSING: Final = frozenset({"Unreachable", "WorkerLost", "ServiceTimeout", "ServiceTrouble"})
"""Kinds after which the same request, submitted once more, may well be drawn."""


def problems(found: tuple[Problem, ...]) -> ApiError:
    """Fields that cannot be honoured, all of them named."""
    return invalid(*(_detail(problem) for problem in found))


def refusal(error: Refused) -> ApiError:
    """What to answer where the order was refused."""
    sentence = str(error)
    match error.why:
        case tuple() as found:
            return problems(found)
        case LoraRefusal(index=index, path=path):
            return invalid(
                Detail(("body", "loras", index, "path"), sentence, "file_download_error", path)
            )
        case OverAllowance(excesses=excesses):
            return invalid(
                *(
                    Detail(
                        ("body", excess.field),
                        sentence,
                        "less_than_equal",
                        excess.asked,
                        {"le": excess.limit},
                    )
                    for excess in excesses
                )
            )
        case WordsBlocked():
            return invalid(Detail(("body", "prompt"), sentence, "content_policy_violation"))
        case QuotaUsedUp(resets_at=None):
            return infrastructure(
                429, sentence, "concurrent_requests_limit", retry_after=RETRY_AFTER_S
            )
        case Blocked() | Paused() | ModelNotAllowed() | OverBudget() | QuotaUsedUp():
            return account(403, sentence)
        case None:
            return invalid(Detail(("body",), sentence, "value_error"))


def failure(fault: Fault | None) -> ApiError:
    """What the result of a failed job answers; a fault that was deleted leaves no more to say."""
    if fault is None:
        fault = Fault(kind="", sentence="This request failed; why is not kept any more.")
    status, kind = FAULTS.get(fault.kind, (500, "internal_server_error"))
    detail = Detail(("body",), fault.sentence, kind)
    return model_error(status, detail, retry=fault.kind in PASSING)


def _detail(problem: Problem) -> Detail:
    kind, ctx = _TYPES.get(problem.kind, problem.kind), dict(problem.context)
    if problem.kind == "size_range":
        kind, ctx = _beyond(problem)
    elif kind == "one_of":
        kind, ctx = ("one_of", _choices(ctx)) if ctx else ("feature_not_supported", {})
    elif kind == "value_error":
        ctx = {}
    loc = [int(part) if part.isdecimal() else part for part in problem.field.split(".")]
    return Detail(("body", *loc), problem.sentence(), kind, problem.value, ctx)


def _beyond(problem: Problem) -> tuple[str, dict[str, Any]]:
    """On which side a size lies outside of what the model draws."""
    low, high = problem.context.get("low"), problem.context.get("high")
    if not isinstance(low, int) or not isinstance(high, int):
        return "feature_not_supported", {}  # the model could; what draws here cannot
    size = problem.value
    if isinstance(size, str):
        size = NAMED_SIZES[size]
    elif isinstance(size, Mapping):
        size = ImageSize.model_validate(size)
    if isinstance(size, ImageSize) and max(size.width, size.height) > high:
        return "less_than_equal", {"le": high}
    return "greater_than_equal", {"ge": low}


def _choices(ctx: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a field may have, as a list."""
    expected = ctx["expected"]
    if isinstance(expected, str):  # pydantic: "'none', 'regular' or 'high'"
        expected = re.findall(r"'([^']*)'", expected) or [False]
    return {"expected": list(expected)}
