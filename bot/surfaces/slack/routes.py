"""All that people can do at Slack, and what answers it."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

import structlog

from bot import wording
from bot.commands.jobs import NoSuchJob
from bot.commands.moderation import NotAllowed
from bot.commands.prompt import PromptError
from bot.communities import SettingsError
from bot.surfaces.ids import read
from bot.surfaces.slack import (
    atelier,
    clicks,
    home,
    imagine,
    mine,
    moderation,
    presets,
    reports,
    saving,
    shortcuts,
)
from bot.surfaces.slack.calls import CallFailed
from bot.surfaces.slack.desk import Desk, Handler, sentence
from bot.surfaces.slack.doubles import VERBS
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import safe
from lora_registry.errors import RegistryError

Answer = Callable[[Desk, Interaction], Awaitable[None]]

COMMANDS: Final[Mapping[str, Answer]] = MappingProxyType(
    {
        "/imagine": imagine.imagine,
        "/preset": presets.preset,
        "/queue": mine.queue,
        "/atelier": atelier.atelier,
    }
)
"""Slash commands; the manifest declares them."""

_HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        **clicks.HANDLERS,
        **imagine.HANDLERS,
        **presets.HANDLERS,
        **saving.HANDLERS,
        **mine.HANDLERS,
        **atelier.HANDLERS,
        **reports.HANDLERS,
        **moderation.HANDLERS,
    }
)

NOT_DONE: Final = "Slack has not let that happen, perhaps it took too long. Please try again."

log = structlog.get_logger()


async def command(desk: Desk, interaction: Interaction) -> None:
    """Answer a slash command."""
    name = str(interaction.body.get("command") or "")
    if (answer := COMMANDS.get(name)) is not None:
        await _once(desk, interaction, answer, name)


async def component(desk: Desk, interaction: Interaction) -> None:
    """Answer a button, a menu or a form."""
    text = str(interaction.action.get("action_id") or interaction.view.get("callback_id") or "")
    custom_id = read(text)
    handler = None if custom_id is None else _HANDLERS.get(custom_id.verb)
    if custom_id is None or handler is None:
        await interaction.ack()
        return
    if custom_id.verb in VERBS and desk.doubles.repeats(interaction):
        await interaction.ack()
        return

    async def answer(desk: Desk, interaction: Interaction) -> None:
        await handler(desk, interaction, custom_id)

    await _once(desk, interaction, answer, custom_id.verb)


async def shortcut(desk: Desk, interaction: Interaction) -> None:
    """Answer an entry in the menu of a message."""
    custom_id = read(str(interaction.body.get("callback_id") or ""))
    chosen = None if custom_id is None else shortcuts.SHORTCUTS.get(custom_id.verb)
    if chosen is None:
        await interaction.ack()
        return
    await _once(desk, interaction, chosen.answer, chosen.name)


async def written(desk: Desk, interaction: Interaction) -> None:
    """Answer somebody who wrote to the bot."""
    await interaction.ack()
    event = interaction.event
    if event.get("bot_id") or event.get("subtype") or not event.get("user"):
        return
    await _once(desk, interaction, imagine.mentioned, "mention")


async def direct(desk: Desk, interaction: Interaction) -> None:
    """Answer somebody who wrote to the bot alone; in channels only a mention is for us."""
    if interaction.event.get("channel_type") == "im":
        await written(desk, interaction)
    else:
        await interaction.ack()


async def revoked(desk: Desk, interaction: Interaction) -> None:
    """Slack has taken a token away, perhaps ours."""
    await interaction.ack()
    await desk.revoked()


EVENTS: Final[Mapping[str, Answer]] = MappingProxyType(
    {
        "app_mention": written,
        "message.im": direct,
        "app_home_opened": home.opened,
        "tokens_revoked": revoked,
        "app_uninstalled": revoked,
    }
)
"""Events by the names under which the manifest asks for them."""


async def _once(desk: Desk, interaction: Interaction, answer: Answer, name: str) -> None:
    """Do it unless Slack has told of it before; what is wrong is said privately."""
    async with desk.first(interaction.key and f"slack {interaction.key}") as new:
        if new:
            await _told(desk, interaction, answer, name)
    if not interaction.acknowledged:
        await interaction.ack()


async def _told(desk: Desk, interaction: Interaction, answer: Answer, name: str) -> None:
    try:
        await answer(desk, interaction)
    except NoSuchJob:
        await interaction.tell(wording.NO_SUCH_JOB)
    except PromptError as error:
        await interaction.tell(sentence(error))
    except (NotAllowed, RegistryError, SettingsError) as error:
        await interaction.tell(safe(str(error), 1200))
    except CallFailed as error:
        log.warning("not answered", what=name, error=error.error)
        await interaction.tell(NOT_DONE)
    except Exception:
        log.exception("answer broke", what=name)
        await interaction.tell(wording.INTERNAL)
