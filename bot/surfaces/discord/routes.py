"""All that people can do here, and what answers it: commands, and the verbs of custom ids."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
import structlog
from discord import app_commands

from bot import wording
from bot.commands.jobs import NoSuchJob
from bot.commands.prompt import PromptError
from bot.communities import SettingsError
from bot.surfaces.discord import clicks
from bot.surfaces.discord.answers import tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction, sentence
from bot.surfaces.discord.help import help_command
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.imagine import imagine_command
from bot.surfaces.discord.mine import cancel_command, queue_command
from bot.surfaces.discord.presets import preset_commands
from bot.surfaces.discord.text import safe
from lora_registry.errors import RegistryError

Command = app_commands.Command[Any, ..., None] | app_commands.Group | app_commands.ContextMenu

_HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({**clicks.HANDLERS})

log = structlog.get_logger()


def commands(desk: Desk) -> tuple[Command, ...]:
    """Every command, ready to be added to a tree."""
    return (
        imagine_command(desk),
        preset_commands(desk),
        queue_command(desk),
        cancel_command(desk),
        help_command(),
    )


async def answer(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Do what a button, menu or form says; whatever is wrong is said to who used it, privately."""
    handler = _HANDLERS.get(custom_id.verb)
    if handler is None:
        return
    try:
        await handler(desk, interaction, custom_id)
    except NoSuchJob:
        await tell(interaction, wording.NO_SUCH_JOB)
    except PromptError as error:
        await tell(interaction, sentence(error))
    except (RegistryError, SettingsError) as error:
        await tell(interaction, safe(str(error), 1200))
    except discord.HTTPException as error:
        log.warning("click not answered", verb=custom_id.verb, status=error.status, code=error.code)
    except Exception:
        log.exception("click broke", verb=custom_id.verb, subject=custom_id.subject)
        await tell(interaction, wording.INTERNAL)
