"""Save as preset: below a result, and in the menu of any message with a picture."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bot.commands import saving
from bot.commands.preset_text import text_of
from bot.commands.saving import Look
from bot.recipe import ForeignRecipe, Recipe
from bot.surfaces import preset_fields
from bot.surfaces.ids import CustomId
from bot.surfaces.slack.answers import Shown
from bot.surfaces.slack.clicks import seen
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.preset_changes import about, new_form
from bot.surfaces.slack.preset_forms import Form, opened, submitted
from bot.surfaces.slack.text import safe
from lora_registry.models import Viewer

SAVE: Final = "save"


async def form_of_job(
    desk: Desk, interaction: Interaction, viewer: Viewer, about_job: CustomId
) -> Form:
    """The form that gives a name to how a job was drawn.

    Raises:
        NoSuchJob, RegistryError: there is none, and why.
    """
    text = text_of((await _look(desk, interaction, viewer, about_job)).body)
    kept = [text.loras, *text.settings.replace(": ", " ").split("\n")]
    return Form(
        CustomId(preset_fields.SAVED, about_job.subject),
        {"name": "", "title": "", "template": text.template},
        f"It keeps {safe(', '.join(filter(None, kept)), 1000)}. Prompt and seed are left out.",
    )


async def form_of_recipe(desk: Desk, found: Recipe | ForeignRecipe) -> Form:
    """The form of a new preset with all that a recipe says.

    Raises:
        RegistryError: it cannot be kept as a preset, and why.
    """
    return new_form(text_of(await saving.body_of_recipe(desk.registry, found)))


async def _save(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def form(viewer: Viewer) -> Form:
        return await form_of_job(desk, interaction, viewer, custom_id)

    await opened(desk, interaction, form)


async def _saved(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def save(viewer: Viewer, values: Mapping[str, str]) -> Shown:
        made = await saving.save(
            desk.registry,
            viewer,
            await _look(desk, interaction, viewer, custom_id),
            name=values["name"],
            title=values["title"],
            template=values["template"],
            handle=interaction.user_name,
        )
        return about("Saved as", made)

    await submitted(desk, interaction, custom_id, save)


async def _look(desk: Desk, interaction: Interaction, viewer: Viewer, custom_id: CustomId) -> Look:
    """The look of a job that whoever asks can see."""
    job = await seen(desk, interaction, custom_id)
    return await saving.look_of_job(desk.registry, viewer, job)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {SAVE: _save, preset_fields.SAVED: _saved}
)
