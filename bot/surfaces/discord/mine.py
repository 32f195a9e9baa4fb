"""`/queue` and `/cancel`: one's own jobs, and how busy the server is."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import ButtonStyle, app_commands
from discord.app_commands import Choice
from discord.ui import ActionRow, Button, Item, LayoutView, Section, TextDisplay

from bot.commands.jobs import NoSuchJob, Turn
from bot.jobs.job import Job, JobState
from bot.surfaces.discord import cards, places
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.text import safe

MOST_SHOWN: Final = 5
_LOOKED_AT: Final = 50
NOTHING: Final = "You have nothing in the queue. `/imagine` changes that."
NO_SERVER: Final = "This is no server that has me, so there is no queue to show but your own."
SERVER: Final = "server"
_SERVER_VERB: Final = "queue_server"
NOTHING_TO_CANCEL: Final = "You have nothing in the queue that could be cancelled."


def queue_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(
        name="queue", description="Your pictures that wait, are being drawn, or could not be shown"
    )
    @app_commands.describe(whose="Yours, or how many wait in this server and who is next")
    @app_commands.choices(
        whose=[Choice(name="mine", value="mine"), Choice(name="this server's", value=SERVER)]
    )
    async def queue(interaction: discord.Interaction[Any], whose: str = "mine") -> None:
        answer = Answer(interaction, private=True)
        if whose == SERVER:
            looking = asyncio.create_task(_server(desk, interaction))
        else:
            looking = asyncio.create_task(_listed(desk, interaction))
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


async def _listed(desk: Desk, interaction: Interaction) -> LayoutView:
    who = places.requester(interaction).id
    waiting = await desk.jobs.unfinished(who)
    recent = await desk.jobs.history(who, before=None, limit=_LOOKED_AT)
    kept = [job for job in recent if job.state is JobState.UNDELIVERABLE]
    items: list[Item[Any]] = [
        *([] if waiting or kept else [TextDisplay[LayoutView](NOTHING)]),
        *(
            Section(_waiting(desk, job), accessory=cards.button("cancel", job.id, "Cancel"))
            for job in waiting[:MOST_SHOWN]
        ),
        *(
            Section(_kept(job), accessory=cards.button("fetch", job.id, "Show me"))
            for job in kept[:MOST_SHOWN]
        ),
    ]
    hidden = max(len(waiting) - MOST_SHOWN, 0) + max(len(kept) - MOST_SHOWN, 0)
    if hidden:
        items.append(TextDisplay(f"-# {hidden} more are not shown here."))
    if places.in_server(interaction):
        look = Button[LayoutView](
            label="This server's queue",
            style=ButtonStyle.secondary,
            custom_id=str(CustomId(_SERVER_VERB)),
        )
        items.append(ActionRow(look))
    return cards.layout(*items)


async def _server(desk: Desk, interaction: Interaction) -> LayoutView:
    if not places.in_server(interaction):
        return cards.note(NO_SERVER)
    line = await desk.jobs.line(places.place(interaction).community, desk.standing())
    text = [
        f"**This server's queue:** {line.running} being drawn, {line.waiting} waiting",
        *(f"- now: {_who(interaction, turn)}" for turn in line.now),
        *(f"- next: {_who(interaction, turn)} · {_place(turn)}" for turn in line.following),
        "-# Prompts are nobody else's business, and private pictures are not counted.",
    ]
    mine = [
        f"- {_waiting(desk, job)}"
        for job in (await desk.jobs.unfinished(places.requester(interaction).id))[:MOST_SHOWN]
    ]
    if mine:
        text += ["**Yours**", *mine]
    return cards.note("\n".join(text))


async def _server_queue(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    await interaction.response.defer()
    await interaction.edit_original_response(view=await _server(desk, interaction))


def _who(interaction: Interaction, turn: Turn) -> str:
    """A mention, which calls nobody; whoever asked in a place unseen from here stays unnamed."""
    return f"<@{turn.requester}>" if places.sees(interaction, turn.channel) else "somebody"


def _place(turn: Turn) -> str:
    shown = cards.face(turn.standing, time.time()).text
    return shown[0].lower() + shown[1:]


async def _cancelled(desk: Desk, who: str, *, everything: bool) -> str:
    waiting = [one for one in await desk.jobs.unfinished(who) if not one.cancel_requested]
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


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({_SERVER_VERB: _server_queue})
