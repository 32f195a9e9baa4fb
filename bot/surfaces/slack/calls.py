"""Calls of Slack's Web API, with its errors in words for people.

CallFailed    Slack did not do it; `certain` says whether that is sure
├── Busy      too many calls; `retry_after` seconds to wait
└── Closed    the place does not take messages, or Slack no longer knows us; `sentence` says why
"""

import asyncio
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

CALL_TIMEOUT_S: Final = 15.0
_LONGEST_WAIT_S: Final = 300.0

_NOT_THERE: Final = (
    "I am not in this channel. Type `/invite` with my name here and ask again, or add `--private` "
    "to get the picture as a direct message."
)
_READ_ONLY: Final = (
    "Only some people may post in this channel. Ask in another one, or add `--private` to get the "
    "picture as a direct message."
)
_NO_DM: Final = (
    "I cannot send you direct messages: the app's messages are switched off. Somebody who manages "
    "the app can switch them on under “App Home”, or ask in a channel."
)
_NO_ACCESS: Final = (
    "Atelier has lost its access to this workspace. Whoever runs it can install the app again; "
    "`atelier doctor` says what is missing."
)
_NO_SCOPE: Final = (
    "Atelier lacks a permission in this workspace. Whoever runs it can install the app anew from "
    "its manifest; `atelier doctor` says what is missing."
)

CLOSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_in_channel": _NOT_THERE,
        "channel_not_found": _NOT_THERE,
        "is_archived": (
            "This channel is archived. Ask in another one, or add `--private` to get the picture "
            "as a direct message."
        ),
        "restricted_action": _READ_ONLY,
        "restricted_action_read_only_channel": _READ_ONLY,
        "restricted_action_thread_only_channel": _READ_ONLY,
        "restricted_action_non_threadable_channel": _READ_ONLY,
        "restricted_action_thread_locked": _READ_ONLY,
        "cannot_dm_bot": _NO_DM,
        "cannot_reply_to_message": "Nobody can reply there. Ask in the channel itself.",
        "messages_tab_disabled": _NO_DM,
        "user_disabled": _NO_DM,
        "user_not_found": _NO_DM,
        "missing_scope": _NO_SCOPE,
        "no_permission": _NO_SCOPE,
        "not_allowed_token_type": _NO_SCOPE,
        "access_denied": _NO_ACCESS,
        "account_inactive": _NO_ACCESS,
        "ekm_access_denied": _NO_ACCESS,
        "invalid_auth": _NO_ACCESS,
        "not_authed": _NO_ACCESS,
        "org_login_required": _NO_ACCESS,
        "team_access_not_granted": _NO_ACCESS,
        "team_not_found": _NO_ACCESS,
        "token_expired": _NO_ACCESS,
        "token_revoked": _NO_ACCESS,
    }
)
"""Slack's words for a place that trying again does not open, each with a sentence."""


class CallFailed(Exception):
    """`error` is Slack's own word for it, or the name of what broke the connection.

    `certain` is False where Slack may have carried the call out all the same. `details` are the
    sentences that Slack adds about invalid arguments.
    """

    def __init__(
        self, method: str, error: str, *, certain: bool = True, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{method}: {error}")
        self.error = error
        self.certain = certain
        self.details = details


class Busy(CallFailed):
    """Slack wants us to wait."""

    def __init__(self, method: str, retry_after: float) -> None:
        super().__init__(method, "ratelimited")
        self.retry_after = retry_after


class Closed(CallFailed):
    """No message can be brought there."""

    def __init__(self, method: str, error: str) -> None:
        super().__init__(method, error)
        self.sentence = CLOSED[error]


async def called(method: str, call: Awaitable[AsyncSlackResponse]) -> Mapping[str, Any]:
    """What Slack answers to a call.

    Raises:
        CallFailed, Busy, Closed
    """
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            answer = await call
    except SlackApiError as error:
        raise translated(method, error) from error
    except aiohttp.ClientConnectorError as error:
        raise CallFailed(method, type(error).__name__) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CallFailed(method, type(error).__name__, certain=False) from error
    return answer.data if isinstance(answer.data, dict) else {}


def translated(method: str, error: SlackApiError) -> CallFailed:
    """The library's error in our words."""
    response = error.response
    status = getattr(response, "status_code", 0)
    data = getattr(response, "data", None)
    word = str(data.get("error", "")) if isinstance(data, dict) else ""
    if status == 429 or word == "ratelimited":
        return Busy(method, _seconds(getattr(response, "headers", {})))
    if word in CLOSED:
        return Closed(method, word)
    if not isinstance(data, dict) or not word or status >= 500:
        return CallFailed(method, word or f"HTTP {status}", certain=status < 500)
    about = (data.get("response_metadata") or {}).get("messages") or data.get("errors") or ()
    # A word for trouble on Slack's side says nothing about what was done before it.
    certain = word not in {
        "internal_error",
        "fatal_error",
        "request_timeout",
        "service_unavailable",
    }
    return CallFailed(method, word, certain=certain, details=tuple(map(str, about)))


def _seconds(headers: Mapping[str, Any]) -> float:
    named = {str(name).lower(): value for name, value in headers.items()}
    value = named.get("retry-after", "1")
    if isinstance(value, list | tuple):
        value = value[0]
    try:
        return min(max(float(value), 0.5), _LONGEST_WAIT_S)
    except ValueError:
        return 1.0
