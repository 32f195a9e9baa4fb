"""The client on discord.py: commands, clicks and forms find their way to the desk."""

import asyncio
import hashlib
import json
from pathlib import Path
from re import Match
from typing import Any, Final

import aiohttp
import discord
import structlog
from discord import app_commands
from discord.app_commands import AppCommandContext, AppCommandError, AppInstallationType
from discord.gateway import DiscordWebSocket
from discord.http import Route
from discord.ui import DynamicItem, Item, LayoutView
from yarl import URL

from bot import wording
from bot.surfaces.discord import ids
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.routes import answer, commands
from bot.surfaces.discord.welcome import Welcome

INTENTS: Final = discord.Intents(guilds=True)
"""Everything that is needed: commands and clicks bring along what they are about."""

_LONGEST_WAIT_S: Final = 60.0
"""A rate limit that asks for more fails the call, which is then tried again later."""

log = structlog.get_logger()


class AtelierClient(discord.AutoShardedClient):
    """Knows nothing of pictures; `online` is set once it has logged in.

    `api_url` and `gateway_url` hold for the whole process, as discord.py keeps them so.
    """

    def __init__(
        self,
        folder: Path,
        trace: aiohttp.TraceConfig,
        *,
        api_url: str | None = None,
        gateway_url: str | None = None,
    ) -> None:
        # What voice would need is not missed here.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            intents=INTENTS,
            allowed_mentions=discord.AllowedMentions.none(),
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,
            max_ratelimit_timeout=_LONGEST_WAIT_S,
            http_trace=trace,
        )
        self.online = asyncio.Event()
        self.desk: Desk | None = None
        self.tree = Tree(self, folder / "commands.sha256")
        self._welcome = Welcome(folder / "welcomed")
        self._fixed_gateway = gateway_url is not None
        if api_url is not None:
            Route.BASE = api_url
        if gateway_url is not None:
            DiscordWebSocket.DEFAULT_GATEWAY = URL(gateway_url)

    def open(self, desk: Desk) -> None:
        """Take the commands and clicks of this desk."""
        self.desk = desk
        for command in commands(desk):
            self.tree.add_command(command)
        self.add_dynamic_items(Component)

    async def setup_hook(self) -> None:
        if self._fixed_gateway:
            # With a count of its own the library does not ask the API for the gateway's address.
            self.shard_count, *_ = await self.http.get_bot_gateway()
        self.online.set()
        await self.tree.sync_changed()

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Welcome who has just installed the app."""
        await self._welcome.joined(guild)

    async def on_ready(self) -> None:
        """Welcome who installed it while nobody was here."""
        for guild in self.guilds:
            await self._welcome.back(guild)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """The same for a server that Discord tells of later than of the others."""
        await self._welcome.back(guild)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Take submitted forms; the library brings commands and clicks itself."""
        if interaction.type is not discord.InteractionType.modal_submit or self.desk is None:
            return
        data: dict[str, Any] = dict(interaction.data or {})
        if (custom_id := ids.read(data.get("custom_id", ""))) is not None:
            await answer(self.desk, interaction, custom_id)


class Tree(app_commands.CommandTree[AtelierClient]):
    """The commands, registered only where they differ from the last time."""

    def __init__(self, client: AtelierClient, note: Path) -> None:
        super().__init__(
            client,
            allowed_contexts=AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=AppInstallationType(guild=True, user=True),
        )
        self._note = note

    async def sync_changed(self) -> bool:
        """Register the commands unless exactly these were; whether it was necessary.

        What goes wrong is logged: the commands of the last time go on working.
        """
        now = f"{self.client.application_id} {self.fingerprint()}"
        if await asyncio.to_thread(self._read) == now:
            return False
        try:
            await self.sync()
        except (discord.HTTPException, AppCommandError) as error:
            log.error("commands not registered", error=str(error))
            return False
        await asyncio.to_thread(self._write, now)
        return True

    def fingerprint(self) -> str:
        """A hash of all that Discord is told about the commands."""
        payload = [command.to_dict(self) for command in self.get_commands()]
        text = json.dumps(payload, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    async def on_error(
        self, interaction: discord.Interaction[AtelierClient], error: AppCommandError
    ) -> None:
        """Say privately that something went wrong; the log says what."""
        log.error("command broke", error=repr(error), exc_info=error)
        if interaction.type is not discord.InteractionType.autocomplete:
            await Answer(interaction, private=True).tell(wording.INTERNAL)

    def _read(self) -> str:
        try:
            return self._note.read_text("utf-8")
        except OSError:
            return ""

    def _write(self, text: str) -> None:
        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            self._note.write_text(text, "utf-8")
        except OSError as error:
            log.warning("registration of commands not noted", error=str(error))


class Component(DynamicItem[Item[LayoutView]], template=ids.TEMPLATE):
    """A button or menu of ours, whichever process has sent it."""

    def __init__(self, item: Item[LayoutView], custom_id: CustomId) -> None:
        super().__init__(item)
        self._custom_id = custom_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: Item[Any], match: Match[str], /
    ) -> "Component":
        return cls(item, CustomId(match["verb"], match["subject"] or "", match["argument"] or ""))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        client = interaction.client
        if isinstance(client, AtelierClient) and client.desk is not None:
            await answer(client.desk, interaction, self._custom_id)
