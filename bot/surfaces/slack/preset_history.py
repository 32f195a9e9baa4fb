"""`/preset history`, `delete` and `like`, and their buttons."""

import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    Option,
    StaticSelectElement,
)

from bot.commands import presets
from bot.commands.presets import Version
from bot.surfaces import preset_words
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, forms
from bot.surfaces.slack.answers import Shown, answered, shown
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import bold, moment, safe
from bot.surfaces.text import plain, whole_lines
from lora_registry.errors import Refused, RegistryError
from lora_registry.models import Viewer
from lora_registry.permissions import Action
from lora_registry.revisions import Revision

DELETE: Final = "preset_delete"
RESTORE: Final = "preset_restore"
LIKE: Final = "like"

MOST_REVISIONS: Final = 15
"""Revisions in a history; the menu below it has more."""
_MENU: Final = 100


# --- Commands ---------------------------------------------------------------------------------


async def history(desk: Desk, interaction: Interaction, name: str) -> None:
    """Show what each revision has changed."""

    async def found(seen: Viewer) -> Shown:
        return history_view(seen, await presets.history(desk.registry, seen, name))

    await answered(desk, interaction, found)


async def delete(desk: Desk, interaction: Interaction, name: str) -> None:
    """Ask whether one's own preset is to be deleted."""

    async def asked(seen: Viewer) -> Shown:
        return _really(await presets.changeable(desk.registry, seen, name, Action.DELETE))

    await answered(desk, interaction, asked)


async def like(desk: Desk, interaction: Interaction, name: str) -> None:
    """Like a preset, or no longer."""

    async def done(seen: Viewer) -> Shown:
        return await _liked(desk, seen, await presets.whole(desk.registry, seen, name))

    await answered(desk, interaction, done)


# --- Answers ----------------------------------------------------------------------------------


def history_view(seen: Viewer, versions: Sequence[Version], said: str | None = None) -> Shown:
    """A history, with a menu for who may restore; `said` stands above it."""
    head = versions[0].revision
    preset = head.preset
    lines = [
        *([said] if said else []),
        f"{bold(preset.reference, 100)}",
        *map(_line, versions[:MOST_REVISIONS]),
    ]
    blocks: list[Block] = []
    if len(versions) > MOST_REVISIONS:
        blocks.append(
            cards.small([f"{len(versions) - MOST_REVISIONS} earlier ones are not shown."])
        )
    with contextlib.suppress(RegistryError):
        presets.require(seen, Action.EDIT, preset)
        if len(versions) > 1:
            blocks.append(ActionsBlock(elements=[_earlier(head, versions[1 : _MENU + 1])]))
    return shown(whole_lines(lines, 2900), *blocks)


def _line(version: Version) -> str:
    revision = version.revision
    what = safe(preset_words.changes(version), 120)
    made = f"• *{revision.rev}* · {moment(revision.created_at)}"
    return f"{made} · {what}" if what else made


def _earlier(head: Revision, versions: Sequence[Version]) -> StaticSelectElement:
    return StaticSelectElement(
        action_id=str(CustomId(RESTORE, head.preset.id, str(head.rev))),
        placeholder="Restore an earlier revision",
        options=[
            Option(
                text=f"Revision {one.revision.rev}",
                value=str(one.revision.rev),
                description=plain(", ".join(one.changes), forms.LABEL) or None,
            )
            for one in versions
        ],
    )


def _really(head: Revision) -> Shown:
    """A button that asks once more."""
    preset = head.preset
    button = ButtonElement(
        text="Delete it",
        style="danger",
        action_id=str(CustomId(DELETE, preset.id, str(head.rev))),
        confirm=ConfirmObject(
            title=f"Delete {plain(preset.name, 60)}?",
            text=f"It goes with {preset_words.revisions(preset)}, for good.",
            confirm="Delete it",
            deny="Keep it",
            style="danger",
        ),
    )
    return shown(
        f"Delete {bold(preset.reference, 100)} with {preset_words.revisions(preset)}, for good? "
        "Pictures that were drawn with it stay, and so do copies that others have made.",
        ActionsBlock(elements=[button]),
    )


async def _liked(desk: Desk, seen: Viewer, preset: Revision) -> Shown:
    now = await presets.like(desk.registry, seen, preset)
    return shown(preset_words.liking(f"{bold(preset.preset.reference, 100)}", now))


# --- Clicks -----------------------------------------------------------------------------------


async def _like(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    rev = int(custom_id.argument) if custom_id.argument.isdecimal() else None

    async def done(seen: Viewer) -> Shown:
        preset = await presets.revision_of(desk.registry, seen, custom_id.subject, rev)
        return await _liked(desk, seen, preset)

    await answered(desk, interaction, done)


async def _delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deleted(seen: Viewer) -> Shown:
        head = await presets.revision_of(desk.registry, seen, custom_id.subject)
        if str(head.rev) != custom_id.argument:
            raise Refused(preset_words.NOT_ASKED)
        await presets.delete(desk.registry, seen, head)
        return shown(f"{bold(head.preset.reference, 100)} is deleted.")

    await answered(desk, interaction, deleted, replace=True)


async def _restore(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    chosen, base = int(interaction.chosen), int(custom_id.argument)
    preset_id = custom_id.subject

    async def restored(seen: Viewer) -> Shown:
        made = await presets.restore_on(desk.registry, seen, preset_id, chosen, base)
        said = f"Revision {chosen} is restored as revision {made.rev}."
        return history_view(seen, await presets.history_of(desk.registry, seen, preset_id), said)

    await answered(desk, interaction, restored, replace=True)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {DELETE: _delete, RESTORE: _restore, LIKE: _like}
)
