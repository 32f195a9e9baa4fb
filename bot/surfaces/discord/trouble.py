"""What goes wrong on the way is said to who caused it, privately, in one place for every way in."""

from collections.abc import Awaitable

import discord
import structlog

from bot import wording
from bot.commands.jobs import NoSuchJob
from bot.commands.moderation import NotAllowed
from bot.commands.prompt import PromptError
from bot.communities import SettingsError
from bot.surfaces.discord.answers import tell
from bot.surfaces.discord.desk import Interaction, sentence
from bot.surfaces.discord.text import safe
from lora_registry.errors import RegistryError

log = structlog.get_logger()


async def told(interaction: Interaction, work: Awaitable[None], what: str) -> None:
    """Do `work` for an interaction; `what` names it in the log."""
    try:
        await work
    except NoSuchJob:
        await tell(interaction, wording.NO_SUCH_JOB)
    except PromptError as error:
        await tell(interaction, sentence(error))
    except (NotAllowed, RegistryError, SettingsError) as error:
        await tell(interaction, safe(str(error), 1200))
    except discord.HTTPException as error:
        log.warning("not answered", what=what, status=error.status, code=error.code)
    except Exception:
        log.exception("answer broke", what=what)
        await tell(interaction, wording.INTERNAL)
