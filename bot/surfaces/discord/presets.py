"""`/preset`: looking at presets, and all that its neighbours add."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.commands import presets
from bot.commands.presets import Entry
from bot.communities import SettingsDamaged
from bot.surfaces.discord import preset_card
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.curation import add_curation
from bot.surfaces.discord.desk import Desk
from bot.surfaces.discord.preset_changes import add_changes
from bot.surfaces.discord.preset_rules import add_rules
from bot.surfaces.discord.suggestions import Suggestions
from bot.surfaces.discord.text import safe, whole_lines
from bot.surfaces.discord.trouble import told
from lora_registry.errors import RegistryError
from lora_registry.models import Viewer

MOST_SHOWN: Final = 20
NONE_YET: Final = "There are no presets here yet."


def preset_commands(desk: Desk) -> app_commands.Group:
    """The group of commands, ready to be added to a tree."""
    group = app_commands.Group(name="preset", description="Looks to draw with")
    suggestions = Suggestions(desk)

    @group.command(name="list", description="Your own presets, and those that are used most here")
    async def show_list(interaction: discord.Interaction[Any]) -> None:
        async def found(seen: Viewer) -> str:
            return listed(await presets.list_presets(desk.registry, seen)) or NONE_YET

        await _answer(desk, interaction, found)

    @group.command(name="search", description="Find presets by name, words or what they are like")
    @app_commands.describe(text="A name or words; typos are forgiven")
    async def search(interaction: discord.Interaction[Any], text: Range[str, 1, 60]) -> None:
        async def found(seen: Viewer) -> str:
            hits = await presets.search(desk.registry, seen, text)
            return listed(hits) or f"No preset is like “{safe(text, 60)}”."

        await _answer(desk, interaction, found)

    @group.command(name="show", description="All about one preset")
    @app_commands.describe(preset="Its name; dreamy@2 is its second revision")
    async def show(interaction: discord.Interaction[Any], preset: Range[str, 1, 100]) -> None:
        await told(interaction, preset_card.show(desk, interaction, preset), "preset show")

    show.autocomplete("preset")(suggestions.one_preset)
    add_changes(group, desk, suggestions)
    add_curation(group, desk, suggestions)
    add_rules(group, desk)
    return group


async def _answer(
    desk: Desk,
    interaction: discord.Interaction[Any],
    find: Callable[[Viewer], Awaitable[str]],
) -> None:
    async def text() -> str:
        try:
            return await find(await desk.viewer(interaction))
        except (RegistryError, SettingsDamaged) as error:
            return safe(str(error), 1000)

    answer = Answer(interaction, private=True)
    await answer.tell(await answer.bounded(asyncio.create_task(text())))


def listed(entries: Sequence[Entry]) -> str:
    """A line a preset."""
    lines = []
    for entry in entries[:MOST_SHOWN]:
        title = f": {safe(entry.title, 60)}" if entry.title else ""
        pin = "📌 " if entry.pinned else ""
        lines.append(f"- {pin}**{safe(entry.name, 60)}**{title} · {entry.model}, {entry.uses:,}×")
    if len(entries) > MOST_SHOWN:
        lines.append(f"-# {len(entries) - MOST_SHOWN} more; `/preset search` finds them.")
    return whole_lines(lines)
