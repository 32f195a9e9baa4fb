"""Sharing presets, reporting them, and deciding about them: clicks, forms and `/preset waiting`."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
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
from bot.surfaces.discord.preset_card import Shown, looked_at, made
from bot.surfaces.discord.preset_inbox import LIST, listed
from bot.surfaces.discord.preset_use import values
from bot.surfaces.discord.suggestions import Suggestions
from bot.surfaces.discord.text import safe
from bot.surfaces.discord.trouble import told
from bot.surfaces.preset_words import ALL
from lora_registry.curating import Act
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


async def _act(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Do it, note it in the log of the server, and show anew what was clicked on."""
    await interaction.response.defer()
    act, viewer = _ACTS[custom_id.verb], await desk.viewer(interaction)
    place = PUBLIC if custom_id.argument.endswith(f",{ALL}") else here(interaction)
    rev = int(custom_id.argument.partition(",")[0])
    reason = values(interaction.data or {})["reason"] if act in _REASONED else ""
    done = await curation.act(desk.registry, viewer, act, custom_id.subject, rev, place, reason)
    if done.noted is not None and place != PUBLIC:
        hint = " (`/preset waiting`)" if act in {Act.SHARE, Act.REPORT} else ""
        desk.ledger.note(place.id, f"<@{viewer.requester}> {safe(done.noted, 400)}{hint}")
    await (await _anew(desk, interaction, custom_id, viewer, done)).answer(interaction)


async def _settle(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await interaction.response.defer()
    viewer, place = await desk.viewer(interaction), here(interaction)
    done = await curation.settle(desk.registry, viewer, int(custom_id.subject))
    if done.noted is not None:
        desk.ledger.note(place.id, f"<@{viewer.requester}> {safe(done.noted, 400)}")
    shown = Shown(listed(await curation.inbox(desk.registry, viewer, place)))
    await shown.answer(interaction)


async def _anew(
    desk: Desk, interaction: Interaction, custom_id: CustomId, viewer: Viewer, done: Done
) -> Shown:
    if custom_id.argument.endswith(f",{LIST}"):
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


# --- Forms that ask why -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reason:
    """A form that asks for a reason; `verb` is what it does."""

    verb: str
    title: str
    about: str = "Its owner reads this."
    required: bool = False


async def _ask_why(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    why = _REASONS[custom_id.verb]
    again = CustomId(why.verb, custom_id.subject, custom_id.argument)
    modal = Modal(title=why.title, custom_id=str(again))
    reason: TextInput[LayoutView] = TextInput(
        custom_id="reason",
        style=TextStyle.paragraph,
        required=why.required,
        max_length=MOST_REASON,
    )
    modal.add_item(Label(text="Why", description=why.about, component=reason))
    modal.stop()  # the library need not keep it
    await interaction.response.send_modal(modal)


_REASONS: Final[Mapping[str, _Reason]] = MappingProxyType(
    {
        "reject": _Reason("rejected", "Reject"),
        "hide": _Reason("hidden", "Hide"),
        "preset_report": _Reason(
            "preset_reported",
            "Report a preset",
            "What is wrong with it? Those who decide read this, and who wrote it.",
            required=True,
        ),
    }
)

_REASONED: Final = frozenset({Act.REJECT, Act.HIDE, Act.REPORT})
"""What comes from a form with a reason."""

_ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "share": Act.SHARE,
        "withdraw": Act.WITHDRAW,
        "approve": Act.APPROVE,
        "rejected": Act.REJECT,
        "hidden": Act.HIDE,
        "show": Act.SHOW,
        "pin": Act.PIN,
        "unpin": Act.UNPIN,
        "preset_reported": Act.REPORT,
    }
)

HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        **dict.fromkeys(_ACTS, _act),
        **dict.fromkeys(_REASONS, _ask_why),
        "settle": _settle,
    }
)
