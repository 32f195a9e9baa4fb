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
from bot.commands.again import Again, Guidance, LoraScale, Retry, Variation, vary, wish_of
from bot.commands.jobs import PictureGone, PictureUnreadable
from bot.commands.prompt import Wish, render
from bot.jobs.job import Job, Place
from bot.policy import Treatment
from bot.surfaces.base import DeliveredPicture, Done, SurfaceGone
from bot.surfaces.discord import cards, form, ids, places
from bot.surfaces.discord.answers import Answer, tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction, draw
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.text import code, plain

GUIDANCE_STEP: Final = 0.5
LORA_STEP: Final = 0.1
MOST_LORAS: Final = 11
"""LoRAs in the menu of Vary: two lines each, and two for guidance, of 25."""
NOT_YOURS: Final = "Only who asked for this picture and the moderators here can do that."
NOTHING_TO_VARY: Final = "There is nothing to vary here; use Again or Edit."
RECIPE_TOO_LONG: Final = (
    "This command is longer than a message may be. The picture's file has it: save the picture "
    "and drop it into the playground."
)
NOT_FETCHED: Final = "The picture could not be shown here either. Please try in another place."

_STRICTER: Final = (Treatment.SHOW, Treatment.SPOILER, Treatment.WITHHOLD)


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
    await draw(desk, interaction, _as_private(job, form.edited(job, fields)))


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
    found = _read_variation(job, str(chosen[0]))
    if found is None:
        await tell(interaction, NOTHING_TO_VARY)
        return
    await draw(desk, interaction, _as_private(job, vary(job, found)))


def variations(job: Job) -> dict[str, str]:
    """What the menu offers, value to label: whatever changes something within the model's range."""
    offered = {}
    now = job.request.guidance_scale
    names = [lora.path for lora in job.request.loras[:MOST_LORAS]]
    for value in [
        *(f"lora:{index}:{sign}" for index in range(len(names)) for sign in "+-"),
        *(f"guidance::{sign}" for sign in "+-"),
    ]:
        found = _read_variation(job, value)
        if found is None or (wish := vary(job, found)) == wish_of(job):
            continue
        if isinstance(found, LoraScale):
            was = next(lora.scale for lora in job.request.loras if lora.path == found.name)
            label = f"{plain(found.name, 60)} {found.by:+g} (from {was:g})"
        else:
            label = f"Guidance {now:g} → {wish.guidance:g}"
        offered[value] = label
    return offered


def _read_variation(job: Job, value: str) -> Variation | None:
    match value.split(":"):
        case ["guidance", "", "+" | "-" as sign]:
            return Guidance(GUIDANCE_STEP if sign == "+" else -GUIDANCE_STEP)
        case ["lora", index, "+" | "-" as sign] if index.isdecimal():
            if int(index) < len(job.request.loras):
                by = LORA_STEP if sign == "+" else -LORA_STEP
                return LoraScale(job.request.loras[int(index)].path, by)
    return None


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
    job = await _own_or_moderated(desk, interaction, custom_id)
    if job is None:
        await tell(interaction, NOT_YOURS)
        return
    await interaction.response.defer()
    await desk.jobs.delete(job.requester, job.id)
    await interaction.delete_original_response()


async def _fetch(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Show a result that could not be delivered to who asked for it, here and for them alone."""
    job = await desk.jobs.get(places.requester(interaction).id, custom_id.subject)
    await interaction.response.defer(ephemeral=True, thinking=True)
    answer = Answer(interaction, private=True)
    original = await interaction.original_response()
    message = answer.message.model_copy(update={"message": original.id, "lasting": False})
    try:
        pictures = await _pictures(desk, job, places.place(interaction))
        await desk.surface.finish(job, desk.surface.sealed(message), Done(pictures))
    except PictureGone:
        await answer.show(cards.note(wording.PICTURE_GONE), private=True)
    except PictureUnreadable:
        await answer.show(cards.note(wording.PICTURE_UNREADABLE), private=True)
    except SurfaceGone:
        with contextlib.suppress(discord.HTTPException):
            await answer.show(cards.note(NOT_FETCHED), private=True)


async def _pictures(desk: Desk, job: Job, place: Place) -> tuple[DeliveredPicture, ...]:
    """The pictures of a job as both the place it was meant for and this one allow."""
    found = []
    there = await desk.jobs.shown(job)
    here = await desk.jobs.shown(replace(job, place=place.model_copy(update={"private": True})))
    for index, (one, other) in enumerate(zip(there, here, strict=True)):
        treatment = max(one.treatment, other.treatment, key=_STRICTER.index)
        data = b""
        if treatment is not Treatment.WITHHOLD:
            _, data = await desk.jobs.bytes_of(job.id, index)
        found.append(DeliveredPicture(one.picture, data, treatment))
    return tuple(found)


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
