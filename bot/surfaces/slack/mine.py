"""`/queue`: one's own jobs, how busy the workspace is, and an end to what waits."""

import asyncio
import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.commands.jobs import NoSuchJob, Turn
from bot.jobs.job import Job, JobState
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, pages
from bot.surfaces.slack.cards import Blocks
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import bold, moment, safe

MOST_SHOWN: Final = 5
NOTHING: Final = "You have nothing in the queue. `/imagine` changes that."
NOTHING_TO_CANCEL: Final = "You have nothing in the queue that could be cancelled."
USAGE: Final = (
    "`/queue` shows what you wait for, `/queue all` the queue of this workspace. `/queue cancel` "
    "ends your newest job, `/queue cancel all` all of them."
)
_LOOKED_AT: Final = 50
_MOST_NAMED: Final = 10
_VERB: Final = "queue"
_TITLE: Final = "Queue"
_ALL: Final = "all"


async def queue(desk: Desk, interaction: Interaction) -> None:
    """The command, with what may follow it."""
    words = str(interaction.body.get("text") or "").lower().split()
    match words:
        case [] | ["all"]:
            look = _workspace if words else _listed
            looking = asyncio.create_task(look(desk, interaction))
            await pages.show(interaction, _TITLE, await interaction.bounded(looking))
        case ["cancel"] | ["cancel", "all"]:
            ending = _cancelled(desk, interaction.user, everything=len(words) > 1)
            await interaction.tell(await interaction.bounded(asyncio.create_task(ending)))
        case _:
            await interaction.tell(USAGE)


def doing(desk: Desk, job: Job) -> str:
    """What goes on with a job that has not ended, in a few words."""
    if job.state is JobState.RENDERED:
        return "about to be shown"
    if job.cancel_requested:
        return "being cancelled"
    if job.state is JobState.RUNNING:
        return "being drawn"
    state = desk.waiting(job.id)
    return "in the queue" if state is None else _lowered(cards.face(state))


def cancel(job: Job) -> ButtonElement | None:
    """A button that ends a job, where it can still be ended."""
    return cards.button("cancel", job.id, "Cancel") if _can_end(job) else None


# --- What is shown ----------------------------------------------------------------------------


async def _listed(desk: Desk, interaction: Interaction) -> Blocks:
    """What somebody waits for, and what they could not be shown."""
    unfinished = await desk.jobs.unfinished(interaction.user)
    waiting = [job for job in unfinished if _can_end(job) or job.state is JobState.RENDERED]
    recent = await desk.jobs.history(interaction.user, before=None, limit=_LOOKED_AT)
    kept = [job for job in recent if job.state is JobState.UNDELIVERABLE]
    blocks: list[Block] = [] if waiting or kept else [cards.section(NOTHING)]
    for job in waiting[:MOST_SHOWN]:
        about = f"{doing(desk, job)} · asked for {moment(job.created_at)}"
        blocks.append(_row(job, about, cancel(job)))
    for job in kept[:MOST_SHOWN]:
        about = f"drawn {moment(job.ended_at or 0)}, but it could not be shown where you asked"
        blocks.append(_row(job, about, cards.button("fetch", job.id, "Send to me")))
    hidden = max(len(waiting) - MOST_SHOWN, 0) + max(len(kept) - MOST_SHOWN, 0)
    if hidden:
        blocks.append(cards.small([f"{hidden} more are not shown here."]))
    blocks.append(ActionsBlock(elements=[cards.button(_VERB, _ALL, "This workspace's queue")]))
    return cards.rendered(blocks)


async def _workspace(desk: Desk, interaction: Interaction) -> Blocks:
    """How much is drawn and waits here, by whom as far as this channel shows it anyway."""
    line = await desk.jobs.line(interaction.team, desk.standing())
    text = [
        f"*This workspace's queue:* {line.running} being drawn, {line.waiting} waiting",
        *(f"• now: {_who(interaction, turn)}" for turn in line.now),
        *(f"• next: {_who(interaction, turn)} · {_place(turn)}" for turn in line.following),
    ]
    small = "Prompts are nobody else's business, and private pictures are not counted."
    return cards.rendered(
        [
            cards.section("\n".join(text)),
            cards.small([small]),
            ActionsBlock(elements=[cards.button(_VERB, "mine", "My own")]),
        ]
    )


def _row(job: Job, about: str, accessory: ButtonElement | None) -> Block:
    text = f"{bold(job.request.prompt, 100)}\n{about}"
    return cards.section(text, accessory)


def _who(interaction: Interaction, turn: Turn) -> str:
    """A name for who asked in this channel; other channels may be none of the reader's."""
    if turn.requester == interaction.user:
        return "you"
    return f"<@{turn.requester}>" if turn.channel == interaction.channel else "somebody"


def _place(turn: Turn) -> str:
    return "" if turn.standing is None else _lowered(cards.face(turn.standing))


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


# --- What is done -----------------------------------------------------------------------------


async def _cancelled(desk: Desk, who: str, *, everything: bool) -> str:
    waiting = [job for job in await desk.jobs.unfinished(who) if _can_end(job)]
    ended = []
    for job in waiting if everything else waiting[-1:]:
        with contextlib.suppress(NoSuchJob):
            ended.append(await desk.jobs.cancel(who, job.id))
    names = "\n".join(f"• {safe(job.request.prompt, 80)}" for job in ended[:_MOST_NAMED])
    more = f"\nand {len(ended) - _MOST_NAMED} more" if len(ended) > _MOST_NAMED else ""
    return f"Cancelled:\n{names}{more}" if ended else NOTHING_TO_CANCEL


def _can_end(job: Job) -> bool:
    return job.state in {JobState.QUEUED, JobState.RUNNING} and not job.cancel_requested


async def _turned(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """From one's own jobs to the workspace's, and back."""
    look = _workspace if custom_id.subject == _ALL else _listed
    looking = asyncio.create_task(look(desk, interaction))
    await pages.show(interaction, _TITLE, await interaction.bounded(looking), replace=True)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({_VERB: _turned})
