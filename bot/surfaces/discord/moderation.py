"""What moderators do with others' pictures: veil, reveal, delete them, block who asked for them.

Two messages offer it: the card of a report, and the private panel that Report opens for them. Their
custom ids have the job as subject, and as argument which of the two it is and the message that
shows the picture. Rights are checked on every click; every click may be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import aiohttp
import discord
import structlog
from discord import ButtonStyle, TextStyle
from discord.ui import ActionRow, Button, Label, LayoutView, Modal, TextDisplay, TextInput

from backends.base import Verdict
from bot import wording
from bot.commands.jobs import JobErased, NoSuchJob, PictureGone, PictureUnreadable
from bot.commands.moderation import NotAllowed
from bot.jobs.job import Job
from bot.permissions import Requester
from bot.surfaces import summary
from bot.surfaces.base import SurfaceGone
from bot.surfaces.discord import cards, form, places
from bot.surfaces.discord.answers import tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.messages import MessageGone, OutOfReach
from bot.surfaces.discord.pictures import pictures_at_home
from bot.surfaces.discord.surface import CARD_GONE, CARD_OUT_OF_REACH
from bot.surfaces.discord.text import safe

REPORT: Final = "report"
PANEL: Final = "panel"
GONE: Final = "The picture is not there any more."
ERASED: Final = (
    "Who asked for it has erased it. If its message is still there, use Delete below it."
)
NOT_DELETED: Final = "Discord did not delete the message just now. Click again."
NOT_REDRAWN: Final = "That holds from now on, but its message could not be changed. Click again."
_REDRAWS: Final = 3
_SILENT: Final = discord.AllowedMentions.none()
_MODERATED: Final = {
    Verdict.CLEAR: "A moderator has revealed it.",
    Verdict.FLAGGED: "A moderator has veiled it.",
}
_DONE: Final = {Verdict.CLEAR: "Revealed", Verdict.FLAGGED: "Veiled"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a decision was made (`REPORT` or `PANEL`), and the message that shows the picture."""

    where: str
    message: int

    def __str__(self) -> str:
        return f"{self.where}-{self.message}"


def target(argument: str) -> Target | None:
    """Read an argument; None where it is none of ours."""
    where, _, message = argument.partition("-")
    if where not in {REPORT, PANEL} or not (message.isascii() and message.isdecimal()):
        return None
    return Target(where, int(message))


# --- What moderators see ----------------------------------------------------------------------


def decisions(job: Job, aim: Target) -> ActionRow[LayoutView]:
    """The buttons of a decision. Both ways are always there: a click may be repeated."""

    def press(verb: str, label: str, style: ButtonStyle) -> Button[LayoutView]:
        return Button(label=label, style=style, custom_id=str(CustomId(verb, job.id, str(aim))))

    row: ActionRow[LayoutView] = ActionRow(
        press("veil", "Veil", ButtonStyle.secondary),
        press("reveal", "Reveal", ButtonStyle.secondary),
        press("delete", "Delete", ButtonStyle.danger),
        press("block", "Block member", ButtonStyle.danger),
    )
    if aim.where == REPORT:
        row.add_item(press("dismiss", "Dismiss", ButtonStyle.secondary))
    return row


def findings(job: Job) -> str:
    """What the checker and the moderators have said of a job's pictures."""
    if job.moderated is not None:
        return _MODERATED[job.moderated]
    pictures = job.result.pictures if job.result is not None else ()
    return " ".join(dict.fromkeys(summary.CHECKED[one.verdict] for one in pictures))


def panel(job: Job, message: int, said: str = "") -> LayoutView:
    """The private panel about the picture that `message` shows; `said` is what was just done."""
    text = f"**Moderation** of a picture that <@{job.requester}> asked for\n-# {findings(job)}"
    lines = [text, said] if said else [text]
    return cards.layout(*map(TextDisplay, lines), decisions(job, Target(PANEL, message)))


def link(interaction: Interaction, job: Job, message: int) -> str:
    """The address of the message that shows a job."""
    return f"https://discord.com/channels/{interaction.guild_id}/{job.place.channel}/{message}"


# --- What they do -----------------------------------------------------------------------------


