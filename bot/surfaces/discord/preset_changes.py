"""`/preset create`, `edit`, `fork`, `history`, `delete`, `like`, and what their buttons do."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import ButtonStyle, SelectOption, app_commands
from discord.app_commands import Range
from discord.ui import ActionRow, Button, Item, LayoutView, Select

from bot.commands import preset_text, presets
from bot.commands.preset_text import PresetText
from bot.commands.presets import Version
from bot.communities import SettingsError
from bot.surfaces import preset_fields, preset_words
from bot.surfaces.discord import cards, preset_forms
from bot.surfaces.discord.answers import Answer, tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.preset_card import press
from bot.surfaces.discord.preset_forms import Filled, opened, submitted
from bot.surfaces.discord.suggestions import Suggestions
from bot.surfaces.discord.text import plain, safe, whole_lines
from lora_registry.errors import Refused, RegistryError
from lora_registry.models import Viewer
from lora_registry.permissions import Action
from lora_registry.revisions import Revision

EDIT: Final = "preset_edit"
DELETE: Final = "preset_delete"
RESTORE: Final = "preset_restore"
LIKE: Final = "like"

MOST_REVISIONS: Final = 15
"""Revisions in a history; the menu below it has a few more."""
_MENU: Final = 25

View = Callable[[Viewer], Awaitable[LayoutView]]


def add_changes(group: app_commands.Group, desk: Desk, suggestions: Suggestions) -> None:
    """Add the commands to the group of `/preset`."""

    @group.command(name="create", description="Make a preset of your own")
    @app_commands.describe(loras="LoRAs to begin with: glow:0.5, ink:0.7")
    async def create(
        interaction: discord.Interaction[Any], loras: Range[str, 1, 1000] | None = None
    ) -> None:
        text = PresetText(loras=loras or "")
        await interaction.response.send_modal(new_form(text).modal())

    @group.command(name="edit", description="Change a preset of yours; earlier revisions stay")
    @app_commands.describe(preset="Its name")
    async def edit(interaction: discord.Interaction[Any], preset: Range[str, 1, 100]) -> None:
        async def form(seen: Viewer) -> Filled:
            return _edit_form(await presets.changeable(desk.registry, seen, preset, Action.EDIT))

        await opened(desk, interaction, form)

    @group.command(name="fork", description="Copy a preset into one of your own")
    @app_commands.describe(preset="What to copy; dreamy@2 is its second revision", name="Its name")
    async def fork(
        interaction: discord.Interaction[Any],
        preset: Range[str, 1, 100],
        name: Range[str, 1, 100],
    ) -> None:
        async def made(seen: Viewer) -> LayoutView:
            copy = await presets.fork(
                desk.registry, seen, preset, name, handle=interaction.user.name
            )
            return about("Made", copy)

        await _answer(desk, interaction, made)

    @group.command(name="history", description="A preset's revisions, and what each changed")
    @app_commands.describe(preset="Its name")
    async def history(interaction: discord.Interaction[Any], preset: Range[str, 1, 100]) -> None:
        async def found(seen: Viewer) -> LayoutView:
            return history_view(seen, await presets.history(desk.registry, seen, preset))

        await _answer(desk, interaction, found)

    @group.command(name="delete", description="Delete a preset of yours with all its revisions")
    @app_commands.describe(preset="Its name")
    async def delete(interaction: discord.Interaction[Any], preset: Range[str, 1, 100]) -> None:
        async def asked(seen: Viewer) -> LayoutView:
            return _really(await presets.changeable(desk.registry, seen, preset, Action.DELETE))

        await _answer(desk, interaction, asked)

    @group.command(name="like", description="Like a preset, or no longer")
    @app_commands.describe(preset="Its name")
    async def like(interaction: discord.Interaction[Any], preset: Range[str, 1, 100]) -> None:
        async def done(seen: Viewer) -> LayoutView:
            return await _liked(desk, seen, await presets.whole(desk.registry, seen, preset))

        await _answer(desk, interaction, done)

    create.autocomplete("loras")(suggestions.loras)
    edit.autocomplete("preset")(suggestions.own_presets)
    delete.autocomplete("preset")(suggestions.own_presets)
    fork.autocomplete("preset")(suggestions.one_preset)
    history.autocomplete("preset")(suggestions.one_preset)
    like.autocomplete("preset")(suggestions.one_preset)


# --- Forms ------------------------------------------------------------------------------------


async def _open_edit(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def form(seen: Viewer) -> Filled:
        head = await presets.revision_of(desk.registry, seen, custom_id.subject)
        presets.require(seen, Action.EDIT, head.preset)
        return _edit_form(head)

    await opened(desk, interaction, form)


async def _fork(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Ask for a name, or copy the revision under the name that was given."""
    preset_id, rev = custom_id.subject, int(custom_id.argument)

    async def form(seen: Viewer) -> Filled:
        source = await presets.revision_of(desk.registry, seen, preset_id, rev)
        return Filled(custom_id, {"name": source.preset.name})

    async def copy(seen: Viewer, values: Mapping[str, str]) -> LayoutView:
        name, handle = values["name"], interaction.user.name
        made = await presets.fork_of(desk.registry, seen, preset_id, rev, name, handle=handle)
        return about("Made", made)

    if interaction.type is discord.InteractionType.modal_submit:
        await submitted(desk, interaction, custom_id, copy)
    else:
        await opened(desk, interaction, form)


