"""Changes messages over whichever of the two tokens reaches them, and words Discord's errors."""

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final

import aiohttp
import discord
from discord.http import Route

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
        try:
            await self._channel(message).send(
                view=view,
                files=[upload.file() for upload in uploads],
                nonce=nonce,
                allowed_mentions=_SILENT,
            )
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
