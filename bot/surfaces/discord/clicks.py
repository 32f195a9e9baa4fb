"""What happens when somebody clicks below a picture. Every click asks anew who may do it."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import SelectOption
from discord.ui import ActionRow, Select

from bot import wording
from bot.commands.again import Again, Retry, vary, wish_of
from bot.commands.fields import edited
from bot.commands.jobs import JobErased, NoSuchJob, PictureGone, PictureUnreadable
from bot.commands.prompt import Wish, render
from bot.commands.variations import variation, variations
from bot.jobs.job import Job
from bot.surfaces.base import Done, SurfaceGone
from bot.surfaces.discord import cards, form, ids, moderation, places
from bot.surfaces.discord.answers import Answer, tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction, draw
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.pictures import pictures_for
from bot.surfaces.discord.text import code

NOT_YOURS: Final = "Only who asked for this picture and the moderators here can do that."
NOTHING_TO_VARY: Final = "There is nothing to vary here; use Again or Edit."
RECIPE_TOO_LONG: Final = (
    "This command is longer than a message may be. The picture's file has it: save the picture "
    "and drop it into the playground."
)
NOT_FETCHED: Final = "The picture could not be shown here either. Please try in another place."

# --- Drawing more -----------------------------------------------------------------------------


async def _again(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    await draw(desk, interaction, _as_private(job, vary(job, Again())))


async def _retry(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    await draw(desk, interaction, _as_private(job, vary(job, Retry())))


async def _edit(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    await interaction.response.send_modal(form.form(job))


async def _edited(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    fields = form.values(interaction.data or {})
    await draw(desk, interaction, _as_private(job, edited(wish_of(job), fields)))


async def _vary(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    choices = variations(job)
    if not choices:
        await tell(interaction, NOTHING_TO_VARY)
        return
    menu: Select[discord.ui.LayoutView] = Select(
        custom_id=str(CustomId(ids.VARIATION, job.id)),
        placeholder="What to change; seed and size stay",
        options=[SelectOption(label=label, value=value) for value, label in choices.items()],
    )
    view = cards.note("Vary this picture:", ActionRow(menu))
    await interaction.response.send_message(view=view, ephemeral=True)


async def _variation(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    data: Mapping[str, Any] = interaction.data or {}
    chosen = data.get("values") or [""]
    found = variation(job, str(chosen[0]))
    if found is None:
        await tell(interaction, NOTHING_TO_VARY)
        return
    await draw(desk, interaction, _as_private(job, vary(job, found)))


# --- Looking and ending -----------------------------------------------------------------------


async def _recipe(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _seen(desk, interaction, custom_id)
    command = code(render(wish_of(job)))
    text = f"Paste this as the prompt of `/imagine`, and the same picture is drawn:\n{command}"
    await tell(interaction, text if len(text) <= cards.MOST_TEXT else RECIPE_TOO_LONG)


async def _cancel(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await _own_or_moderated(desk, interaction, custom_id)
    if job is None:
        await tell(interaction, NOT_YOURS)
        return
    await interaction.response.defer()
    await desk.jobs.cancel(job.requester, job.id)


async def _delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if custom_id.argument:  # not on the card itself
        await moderation.delete(desk, interaction, custom_id)
        return
    try:
        job = await _own_or_moderated(desk, interaction, custom_id)
    except NoSuchJob as error:  # a crash has left its message, or only the message is left of it
        who = places.requester(interaction).id
        own = isinstance(error, JobErased) and error.job.requester == who
        own = own or cards.asked_by(interaction.message) == who
        if not (own or await desk.moderates(interaction)):
            raise
        await interaction.response.defer()
        await interaction.delete_original_response()
        return
    if job is None:
        await tell(interaction, NOT_YOURS)
        return
    await interaction.response.defer()
    await desk.jobs.delete(job.requester, job.id)
    moderation.note_deletion(desk, interaction, job)
    await interaction.delete_original_response()


async def _fetch(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Show a result that could not be delivered to who asked for it, here and for them alone."""
    job = await desk.jobs.get(places.requester(interaction).id, custom_id.subject)
    await interaction.response.defer(ephemeral=True, thinking=True)
    answer = Answer(interaction, private=True)
    original = await interaction.original_response()
    message = answer.message.model_copy(update={"message": original.id, "lasting": False})
    try:
        here = places.place(interaction).model_copy(update={"private": True})
        pictures = await pictures_for(desk, job, here)
        await desk.surface.finish(job, desk.surface.sealed(message), Done(pictures))
    except PictureGone:
        await answer.show(cards.note(wording.PICTURE_GONE), private=True)
    except PictureUnreadable:
        await answer.show(cards.note(wording.PICTURE_UNREADABLE), private=True)
    except SurfaceGone:
        with contextlib.suppress(discord.HTTPException):
            await answer.show(cards.note(NOT_FETCHED), private=True)


# --- Rights -----------------------------------------------------------------------------------


async def _seen(desk: Desk, interaction: Interaction, custom_id: CustomId) -> Job:
    place = places.place(interaction)
    return await desk.jobs.seen(places.requester(interaction).id, place, custom_id.subject)


async def _own_or_moderated(
    desk: Desk, interaction: Interaction, custom_id: CustomId
) -> Job | None:
    """The job, if who clicked may end it; None where they see it and may not."""
    job = await _seen(desk, interaction, custom_id)
    own = job.requester == places.requester(interaction).id
    return job if own or await desk.moderates(interaction) else None


def _as_private(job: Job, wish: Wish) -> Wish:
    """What follows from a private picture is private too."""
    return replace(wish, private=True) if job.place.private else wish


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "again": _again,
        "retry": _retry,
        "edit": _edit,
        ids.EDITED: _edited,
        "vary": _vary,
        ids.VARIATION: _variation,
        "recipe": _recipe,
        "cancel": _cancel,
        "delete": _delete,
        "fetch": _fetch,
    }
)
