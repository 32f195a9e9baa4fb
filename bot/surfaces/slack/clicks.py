"""What happens when somebody clicks below a picture. Every click asks anew who may do it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Option, StaticSelectElement

from bot import wording
from bot.commands.again import Again, Retry, vary, wish_of
from bot.commands.jobs import NoSuchJob, PictureGone
from bot.commands.prompt import Wish, render
from bot.commands.variations import variation, variations
from bot.jobs.job import Job, Place
from bot.surfaces.base import SurfaceGone
from bot.surfaces.ids import EDITED, VARIATION, CustomId
from bot.surfaces.slack import cards, forms, moderation
from bot.surfaces.slack.calls import Closed
from bot.surfaces.slack.desk import Desk, Handler, draw, place_of
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.receipts import Where
from bot.surfaces.slack.surface import ALONE
from bot.surfaces.slack.text import code
from bot.surfaces.text import plain

NOT_YOURS: Final = "Only who asked for this picture and the moderators here can do that."
NOTHING_TO_VARY: Final = "There is nothing to vary here; use Again or Edit."
SENT: Final = "I have sent it to you as a direct message."
NO_CHANNEL: Final = "Open this in the channel in which you want to share it."


# --- Drawing more -----------------------------------------------------------------------------


async def _again(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    await draw(desk, interaction, as_private(job, vary(job, Again())))


async def _retry(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    await draw(desk, interaction, as_private(job, vary(job, Retry())))


async def _edit(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    await interaction.open(forms.form(CustomId(EDITED, job.id), wish_of(job), interaction))


async def _edited(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    wish = forms.wish_of_form(wish_of(job), interaction.fields)
    await draw(desk, interaction, as_private(job, wish))


async def _vary(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    choices = variations(job)
    if not choices:
        await interaction.tell(NOTHING_TO_VARY)
        return
    menu = StaticSelectElement(
        action_id=str(CustomId(VARIATION, job.id)),
        placeholder="What to change; seed and size stay",
        options=[Option(text=plain(label, 75), value=value) for value, label in choices.items()],
    )
    text = "Vary this picture:"
    blocks = cards.rendered([cards.section(text), ActionsBlock(elements=[menu])])
    await interaction.show(blocks, text)


async def _variation(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    found = variation(job, interaction.chosen)
    if found is None:
        await interaction.tell(NOTHING_TO_VARY)
        return
    await draw(desk, interaction, as_private(job, vary(job, found)))


# --- Looking, ending, showing elsewhere -------------------------------------------------------


async def _recipe(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await seen(desk, interaction, custom_id)
    command = code(f"/imagine {render(wish_of(job)).removeprefix('/imagine ')}")
    await interaction.tell(f"This command draws the same picture:\n{command}")


async def _cancel(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    job = await own_or_moderated(desk, interaction, custom_id)
    if job is None:
        await interaction.tell(NOT_YOURS)
        return
    await interaction.ack()
    await desk.jobs.cancel(job.requester, job.id)


async def _delete(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if custom_id.argument:  # not on the card itself
        await moderation.delete(desk, interaction, custom_id)
        return
    where, ts = interaction.where, str(interaction.message.get("ts") or "")
    try:
        job = await own_or_moderated(desk, interaction, custom_id)
    except NoSuchJob:  # a crash has left its message, or only the message is left of it
        await interaction.ack()
        own = await desk.surface.asked_by(where, ts) == interaction.user
        if not (own or await desk.moderates(interaction)):
            raise
        await desk.surface.remove(custom_id.subject, where, ts)
        return
    if job is None:
        await interaction.tell(NOT_YOURS)
        return
    await interaction.ack()
    await desk.jobs.delete(job.requester, job.id)
    if job.requester != interaction.user:
        await moderation.note(desk, interaction, job, "deleted by")
    await desk.surface.remove(job.id, where, ts)


async def _fetch(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Send a result to who asked for it, for them alone."""
    job = await desk.jobs.get(interaction.user, custom_id.subject)
    await interaction.ack()
    try:
        where = Where(
            channel=await desk.surface.posts.direct(interaction.user),
            user=interaction.user,
            name=interaction.user_name,
        )
        pictures = await desk.jobs.pictures(job, _alone(job, private=True))
        await desk.surface.deliver(job, where, pictures, part=ALONE)
    except PictureGone:
        await interaction.tell(wording.PICTURE_GONE)
    except Closed as error:
        await interaction.tell(error.sentence)
    except SurfaceGone as error:
        await interaction.tell(error.sentence or wording.PICTURE_GONE)
    else:
        await interaction.tell(SENT)


async def _share(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    """Show a private result to everybody in the channel it was asked for in."""
    job = await desk.jobs.get(interaction.user, custom_id.subject)
    channel = job.place.channel or ""
    await interaction.ack()
    if not channel or channel.startswith("D"):
        await interaction.tell(NO_CHANNEL)
        return
    where = Where(channel=channel, user=interaction.user, name=interaction.user_name)
    try:
        pictures = await desk.jobs.pictures(job, _alone(job, private=False))
        await desk.surface.deliver(job, where, pictures, part="shared")
    except PictureGone:
        await interaction.tell(wording.PICTURE_GONE)
    except Closed as error:
        await interaction.tell(error.sentence)


def _alone(job: Job, *, private: bool) -> Place:
    return job.place.model_copy(update={"private": private})


# --- Rights -----------------------------------------------------------------------------------


async def seen(desk: Desk, interaction: Interaction, custom_id: CustomId) -> Job:
    """The job that a click is about, if they see it.

    Raises:
        NoSuchJob
    """
    return await desk.jobs.seen(interaction.user, place_of(interaction), custom_id.subject)


async def own_or_moderated(desk: Desk, interaction: Interaction, custom_id: CustomId) -> Job | None:
    """The job, if who clicked may end it; None where they see it and may not."""
    job = await seen(desk, interaction, custom_id)
    own = job.requester == interaction.user
    return job if own or await desk.moderates(interaction) else None


def as_private(job: Job, wish: Wish) -> Wish:
    """What follows from a private picture is private too."""
    return replace(wish, private=True) if job.place.private else wish


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "again": _again,
        "retry": _retry,
        "edit": _edit,
        EDITED: _edited,
        "vary": _vary,
        VARIATION: _variation,
        "recipe": _recipe,
        "cancel": _cancel,
        "delete": _delete,
        "fetch": _fetch,
        "share": _share,
    }
)
