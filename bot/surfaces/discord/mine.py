"""`/queue` and `/cancel`: one's own jobs."""

import asyncio
import contextlib
import time
from typing import Any, Final

import discord
from discord import app_commands
from discord.ui import Item, LayoutView, Section, TextDisplay

from bot.commands.jobs import NoSuchJob
from bot.jobs.job import Job, JobState
from bot.surfaces.discord import cards, places
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk
from bot.surfaces.discord.text import safe

MOST_SHOWN: Final = 5
_LOOKED_AT: Final = 50
NOTHING: Final = "You have nothing in the queue. `/imagine` changes that."
NOTHING_TO_CANCEL: Final = "You have nothing in the queue that could be cancelled."


def queue_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(
        name="queue", description="Your pictures that wait, are being drawn, or could not be shown"
    )
    async def queue(interaction: discord.Interaction[Any]) -> None:
        answer = Answer(interaction, private=True)
        looking = asyncio.create_task(_listed(desk, places.requester(interaction).id))
        await answer.show(await answer.bounded(looking), private=True)

    return queue


def cancel_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(name="cancel", description="Cancel your newest picture, or all of them")
    @app_commands.rename(everything="all")
    @app_commands.describe(everything="Cancel all that you have waiting or being drawn")
    async def cancel(interaction: discord.Interaction[Any], everything: bool = False) -> None:
        answer = Answer(interaction, private=True)
        ending = asyncio.create_task(
            _cancelled(desk, places.requester(interaction).id, everything=everything)
        )
        await answer.tell(await answer.bounded(ending))

    return cancel


async def _listed(desk: Desk, who: str) -> LayoutView:
    waiting = await desk.jobs.unfinished(who)
    recent = await desk.jobs.history(who, before=None, limit=_LOOKED_AT)
    kept = [job for job in recent if job.state is JobState.UNDELIVERABLE]
    items: list[Item[Any]] = [
        *(
            Section(_waiting(desk, job), accessory=cards.button("cancel", job.id, "Cancel"))
            for job in waiting[:MOST_SHOWN]
        ),
        *(
            Section(_kept(job), accessory=cards.button("fetch", job.id, "Show me"))
            for job in kept[:MOST_SHOWN]
        ),
    ]
    hidden = len(waiting) + len(kept) - len(items)
    if hidden:
        items.append(TextDisplay(f"-# {hidden} more are not shown here."))
    return cards.layout(*items) if items else cards.note(NOTHING)


async def _cancelled(desk: Desk, who: str, *, everything: bool) -> str:
    waiting = await desk.jobs.unfinished(who)
    ended = []
    for job in waiting if everything else waiting[-1:]:
        with contextlib.suppress(NoSuchJob):
            ended.append(await desk.jobs.cancel(who, job.id))
    names = "\n".join(f"- {safe(job.request.prompt, 80)}" for job in ended[:10])
    more = f"\n-# and {len(ended) - 10} more" if len(ended) > 10 else ""
    return f"Cancelled:\n{names}{more}" if ended else NOTHING_TO_CANCEL


def _waiting(desk: Desk, job: Job) -> str:
    state = desk.waiting(job.id) if job.state is JobState.QUEUED else None
    doing = "being drawn" if job.state is JobState.RUNNING else "about to be shown"
    if state is not None:
        doing = cards.face(state, time.time()).text
    elif job.state is JobState.QUEUED:
        doing = "in the queue"
    return (
        f"**{safe(job.request.prompt, 100)}**\n-# {doing} · asked for <t:{int(job.created_at)}:R>"
    )


def _kept(job: Job) -> str:
    return (
        f"**{safe(job.request.prompt, 100)}**\n-# drawn <t:{int(job.ended_at or 0)}:R>, but it "
        "could not be shown where you asked for it"
    )
