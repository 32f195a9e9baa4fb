"""Sharing presets, reporting them, and deciding about them: clicks, forms and `/preset waiting`."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import InputBlock, PlainTextInputElement

from bot.commands import curation
from bot.commands.curation import MOST_REASON, Done
from bot.surfaces.ids import CustomId
from bot.surfaces.preset_words import ALL
from bot.surfaces.slack import forms, preset_forms
from bot.surfaces.slack.answers import Shown, shown
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.preset_card import here, looked_at, made
from bot.surfaces.slack.preset_changes import answered
from bot.surfaces.slack.preset_inbox import LIST, listed
from bot.surfaces.slack.text import safe
from lora_registry.errors import RegistryError
from lora_registry.models import Viewer
from lora_registry.permissions import PUBLIC, Place

REJECTED: Final = "preset_rejected"
HIDDEN: Final = "preset_hidden"
REPORTED: Final = "preset_reported"
_FOR_CURATORS: Final = frozenset({"preset_share", REPORTED})
"""What somebody is to decide about."""

Deed = Callable[[Viewer, Place], Awaitable[Done]]


async def waiting(desk: Desk, interaction: Interaction, _: str) -> None:
    """Show what waits for a decision in this workspace.

    Raises:
        Refused: they do not decide here.
    """

    async def found(viewer: Viewer) -> Shown:
        return listed(await curation.inbox(desk.registry, viewer, here(interaction)))

    await answered(desk, interaction, found)


# --- Clicks -----------------------------------------------------------------------------------


async def _done(
    desk: Desk, interaction: Interaction, custom_id: CustomId, place: Place, deed: Deed
) -> None:
    """Do it, note it in the log of the workspace, and show anew what was clicked on.

    After a form that is a new message.
    """

    async def work(viewer: Viewer) -> Shown:
        done = await deed(viewer, place)
        note(desk, interaction, place, done, custom_id.verb)
        return await _anew(desk, interaction, custom_id, viewer, done)

    await answered(desk, interaction, work, replace=not interaction.view)


def note(desk: Desk, interaction: Interaction, place: Place, done: Done, verb: str = "") -> None:
    """Write what was done into the log of the workspace; who it was stands there in words."""
    if done.noted is not None and place != PUBLIC:
        hint = " (`/preset waiting`)" if verb in _FOR_CURATORS else ""
        who = safe(interaction.user_name or interaction.user, 60)
        desk.ledger.note(place.id, f"{who} {safe(done.noted, 400)}{hint}")


async def _anew(
    desk: Desk, interaction: Interaction, custom_id: CustomId, viewer: Viewer, done: Done
) -> Shown:
    if custom_id.verb == "preset_settle" or custom_id.argument.endswith(f",{LIST}"):
        inbox = await curation.inbox(desk.registry, viewer, here(interaction))
        return listed(inbox, done.said)
    try:
        card = await looked_at(desk, interaction, custom_id)
    except RegistryError:
        return shown(safe(done.said, 1000))  # it is not theirs to see any more
    return await made(desk, interaction, card, done.said)


def _place(interaction: Interaction, custom_id: CustomId) -> Place:
    """The place that a button names."""
    return PUBLIC if custom_id.argument.endswith(f",{ALL}") else here(interaction)


def _rev(custom_id: CustomId) -> int:
    return int(custom_id.argument.partition(",")[0])


async def _share(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        rev = _rev(custom_id)
        return await curation.share(desk.registry, viewer, custom_id.subject, rev, place)

    await _done(desk, interaction, custom_id, _place(interaction, custom_id), deed)


async def _withdraw(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        return await curation.withdraw(desk.registry, viewer, custom_id.subject, place)

    await _done(desk, interaction, custom_id, _place(interaction, custom_id), deed)


async def _approve(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        rev = _rev(custom_id)
        return await curation.approve(desk.registry, viewer, custom_id.subject, rev, place)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _show(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        subject = custom_id.subject
        return await curation.hide(desk.registry, viewer, subject, place, hidden=False)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _pin(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        pinned = custom_id.verb == "preset_pin"
        return await curation.pin(desk.registry, viewer, custom_id.subject, place, pinned=pinned)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _settle(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        return await curation.settle(desk.registry, viewer, int(custom_id.subject))

    await _done(desk, interaction, custom_id, here(interaction), deed)


# --- Forms that ask why -----------------------------------------------------------------------

_OWNER: Final = "Its owner reads this."


async def _why(
    interaction: Interaction, verb: str, custom_id: CustomId, title: str, about: str, submit: str
) -> None:
    """Open a form of one field, for a reason; only a report needs one."""
    again = CustomId(verb, custom_id.subject, custom_id.argument)
    reason = PlainTextInputElement(action_id="reason", multiline=True, max_length=MOST_REASON)
    field = InputBlock(
        block_id="reason", label="Why", hint=about, element=reason, optional=verb != REPORTED
    )
    view = preset_forms.modal(title, again, forms.kept(interaction), [field], submit)
    await preset_forms.show(interaction, view)


async def _reject(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _why(interaction, REJECTED, custom_id, "Reject a preset", _OWNER, "Reject")


async def _rejected(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        why = interaction.fields.get("reason", "")
        return await curation.reject(desk.registry, viewer, custom_id.subject, place, why)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _hide(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _why(interaction, HIDDEN, custom_id, "Hide a preset", _OWNER, "Hide")


async def _hidden(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        why = interaction.fields.get("reason", "")
        return await curation.hide(desk.registry, viewer, custom_id.subject, place, reason=why)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _report(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    about = "What is wrong with it? Those who decide read this, and who wrote it."
    await _why(interaction, REPORTED, custom_id, "Report a preset", about, "Report")


async def _reported(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        why, rev = interaction.fields.get("reason", ""), _rev(custom_id)
        return await curation.report(desk.registry, viewer, custom_id.subject, rev, place, why)

    await _done(desk, interaction, custom_id, _place(interaction, custom_id), deed)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "preset_share": _share,
        "preset_withdraw": _withdraw,
        "preset_approve": _approve,
        "preset_reject": _reject,
        REJECTED: _rejected,
        "preset_hide": _hide,
        HIDDEN: _hidden,
        "preset_show": _show,
        "preset_pin": _pin,
        "preset_unpin": _pin,
        "preset_report": _report,
        REPORTED: _reported,
        "preset_settle": _settle,
    }
)
