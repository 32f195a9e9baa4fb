"""What the surface asks of the rest of the bot, and the one way in which a wish becomes a job."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from bot import wording
from bot.commands.defaults import MyDefaults
from bot.commands.imagine import Ask, Draw, Refused
from bot.commands.jobs import Jobs
from bot.commands.moderation import Moderation
from bot.commands.privacy import Privacy
from bot.commands.prompt import PromptError, Wish
from bot.commands.quota import Quotas
from bot.commands.settings import Administration
from bot.communities import CommunitySettings, Effective, SettingsDamaged
from bot.jobs.job import Place
from bot.permissions import Requester, is_moderator
from bot.registry import Registry
from bot.surfaces.base import Waiting
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import receipts
from bot.surfaces.slack.doubles import Doubles
from bot.surfaces.slack.homes import Homes
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.ledger import Ledger
from bot.surfaces.slack.people import People
from bot.surfaces.slack.recipes import Recipes
from bot.surfaces.slack.surface import NAME, SlackSurface
from bot.surfaces.slack.text import code, safe
from bot.surfaces.text import whole_lines
from bot.viewers import viewer
from lora_registry.models import Viewer

_JOBS: Final = uuid.UUID("6f1c5a52-2f0e-4d0b-9c0e-3a2d6f1b7c11")
"""Job ids follow from Slack's own keys, so that a payload that comes twice asks for one job."""

CROWDED: Final = (
    "So many pictures are asked for in this channel that yours shows no progress here; it comes as "
    "soon as Slack lets it. /queue shows how it stands."
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that commands and buttons use.

    `community` gives what holds in a workspace (SettingsDamaged where that cannot be read),
    `waiting` where a job stands in the queue, `standing` where the first of all stand, by id,
    `examples` prompts to try, `first` whether something is to be handled now, `me`
    the bot's own user id; `revoked` is told that Slack has taken a token away.
    """

    surface: SlackSurface
    people: People
    ledger: Ledger
    draw: Draw
    jobs: Jobs
    moderation: Moderation
    settings: Administration
    registry: Registry
    community: Callable[[str], Awaitable[Effective[CommunitySettings]]]
    waiting: Callable[[str], Waiting | None]
    standing: Callable[[], Mapping[str, Waiting]]
    defaults: MyDefaults
    privacy: Privacy
    quotas: Quotas
    homes: Homes
    examples: tuple[str, ...]
    first: Callable[[str], AbstractAsyncContextManager[bool]]
    me: Callable[[], str]
    revoked: Callable[[], Awaitable[None]]
    recipes: Recipes
    doubles: Doubles = field(default_factory=Doubles)

    async def requester(self, interaction: Interaction) -> Requester:
        """Who did it."""
        return await self.who(interaction.user)

    async def who(self, user: str) -> Requester:
        """Somebody, with what Slack says about them."""
        person, groups = await asyncio.gather(self.people.person(user), self.people.groups_of(user))
        return Requester(user, roles=groups, manager=person.manager)

    async def viewer(self, interaction: Interaction) -> Viewer:
        """Who asks, to the registry.

        Raises:
            SettingsDamaged
        """
        place = place_of(interaction)
        here = await self.community(place.community)
        return viewer(here, await self.requester(interaction), place)

    async def moderates(self, interaction: Interaction) -> bool:
        """Whether this person may end and delete what others have asked for in this workspace."""
        try:
            here = await self.community(interaction.team)
        except SettingsDamaged:
            return False
        return is_moderator(here, await self.requester(interaction))


Handler = Callable[[Desk, Interaction, CustomId], Awaitable[None]]
"""Answers a click, a choice or a form."""


def place_of(interaction: Interaction) -> Place:
    """Where it was done. Slack has no age-restricted places."""
    return Place(community=interaction.team, channel=interaction.channel or None)


async def draw(desk: Desk, interaction: Interaction, wish: Wish) -> None:
    """Answer with a job for this wish, or with why there is none.

    It is acknowledged as soon as the job is stored: if Atelier dies before, Slack says that nobody
    has answered. A form stays open until the job is shown, in case something is wrong.
    """

    async def stored() -> None:
        if not (interaction.form or interaction.acknowledged):
            await interaction.ack()

    job_id = str(uuid.uuid5(_JOBS, interaction.key)) if interaction.key else str(uuid.uuid4())
    where = interaction.where
    if not where.channel:  # a Home tab: the answer goes to who asked
        wish = replace(wish, private=True)
    who = await desk.requester(interaction)
    ask = Ask(wish, who, place_of(interaction), NAME, job_id)
    with desk.surface.expecting(ask.job_id, where, stored):
        try:
            taken = await interaction.bounded(asyncio.create_task(desk.draw(ask)))
        except Refused as error:
            await interaction.tell(sentence(error))
            return
        except Exception:
            log.exception("imagine broke", job=ask.job_id)
            await interaction.tell(wording.INTERNAL)
            return
    desk.homes.changed(who.id)
    if not interaction.acknowledged:
        await interaction.ack()
    notes = (CROWDED, *taken.notes) if receipts.unseen(taken.job.receipt) else taken.notes
    if notes:
        await interaction.tell(whole_lines(safe(one, 1200) for one in notes))


def sentence(error: Refused | PromptError) -> str:
    """Why not, and what to write instead where that is known."""
    text = safe(str(error), 1200)
    return text if error.corrected is None else f"{text}\n{code(error.corrected)}"
