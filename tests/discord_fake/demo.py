"""A small bot on the real discord.py that does once what ours does all the time."""

import asyncio
import contextlib
import io
import os
import re
from collections.abc import AsyncIterator
from typing import Any, Self

import discord
import pytest
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image

from tests.fakes.discord import FakeDiscord


def png(colour: str = "red", side: int = 8) -> bytes:
    """A small picture of one colour."""
    with io.BytesIO() as file:
        Image.new("RGB", (side, side), colour).save(file, "PNG")
        return file.getvalue()


def card(spoiler: bool, *, url: str = "attachment://cat.png") -> discord.ui.LayoutView:
    """A result: a gallery with one picture, a line, and a button that outlives the process."""
    view = discord.ui.LayoutView(timeout=None)
    item = discord.MediaGalleryItem(url, description="a cat", spoiler=spoiler)
    view.add_item(discord.ui.MediaGallery(item))
    view.add_item(discord.ui.TextDisplay("seed 7 · @everyone <@1>"))
    row: discord.ui.ActionRow[discord.ui.LayoutView] = discord.ui.ActionRow()
    row.add_item(Edit("job1"))
    view.add_item(row)
    return view


class Edit(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"v1:edit:(?P<job>\w+)"):
    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(discord.ui.Button(label="Edit", custom_id=f"v1:edit:{job}"))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: Any, match: re.Match[str], /
    ) -> Self:
        return cls(match["job"])

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form(self.job))


class Form(discord.ui.Modal, title="Edit"):
    prompt: discord.ui.Label[Any] = discord.ui.Label(
        text="Prompt", component=discord.ui.TextInput(default="a cat")
    )
    size: discord.ui.Label[Any] = discord.ui.Label(
        text="Size",
        component=discord.ui.Select(
            options=[discord.SelectOption(label="Square"), discord.SelectOption(label="Wide")]
        ),
    )
    where: discord.ui.Label[Any] = discord.ui.Label(
        text="Where",
        component=discord.ui.ChannelSelect(
            channel_types=[discord.ChannelType.text], required=False
        ),
    )
    image: discord.ui.Label[Any] = discord.ui.Label(
        text="Image", component=discord.ui.FileUpload(required=False)
    )

    def __init__(self, job: str) -> None:
        super().__init__(custom_id=f"form:{job}")

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        size, image = self.size.component, self.image.component
        assert isinstance(size, discord.ui.Select)
        assert isinstance(image, discord.ui.FileUpload)
        read = [len(await a.read()) for a in image.values]
        where = self.where.component
        assert isinstance(where, discord.ui.ChannelSelect)
        prompt = self.prompt.component
        assert isinstance(prompt, discord.ui.TextInput)
        said = f"{prompt.value}, {size.values[0]}, {[c.name for c in where.values]}, {read}"
        await interaction.response.send_message(said, ephemeral=True)


class Demo(discord.AutoShardedClient):
    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            guild_ready_timeout=0.05,
            max_messages=None,
        )
        self.tree = app_commands.CommandTree(self)
        self.task: asyncio.Task[None]
        self.seen: list[discord.Interaction] = []
        self.errors: list[Exception] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Log in at once: the fake lets all shards in together."""

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Edit)
        self.tree.add_command(imagine)
        self.tree.add_command(adult)
        self.tree.add_command(settings)
        self.tree.add_command(preset)
        self.tree.add_command(use_recipe)
        self.tree.on_error = self._on_error  # type: ignore[method-assign]
        await self.tree.sync()

    async def _on_error(self, interaction: discord.Interaction, error: Exception) -> None:
        self.errors.append(getattr(error, "original", error))


@app_commands.command(description="Make a picture")
@app_commands.describe(prompt="What to draw", preset="A style", images="How many")
@app_commands.allowed_installs(guilds=True, users=True)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
async def imagine(
    interaction: discord.Interaction[Demo],
    prompt: str,
    preset: str | None = None,
    images: app_commands.Range[int, 1, 4] = 1,
    picture: discord.Attachment | None = None,
    private: bool = False,
) -> None:
    interaction.client.seen.append(interaction)
    await interaction.client.hold.wait()
    await interaction.response.defer(ephemeral=private)
    await interaction.edit_original_response(content=f"drawing {prompt}")
    await interaction.edit_original_response(content=f"still drawing {prompt}")
    await interaction.edit_original_response(
        content=None,
        embeds=[],
        view=card(spoiler=True),
        attachments=[discord.File(io.BytesIO(png()), "cat.png", description="a cat")],
    )


@imagine.autocomplete("preset")
async def suggest(
    interaction: discord.Interaction[Demo], current: str
) -> list[app_commands.Choice[str]]:
    return [
        app_commands.Choice(name=n, value=n) for n in ("dreamy", "noir") if n.startswith(current)
    ]


class Panel(discord.ui.View):
    @discord.ui.select(
        placeholder="Rule", options=[discord.SelectOption(label=n) for n in ("Spoiler", "Withheld")]
    )
    async def rule(
        self, interaction: discord.Interaction[Demo], menu: discord.ui.Select[Any]
    ) -> None:
        await interaction.response.edit_message(content=f"rule: {menu.values[0]}")

    @discord.ui.select(cls=discord.ui.RoleSelect, placeholder="Roles", max_values=2)
    async def roles(
        self, interaction: discord.Interaction[Demo], menu: discord.ui.RoleSelect[Any]
    ) -> None:
        await interaction.response.edit_message(content=" ".join(r.name for r in menu.values))

    @discord.ui.button(label="Nothing")
    async def nothing(
        self, interaction: discord.Interaction[Demo], button: discord.ui.Button[Any]
    ) -> None:
        await interaction.response.defer()
        await interaction.delete_original_response()


@app_commands.command(description="A panel")
@app_commands.default_permissions(manage_guild=True)
async def settings(interaction: discord.Interaction[Demo]) -> None:
    await interaction.response.send_message("rule: none", view=Panel(), ephemeral=True)


@app_commands.command(description="Only for adults", nsfw=True)
async def adult(interaction: discord.Interaction[Demo]) -> None:
    await interaction.response.send_message("hello")


preset = app_commands.Group(name="preset", description="Presets")


@preset.command(description="Show one")
async def show(interaction: discord.Interaction[Demo], owner: discord.User) -> None:
    await interaction.response.send_message(f"of {owner.display_name}", ephemeral=True)
    await interaction.followup.send("more", ephemeral=True)


@app_commands.context_menu(name="Use recipe")
async def use_recipe(interaction: discord.Interaction[Demo], message: discord.Message) -> None:
    await interaction.response.send_message(f"read {message.content}", ephemeral=True)


@contextlib.asynccontextmanager
async def running(fake: FakeDiscord, *, shards: int | None = None) -> AsyncIterator[Demo]:
    """A client that is logged in at the fake with all (or so many) shards."""
    client = Demo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Route, "BASE", fake.api_url)
        patch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(fake.gateway_url))
        async with client:
            client.task = asyncio.create_task(client.start(fake.token))
            try:
                await fake.gateway.until_ready(shards)
                yield client
            finally:
                await client.close()
                await asyncio.wait([client.task], timeout=10)


async def main() -> None:
    """Run as a process of its own, pointed at the fake as Atelier is."""
    Route.BASE = os.environ["DISCORD_API_URL"]
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY_URL"])
    async with Demo() as client:
        await client.start(os.environ["DISCORD_TOKEN"])


if __name__ == "__main__":
    asyncio.run(main())
