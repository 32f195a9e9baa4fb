"""What moderators do with others' pictures: veil, reveal, delete them, block who asked for them.

Two places offer it: the card of a report, and the window that Report opens for them. Their custom
ids have the job as subject, and as argument which of the two it is, the message that shows the
picture, and who reported it. Rights are checked on every click; every click may be repeated.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import structlog
from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject
from slack_sdk.models.views import View

from backends.base import Verdict
from bot import wording
from bot.commands.jobs import JobErased, NoSuchJob, PictureGone, PictureUnreadable
from bot.commands.moderation import NotAllowed
from bot.jobs.job import Job
from bot.permissions import Requester
from bot.surfaces import summary
from bot.surfaces.base import SurfaceGone
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import forms, receipts
from bot.surfaces.slack.calls import CallFailed
from bot.surfaces.slack.cards import Blocks, rendered, section, small
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.pictures import pictures_of, public
from bot.surfaces.slack.posts import MessageGone
from bot.surfaces.slack.receipts import Message, Where
from bot.surfaces.slack.redrawing import CARD_GONE
from bot.surfaces.slack.text import moment

REPORT: Final = "report"
PANEL: Final = "panel"
GONE: Final = "The picture is not there any more."
ERASED: Final = (
    "Who asked for it has erased it. If its message is still there, use Delete below it."
)
NOT_REDRAWN: Final = "That holds from now on, but its message could not be changed. Click again."
NOT_DELETED: Final = "Slack did not delete the message just now. Click again."
TITLE: Final = "Moderation"
_REDRAWS: Final = 3
_MODERATED: Final = {
    Verdict.CLEAR: "A moderator has revealed it.",
    Verdict.FLAGGED: "A moderator has hidden it.",
}
_DONE: Final = {Verdict.CLEAR: "Shown openly", Verdict.FLAGGED: "Hidden"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a decision was made (`REPORT` or `PANEL`), the `ts` of the message that shows the
    picture, and who reported it.
    """

    where: str
    ts: str
    reporter: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.where, self.ts, self.reporter)))


def target(argument: str) -> Target | None:
    """Read an argument; None where it is none of ours."""
    where, _, rest = argument.partition("-")
    ts, _, reporter = rest.partition("-")
    if where not in {REPORT, PANEL} or not ts.replace(".", "", 1).isdecimal():
        return None
    return Target(where, ts, reporter)


# --- What moderators see ----------------------------------------------------------------------


def decisions(job: Job, aim: Target) -> ActionsBlock:
    """The buttons of a decision. Both ways are always there: a click may be repeated."""

    def press(verb: str, label: str, **how: Any) -> ButtonElement:
        return ButtonElement(text=label, action_id=str(CustomId(verb, job.id, str(aim))), **how)

    sure = ConfirmObject(
        title="Block this member?",
        text="They can draw nothing here any more, until somebody who manages the workspace takes "
        "them off the list in /atelier settings. Their pictures stay.",
        confirm="Block",
        deny="Cancel",
        style="danger",
    )
    buttons = [
        press("veil", "Hide"),
        press("reveal", "Show openly"),
        press("delete", "Delete", style="danger"),
        press("block", "Block member", style="danger", confirm=sure),
    ]
    if aim.where == REPORT:
        buttons.append(press("dismiss", "Dismiss"))
    return ActionsBlock(elements=buttons)


def findings(job: Job) -> str:
    """What the checker and the moderators have said of a job's pictures."""
    if job.moderated is not None:
        return _MODERATED[job.moderated]
    pictures = job.result.pictures if job.result is not None else ()
    return " ".join(dict.fromkeys(summary.CHECKED[one.verdict] for one in pictures))


def panel(interaction: Interaction, job: Job, ts: str, said: str = "") -> View:
    """The window about the picture that message `ts` shows; `said` is what was just done."""
    text = f"A picture that <@{job.requester}> asked for"
    blocks: list[Block] = [section(text), small([findings(job)])]
    blocks += [section(said)] if said else []
    return _window(interaction, [*blocks, decisions(job, Target(PANEL, ts))])


def _window(interaction: Interaction, blocks: list[Block]) -> View:
    """What is said to a moderator beside it belongs to the channel in which it was opened."""
    where = json.dumps(forms.kept(interaction))
    return View(type="modal", title=TITLE, close="Close", private_metadata=where, blocks=blocks)


# --- What they do -----------------------------------------------------------------------------


