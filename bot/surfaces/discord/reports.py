"""Report: a member tells the moderators about a picture; a moderator gets their panel instead."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import aiohttp
import discord
import structlog
from discord import MediaGalleryItem, SelectOption, TextStyle
from discord.ui import Item, Label, LayoutView, MediaGallery, Modal, Select, TextDisplay, TextInput

from bot.commands.jobs import PictureGone, PictureUnreadable
from bot.commands.moderation import NotAllowed
from bot.jobs.job import Job, Place
from bot.policy import Treatment
from bot.surfaces.discord import cards, files, form, ids, places
from bot.surfaces.discord.answers import Answer, tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.messages import AUTOMOD, OutOfReach
from bot.surfaces.discord.moderation import REPORT, Target, decisions, findings, link, panel
from bot.surfaces.discord.pictures import pictures_for
from bot.surfaces.discord.receipts import FILE_LIMIT
from bot.surfaces.discord.text import plain, safe

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
NO_MODERATORS: Final = (
    "There are no moderators for this place: reports go to those of a server that has installed "
    "this app. Discord's own “Report Message” reaches Discord."
)
NO_CHANNEL: Final = (
    "Nobody here has named a channel for reports, so the moderators would not hear of it. Please "
    "tell somebody who manages this server; they name one in `/settings`."
)
CHANNEL_CLOSED: Final = (
    "The channel for reports cannot be reached, so this one went nowhere. Please tell somebody who "
    "manages this server: I need to see that channel and to write in it."
)
NO_WORDS: Final = "-# This server's AutoMod keeps back what was written."
NOT_SHOWN: Final = "-# The picture is not shown here: it may not be, or cannot."
NOT_SENT: Final = "Your report could not be sent just now. Please try again in a minute."

log = structlog.get_logger()


async def report(desk: Desk, interaction: Interaction, job_id: str, message: int) -> None:
    """Take a report about the picture that `message` of this channel shows.

    Raises:
        NoSuchJob, NotAllowed: as in `bot.commands`.
    """
    if not places.in_server(interaction):
        await tell(interaction, NO_MODERATORS)
        return
    who, place = places.requester(interaction), places.place(interaction)
    job = await desk.jobs.seen(who.id, place, job_id)
    public = job.result is not None and not job.place.private
    if public and await desk.moderates(interaction):
        await Answer(interaction, private=True).show(panel(job, message), private=True)
        return
    await desk.moderation.may_report(who.id, job)
    if not await _channels(desk, place):
        await tell(interaction, NO_CHANNEL)
        return
    await interaction.response.send_modal(_form(job, message))


async def _report(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if interaction.message is not None:
        await report(desk, interaction, custom_id.subject, interaction.message.id)


def _form(job: Job, message: int) -> Modal:
    custom_id = str(CustomId("reported", job.id, str(message)))
    modal = Modal(title="Report this picture", custom_id=custom_id)
    kind: Select[Any] = Select(
        custom_id="kind",
        required=False,
        min_values=0,
        options=[SelectOption(label=label, value=value) for value, label in KINDS.items()],
    )
    reason: TextInput[Any] = TextInput(
        custom_id="reason", style=TextStyle.paragraph, max_length=MOST_REASON
    )
    modal.add_item(Label(text="What is it?", component=kind))
    modal.add_item(
        Label(
            text="What is wrong with it?",
            description="The moderators of this server read it, with your name",
            component=reason,
        )
    )
    modal.stop()
    return modal


# --- Sending it -------------------------------------------------------------------------------


async def _reported(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    answer = Answer(interaction, private=True)
    sending = asyncio.create_task(_sent(desk, interaction, custom_id))
    await answer.tell(await answer.bounded(sending))


async def _sent(desk: Desk, interaction: Interaction, custom_id: CustomId) -> str:
    """Bring a report to the moderators; what to tell who made it."""
    who, place = places.requester(interaction), places.place(interaction)
    if not places.in_server(interaction) or not custom_id.argument.isdecimal():
        return NO_MODERATORS
    try:
        job = await desk.jobs.seen(who.id, place, custom_id.subject)
        await desk.moderation.may_report(who.id, job)
    except NotAllowed as error:
        return str(error)
    if not (channels := await _channels(desk, place)):
        return NO_CHANNEL
    message = int(custom_id.argument)
    words = _words(interaction, job, message)
    for channel in channels:
        try:
            await _post(desk, interaction, job, Target(REPORT, message), words, channel)
        except OutOfReach:
            continue
        except (discord.DiscordException, aiohttp.ClientError, TimeoutError) as error:
            log.warning("report not sent", job=job.id, error=type(error).__name__)
            return NOT_SENT
        # Noted last: a crash in between only lets the same report be made again, which Discord
        # takes for the first one while it remembers the nonce.
        await desk.moderation.reported(who.id, job)
        where = link(interaction, job, message)
        line = f"A picture of <@{job.requester}> was reported by <@{who.id}>: {where}"
        desk.ledger.note(place.community, line)
        return THANKS
    return CHANNEL_CLOSED


async def _channels(desk: Desk, place: Place) -> list[int]:
    """Where reports of this place go, the best first."""
    named = await desk.moderation.report_channels(place.community)
    return [int(channel) for channel in named if channel.isdecimal()]


async def _post(
    desk: Desk,
    interaction: Interaction,
    job: Job,
    aim: Target,
    words: Sequence[str],
    channel: int,
) -> None:
    """Post the card of a report, giving way where Discord refuses its pictures or its words.

    Raises:
        OutOfReach: the bot may not write there.
        discord.HTTPException: anything else.
    """
    nonce = ids.nonce(f"{job.id} {interaction.user.id}", "report")
    shown = await _pieces(desk, interaction, job, channel)
    quiet = (words[0], NO_WORDS)
    for said, pieces in ((words, shown), (words, ()), (quiet, ())):
        uploads = [one.upload for one in pieces if one.upload is not None]
        view = _card(job, aim, said, pieces)
        try:
            await desk.messages.say(channel, interaction.guild_id, view, uploads, nonce)
        except (discord.HTTPException, OutOfReach) as error:
            # Pictures may be refused for their size, by a filter, or for want of a permission.
            automod = getattr(error, "code", None) in AUTOMOD
            if said is quiet or not (uploads or automod):
                raise
        else:
            return


async def _pieces(
    desk: Desk, interaction: Interaction, job: Job, channel: int
) -> Sequence[cards.Piece]:
    """The pictures behind spoilers, as the card's place and the moderators' channel both allow.

    None at all where one of them cannot be shown.
    """
    there = interaction.guild.get_channel_or_thread(channel) if interaction.guild else None
    place = Place(
        community=job.place.community,
        channel=str(channel),
        age_restricted=places.age_restricted(there),
    )
    limit = interaction.filesize_limit or FILE_LIMIT
    try:
        pictures = await pictures_for(desk, job, place, at_least=Treatment.SPOILER)
        return await desk.surface.pieces(job, pictures, limit)
    except (PictureGone, PictureUnreadable, files.TooLarge):
        return ()


def _words(interaction: Interaction, job: Job, message: int) -> tuple[str, ...]:
    fields = form.values(interaction.data or {})
    kind = KINDS.get(fields.get("kind", ""))
    title = f"**Report** · {kind}" if kind else "**Report**"
    at = int(interaction.created_at.timestamp())
    where = link(interaction, job, message)
    head = (
        f"{title}\n<@{interaction.user.id}> reports [a picture]({where}) that <@{job.requester}> "
        f"asked for. <t:{at}:R>\n-# {findings(job)}"
    )
    reason = f"> {safe(fields.get('reason', ''), MOST_REASON)}"
    return head, reason, f"-# Prompt: {safe(job.request.prompt, cards.PROMPT)}"


def _card(job: Job, aim: Target, words: Sequence[str], pieces: Sequence[cards.Piece]) -> LayoutView:
    items: list[Item[Any]] = [TextDisplay("\n".join(words))]
    gallery = [
        MediaGalleryItem(
            f"attachment://{piece.upload.name}",
            description=plain(job.request.prompt, cards.ALT_TEXT),
            spoiler=True,
        )
        for piece in pieces
        if piece.upload is not None
    ]
    if gallery:
        items.append(MediaGallery(*gallery))
    else:
        items.append(TextDisplay(NOT_SHOWN))
    return cards.layout(*items, decisions(job, aim))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {"report": _report, "reported": _reported}
)
