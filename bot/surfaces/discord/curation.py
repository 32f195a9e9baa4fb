"""Sharing presets, reporting them, and deciding about them: clicks, forms and `/preset waiting`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from discord import TextStyle, app_commands
from discord.app_commands import Range
from discord.ui import Label, LayoutView, Modal, TextInput

from bot.commands import curation
from bot.commands.curation import MOST_REASON, Done
from bot.surfaces.discord import cards, places
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.preset_card import ALL, Shown, looked_at, made
from bot.surfaces.discord.preset_inbox import LIST, listed
from bot.surfaces.discord.preset_use import values
from bot.surfaces.discord.suggestions import Suggestions
from bot.surfaces.discord.text import safe
from bot.surfaces.discord.trouble import told
from lora_registry.errors import RegistryError
from lora_registry.models import Viewer
from lora_registry.permissions import PUBLIC, Place

ONLY_SERVERS: Final = "Presets are shared and approved in a server that has installed this app."


# --- Commands ---------------------------------------------------------------------------------


def add_curation(group: app_commands.Group, desk: Desk, suggestions: Suggestions) -> None:
    """Add `waiting` and `rename` to the group of `/preset`."""

    @group.command(
        name="waiting", description="Moderators: presets that wait for approval, and reports"
    )
    async def waiting(interaction: Interaction) -> None:
        await told(interaction, _waiting(desk, interaction), "preset waiting")

    @group.command(
        name="rename", description="Give a preset of yours another name; the old one still works"
    )
    @app_commands.describe(preset="Its name now", name="2 to 39 of a–z, 0–9 and hyphens")
    async def rename(
        interaction: Interaction, preset: Range[str, 1, 100], name: Range[str, 2, 60]
    ) -> None:
        await told(interaction, _rename(desk, interaction, preset, name), "preset rename")

    rename.autocomplete("preset")(suggestions.own_presets)


async def _waiting(desk: Desk, interaction: Interaction) -> None:
    async def found() -> LayoutView:
        viewer = await desk.viewer(interaction)
        return listed(await curation.inbox(desk.registry, viewer, here(interaction)))

    answer = Answer(interaction, private=True)
    await answer.show(await answer.bounded(asyncio.create_task(found())), private=True)


async def _rename(desk: Desk, interaction: Interaction, preset: str, name: str) -> None:
    async def renamed() -> str:
        viewer = await desk.viewer(interaction)
        return (await curation.rename(desk.registry, viewer, preset, name)).said

    answer = Answer(interaction, private=True)
    await answer.tell(safe(await answer.bounded(asyncio.create_task(renamed())), 1000))


# --- Clicks -----------------------------------------------------------------------------------

Deed = Callable[[Viewer, Place], Awaitable[Done]]


async def _done(
    desk: Desk, interaction: Interaction, custom_id: CustomId, place: Place, deed: Deed
) -> None:
    """Do it, note it in the log of the server, and show anew what was clicked on."""
    await interaction.response.defer()
    viewer = await desk.viewer(interaction)
    done = await deed(viewer, place)
    if done.noted is not None and place != PUBLIC:
        hint = " (`/preset waiting`)" if custom_id.verb in {"share", _REPORTED} else ""
        desk.ledger.note(place.id, f"<@{viewer.requester}> {safe(done.noted, 400)}{hint}")
    await (await _anew(desk, interaction, custom_id, viewer, done)).answer(interaction)


async def _anew(
    desk: Desk, interaction: Interaction, custom_id: CustomId, viewer: Viewer, done: Done
) -> Shown:
    if custom_id.verb == "settle" or custom_id.argument.endswith(f",{LIST}"):
        return Shown(listed(await curation.inbox(desk.registry, viewer, here(interaction))))
    try:
        card = await looked_at(desk, interaction, custom_id)
    except RegistryError:
        return Shown(cards.note(safe(done.said, 1000)))  # it is not theirs to see any more
    return await made(desk, interaction, card, done.said)


def here(interaction: Interaction) -> Place:
    """The server's own place.

    Raises:
        RegistryError: there is none.
    """
    if not places.in_server(interaction):
        raise RegistryError(ONLY_SERVERS)
    return Place.community(places.place(interaction).community)


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
        pinned = custom_id.verb == "pin"
        return await curation.pin(desk.registry, viewer, custom_id.subject, place, pinned=pinned)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _settle(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        return await curation.settle(desk.registry, viewer, int(custom_id.subject))

    await _done(desk, interaction, custom_id, here(interaction), deed)


# --- Forms that ask why -----------------------------------------------------------------------

_REJECTED: Final = "rejected"
_HIDDEN: Final = "hidden"
_REPORTED: Final = "preset_reported"


def _why(verb: str, custom_id: CustomId, title: str, about: str, *, required: bool) -> Modal:
    """A form of one field, for a reason."""
    again = CustomId(verb, custom_id.subject, custom_id.argument)
    modal = Modal(title=title, custom_id=str(again))
    reason: TextInput[LayoutView] = TextInput(
        custom_id="reason",
        style=TextStyle.paragraph,
        required=required,
        max_length=MOST_REASON,
    )
    modal.add_item(Label(text="Why", description=about, component=reason))
    modal.stop()  # the library need not keep it
    return modal


def _reason(interaction: Interaction) -> str:
    return values(interaction.data or {})["reason"]


async def _reject(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    form = _why(_REJECTED, custom_id, "Reject", "Its owner reads this.", required=False)
    await interaction.response.send_modal(form)


async def _rejected(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        why = _reason(interaction)
        return await curation.reject(desk.registry, viewer, custom_id.subject, place, why)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _hide(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    form = _why(_HIDDEN, custom_id, "Hide", "Its owner reads this.", required=False)
    await interaction.response.send_modal(form)


async def _hidden(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        why = _reason(interaction)
        return await curation.hide(desk.registry, viewer, custom_id.subject, place, reason=why)

    await _done(desk, interaction, custom_id, here(interaction), deed)


async def _report(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    about = "What is wrong with it? Those who decide read this, and who wrote it."
    form = _why(_REPORTED, custom_id, "Report a preset", about, required=True)
    await interaction.response.send_modal(form)


async def _reported_form(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def deed(viewer: Viewer, place: Place) -> Done:
        why, rev = _reason(interaction), _rev(custom_id)
        return await curation.report(desk.registry, viewer, custom_id.subject, rev, place, why)

    await _done(desk, interaction, custom_id, _place(interaction, custom_id), deed)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "share": _share,
        "withdraw": _withdraw,
        "approve": _approve,
        "reject": _reject,
        _REJECTED: _rejected,
        "hide": _hide,
        _HIDDEN: _hidden,
        "show": _show,
        "pin": _pin,
        "unpin": _pin,
        "preset_report": _report,
        _REPORTED: _reported_form,
        "settle": _settle,
    }
)
