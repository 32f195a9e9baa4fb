"""`/atelier privacy`: what is kept about somebody, given to them or erased, for their eyes only."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import structlog
from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.commands.privacy import ERASING, PrivacyError
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, pages
from bot.surfaces.slack.answers import press
from bot.surfaces.slack.calls import CallFailed, Closed
from bot.surfaces.slack.cards import Blocks
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from lora_registry.models import Viewer

MOST_BYTES: Final = 16 * 2**20
"""Of an export, which is packed if it must be; a job takes about a thousand of them."""
MESSAGES_STAY: Final = (
    "Messages and the files in them are Slack's: they stay until you press *Delete* below them, "
    "which works for ever."
)
_BUTTONS: Final = "*Export* sends you all of it as a file, *Erase* deletes it."
_HERE: Final = "Here is everything that Atelier keeps about you, as JSON."
_SENT: Final = "I have sent it to you as a direct message."
_NOT_SENT: Final = "Slack has not taken the file. Please try again in a minute."
_TITLE: Final = "Privacy"
_EXPORT: Final = "privacy_export"
_ERASE: Final = "privacy_erase"
_SURE: Final = "sure"

log = structlog.get_logger()


async def show_privacy(desk: Desk, interaction: Interaction) -> None:
    """The subcommand."""
    blocks = _blocks(
        _listed("What is kept about you here", *desk.privacy.kept(), MESSAGES_STAY, _BUTTONS),
        press(_EXPORT, "Export"),
        press(_ERASE, "Erase"),
    )
    await pages.show(interaction, _TITLE, blocks)


async def _export(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    await interaction.ack()
    try:
        async with desk.privacy.exported(_viewer(interaction), MOST_BYTES) as export:
            data = await asyncio.to_thread(export.file.read)
        await desk.surface.send_file(interaction.user, export.name, data, _HERE)
    except PrivacyError as error:
        await interaction.tell(str(error))
    except Closed as error:
        await interaction.tell(error.sentence)
    except CallFailed as error:
        log.warning("export not sent", error=error.error)
        await interaction.tell(_NOT_SENT)
    else:
        await interaction.tell(_SENT)


async def _erase(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if custom_id.subject != _SURE:
        sure = press(_ERASE, "Erase everything", _SURE, style="danger")
        text = _listed(
            "Erase everything about you? This cannot be undone.", *ERASING, MESSAGES_STAY
        )
        await pages.show(interaction, _TITLE, _blocks(text, sure), replace=True)
        return
    await interaction.ack()
    try:
        erased = await desk.privacy.erase(_viewer(interaction))
    except PrivacyError as error:
        await interaction.tell(str(error))
        return
    desk.homes.changed(interaction.user)
    again = [press(_ERASE, "Erase the rest", _SURE)] if erased.left else []
    blocks = _blocks("\n".join((*erased.told(), MESSAGES_STAY)), *again)
    await pages.show(interaction, _TITLE, blocks, replace=True)


def _listed(title: str, *sentences: str) -> str:
    return "\n".join([f"*{title}*", *(f"• {one}" for one in sentences)])


def _blocks(text: str, *buttons: ButtonElement) -> Blocks:
    row = [ActionsBlock(elements=list(buttons))] if buttons else []
    return cards.rendered([cards.section(text), *row])


def _viewer(interaction: Interaction) -> Viewer:
    """The person, to the registry. What is theirs is theirs wherever they ask."""
    return Viewer(interaction.team, interaction.user)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({_EXPORT: _export, _ERASE: _erase})
