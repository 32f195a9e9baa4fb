"""Save as preset: below a card, and in the menu of any message with a picture that has a recipe."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import app_commands
from discord.ui import LayoutView

from bot.commands import saving
from bot.commands.jobs import NoSuchJob
from bot.commands.preset_text import text_of
from bot.commands.saving import Look
from bot.surfaces import preset_fields
from bot.surfaces.discord import ids, places
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.preset_changes import about, new_form
from bot.surfaces.discord.preset_forms import Filled, opened, submitted
from bot.surfaces.discord.text import safe
from lora_registry.models import Viewer

SAVE: Final = "save"
MENU: Final = "Save as preset"
_ABOUT_JOBS: Final = frozenset({SAVE, "again", "edit", "vary", "recipe"})
"""Verbs below a card whose subject is its job."""


def save_menu(desk: Desk) -> app_commands.ContextMenu:
    """The entry in the menu of a message, ready to be added to a tree."""

    async def save(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        async def form(seen: Viewer) -> Filled:
            if (job_id := job_of(message)) is not None:
                with contextlib.suppress(NoSuchJob):  # its picture may still be there
                    return await _form(desk, interaction, seen, job_id)
            body = await saving.body_of_recipe(desk.registry, await desk.recipes.read(message))
            return new_form(text_of(body))

        await opened(desk, interaction, form)

    return app_commands.ContextMenu(name=MENU, callback=save)


async def _save(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def form(seen: Viewer) -> Filled:
        return await _form(desk, interaction, seen, custom_id.subject)

    await opened(desk, interaction, form)


async def _saved(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def save(seen: Viewer, values: Mapping[str, str]) -> LayoutView:
        look = await _look(desk, interaction, seen, custom_id.subject)
        made = await saving.save(
            desk.registry,
            seen,
            look,
            name=values["name"],
            title=values["title"],
            template=values["template"],
            handle=interaction.user.name,
        )
        return about("Saved as", made)

    await submitted(desk, interaction, custom_id, save)


async def _form(desk: Desk, interaction: Interaction, seen: Viewer, job_id: str) -> Filled:
    look = await _look(desk, interaction, seen, job_id)
    text = text_of(look.body)
    kept = [text.loras, *text.settings.replace(": ", " ").split("\n")]
    above = f"It keeps {safe(', '.join(filter(None, kept)), 1000)}. Prompt and seed are left out."
    custom_id = CustomId(preset_fields.SAVED, job_id)
    return Filled(custom_id, {"template": text.template}, above)


async def _look(desk: Desk, interaction: Interaction, seen: Viewer, job_id: str) -> Look:
    """The look of a job that whoever asks can see."""
    place = places.place(interaction)
    job = await desk.jobs.seen(places.requester(interaction).id, place, job_id)
    return await saving.look_of_job(desk.registry, seen, job)


# --- Messages ---------------------------------------------------------------------------------


def job_of(message: discord.Message) -> str | None:
    """The id of the job that a message of ours shows; whether it may be seen is asked later."""
    for text in _custom_ids(message.components):
        custom_id = ids.read(text)
        if custom_id is not None and custom_id.verb in _ABOUT_JOBS:
            return custom_id.subject
    return None


def _custom_ids(components: Iterable[Any]) -> Iterator[str]:
    for one in components:
        if (custom_id := getattr(one, "custom_id", None)) is not None:
            yield str(custom_id)
        yield from _custom_ids(getattr(one, "children", ()))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {SAVE: _save, preset_fields.SAVED: _saved}
)