async def _veil(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _judge(desk, interaction, custom_id, Verdict.FLAGGED)


async def _reveal(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _judge(desk, interaction, custom_id, Verdict.CLEAR)


async def _judge(
    desk: Desk, interaction: Interaction, custom_id: CustomId, verdict: Verdict
) -> None:
    aim = _aimed(custom_id)
    await interaction.ack()
    by, word = await desk.requester(interaction), _DONE[verdict]
    try:
        job = await desk.moderation.judge(by, interaction.team, custom_id.subject, verdict)
        job, aim, trouble = await _redrawn(desk, by, job, aim)
    except NoSuchJob:
        await _settle(desk, interaction, aim, custom_id.subject, GONE)
        return
    await note(desk, interaction, job, f"{word.lower()} by", aim.ts)
    if trouble in {"", CARD_GONE}:
        await _decided(desk, interaction, aim, job.id, word, job, trouble)
    elif aim.where == PANEL:
        await _show(interaction, f"⚠️ {trouble}", panel(interaction, job, aim.ts, f"⚠️ {trouble}"))
    else:
        await interaction.tell(trouble)


async def _redrawn(desk: Desk, by: Requester, job: Job, aim: Target) -> tuple[Job, Target, str]:
    """Show what the moderators have said last; another one may have spoken in the meantime.

    Returns the job, the message that shows it now, and why it is not shown as it should be.

    Raises:
        NoSuchJob: it was erased meanwhile.
    """
    try:
        for _ in range(_REDRAWS):
            pictures = await pictures_of(desk, job, public(job))
            aim = replace(aim, ts=await desk.surface.redraw(job, aim.ts, pictures))
            shown, job = job, await desk.moderation.job(by, job.place.community, job.id)
            if shown.moderated is job.moderated:
                break
    except SurfaceGone as error:
        return job, aim, error.sentence or NOT_REDRAWN
    except PictureGone:
        return job, aim, wording.PICTURE_GONE
    except PictureUnreadable:
        return job, aim, wording.PICTURE_UNREADABLE
    except (CallFailed, TimeoutError) as error:
        log.warning("result not redrawn", job=job.id, error=str(error) or type(error).__name__)
        return job, aim, NOT_REDRAWN
    return job, aim, ""


async def delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Delete a picture with its message, from a report or the window."""
    aim = _aimed(custom_id)
    await interaction.ack()
    by = await desk.requester(interaction)
    try:
        job = await desk.moderation.job(by, interaction.team, custom_id.subject)
    except JobErased as error:  # its message may have outlived it
        job = error.job
    except NoSuchJob:
        await _settle(desk, interaction, aim, custom_id.subject, GONE)
        return
    if job.place.channel is None:
        await _settle(desk, interaction, aim, job.id, ERASED)
        return
    if not await desk.surface.remove(job.id, seen_where(job), aim.ts):
        await interaction.tell(NOT_DELETED)
        return
    if not job.erased:
        await desk.jobs.delete(job.requester, job.id)
        await note(desk, interaction, job, "deleted by")
    await _decided(desk, interaction, aim, job.id, "Deleted")


async def _block(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    aim = _aimed(custom_id)
    await interaction.ack()
    by = await desk.requester(interaction)
    try:
        job = await desk.moderation.job(by, interaction.team, custom_id.subject)
    except JobErased as error:
        job = error.job
    if await desk.moderation.block(by, interaction.team, job.requester):
        whom, who = await desk.people.named(job.requester), await desk.people.named(by.id)
        desk.ledger.note(interaction.team, f"{whom} was blocked by {who}")
    await _decided(desk, interaction, aim, job.id, "Member blocked", None if job.erased else job)


async def _dismiss(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    aim = _aimed(custom_id)
    await interaction.ack()
    if not await desk.moderates(interaction):
        raise NotAllowed(wording.MODERATORS_ONLY)
    await _decided(desk, interaction, aim, custom_id.subject, "Dismissed")


# --- Afterwards -------------------------------------------------------------------------------


def _aimed(custom_id: CustomId) -> Target:
    """What a click is about."""
    aim = target(custom_id.argument)
    if aim is None:
        raise NotAllowed(wording.MODERATORS_ONLY)
    return aim


async def _decided(
    desk: Desk,
    interaction: Interaction,
    aim: Target,
    job_id: str,
    word: str,
    job: Job | None = None,
    remark: str = "",
) -> None:
    """Say what was done: on the report for good, in the window until the next click. Without a
    `job` there is nothing more to decide.
    """
    if aim.where == REPORT:
        who = await desk.people.named(interaction.user)
        said = f"*{word}* by {who} {moment(time.time())}"
        await _settle(desk, interaction, aim, job_id, f"{said}\n{remark}" if remark else said)
    elif job is None:
        await _settle(desk, interaction, aim, job_id, f"{word}.")
    else:
        said = f"{word}. {remark}".rstrip()
        await _show(interaction, said, panel(interaction, job, aim.ts, said))


async def _show(interaction: Interaction, said: str, view: View) -> None:
    """Change the window with the click; if it has been closed meanwhile, say the same in words."""
    try:
        await interaction.change(str(interaction.view.get("id") or ""), view)
    except CallFailed:
        await interaction.tell(said)


async def _settle(
    desk: Desk, interaction: Interaction, aim: Target, job_id: str, said: str
) -> None:
    """Take buttons and pictures off a report; what it is about stays, and what was done."""
    if aim.where == PANEL:
        await _show(interaction, said, _window(interaction, [section(said)]))
        return
    shown = interaction.message
    about = [_text(block) for block in shown.get("blocks") or () if block.get("type") == "section"]
    where = Where(channel=interaction.channel, user=interaction.user)
    blocks: Blocks = rendered([section(text) for text in (*about[:1], said) if text])
    try:
        await desk.surface.posts.update(Message(where=where, ts=str(shown["ts"])), said, blocks)
        await desk.surface.withdraw(f"{job_id}-{REPORT}-{aim.reporter}")
    except (MessageGone, CallFailed) as error:
        log.info("report not settled", error=type(error).__name__)


def _text(block: Mapping[str, Any]) -> str:
    return str((block.get("text") or {}).get("text") or "")


async def note(
    desk: Desk, interaction: Interaction, job: Job, what: str, ts: str | None = None
) -> None:
    """Write into the log what somebody did with what another one had asked for."""
    whom, who = await desk.people.named(job.requester), await desk.people.named(interaction.user)
    link = None if ts is None else desk.surface.posts.link(seen_where(job), ts)
    what = f"A picture of {whom} was {what} {who}"
    desk.ledger.note(interaction.team, f"{what}: {link}" if link else f"{what}.")


def seen_where(job: Job) -> Where:
    """The channel or thread in which everybody sees a job."""
    where = None if job.receipt is None else receipts.read(job.receipt).where
    if where is not None and where.channel == job.place.channel:
        return where
    return Where(channel=job.place.channel or "", user=job.requester)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {"veil": _veil, "reveal": _reveal, "block": _block, "dismiss": _dismiss}
)
