"""Messages at Slack: posted once, changed, taken away.

Every post carries the key of what it is in its metadata, so that after a crash or a broken
connection it can be looked for before it is posted again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from slack_sdk.models.metadata import Metadata
from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces.slack.calls import Busy, CallFailed, Closed, called
from bot.surfaces.slack.cards import Blocks
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
    """The messages of one app. `held` is told the seconds that Slack wants us to wait."""

    def __init__(
        self,
        client: AsyncWebClient,
        held: Callable[[float], None],
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._held = held
        self._sleep = sleep
        self.me: str = ""
        """Our bot id, once it is known."""

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
                metadata=Metadata(event_type=EVENT, event_payload={"key": key}),
                unfurl_links=False,
                unfurl_media=False,
            ),
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
            raise self._gone(error) from error

    async def delete(self, message: Message) -> None:
        """Take a message away.

        Raises:
            MessageGone, Closed, CallFailed
        """
        await self._changed(
            "chat.delete",
            lambda: self._client.chat_delete(channel=message.where.channel, ts=message.ts),
        )

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

    async def _history(self, where: Where, oldest: str, cursor: str | None) -> Mapping[str, Any]:
        if where.thread is None:
            return await self._patiently(
                "conversations.history",
                lambda: self._client.conversations_history(
                    channel=where.channel,
                    oldest=oldest,
                    limit=_PAGE,
                    include_all_metadata=True,
                    cursor=cursor,
                ),
            )
        return await self._patiently(
            "conversations.replies",
            lambda: self._client.conversations_replies(
                channel=where.channel,
                ts=str(where.thread),
                oldest=oldest,
                limit=_PAGE,
                include_all_metadata=True,
                cursor=cursor,
            ),
        )

    def _is(self, message: Mapping[str, Any], key: str) -> bool:
        """Other apps can write metadata too, so a message must be ours."""
        if self.me and message.get("bot_id") != self.me:
            return False
        metadata = message.get("metadata") or {}
        payload = metadata.get("event_payload") or {}
        return metadata.get("event_type") == EVENT and payload.get("key") == key

    async def _changed(self, method: str, call: Callable[[], Any]) -> None:
        try:
            await self._patiently(method, call)
        except CallFailed as error:
            raise self._gone(error) from error

    def _gone(self, error: CallFailed) -> Exception:
        if isinstance(error, Busy):
            self._held(error.retry_after)
        if error.error in _GONE | _UNCHANGEABLE:
            return MessageGone(error.error)
        return error

    async def _patiently(self, method: str, call: Callable[[], Any]) -> Mapping[str, Any]:
        """Call, and again when Slack says that it was too busy to do it."""
        for _ in range(_TRIES):
            try:
                return await called(method, call())
            except Busy as error:
                self._held(error.retry_after)
                if error.retry_after > _LONGEST_WAIT_S:
                    raise
                await self._sleep(error.retry_after)
        return await called(method, call())
