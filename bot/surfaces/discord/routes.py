"""All that people can do here, and what answers it: commands, and the verbs of custom ids."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from discord import app_commands

from bot.surfaces.discord import (
    clicks,
    curation,
    defaults,
    menus,
    mine,
    moderation,
    preset_card,
    preset_changes,
    preset_rules,
    privacy,
    reports,
    saving,
    settings_clicks,
)
from bot.surfaces.discord.defaults import defaults_command
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.help import HANDLERS as TRIES
from bot.surfaces.discord.help import help_command
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.imagine import imagine_command
from bot.surfaces.discord.mine import cancel_command, queue_command
from bot.surfaces.discord.presets import preset_commands
from bot.surfaces.discord.privacy import privacy_command
from bot.surfaces.discord.settings_clicks import settings_command
from bot.surfaces.discord.trouble import told

Command = app_commands.Command[Any, ..., None] | app_commands.Group | app_commands.ContextMenu

_HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        **clicks.HANDLERS,
        **defaults.HANDLERS,
        **TRIES,
        **mine.HANDLERS,
        **privacy.HANDLERS,
        **menus.HANDLERS,
        **curation.HANDLERS,
        **preset_card.HANDLERS,
        **moderation.HANDLERS,
        **preset_changes.HANDLERS,
        **preset_rules.HANDLERS,
        **reports.HANDLERS,
        **saving.HANDLERS,
        **settings_clicks.HANDLERS,
    }
)


def commands(desk: Desk) -> tuple[Command, ...]:
    """Every command, ready to be added to a tree."""
    return (
        imagine_command(desk),
        preset_commands(desk),
        saving.save_menu(desk),
        menus.recipe_menu(desk),
        menus.report_menu(desk),
        queue_command(desk),
        cancel_command(desk),
        settings_command(desk),
        defaults_command(desk),
        privacy_command(desk),
        help_command(desk),
    )


async def answer(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Do what a button, menu or form says; whatever is wrong is said to who used it, privately."""
    handler = _HANDLERS.get(custom_id.verb)
    if handler is None:
        return
    await told(interaction, handler(desk, interaction, custom_id), custom_id.verb)
