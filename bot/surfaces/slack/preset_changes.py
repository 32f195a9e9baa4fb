"""`/preset create`, `edit`, `fork` and `rename`: their forms, and what came of them."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import (
    ActionsBlock,
)

from bot.commands import curation, preset_text, presets
from bot.commands.preset_text import PresetText
from bot.surfaces import preset_fields
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, forms, preset_forms
from bot.surfaces.slack.answers import Shown, answered, press, shown
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.preset_forms import Form, opened, submitted
from bot.surfaces.slack.text import bold, safe
from lora_registry.models import Viewer
from lora_registry.permissions import Action
from lora_registry.revisions import Revision

EDIT: Final = "preset_edit"


# --- Commands ---------------------------------------------------------------------------------


async def create(_: Desk, interaction: Interaction, name: str) -> None:
    """Open the form of a new preset, perhaps with its name."""
    view = new_form(PresetText(), name[: preset_fields.NAME.most]).view(forms.kept(interaction))
    await preset_forms.show(interaction, view)


async def edit(desk: Desk, interaction: Interaction, name: str) -> None:
    """Open the form of one's own preset."""

    async def form(seen: Viewer) -> Form:
        return _edit_form(await presets.changeable(desk.registry, seen, name, Action.EDIT))

    await opened(desk, interaction, form)


async def fork(desk: Desk, interaction: Interaction, words: str) -> None:
    """Copy a preset; without a second name a form asks for it."""
    source, _, name = words.partition(" ")

    async def form(seen: Viewer) -> Form:
        found = (await desk.registry.resolver.resolve(seen, source)).revision
        return _fork_form(found)

    async def made(seen: Viewer) -> Shown:
        handle = interaction.user_name
        copy = await presets.fork(desk.registry, seen, source, name, handle=handle)
        return about("Made", copy)

    if name:
        await answered(desk, interaction, made)
    else:
        await opened(desk, interaction, form)


async def rename(desk: Desk, interaction: Interaction, words: str) -> None:
    """Give a preset another name; without one a form asks for it."""
    old, _, name = words.partition(" ")

    async def form(seen: Viewer) -> Form:
        preset = (await presets.changeable(desk.registry, seen, old, Action.EDIT)).preset
        return Form(CustomId(preset_forms.RENAMED, preset.id), {"name": preset.name})

    async def renamed(seen: Viewer) -> Shown:
        done = await curation.rename(desk.registry, seen, old, name)
        return shown(safe(done.said, 1000))

    if name:
        await answered(desk, interaction, renamed)
    else:
        await opened(desk, interaction, form)


# --- Forms ------------------------------------------------------------------------------------


def new_form(text: PresetText, name: str = "") -> Form:
    """The form of a preset to be made."""
    return Form(CustomId(preset_fields.NEW), {"name": name, **dataclasses.asdict(text)})


def _edit_form(head: Revision) -> Form:
    """The form remembers on which revision it was opened, so that no change is lost to another."""
    custom_id = CustomId(preset_fields.EDITED, head.preset.id, str(head.rev))
    return Form(custom_id, dataclasses.asdict(preset_text.text_of(head.body)))


def _fork_form(source: Revision) -> Form:
    custom_id = CustomId(preset_fields.FORK, source.preset.id, str(source.rev))
    return Form(custom_id, {"name": source.preset.name})


async def _open_edit(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def form(seen: Viewer) -> Form:
        head = await presets.revision_of(desk.registry, seen, custom_id.subject)
        presets.require(seen, Action.EDIT, head.preset)
        return _edit_form(head)

    await opened(desk, interaction, form)


async def _fork(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Ask for a name, or copy the revision under the name that was given."""
    preset_id, rev = custom_id.subject, int(custom_id.argument)

    async def form(seen: Viewer) -> Form:
        return _fork_form(await presets.revision_of(desk.registry, seen, preset_id, rev))

    async def copy(seen: Viewer, values: Mapping[str, str]) -> Shown:
        name, handle = values["name"], interaction.user_name
        made = await presets.fork_of(desk.registry, seen, preset_id, rev, name, handle=handle)
        return about("Made", made)

    if interaction.body.get("type") == "view_submission":
        await submitted(desk, interaction, custom_id, copy)
    else:
        await opened(desk, interaction, form)


async def _renamed(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def rename(seen: Viewer, values: Mapping[str, str]) -> Shown:
        preset = (await presets.revision_of(desk.registry, seen, custom_id.subject)).preset
        done = await curation.rename(desk.registry, seen, preset.reference, values["name"])
        return shown(safe(done.said, 1000))

    await submitted(desk, interaction, custom_id, rename)


async def _created(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def make(seen: Viewer, values: Mapping[str, str]) -> Shown:
        name, handle = values["name"], interaction.user_name
        text = _text(PresetText(), values)
        return about("Made", await preset_text.make(desk.registry, seen, name, text, handle=handle))

    await submitted(desk, interaction, custom_id, make)


async def _edited(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    preset_id, base = custom_id.subject, int(custom_id.argument)

    async def revise(seen: Viewer, values: Mapping[str, str]) -> Shown:
        before = await presets.revision_of(desk.registry, seen, preset_id, base)
        text = _text(preset_text.text_of(before.body), values)
        made = await preset_text.revise(desk.registry, seen, preset_id, base, text)
        return about("Changed" if made.rev != base else "Nothing to change in", made)

    await submitted(desk, interaction, custom_id, revise)


def _text(before: PresetText, values: Mapping[str, str]) -> PresetText:
    """What was written; what had no field in the form stays."""
    names = [field.name for field in dataclasses.fields(PresetText)]
    return dataclasses.replace(before, **{name: values[name] for name in names if name in values})


# --- Answers ----------------------------------------------------------------------------------


def about(did: str, revision: Revision) -> Shown:
    """What became of a preset; `did` begins the sentence."""
    preset, rev = revision.preset, str(revision.rev)
    return shown(
        f"{did} {bold(preset.reference, 100)} (revision {rev}).",
        cards.small([f"`/imagine a cat --preset {preset.name}` draws with it."]),
        ActionsBlock(
            elements=[
                press("preset_use", "Draw with it", preset.id, rev, "primary"),
                press("preset_card", "Show", preset.id, rev),
                press(EDIT, "Edit", preset.id, rev),
            ]
        ),
    )


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        EDIT: _open_edit,
        preset_fields.FORK: _fork,
        preset_fields.NEW: _created,
        preset_fields.EDITED: _edited,
        preset_forms.RENAMED: _renamed,
    }
)
