"""Changes messages over whichever of the two tokens reaches them, and words Discord's errors."""

import contextlib
import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import discord
from discord.http import Route

from bot.surfaces.discord import ids
from bot.surfaces.discord.pace import Pace
from bot.surfaces.discord.receipts import Message

UNKNOWN_MESSAGE: Final = 10008
TOO_LARGE: Final = 40005
EXPLICIT: Final = 20009
"""A server's own filter has refused the picture."""
AUTOMOD: Final = frozenset({200_000, 200_001})
"""A server's AutoMod has refused the text."""
_EXPIRED: Final = frozenset({10_015, 10_062, 50_027})
_NO_ACCESS: Final = frozenset({10_003, 10_004, 50_001, 50_013})
_SILENT: Final = discord.AllowedMentions.none()
_LOOKED_THROUGH: Final = 500
"""Messages that are searched for one of ours: it was posted soon after the search begins."""


class MessageGone(Exception):
    """The message does not exist any more; its place may."""


class OutOfReach(Exception):
    """No token reaches this place any more."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a message."""

    name: str
    data: bytes = field(repr=False)

    def file(self) -> discord.File:
        return discord.File(io.BytesIO(self.data), self.name)


class Messages:
    """The messages of one client. `clock` gives seconds since 1970."""

    def __init__(
        self, client: discord.Client, pace: Pace, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._clock = clock
        self.pace = pace

    def lane(self, message: Message) -> str | None:
        """The lane of this message's edits; None when it cannot be changed any more."""
        if message.fresh(self._clock()):
            return _token_lane(message.token)
        return _channel_lane(str(message.channel)) if message.lasting else None

    async def edit(
        self, message: Message, view: discord.ui.LayoutView, uploads: Sequence[Upload] = ()
    ) -> None:
        """Replace what a message shows, its files included.

        Raises:
            MessageGone, OutOfReach: it cannot be.
            discord.HTTPException: anything else.
        """
        if message.fresh(self._clock()):
            webhook = self._webhook(message)
            try:
                await webhook.edit_message(
                    message.message,
                    view=view,
                    attachments=[upload.file() for upload in uploads],
                    allowed_mentions=_SILENT,
                )
            except discord.HTTPException as error:
                if not _expired(error):
                    raise _translated(error) from error
            else:
                return
        if not message.lasting:
            raise OutOfReach(message.message)
        try:
            await (
                self._channel(message)
                .get_partial_message(message.message)
                .edit(
                    view=view,
                    attachments=[upload.file() for upload in uploads],
                    allowed_mentions=_SILENT,
                )
            )
        except discord.HTTPException as error:
            raise _translated(error) from error

    async def post(
        self,
        message: Message,
        view: discord.ui.LayoutView,
        uploads: Sequence[Upload],
        nonce: str,
    ) -> None:
        """Show it as a new message instead. Discord takes the same nonce once in some minutes.

        Raises:
            OutOfReach: the bot may not write there.
            discord.HTTPException: anything else.
        """
        if not message.lasting:
            raise OutOfReach(message.channel)
        await self.say(message.channel, message.guild, view, uploads, nonce)

    async def say(
        self,
        channel: int,
        guild: int | None,
        view: discord.ui.LayoutView,
        uploads: Sequence[Upload],
        nonce: str,
    ) -> None:
        """Write to a channel of which nothing but its id is known.

        Raises:
            OutOfReach: the bot may not write there.
            discord.HTTPException: anything else.
        """
        try:
            await self._client.get_partial_messageable(channel, guild_id=guild).send(
                view=view,
                files=[upload.file() for upload in uploads],
                nonce=nonce,
                allowed_mentions=_SILENT,
            )
        except discord.HTTPException as error:
            raise _translated(error) from error

    async def delete(self, channel: int, message: int) -> None:
        """Take away a message of ours.

        Raises:
            MessageGone, OutOfReach: it cannot be.
            discord.HTTPException: anything else.
        """
        try:
            place = self._client.get_partial_messageable(channel)
            await place.get_partial_message(message).delete()
        except discord.HTTPException as error:
            raise _translated(error) from error

    async def ping(self, message: Message, user: int, text: str, nonce: str) -> None:
        """Call somebody to a message of theirs; where the bot may not write, nobody is called."""
        if not message.lasting:
            return
        with contextlib.suppress(discord.DiscordException, aiohttp.ClientError):
            await self._channel(message).send(
                f"<@{user}> {text}",
                nonce=nonce,
                reference=discord.MessageReference(
                    message_id=message.message,
                    channel_id=message.channel,
                    guild_id=message.guild,
                    fail_if_not_exists=False,
                ),
                allowed_mentions=discord.AllowedMentions(
                    everyone=False,
                    roles=False,
                    users=[discord.Object(user)],
                    replied_user=False,
                ),
            )

    async def posted(self, message: Message, job_id: str, *, since: float) -> bool:
        """Whether the result of a job was posted to this message's channel since then.

        Raises:
            OutOfReach: the bot may not look there.
            discord.HTTPException: anything else.
        """
        after = discord.Object(discord.utils.time_snowflake(datetime.fromtimestamp(since, UTC)))
        try:
            async for one in self._channel(message).history(
                limit=_LOOKED_THROUGH, after=after, oldest_first=True
            ):
                if one.author.id == message.application and _is_result(one.components, job_id):
                    return True
        except discord.HTTPException as error:
            raise _translated(error) from error
        return False

    async def follow_up(
        self, message: Message, view: discord.ui.LayoutView, *, private: bool
    ) -> int:
        """Answer an interaction once more; returns the id of the new message.

        Raises:
            OutOfReach: its token has expired.
            discord.HTTPException: anything else.
        """
        webhook = self._webhook(message)
        webhook.type = discord.WebhookType.application  # only its messages may be private
        try:
            sent = await webhook.send(
                view=view, ephemeral=private, wait=True, allowed_mentions=_SILENT
            )
        except discord.HTTPException as error:
            raise _translated(error) from error
        return sent.id

    async def original(self, message: Message) -> int:
        """The id of the message that answered an interaction, after a restart.

        Raises:
            MessageGone, OutOfReach: there is none, or the token has expired.
            discord.HTTPException: anything else.
        """
        route = Route(
            "GET",
            "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
            webhook_id=message.application,
            webhook_token=message.token,
        )
        try:
            found = await self._client.http.request(route)
        except discord.HTTPException as error:
            if _expired(error):
                raise OutOfReach(message.channel) from error
            raise _translated(error) from error
        return int(found["id"])

    def _webhook(self, message: Message) -> discord.Webhook:
        return discord.Webhook.partial(message.application, message.token, client=self._client)

    def _channel(self, message: Message) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(message.channel, guild_id=message.guild)


def _is_result(parts: Iterable[Any], job_id: str) -> bool:
    """Whether the buttons of a result of this job are among a message's components."""
    for part in parts:
        found = ids.read(getattr(part, "custom_id", None) or "")
        if found is not None and (found.verb, found.subject) == ("again", job_id):
            return True
        if _is_result(getattr(part, "children", ()), job_id):
            return True
    return False


def watching(pace: Pace) -> aiohttp.TraceConfig:
    """Lets `pace` see the headers of every edit that a client's session makes."""

    async def heard(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        if params.method == "PATCH" and (lane := _lane_of(params.url.path)) is not None:
            pace.heard(lane, params.response.status, params.response.headers)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(heard)
    return trace


def _lane_of(path: str) -> str | None:
    match path.partition("/webhooks/")[2].split("/"):
        case [_, token, "messages", _]:
            return _token_lane(token)
    match path.partition("/channels/")[2].split("/"):
        case [channel, "messages", _]:
            return _channel_lane(channel)
    return None


def _token_lane(token: str) -> str:
    return f"token {token}"


def _channel_lane(channel: str) -> str:
    return f"channel {channel}"


def _expired(error: discord.HTTPException) -> bool:
    return error.status == 401 or error.code in _EXPIRED


def _translated(error: discord.HTTPException) -> Exception:
    if error.code == UNKNOWN_MESSAGE:
        return MessageGone(str(error.code))
    if error.code in _NO_ACCESS or _expired(error):
        return OutOfReach(str(error.code))
    return error
