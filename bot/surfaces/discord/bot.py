"""The Discord side of a running Atelier: made first, opened once there is somebody to draw."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import discord
import structlog
from pydantic import SecretStr

from bot.sealing import Vault
from bot.surfaces.discord.client import AtelierClient
from bot.surfaces.discord.desk import Desk
from bot.surfaces.discord.journal import Journal
from bot.surfaces.discord.ledger import Ledger
from bot.surfaces.discord.messages import Messages, watching
from bot.surfaces.discord.pace import Pace
from bot.surfaces.discord.starts import Starts
from bot.surfaces.discord.surface import DiscordSurface, Link

_AGAIN_S: Final = (5.0, 60.0)
"""The pause before another try to reach Discord: the first, and the longest."""
_KEEP_POSTS_S: Final = 2 * 86_400.0
"""An outage of so long may lie between a post and the note that it was delivered."""
_NETWORK: Final = (aiohttp.ClientError, discord.HTTPException, discord.GatewayNotFound, OSError)

log = structlog.get_logger()


class DiscordRefused(Exception):
    """Discord does not accept us; str() says what to do."""


class DiscordBot:
    """The surface and its connection. `trouble` says why there is none at the moment."""

    def __init__(
        self,
        token: SecretStr,
        folder: Path,
        vault: Vault,
        *,
        api_url: str | None = None,
        gateway_url: str | None = None,
        link: Link | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder` is our own: it remembers what must survive a crash. `vault` seals the tokens of
        interactions that are kept. `link` gives the address of a stored picture, where others can
        reach this server.
        """
        pace = Pace()
        self._token = token
        self._client = AtelierClient(
            folder, watching(pace), api_url=api_url, gateway_url=gateway_url
        )
        self._starts = Starts(folder / "starts", vault, clock)
        self._task: asyncio.Task[None] | None = None
        self._ledger: Ledger | None = None
        self.trouble: str | None = None
        self.messages = Messages(self._client, pace, clock)
        self.surface = DiscordSurface(
            self.messages,
            self._starts,
            Journal(folder / "posts", _KEEP_POSTS_S, clock),
            self._client.online,
            vault,
            link,
            clock,
        )

    async def start(self, desk: Desk) -> None:
        """Log in and keep the connection in the background; Discord may be away for a while.

        Raises:
            DiscordRefused: the token is not accepted.
        """
        await self._starts.sweep()
        self._client.open(desk)
        self._ledger = desk.ledger
        self._ledger.start()
        with contextlib.suppress(*_NETWORK):
            await self._login()
        self._task = asyncio.create_task(self._stay(), name="discord")

    async def forget(self, job_id: str) -> None:
        """Forget the note that may have been made when this job was about to be shown."""
        await self._starts.forget(job_id)

    async def close(self) -> None:
        """Leave Discord. Messages of jobs can no longer be changed."""
        if self._ledger is not None:
            await self._ledger.close()
        await self._client.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _login(self) -> None:
        try:
            await self._client.login(self._token.get_secret_value())
        except discord.LoginFailure as error:
            self.trouble = (
                "Discord does not accept DISCORD_TOKEN; copy it anew from the portal's page “Bot”."
            )
            raise DiscordRefused(self.trouble) from error
        except _NETWORK as error:
            self.trouble = f"Discord cannot be reached: {type(error).__name__}."
            log.warning("not logged in", error=type(error).__name__)
            await self._client.http.close()
            # It is closed with the session; the next login makes one of its own.
            self._client.http.connector = discord.utils.MISSING
            raise
        self.trouble = None

    async def _stay(self) -> None:
        """Stay connected; the library itself comes back after a dropped connection."""
        pause, longest = _AGAIN_S
        while not self._client.is_closed():
            try:
                if not self._client.online.is_set():
                    await self._login()
                self.trouble = None
                await self._client.connect()
            except DiscordRefused as error:
                log.error("left Discord", error=str(error))
                return
            except discord.ConnectionClosed as error:
                self.trouble = f"Discord has ended the connection for good (code {error.code})."
                log.error("left Discord", code=error.code)
                return
            except _NETWORK as error:
                self.trouble = f"Discord cannot be reached: {type(error).__name__}."
                log.warning("not connected", error=type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, longest)
