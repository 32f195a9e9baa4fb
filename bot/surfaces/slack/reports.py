"""Report: a member tells the moderators about a picture; a moderator gets their window instead."""

import json
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
from slack_sdk.models.blocks import (
    Block,
    InputBlock,
    Option,
    PlainTextInputElement,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot import wording
from bot.commands.moderation import NotAllowed
from bot.jobs.job import Job
from bot.surfaces.base import SurfaceGone
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, forms, pages
from bot.surfaces.slack.calls import CallFailed, Closed
from bot.surfaces.slack.desk import Desk, Handler, place_of
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.moderation import (
    REPORT,
    Target,
    decisions,
    findings,
    note,
    panel,
    seen_where,
)
from bot.surfaces.slack.pictures import pictures_of
from bot.surfaces.slack.receipts import Where
from bot.surfaces.slack.text import moment, safe

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sexual": "Sexual, or shocking",
        "hate": "Hate or harassment",
        "person": "A real person",
        "illegal": "Illegal",
        "other": "Something else",
    }
)
MOST_REASON: Final = 500
THANKS: Final = "Thank you. The moderators have your report."
NO_CHANNEL: Final = (
    "Nobody here has named a channel for reports, so the moderators would not hear of it. Please "
    "tell somebody who manages this workspace; they name one in `/atelier settings`."
)
CHANNEL_CLOSED: Final = (
    "The channel for reports cannot be reached, so this one went nowhere. Please tell somebody who "
    "manages this workspace: I need to be invited to that channel."
)
NOT_SHOWN: Final = "The picture is not shown here: it may not be, or cannot."
NOT_SENT: Final = "Your report could not be sent just now. Please try again in a minute."
TOLD: Final = "A picture was reported."
_KIND: Final = "kind"
_REASON: Final = "reason"

log = structlog.get_logger()


async def _report(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Take a report about the picture of the message with the click.

    Raises:
        NoSuchJob, NotAllowed: as in `bot.commands`.
    """
    ts = str(interaction.message.get("ts") or "")
    if not ts:
        raise NotAllowed(wording.NOTHING_TO_REPORT)
    job = await _job(desk, interaction, custom_id.subject)
    if job.result is not None and await desk.moderates(interaction):
        await pages.window(interaction, panel(interaction, job, ts))
        return
    await desk.moderation.may_report(interaction.user, job)
    if not await desk.moderation.report_channels(interaction.team):
        await interaction.tell(NO_CHANNEL)
        return
    await pages.window(interaction, _form(interaction, job, ts))


async def _job(desk: Desk, interaction: Interaction, job_id: str) -> Job:
    """The job of a message; in a conversation with the bot nobody else sees any."""
    if interaction.channel.startswith("D"):
        raise NotAllowed(wording.NOBODY_ELSE_SEES_IT)
    return await desk.moderation.visible(place_of(interaction), job_id)


def _form(interaction: Interaction, job: Job, ts: str) -> View:
    kind = StaticSelectElement(
        action_id=_KIND,
        options=[Option(text=label, value=value) for value, label in KINDS.items()],
    )
    reason = PlainTextInputElement(action_id=_REASON, multiline=True, max_length=MOST_REASON)
    return View(
        type="modal",
        callback_id=str(CustomId("reported", job.id, ts)),
        private_metadata=json.dumps(forms.kept(interaction)),
        title="Report this picture",
        submit="Report",
        close="Cancel",
        blocks=[
            InputBlock(block_id=_KIND, label="What is it?", element=kind, optional=True),
            InputBlock(
                block_id=_REASON,
                label="What is wrong with it?",
                hint="The moderators of this workspace read it, with your name.",
                element=reason,
            ),
        ],
    )


# --- Sending it -------------------------------------------------------------------------------


async def _reported(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Bring a report to the moderators; what is wrong with it is said in the form.

    Raises:
        NoSuchJob, NotAllowed: as in `bot.commands`.
    """
    job = await _job(desk, interaction, custom_id.subject)
    await desk.moderation.may_report(interaction.user, job)
    channels = await desk.moderation.report_channels(interaction.team)
    if not channels:
        await interaction.tell(NO_CHANNEL)
        return
    await interaction.ack()
    try:
        await interaction.tell(await _sent(desk, interaction, job, custom_id.argument, channels))
    except (CallFailed, SurfaceGone, TimeoutError) as error:
        log.warning("report not sent", job=job.id, error=type(error).__name__)
        await interaction.tell(NOT_SENT)


async def _sent(
    desk: Desk, interaction: Interaction, job: Job, ts: str, channels: Sequence[str]
) -> str:
    """Post a report where it is taken; what to tell who made it."""
    reporter = interaction.user
    words = await _words(desk, interaction, job, ts)
    aim = Target(REPORT, ts, reporter)

    def card(pieces: Sequence[cards.Piece]) -> tuple[str, cards.Blocks]:
        return TOLD, _card(job, aim, words, pieces)

    pictures = await pictures_of(desk, job, job.place, hidden=True)
    for channel in channels:
        where = Where(channel=channel, user=reporter)
        try:
            await desk.surface.deliver(job, where, pictures, f"{REPORT}-{reporter}", card)
        except Closed:
            continue
        # Noted last: a crash in between only lets the same report be made again, which is then
        # known to be there.
        await desk.moderation.reported(reporter, job)
        await note(desk, interaction, job, "reported by", ts)
        return THANKS
    return CHANNEL_CLOSED


async def _words(desk: Desk, interaction: Interaction, job: Job, ts: str) -> tuple[str, str, str]:
    """Who reports what and why, the reason, and the prompt."""
    fields = interaction.fields
    kind = KINDS.get(fields.get(_KIND, ""))
    who, whom = await desk.people.named(interaction.user), await desk.people.named(job.requester)
    link = desk.surface.posts.link(seen_where(job), ts)
    what = f"<{link}|a picture>" if link else "a picture"
    head = (
        f"{f'*Report* · {kind}' if kind else '*Report*'}\n{who} reports {what} that {whom} asked "
        f"for. {moment(time.time())}\n{findings(job)}"
    )
    reason = f">{safe(fields.get(_REASON, ''), MOST_REASON)}"
    return head, reason, f"Prompt: {safe(job.request.prompt, cards.PROMPT)}"


def _card(
    job: Job, aim: Target, words: tuple[str, str, str], pieces: Sequence[cards.Piece]
) -> cards.Blocks:
    head, reason, prompt = words
    blocks: list[Block] = [cards.section(head), cards.section(reason), cards.small([prompt])]
    hidden = cards.hidden(pieces)
    blocks.append(hidden if hidden is not None else cards.small([NOT_SHOWN]))
    return cards.rendered([*blocks, decisions(job, aim)])


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {"report": _report, "reported": _reported}
)
