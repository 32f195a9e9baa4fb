"""The entries in the menu of a message: Use recipe, and Report."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import app_commands
from discord.ui import ActionRow, Button, LayoutView, TextDisplay

from bot.commands.again import wish_of_recipe
from bot.commands.fields import of_recipe
from bot.commands.jobs import NoSuchJob
from bot.commands.prompt import Wish, parse, render
from bot.surfaces.discord import cards, form, places
from bot.surfaces.discord.answers import tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction, draw
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.recipes import NoRecipe
from bot.surfaces.discord.reports import report
from bot.surfaces.discord.saving import job_of
from bot.surfaces.discord.text import code, uncode
from bot.surfaces.discord.trouble import told

USE_RECIPE: Final = "Use recipe"
REPORT: Final = "Report"
NO_CARD: Final = (
    "This message shows no picture that was drawn here. Discord's own “Report Message” is for "
    "everything else."
)
READ: Final = "This is the picture's recipe. As a command:"
TOO_LONG: Final = (
    "This recipe is longer than a form may be. Save the picture and drop it into the playground."
)
_SOON_S: Final = 2.0
"""A form must open within 3 s of the click."""
_ROOM: Final = 200


def recipe_menu(desk: Desk) -> app_commands.ContextMenu:
    """The entry that opens a form with a picture's recipe, ready to be added to a tree."""

    async def use(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        await told(interaction, _use(desk, interaction, message), USE_RECIPE)

    return app_commands.ContextMenu(name=USE_RECIPE, callback=use)


def report_menu(desk: Desk) -> app_commands.ContextMenu:
    """The entry that reports a picture, ready to be added to a tree."""

    async def tell_moderators(
        interaction: discord.Interaction[Any], message: discord.Message
    ) -> None:
        if (job_id := job_of(message)) is None:
            await tell(interaction, NO_CARD)
            return
        await told(interaction, report(desk, interaction, job_id, message.id), REPORT)

    return app_commands.ContextMenu(name=REPORT, callback=tell_moderators)


async def _use(desk: Desk, interaction: Interaction, message: discord.Message) -> None:
    if (job_id := job_of(message)) is not None:
        try:
            who, place = places.requester(interaction), places.place(interaction)
            job = await desk.jobs.seen(who.id, place, job_id)
        except NoSuchJob:
            pass  # forgotten, but its picture may still be there
        else:
            await interaction.response.send_modal(form.form(job))
            return
    reading = asyncio.create_task(desk.recipes.read(message))
    done, _ = await asyncio.wait({reading}, timeout=_SOON_S)
    if not done:
        await interaction.response.defer(ephemeral=True, thinking=True)
    try:
        wish = wish_of_recipe(await reading)
    except NoRecipe as error:
        view = cards.note(str(error))
    else:
        if len(render(wish)) > cards.MOST_TEXT - _ROOM:
            view = cards.note(TOO_LONG)
        elif done:
            await interaction.response.send_modal(form.recipe_form(wish))
            return
        else:
            view = _offer(wish)
    if done:
        await interaction.response.send_message(view=view, ephemeral=True)
    else:
        await interaction.edit_original_response(view=view)


def _offer(wish: Wish) -> LayoutView:
    """What was read too late for a form, and a button that opens it: the command says it all."""
    button: Button[LayoutView] = Button(
        label="Open the form", custom_id=str(CustomId(form.RECIPE_FORM))
    )
    return cards.layout(TextDisplay(READ), TextDisplay(code(render(wish))), ActionRow(button))


async def _recipe_form(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    """Open the form of a recipe that was offered, or draw what a form says."""
    if interaction.type is discord.InteractionType.modal_submit:
        fields = form.values(interaction.data or {})
        await draw(desk, interaction, of_recipe(fields))
        return
    shown = interaction.message.components if interaction.message is not None else ()
    texts = [part.content for part in shown if isinstance(part, discord.TextDisplay)]
    await interaction.response.send_modal(form.recipe_form(parse(uncode(texts[-1]))))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({form.RECIPE_FORM: _recipe_form})