async def _created(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def make(seen: Viewer, values: Mapping[str, str]) -> LayoutView:
        handle = interaction.user.name
        text = _text(values)
        made = await preset_text.make(desk.registry, seen, values["name"], text, handle=handle)
        return about("Made", made)

    await submitted(desk, interaction, custom_id, make)


async def _edited(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    base = int(custom_id.argument)

    async def revise(seen: Viewer, values: Mapping[str, str]) -> LayoutView:
        text = _text(values)
        made = await preset_text.revise(desk.registry, seen, custom_id.subject, base, text)
        return about("Changed" if made.rev != base else "Nothing to change in", made)

    await submitted(desk, interaction, custom_id, revise)


def new_form(text: PresetText) -> Filled:
    """The form of a preset to be made."""
    return Filled(CustomId(preset_fields.NEW), dataclasses.asdict(text))


def _edit_form(head: Revision) -> Filled:
    """The form remembers on which revision it was opened, so that no change is lost to another."""
    custom_id = CustomId(preset_fields.EDITED, head.preset.id, str(head.rev))
    return Filled(custom_id, dataclasses.asdict(preset_text.text_of(head.body)))


def _text(values: Mapping[str, str]) -> PresetText:
    names = [field.name for field in dataclasses.fields(PresetText)]
    return PresetText(**{name: values[name] for name in names if name in values})


# --- Answers ----------------------------------------------------------------------------------


def about(did: str, revision: Revision) -> LayoutView:
    """What became of a preset; `did` begins the sentence."""
    preset, rev = revision.preset, str(revision.rev)
    return cards.note(
        f"{did} **{safe(preset.reference, 100)}** (revision {rev}).\n"
        f"-# In `/imagine` it is the preset {safe(preset.name, 60)}.",
        ActionRow(
            press("preset_use", "Draw with it", preset.id, rev),
            press("preset_card", "Show", preset.id, rev),
            press(EDIT, "Edit", preset.id, rev),
        ),
    )


def history_view(seen: Viewer, versions: Sequence[Version], said: str | None = None) -> LayoutView:
    """A history, with a menu for who may restore; `said` stands above it."""
    head = versions[0].revision
    preset = head.preset
    lines = [
        *([said] if said else []),
        f"**{safe(preset.reference, 100)}**",
        *map(_line, versions[:MOST_REVISIONS]),
    ]
    if len(versions) > MOST_REVISIONS:
        lines.append(f"-# {len(versions) - MOST_REVISIONS} earlier ones are not shown.")
    rows: list[Item[Any]] = []
    with contextlib.suppress(RegistryError):
        presets.require(seen, Action.EDIT, preset)
        if len(versions) > 1:
            rows.append(ActionRow(_earlier(head, versions[1 : _MENU + 1])))
    return cards.note(whole_lines(lines), *rows)


def _line(version: Version) -> str:
    revision = version.revision
    what = preset_words.changes(version)
    made = f"- **{revision.rev}** · <t:{int(revision.created_at)}:d>"
    return f"{made} · {safe(what, 120)}" if what else made


def _earlier(head: Revision, versions: Sequence[Version]) -> Select[LayoutView]:
    return Select(
        custom_id=str(CustomId(RESTORE, head.preset.id, str(head.rev))),
        placeholder="Restore an earlier revision",
        options=[
            SelectOption(
                label=f"Revision {one.revision.rev}",
                value=str(one.revision.rev),
                description=plain(", ".join(one.changes), 100) or None,
            )
            for one in versions
        ],
    )


def _really(head: Revision) -> LayoutView:
    preset = head.preset
    yes: Button[LayoutView] = Button(
        label="Delete it",
        style=ButtonStyle.danger,
        custom_id=str(CustomId(DELETE, preset.id, str(head.rev))),
    )
    return cards.note(
        f"Delete **{safe(preset.reference, 100)}** with {preset_words.revisions(preset)}, for "
        "good? Pictures that were drawn with it stay, and so do copies that others have made.",
        ActionRow(yes),
    )


async def _liked(desk: Desk, seen: Viewer, preset: Revision) -> LayoutView:
    now = await presets.like(desk.registry, seen, preset)
    return cards.note(preset_words.liking(f"**{safe(preset.preset.reference, 100)}**", now))


# --- Clicks -----------------------------------------------------------------------------------


async def _like(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    rev = int(custom_id.argument) if custom_id.argument.isdecimal() else None

    async def done(seen: Viewer) -> LayoutView:
        preset = await presets.revision_of(desk.registry, seen, custom_id.subject, rev)
        return await _liked(desk, seen, preset)

    await _answer(desk, interaction, done)


async def _delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deleted(seen: Viewer) -> LayoutView:
        head = await presets.revision_of(desk.registry, seen, custom_id.subject)
        if str(head.rev) != custom_id.argument:
            raise Refused(preset_words.NOT_ASKED)
        await presets.delete(desk.registry, seen, head)
        return cards.note(f"**{safe(head.preset.reference, 100)}** is deleted.")

    await _replace(desk, interaction, deleted)


async def _restore(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    data: Mapping[str, Any] = interaction.data or {}
    chosen, base = int(data["values"][0]), int(custom_id.argument)
    preset_id = custom_id.subject

    async def restored(seen: Viewer) -> LayoutView:
        made = await presets.restore_on(desk.registry, seen, preset_id, chosen, base)
        said = f"Revision {chosen} is restored as revision {made.rev}."
        return history_view(seen, await presets.history_of(desk.registry, seen, preset_id), said)

    await _replace(desk, interaction, restored)


# --- Steps ------------------------------------------------------------------------------------


async def _answer(desk: Desk, interaction: Interaction, find: View) -> None:
    """Answer privately with a view, or with why not."""

    async def view() -> LayoutView:
        try:
            return await find(await desk.viewer(interaction))
        except (RegistryError, SettingsError) as error:
            return cards.note(safe(str(error), 1000))

    answer = Answer(interaction, private=True)
    await answer.show(await answer.bounded(asyncio.create_task(view())), private=True)


async def _replace(desk: Desk, interaction: Interaction, find: View) -> None:
    """Let a view take the place of the private message with the click; why not is told beside."""
    await interaction.response.defer()
    try:
        view = await find(await desk.viewer(interaction))
    except (RegistryError, SettingsError) as error:
        await tell(interaction, safe(str(error), 1000))
        return
    await interaction.edit_original_response(view=view)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        EDIT: _open_edit,
        preset_fields.FORK: _fork,
        preset_fields.NEW: _created,
        preset_fields.EDITED: _edited,
        DELETE: _delete,
        RESTORE: _restore,
        LIKE: _like,
        **preset_forms.HANDLERS,
    }
)
