"""The entries in the menu of a message: Imagine from message, Use recipe, and Save as preset."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from slack_sdk.models.views import View

from bot.commands.again import wish_of, wish_of_recipe
from bot.commands.jobs import NoSuchJob
from bot.commands.prompt import Wish, render
from bot.recipe import ForeignRecipe, Recipe
from bot.surfaces import ids
from bot.surfaces.ids import EDITED, CustomId
from bot.surfaces.slack import cards, forms, saving
from bot.surfaces.slack.clicks import seen
from bot.surfaces.slack.desk import Desk
from bot.surfaces.slack.imagine import COMMAND
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.recipes import NO_PICTURE, NoRecipe
from bot.surfaces.slack.text import safe, typed
from lora_registry.errors import RegistryError

READING: Final = "Reading the picture …"
TOO_LONG: Final = (
    "This recipe is longer than a form may be. Save the picture and drop it into the playground."
)
_OF_JOBS: Final = frozenset({"cancel", "edit"})
"""Every message that shows a job has one of these buttons."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """An entry in the menu of a message. `name` has at most 24 characters, `about` 150."""

    name: str
    about: str
    answer: Callable[[Desk, Interaction], Awaitable[None]]


async def imagine_from(desk: Desk, interaction: Interaction) -> None:
    """Open the form with the words of a message as the prompt.

    Raises:
        CallFailed: it did not open.
    """
    words = typed(str(interaction.message.get("text") or "")).strip().removeprefix(COMMAND)
    await interaction.open(forms.form(CustomId(forms.IMAGINED), Wish(words), interaction))


async def use_recipe(desk: Desk, interaction: Interaction) -> None:
    """Open the form that draws the message's picture again: from its job, else from its file.

    Raises:
        CallFailed: it did not open.
    """

    async def of_job(about: CustomId) -> View:
        job = await seen(desk, interaction, about)
        return forms.form(CustomId(EDITED, job.id), wish_of(job), interaction)

    async def of_recipe(found: Recipe | ForeignRecipe) -> View:
        return _recipe_form(wish_of_recipe(found), interaction)

    await _opened(desk, interaction, of_job, of_recipe)


async def save_as_preset(desk: Desk, interaction: Interaction) -> None:
    """Open the form that makes a preset of how the message's picture was drawn.

    Raises:
        CallFailed: it did not open.
        RegistryError, SettingsError: it cannot be kept as a preset, and why.
    """
    kept = forms.kept(interaction)

    async def of_job(about: CustomId) -> View:
        viewer = await desk.viewer(interaction)
        return (await saving.form_of_job(desk, interaction, viewer, about)).view(kept)

    async def of_recipe(found: Recipe | ForeignRecipe) -> View:
        return (await saving.form_of_recipe(desk, found)).view(kept)

    await _opened(desk, interaction, of_job, of_recipe)


async def _opened(
    desk: Desk,
    interaction: Interaction,
    of_job: Callable[[CustomId], Awaitable[View]],
    of_recipe: Callable[[Recipe | ForeignRecipe], Awaitable[View]],
) -> None:
    """Open a form about a message's picture: from its job, else from its file."""
    blocks = list(_nested(interaction.message.get("blocks") or ()))
    if (about := _job(blocks)) is not None:
        try:
            view = await of_job(about)
        except NoSuchJob:
            pass  # forgotten, but its picture may still be there
        else:
            await interaction.open(view)
            return
    files = list(_files(interaction.message, blocks))
    if not files:
        await interaction.tell(NO_PICTURE)
        return
    # Reading may take longer than the 3 seconds within which a form must open.
    opened = await interaction.open(_note(READING))
    try:
        view = await of_recipe(await desk.recipes.read(interaction.client, files))
    except NoRecipe as error:
        view = _note(str(error))
    except RegistryError as error:
        view = _note(safe(str(error), 1000))
    await interaction.change(opened, view)


SHORTCUTS: Final[Mapping[str, Shortcut]] = MappingProxyType(
    {
        "imagine_from": Shortcut(
            "Imagine from message", "Draw what this message says", imagine_from
        ),
        "use_recipe": Shortcut("Use recipe", "Draw this picture again, or change it", use_recipe),
        "save_as_preset": Shortcut(
            "Save as preset", "Keep how this picture was drawn under a name", save_as_preset
        ),
    }
)
"""By verb; the manifest declares them."""


def _recipe_form(wish: Wish, interaction: Interaction) -> View:
    """The form of a recipe that no job is known for: the prompt has all that no field shows."""
    shown = tuple(lora for lora in wish.loras if forms.option(str(lora)) is not None)
    long = tuple(lora for lora in wish.loras if lora not in shown)
    rest = replace(wish, preset=None, loras=long, size=None, seed=None, images=None, model=None)
    prompt = render(rest).removeprefix(COMMAND)
    if len(prompt) > forms.MOST_PROMPT:
        return _note(TOO_LONG)
    wish = replace(wish, prompt=prompt, loras=shown)
    return forms.form(CustomId(forms.IMAGINED), wish, interaction)


def _note(text: str) -> View:
    """A window that says something and asks nothing."""
    return View(type="modal", title=forms.TITLE, close="Close", blocks=[cards.section(text)])


def _job(blocks: Iterable[Mapping[str, Any]]) -> CustomId | None:
    """The job that a message of ours shows; whether it may be seen is asked later."""
    for block in blocks:
        custom_id = ids.read(str(block.get("action_id") or ""))
        if custom_id is not None and custom_id.verb in _OF_JOBS:
            return custom_id
    return None


def _files(message: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Ids of the files of a message: those that people attached, then those that blocks show."""
    shown = (block.get("slack_file") for block in blocks)
    for file in (*(message.get("files") or ()), *shown):
        if isinstance(file, dict) and file.get("id"):
            yield str(file["id"])


def _nested(blocks: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Blocks with all that they hold, in the order of the screen."""
    for block in blocks:
        if isinstance(block, dict):
            yield block
            for part in ("child_blocks", "elements"):
                yield from _nested(block.get(part) or ())
