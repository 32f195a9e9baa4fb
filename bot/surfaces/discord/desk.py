"""What the surface asks of the rest of the bot, and the one way in which a wish becomes a job."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import discord
import structlog

from bot import wording
from bot.commands.defaults import MyDefaults
from bot.commands.imagine import Ask, Draw, Refused
from bot.commands.jobs import Jobs
from bot.commands.moderation import Moderation
from bot.commands.privacy import Privacy
from bot.commands.prompt import PromptError, Wish
from bot.commands.settings import Administration
from bot.communities import CommunitySettings, Effective, SettingsDamaged
from bot.permissions import is_moderator
from bot.registry import Registry
from bot.surfaces.base import Waiting
from bot.surfaces.discord import places
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.ledger import Ledger
from bot.surfaces.discord.messages import Messages
from bot.surfaces.discord.recipes import Recipes
from bot.surfaces.discord.surface import NAME, DiscordSurface
from bot.surfaces.discord.text import code, safe, whole_lines
from bot.viewers import viewer
from lora_registry.models import Viewer

Interaction = discord.Interaction[Any]

_LOOK_S: Final = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that commands and buttons use.

    `community` gives what holds in a community (SettingsDamaged where that cannot be read),
    `waiting` where a job stands in the queue, `standing` where the first of all stand, by id.
    `examples` are prompts to try, `lora_files` the names of what lies in the LoRA folder.
    """

    surface: DiscordSurface
    messages: Messages
    ledger: Ledger
    draw: Draw
    jobs: Jobs
    moderation: Moderation
    recipes: Recipes
    settings: Administration
    registry: Registry
    community: Callable[[str], Awaitable[Effective[CommunitySettings]]]
    waiting: Callable[[str], Waiting | None]
    standing: Callable[[], Mapping[str, Waiting]]
    defaults: MyDefaults
    privacy: Privacy
    examples: tuple[str, ...]
    lora_files: Callable[[], Awaitable[Collection[str]]]

    async def viewer(self, interaction: Interaction) -> Viewer:
        """Who asks, to the registry.

        Raises:
            SettingsDamaged
        """
        place = places.place(interaction)
        here = await self.community(place.community)
        return viewer(here, places.requester(interaction), place)

    async def alone(self, interaction: Interaction, wish: Wish) -> bool:
        """Whether who asks wants to see the result alone, as far as that is known in a moment.

        While the rest is slow, “thinking …” already shows others the command with its prompt.
        """
        if wish.private is not None:
            return wish.private
        try:
            async with asyncio.timeout(_LOOK_S):
                mine = await self.defaults.shown(
                    places.place(interaction), places.requester(interaction)
                )
        except Exception:  # noqa: BLE001 - drawing meets the same trouble and says so
            return False
        return mine.settings.private

    async def moderates(self, interaction: Interaction) -> bool:
        """Whether this person may end and delete what others have asked for in this server."""
        if not places.in_server(interaction):
            return False
        try:
            here = await self.community(places.place(interaction).community)
        except SettingsDamaged:
            return False
        return is_moderator(here, places.requester(interaction))


Handler = Callable[[Desk, Interaction, CustomId], Awaitable[None]]
"""Answers a click, a choice or a form."""


async def draw(desk: Desk, interaction: Interaction, wish: Wish) -> None:
    """Answer an interaction with a job for this wish, or with why there is none."""
    look = partial(desk.alone, interaction, wish)
    answer = Answer(interaction, private=bool(wish.private), look=look)
    if (obstacle := places.obstacle(interaction)) is not None:
        await answer.tell(obstacle)
        return
    ask = Ask(wish, places.requester(interaction), places.place(interaction), NAME)
    with desk.surface.expecting(ask.job_id, answer):
        try:
            taken = await answer.bounded(asyncio.create_task(desk.draw(ask)))
        except Refused as error:
            await answer.tell(sentence(error))
            return
        except Exception:
            log.exception("imagine broke", job=ask.job_id)
            await answer.tell(wording.INTERNAL)
            return
    if taken.notes:
        await answer.tell(whole_lines(safe(one, 1200) for one in taken.notes))


def sentence(error: Refused | PromptError) -> str:
    """Why not, and what to write instead where that is known."""
    text = safe(str(error), 1200)
    return text if error.corrected is None else f"{text}\n{code(error.corrected)}"