async def _veil(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _judge(desk, interaction, custom_id, Verdict.FLAGGED)


async def _reveal(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _judge(desk, interaction, custom_id, Verdict.CLEAR)


async def _judge(
    desk: Desk, interaction: Interaction, custom_id: CustomId, verdict: Verdict
) -> None:
    aim, community = _aimed(interaction, custom_id)
    by, word, remark = places.requester(interaction), _DONE[verdict], ""
    await interaction.response.defer()
    try:
        job = await desk.moderation.judge(by, community, custom_id.subject, verdict)
        desk.ledger.note(community, _line(interaction, job, aim.message, f"{word.lower()} by"))
        job = await _redrawn(desk, by, job, aim.message)
    except NoSuchJob:
        await _settle(interaction, GONE)
        return
    except SurfaceGone as error:
        remark = error.sentence or NOT_REDRAWN
        if remark != CARD_GONE:
            await tell(interaction, remark)
            return
    except (PictureGone, PictureUnreadable) as error:
        gone = isinstance(error, PictureGone)
        await tell(interaction, wording.PICTURE_GONE if gone else wording.PICTURE_UNREADABLE)
        return
    except (discord.DiscordException, aiohttp.ClientError, TimeoutError) as error:
        log.warning("card not redrawn", job=job.id, error=type(error).__name__)
        await tell(interaction, NOT_REDRAWN)
        return
    await _decided(interaction, aim, word, job, remark)


async def _redrawn(desk: Desk, by: Requester, job: Job, message: int) -> Job:
    """Show what the moderators have said last; another one may have spoken in the meantime."""
    for _ in range(_REDRAWS):
        await desk.surface.redraw(job, message, await pictures_at_home(desk, job))
        shown, job = job, await desk.moderation.job(by, job.place.community, job.id)
        if shown.moderated is job.moderated:
            break
    return job


async def delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Delete a picture with its message, from a report or the panel."""
    aim, community = _aimed(interaction, custom_id)
    await interaction.response.defer()
    try:
        job = await desk.moderation.job(places.requester(interaction), community, custom_id.subject)
    except JobErased as error:  # its message may have outlived it
        job = error.job
    except NoSuchJob:
        await _settle(interaction, GONE)
        return
    if job.place.channel is None:
        await _settle(interaction, ERASED)
        return
    trouble = None
    try:
        await desk.messages.delete(int(job.place.channel), aim.message)
    except MessageGone:
        pass
    except OutOfReach:
        trouble = CARD_OUT_OF_REACH
    except (discord.DiscordException, aiohttp.ClientError, TimeoutError) as error:
        log.warning("card not deleted", job=job.id, error=type(error).__name__)
        await tell(interaction, NOT_DELETED)
        return
    if not job.erased:
        await desk.jobs.delete(job.requester, job.id)
        desk.ledger.note(community, _line(interaction, job, aim.message, "deleted by"))
    if trouble is not None:
        await tell(interaction, trouble)
        return
    await _decided(interaction, aim, "Deleted", None)


def note_deletion(desk: Desk, interaction: Interaction, job: Job) -> None:
    """Write into the log that somebody deleted what another one had asked for."""
    if interaction.message is None or job.requester == str(interaction.user.id):
        return
    line = _line(interaction, job, interaction.message.id, "deleted by")
    desk.ledger.note(job.place.community, line)


async def _block(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Ask once more in a form, then block."""
    aim, community = _aimed(interaction, custom_id)
    by = places.requester(interaction)
    try:
        job = await desk.moderation.job(by, community, custom_id.subject)
    except JobErased as error:
        job = error.job
    if interaction.type is not discord.InteractionType.modal_submit:
        await interaction.response.send_modal(_sure(job, str(custom_id)))
        return
    await interaction.response.defer()
    why = safe(form.values(interaction.data or {}).get("why", ""), 300)
    if await desk.moderation.block(by, community, job.requester):
        reason = f": {why}" if why else ""
        who = f"<@{by.id}> ({by.id})"
        line = f"<@{job.requester}> ({job.requester}) was blocked by {who}{reason}"
        desk.ledger.note(community, line)
    await _decided(interaction, aim, "Member blocked", None if job.erased else job)


def _sure(job: Job, custom_id: str) -> Modal:
    modal = Modal(title="Block this member?", custom_id=custom_id)
    modal.add_item(
        TextDisplay(
            f"<@{job.requester}> can draw nothing here any more, until somebody who manages the "
            "server takes them off the list in `/settings`. Their pictures stay."
        )
    )
    why: TextInput[Modal] = TextInput(
        custom_id="why", style=TextStyle.short, required=False, max_length=300
    )
    modal.add_item(Label(text="Why", description="For the log", component=why))
    modal.stop()
    return modal


async def _dismiss(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    aim, _ = _aimed(interaction, custom_id)
    await interaction.response.defer()
    if not await desk.moderates(interaction):
        raise NotAllowed(wording.MODERATORS_ONLY)
    await _decided(interaction, aim, "Dismissed", None)


# --- Afterwards -------------------------------------------------------------------------------


def _aimed(interaction: Interaction, custom_id: CustomId) -> tuple[Target, str]:
    """What a click is about, and the community in which it happened."""
    aim = target(custom_id.argument)
    if aim is None or not places.in_server(interaction):
        raise NotAllowed(wording.MODERATORS_ONLY)
    return aim, places.place(interaction).community


async def _decided(
    interaction: Interaction, aim: Target, word: str, job: Job | None, remark: str = ""
) -> None:
    """Say what was done: on the report for good, on the panel until the next click."""
    if aim.where == REPORT:
        now = int(interaction.created_at.timestamp())
        said = f"**{word}** by <@{interaction.user.id}> <t:{now}:R>"
        await _settle(interaction, f"{said}\n-# {remark}" if remark else said)
    elif job is None:
        await _settle(interaction, f"{word}.")
    else:
        view = panel(job, aim.message, f"{word}. {remark}".rstrip())
        await interaction.edit_original_response(view=view, allowed_mentions=_SILENT)


async def _settle(interaction: Interaction, said: str) -> None:
    """Take buttons and pictures off a message; what it is about stays, and what was done."""
    message = interaction.message
    texts = [
        part.content
        for part in (message.components if message is not None else ())
        if isinstance(part, discord.TextDisplay)
    ]
    view = cards.layout(*map(TextDisplay, [*texts[:1], said]))
    await interaction.edit_original_response(view=view, attachments=[], allowed_mentions=_SILENT)


def _line(interaction: Interaction, job: Job, message: int, what: str) -> str:
    user = interaction.user.id
    where = link(interaction, job, message)
    return f"A picture of <@{job.requester}> was {what} <@{user}>: {where}"


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {"veil": _veil, "reveal": _reveal, "block": _block, "dismiss": _dismiss}
)
