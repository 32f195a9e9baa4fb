"""The first answer to an interaction: within 3 seconds, once, whatever is slow.

If the work has not come to an answer after 1.5 s, “thinking …” is shown; what follows replaces it.
Whether an answer is public is decided by the first thing that is shown, so a private one after a
public “thinking …” takes that away first.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import aiohttp
import discord
import structlog
from discord.ui import LayoutView

from bot.surfaces.discord.cards import note
from bot.surfaces.discord.receipts import FILE_LIMIT, TOKEN_S, Message

FIRST_S: Final = 1.5
_SILENT: Final = discord.AllowedMentions.none()

_ANSWERED_ALREADY: Final = 40_060

T = TypeVar("T")

log = structlog.get_logger()


class Answer:
    """The answer to one interaction.

    `private` says whether who asks is alone with a “thinking …”. Where that takes time to know,
    `look` finds out; it is asked only if there is a “thinking …” at all.
    """

    def __init__(
        self,
        interaction: discord.Interaction[Any],
        *,
        private: bool,
        look: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._interaction = interaction
        self._private = private
        self._look = look
        self._deferred = False
        self._shown = False
        self._replaced = False
        self._lock = asyncio.Lock()

    @property
    def message(self) -> Message:
        """What is known of the message before it exists; its id is 0."""
        interaction = self._interaction
        until = discord.utils.snowflake_time(interaction.id).timestamp() + TOKEN_S
        return Message(
            channel=interaction.channel_id or 0,
            message=0,
            application=interaction.application_id,
            token=interaction.token,
            token_until=until,
            lasting=_lasting(interaction),
            guild=interaction.guild_id,
            limit=interaction.filesize_limit or FILE_LIMIT,
        )

    @property
    def replaced(self) -> bool:
        """Whether what is shown is a message of its own, in the place of the first answer."""
        return self._replaced

    async def bounded(self, work: asyncio.Task[T]) -> T:
        """The result of `work`; whoever waits is told so in time."""
        done, _ = await asyncio.wait({work}, timeout=FIRST_S)
        if not done:
            await self._defer()
        return await work

    async def show(self, view: LayoutView, *, private: bool) -> int:
        """Show the answer; returns the id of its message.

        Raises:
            discord.HTTPException, aiohttp.ClientError
        """
        interaction = self._interaction
        async with self._lock:
            if not interaction.response.is_done():
                number = await self._first(view, private=private)
            elif self._private == private:
                edited = await interaction.edit_original_response(
                    view=view, allowed_mentions=_SILENT
                )
                number = edited.id
            else:
                await interaction.delete_original_response()
                sent = await interaction.followup.send(
                    view=view, ephemeral=private, wait=True, allowed_mentions=_SILENT
                )
                number, self._replaced = sent.id, True
            self._shown = True
            return number

    async def _first(self, view: LayoutView, *, private: bool) -> int:
        """Answer; where it is not known whether that arrived, look."""
        try:
            callback = await self._interaction.response.send_message(
                view=view, ephemeral=private, allowed_mentions=_SILENT
            )
        except discord.HTTPException as error:
            if error.code != _ANSWERED_ALREADY:
                raise
        except aiohttp.ClientError as error:
            log.info("answer lost on its way", error=type(error).__name__)
        else:
            return callback.message_id or 0
        return (await self._interaction.original_response()).id

    async def tell(self, text: str) -> None:
        """Say something to who asked, for their eyes only; trouble with that is theirs to bear."""
        view, interaction = note(text), self._interaction
        async with self._lock:
            with contextlib.suppress(discord.HTTPException, aiohttp.ClientError):
                if not (self._shown or interaction.response.is_done()):
                    await interaction.response.send_message(
                        view=view, ephemeral=True, allowed_mentions=_SILENT
                    )
                    return
                if self._deferred and not self._shown:
                    if self._private:
                        await interaction.edit_original_response(
                            view=view, allowed_mentions=_SILENT
                        )
                        return
                    await interaction.delete_original_response()
                await interaction.followup.send(view=view, ephemeral=True, allowed_mentions=_SILENT)

    async def _defer(self) -> None:
        async with self._lock:
            if self._interaction.response.is_done():
                return
            if self._look is not None:
                self._private = await self._look()
            try:
                await self._interaction.response.defer(ephemeral=self._private, thinking=True)
            except (discord.HTTPException, aiohttp.ClientError) as error:
                log.warning("not answered in time", error=type(error).__name__)
            else:
                self._deferred = True


async def tell(interaction: discord.Interaction[Any], text: str) -> None:
    """Answer an interaction with words for their eyes only."""
    await Answer(interaction, private=True).tell(text)


def _lasting(interaction: discord.Interaction[Any]) -> bool:
    """Whether the bot's own token reaches a public message here."""
    if interaction.guild_id is not None:
        return interaction.is_guild_integration() and interaction.app_permissions.view_channel
    return bool(interaction.context.dm_channel)
