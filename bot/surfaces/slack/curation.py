"""Sharing presets, reporting them, and deciding about them: clicks, forms and `/preset waiting`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import InputBlock, PlainTextInputElement

from bot.commands import curation
from bot.commands.curation import MOST_REASON, Done
from bot.surfaces.ids import CustomId
from bot.surfaces.preset_words import ALL
from bot.surfaces.slack import forms, preset_forms
from bot.surfaces.slack.answers import Shown, answered, shown
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.preset_card import here, looked_at, made
from bot.surfaces.slack.preset_inbox import LIST, listed
from bot.surfaces.slack.text import safe
from lora_registry.curating import Act
from lora_registry.errors import RegistryError
from lora_registry.models import Viewer
from lora_registry.permissions import PUBLIC, Place


async def waiting(desk: Desk, interaction: Interaction, _: str) -> None:
    """Show what waits for a decision in this workspace.

    Raises:
        Refused: they do not decide here.
    """

    async def found(viewer: Viewer) -> Shown:
        return listed(await curation.inbox(desk.registry, viewer, here(interaction)))

    await answered(desk, interaction, found)


# --- Clicks -----------------------------------------------------------------------------------


async def _act(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Do it, note it in the log of the workspace, and show anew what was clicked on.

    After a form that is a new message.
    """
    act, preset_id = _ACTS[custom_id.verb], custom_id.subject
    rev = int(custom_id.argument.partition(",")[0])
    everybody = custom_id.argument.endswith(f",{ALL}")
    reason = interaction.fields.get("reason", "")

    async def done(viewer: Viewer) -> Shown:
        place = PUBLIC if everybody else here(interaction)
        did = await curation.act(desk.registry, viewer, act, preset_id, rev, place, reason)
        hint = " (`/preset waiting`)" if act in {Act.SHARE, Act.REPORT} else ""
        note(desk, interaction, place, did, hint)
        if custom_id.argument.endswith(f",{LIST}"):
            return await _list(desk, interaction, viewer, did)
        try:
            card = await looked_at(desk, interaction, custom_id)
        except RegistryError:
            return shown(safe(did.said, 1000))  # it is not theirs to see any more
        return await made(desk, interaction, card, did.said)

    await answered(desk, interaction, done, replace=not interaction.view)


async def _settle(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def done(viewer: Viewer) -> Shown:
        did = await curation.settle(desk.registry, viewer, int(custom_id.subject))
        note(desk, interaction, here(interaction), did)
        return await _list(desk, interaction, viewer, did)

    await answered(desk, interaction, done, replace=True)


async def _list(desk: Desk, interaction: Interaction, viewer: Viewer, did: Done) -> Shown:
    return listed(await curation.inbox(desk.registry, viewer, here(interaction)), did.said)


def note(desk: Desk, interaction: Interaction, place: Place, did: Done, hint: str = "") -> None:
    """Write what was done into the log of the workspace; who it was stands there in words."""
    if did.noted is not None and place != PUBLIC:
        who = safe(interaction.user_name or interaction.user, 60)
        desk.ledger.note(place.id, f"{who} {safe(did.noted, 400)}{hint}")


async def _ask_why(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Open a form of one field, for a reason."""
    why = _REASONS[custom_id.verb]
    reason = PlainTextInputElement(action_id="reason", multiline=True, max_length=MOST_REASON)
    field = InputBlock(
        block_id="reason", label="Why", hint=why.about, element=reason, optional=not why.required
    )
    again = CustomId(why.verb, custom_id.subject, custom_id.argument)
    kept = forms.kept(interaction)
    view = preset_forms.modal(f"{why.submit} a preset", again, kept, [field], why.submit)
    await preset_forms.show(interaction, view)


@dataclass(frozen=True, slots=True)
class _Reason:
    """A form that asks for a reason; `verb` is what it does."""

    verb: str
    submit: str
    about: str = "Its owner reads this."
    required: bool = False


_REASONS: Final[Mapping[str, _Reason]] = MappingProxyType(
    {
        "preset_reject": _Reason("preset_rejected", "Reject"),
        "preset_hide": _Reason("preset_hidden", "Hide"),
        "preset_report": _Reason(
            "preset_reported",
            "Report",
            "What is wrong with it? Those who decide read this, and who wrote it.",
            required=True,
        ),
    }
)

_ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "preset_share": Act.SHARE,
        "preset_withdraw": Act.WITHDRAW,
        "preset_approve": Act.APPROVE,
        "preset_rejected": Act.REJECT,
        "preset_hidden": Act.HIDE,
        "preset_show": Act.SHOW,
        "preset_pin": Act.PIN,
        "preset_unpin": Act.UNPIN,
        "preset_reported": Act.REPORT,
    }
)

HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        **dict.fromkeys(_ACTS, _act),
        **dict.fromkeys(_REASONS, _ask_why),
        "preset_settle": _settle,
    }
)
