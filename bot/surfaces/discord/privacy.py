"""`/privacy`: what is kept about somebody, given to them or erased, for their eyes only."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import ButtonStyle, app_commands
from discord.ui import ActionRow, Button, File, LayoutView

from bot.commands.privacy import ERASING, PrivacyError
from bot.surfaces.discord import cards, places
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.receipts import FILE_LIMIT
from lora_registry.models import Viewer

_EXPORT: Final = "privacy_export"
_ERASE: Final = "privacy_erase"
_SURE: Final = "sure"
MESSAGES_STAY: Final = (
    "Messages in channels are Discord's: they stay until you press **Delete** below them, which "
    "works for ever."
)
_BUTTONS: Final = "**Export** gives you all of it as a file, **Erase** deletes it."
_HERE: Final = "Here is everything that is kept about you, as JSON. Only you see this message."


def privacy_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(
        name="privacy", description="What is kept about you: look, take it with you, erase it"
    )
    async def privacy(interaction: discord.Interaction[Any]) -> None:
        text = _listed("What is kept about you here", *desk.privacy.kept(), MESSAGES_STAY, _BUTTONS)
        view = cards.note(text, ActionRow(_button("Export", _EXPORT), _button("Erase", _ERASE)))
        await Answer(interaction, private=True).show(view, private=True)

    return privacy


async def _export(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    limit = interaction.filesize_limit or FILE_LIMIT
    try:
        async with desk.privacy.exported(_viewer(interaction), limit) as export:
            file = discord.File(export.file, export.name)
            view = cards.note(_HERE, File[LayoutView](f"attachment://{export.name}"))
            await interaction.edit_original_response(view=view, attachments=[file])
    except PrivacyError as error:
        await _say(interaction, str(error))


async def _erase(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if custom_id.subject != _SURE:
        sure = _button("Erase everything", _ERASE, _SURE, ButtonStyle.danger)
        text = _listed(
            "Erase everything about you? This cannot be undone.", *ERASING, MESSAGES_STAY
        )
        view = cards.note(text, ActionRow(sure))
        await interaction.response.send_message(view=view, ephemeral=True)
        return
    await interaction.response.defer(ephemeral=True, thinking=True)
    try:
        erased = await desk.privacy.erase(_viewer(interaction))
    except PrivacyError as error:
        await _say(interaction, str(error))
        return
    again = [ActionRow(_button("Erase the rest", _ERASE, _SURE))] if erased.left else []
    text = "\n".join((*erased.told(), MESSAGES_STAY))
    await interaction.edit_original_response(view=cards.note(text, *again))


def _listed(title: str, *sentences: str) -> str:
    return "\n".join([f"**{title}**", *(f"- {one}" for one in sentences)])


def _viewer(interaction: Interaction) -> Viewer:
    """The person, to the registry. What is theirs is theirs wherever they ask."""
    return Viewer(places.LOCAL, places.requester(interaction).id)


async def _say(interaction: Interaction, text: str) -> None:
    await interaction.edit_original_response(view=cards.note(text))


def _button(
    label: str, verb: str, subject: str = "", style: ButtonStyle = ButtonStyle.secondary
) -> Button[LayoutView]:
    return Button(label=label, style=style, custom_id=str(CustomId(verb, subject)))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({_EXPORT: _export, _ERASE: _erase})
