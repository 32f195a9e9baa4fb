"""Messages at Slack: posted once, changed, taken away.

Every post carries the key of what it is in its metadata, so that after a crash or a broken
connection it can be looked for before it is posted again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog
from slack_sdk.models.metadata import Metadata
from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces.slack.calls import Busy, CallFailed, Closed, called
from bot.surfaces.slack.cards import Blocks
from bot.surfaces.slack.pace import Limits, Line, Pace, Sleep
from bot.surfaces.slack.receipts import Message, Where

EVENT: Final = "job_of_atelier"
"""The type of the metadata of our messages."""
_GONE: Final = frozenset({"message_not_found", "thread_not_found"})
_UNCHANGEABLE: Final = frozenset({"cant_update_message", "edit_window_closed", "is_inactive"})
_TRIES: Final = 3
_LONGEST_WAIT_S: Final = 60.0
_PAGE: Final = 200
_MOST_PAGES: Final = 5
_SLACK_S: Final = 120.0
"""How far Slack's clock and ours may be apart."""

log = structlog.get_logger()


class MessageGone(Exception):
    """The message was deleted, or may not be changed any more."""


class Unreadable(Exception):
    """Nobody can tell whether a message is there: the channel's history cannot be read."""


class Posts:
    """The messages of one app, within `limits`."""

    def __init__(
        self, client: AsyncWebClient, limits: Limits, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._client = client
        self._limits = limits
        self._sleep = sleep
        self.me: str = ""
        """Our bot id, once it is known."""
        self.site: str = ""
        """The workspace's address, once it is known."""

    async def post(self, where: Where, key: str, text: str, blocks: Blocks) -> str:
        """Post a message and return its `ts`. `text` is what notifications show.

        Raises:
            Closed: no message can be brought there.
            CallFailed: anything else; not `certain` where it may be there all the same.
        """
        answer = await self._patiently(
            "chat.postMessage",
            lambda: self._client.chat_postMessage(
                channel=where.channel,
                thread_ts=where.thread,
                text=text,
                blocks=blocks,
                metadata=Metadata(event_type=EVENT, event_payload={"key": key, "for": where.user}),
                unfurl_links=False,
                unfurl_media=False,
            ),
            self._limits.posts(where.channel),
        )
        return str(answer["ts"])

    async def post_once(
        self, where: Where, key: str, text: str, blocks: Blocks, since: float
    ) -> str:
        """The same; where nobody knows whether it arrived, it is looked for before giving up.

        Raises:
            Closed, CallFailed: as for `post`.
        """
        try:
            return await self.post(where, key, text, blocks)
        except CallFailed as error:
            if error.certain:
                raise
            with contextlib.suppress(Unreadable, CallFailed):
                if (found := await self.find(where, key, since)) is not None:
                    return found
            raise

    async def find(self, where: Where, key: str, since: float) -> str | None:
        """The `ts` of the message with this key, posted after `since` (seconds since 1970).

        Raises:
            Unreadable: the history cannot be read.
            CallFailed
        """
        cursor, oldest = None, f"{since - _SLACK_S:.6f}"
        for _ in range(_MOST_PAGES):
            try:
                page = await self._history(where, oldest, cursor)
            except Closed as error:
                raise Unreadable(error.error) from error
            except CallFailed as error:
                if error.error in _GONE:
                    return None
                raise
            for message in page.get("messages", ()):
                if self._is(message, key):
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None
        raise Unreadable("too many messages since")

    async def files(self, message: Message) -> set[str]:
        """The ids of the files that a message of ours shows, as far as its place can be read.

        Raises:
            CallFailed
        """
        return set(_files((await self._read(message)).get("blocks")))

    async def asked_by(self, message: Message) -> str | None:
        """Who has asked for a message of ours, as it says itself, as far as it can be read.

        Raises:
            CallFailed
        """
        found = await self._read(message)
        payload = _payload(found) if self._is_ours(found) else {}
        return None if payload.get("for") is None else str(payload["for"])

    async def update(self, message: Message, text: str, blocks: Blocks) -> None:
        """Replace what a message shows.

        Raises:
            MessageGone, Closed, CallFailed
        """
        await self._changed(
            "chat.update",
            lambda: self._client.chat_update(
                channel=message.where.channel, ts=message.ts, text=text, blocks=blocks
            ),
            self._limits.edits,
        )

    async def try_update(self, message: Message, text: str, blocks: Blocks) -> None:
        """The same without waiting, however busy Slack is.

        Raises:
            MessageGone, Closed, CallFailed
        """
        call = self._client.chat_update(
            channel=message.where.channel, ts=message.ts, text=text, blocks=blocks
        )
        try:
            await called("chat.update", call)
        except CallFailed as error:
            if isinstance(error, Busy):
                self._limits.edits.hold(error.retry_after)
            raise _gone(error) from error

    async def delete(self, message: Message) -> None:
        """Take a message away.

        Raises:
            MessageGone, Closed, CallFailed
        """
        await self._changed(
            "chat.delete",
            lambda: self._client.chat_delete(channel=message.where.channel, ts=message.ts),
        )

    def link(self, where: Where, ts: str) -> str | None:
        """The address of a message, as Slack makes it for "Copy link"."""
        if not self.site:
            return None
        thread = f"?thread_ts={where.thread}&cid={where.channel}" if where.thread else ""
        return f"{self.site}archives/{where.channel}/p{ts.replace('.', '')}{thread}"

    async def direct(self, user: str) -> str:
        """The channel of direct messages with somebody.

        Raises:
            Closed, CallFailed
        """
        answer = await self._patiently(
            "conversations.open", lambda: self._client.conversations_open(users=user)
        )
        return str(answer["channel"]["id"])

    # --- Steps --------------------------------------------------------------------------------

    async def _history(
        self, where: Where, oldest: str | None, cursor: str | None, latest: str | None = None
    ) -> Mapping[str, Any]:
        """Messages newer than `oldest`, up to `latest` and with it."""
        if where.thread is None:
            return await self._patiently(
                "conversations.history",
                lambda: self._client.conversations_history(
                    channel=where.channel,
                    oldest=oldest,
                    latest=latest,
                    inclusive=latest is not None,
                    limit=_PAGE if latest is None else 1,
                    include_all_metadata=True,
                    cursor=cursor,
                ),
            )
        return await self._patiently(
            "conversations.replies",
            lambda: self._client.conversations_replies(
                channel=where.channel,
                ts=str(where.thread),
                oldest=oldest or latest,
                latest=latest,
                inclusive=latest is not None,
                limit=_PAGE,
                include_all_metadata=True,
                cursor=cursor,
            ),
        )

    async def _read(self, message: Message) -> Mapping[str, Any]:
        """A message as Slack has it; empty where there is none."""
        page = await self._history(message.where, None, None, message.ts)
        found = (one for one in page.get("messages", ()) if one.get("ts") == message.ts)
        return next(found, {})

    def _is(self, message: Mapping[str, Any], key: str) -> bool:
        return self._is_ours(message) and _payload(message).get("key") == key

    def _is_ours(self, message: Mapping[str, Any]) -> bool:
        """Other apps can write metadata too."""
        if self.me and message.get("bot_id") != self.me:
            return False
        return (message.get("metadata") or {}).get("event_type") == EVENT

    async def _changed(
        self, method: str, call: Callable[[], Any], line: Pace | None = None
    ) -> None:
        try:
            await self._patiently(method, call, line)
        except CallFailed as error:
            raise _gone(error) from error

    async def _patiently(
        self, method: str, call: Callable[[], Any], line: Pace | Line | None = None
    ) -> Mapping[str, Any]:
        """Call when it is our turn, and again when Slack says that it was too busy to do it."""
        for _ in range(_TRIES):
            try:
                return await _in_turn(method, call, line)
            except Busy as error:
                if error.retry_after > _LONGEST_WAIT_S:
                    raise
                if not isinstance(line, Line):
                    await self._sleep(error.retry_after)
        return await _in_turn(method, call, line)


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return (message.get("metadata") or {}).get("event_payload") or {}


async def _in_turn(
    method: str, call: Callable[[], Any], line: Pace | Line | None
) -> Mapping[str, Any]:
    if isinstance(line, Line):
        await line.turn()
    try:
        return await called(method, call())
    except Busy as error:
        if line is not None:
            line.hold(error.retry_after)
        raise


def _gone(error: CallFailed) -> Exception:
    return MessageGone(error.error) if error.error in _GONE | _UNCHANGEABLE else error


def _files(part: object) -> Iterator[str]:
    """The ids of all files that blocks name, however deep."""
    if isinstance(part, list):
        for one in part:
            yield from _files(one)
    elif isinstance(part, dict):
        file = part.get("slack_file")
        if isinstance(file, dict) and file.get("id"):
            yield str(file["id"])
        for inner in part.values():
            yield from _files(inner)
