"""One message to a server that has just installed the app: what its owners should set first.

It is posted with the server's own nonce and noted afterwards. A process that dies between the two
posts it again, and Discord takes the same nonce once in some minutes. The note stays, so that a
restart, or a server that takes the app anew, is not welcomed twice.
"""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp
import discord
import structlog

from bot.surfaces.discord import cards, ids

RECENT: Final = timedelta(days=1)
"""Who installed the app while it was away is still welcomed after so long, and no later."""
_MOST_TRIES: Final = 3
WELCOME: Final = """\
**Hello! I draw pictures here.** Try `/imagine prompt:a lighthouse in a storm`, or `/help`.

Three things for who manages this server, all in `/settings`:
1. **Flagged pictures.** They come behind a spoiler. Discord wants adult media in age-restricted \
channels only, and a spoiler does not replace that: choose *withheld elsewhere* or *withheld* if \
members might draw such things.
2. **Log and reports.** Name a channel for each, so that moderators hear of what members report.
3. **Limits and budget.** How much each member may draw a day, and what it may cost.

-# `/privacy` says what is kept about members. I read no messages.\
"""

log = structlog.get_logger()


class Welcome:
    """Welcomes servers; `folder` remembers which, an empty file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = asyncio.Lock()

    async def joined(self, guild: discord.Guild) -> None:
        """Welcome a server, unless it was; where the bot may write nowhere, nothing happens."""
        async with self._turn:
            note = self._folder / str(guild.id)
            if await asyncio.to_thread(note.exists):
                return
            if await _post(guild):
                await asyncio.to_thread(_write, note)

    async def back(self, guild: discord.Guild) -> None:
        """Do the same for a server that installed the app a short while ago."""
        since = guild.me.joined_at if guild.me is not None else None
        if since is not None and discord.utils.utcnow() - since < RECENT:
            await self.joined(guild)


async def _post(guild: discord.Guild) -> bool:
    for tries, channel in enumerate(_places(guild)):
        if tries == _MOST_TRIES:
            break
        try:
            await channel.send(
                view=cards.note(WELCOME),
                nonce=ids.nonce(str(guild.id), "welcome"),
                allowed_mentions=discord.AllowedMentions.none(),
            )
        except (discord.HTTPException, aiohttp.ClientError) as error:
            log.info("not welcomed here", guild=guild.id, error=type(error).__name__)
        else:
            return True
    return False


def _places(guild: discord.Guild) -> Iterator[discord.TextChannel]:
    """Where the bot may write: the channel for such messages first, then from the top."""
    system = guild.system_channel
    others = (channel for channel in guild.text_channels if channel != system)
    for channel in (*([] if system is None else [system]), *others):
        may = channel.permissions_for(guild.me)
        if may.view_channel and may.send_messages:
            yield channel


def _write(note: Path) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        log.warning("welcome not noted", error=str(error))
