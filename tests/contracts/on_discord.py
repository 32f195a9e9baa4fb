"""Surfaces' contract on Discord: discord.py at a loopback Discord."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.jobs.job import JobState
from tests.bot.surfaces.discord.stage import running
from tests.contracts.scene import Card, Run, State
from tests.fakes.discord import Channel, FakeDiscord, Fault, Message, User

EDIT = "/webhooks/.+/messages/"
AFTER_THE_TOKEN_S = 16 * 60.0


class OnDiscord:
    """A server with one channel."""

    without_place = JobState.UNDELIVERABLE

    def __init__(self, discord: FakeDiscord, folder: Path) -> None:
        self._discord = discord
        self._folder = folder
        self._ana: User = discord.user("Ana")
        self._home = discord.guild(members=(self._ana,))
        self._general: Channel = self._home.channel("general")
        self._chores: list[asyncio.Task[None]] = []

    @property
    def community(self) -> str:
        return str(self._home.id)

    @property
    def requester(self) -> str:
        return str(self._ana.id)

    @asynccontextmanager
    async def run(self, slots: int = 2) -> AsyncIterator[Run]:
        async with running(self._discord, self._folder, slots) as (app, backend, supervisor, bot):
            yield Run(
                *(app.database, app.jobs, app.communities, app.pictures),
                *(supervisor, bot.surface, backend),
            )

    async def ask(self, text: str) -> None:
        answer = await self._discord.slash(self._ana, self._general, "imagine", prompt=text)
        await answer.settled()

    async def cancel(self, card: Card) -> None:
        (message,) = [m for m in self._general.public if str(m.id) == card.name]
        await self._discord.click(self._ana, message, "Cancel")

    async def cards(self) -> list[Card]:
        return [_card(message) for message in self._general.public]

    async def handed_out(self) -> int:
        return sum(len(call.files) for call in self._discord.rest.calls)

    def break_upload(self, *, after: bool) -> None:
        fault = Fault("PATCH", EDIT, cut=True, after=after, uploads=True)
        self._discord.rest.faults.append(fault)

    def limit(self) -> None:
        rates = self._discord.limits.rates
        usual, rates.edits_of_answers = rates.edits_of_answers, (0, 0.1)

        async def relent() -> None:
            told = await self._discord.changes.until(
                lambda: any(call.files for call in self._discord.rest.limited), 20
            )
            assert told, "no result met the limit"
            rates.edits_of_answers = usual

        self._chores.append(asyncio.create_task(relent()))

    async def later(self) -> None:
        self._discord.clock.move(AFTER_THE_TOKEN_S)

    async def close_place(self) -> None:
        await self.later()
        self._discord.delete_channel(self._general)


def _card(message: Message) -> Card:
    states: dict[str, State] = {
        "Cancel": "going on",
        "Again": "result",
        "Try again": "no result",
        "Draw it after all": "no result",
    }
    (state,) = [state for label, state in states.items() if label in message.buttons]
    hidden = sum(picture.spoiler for picture in message.pictures)
    opened = len(message.pictures) - hidden
    return Card(str(message.id), state, message.text, opened, hidden)


@asynccontextmanager
async def on_discord(folder: Path) -> AsyncIterator[OnDiscord]:
    """The scene; it ends with a look at whether Discord's rules were kept."""
    async with FakeDiscord() as discord:
        yield OnDiscord(discord, folder)
        assert not [fault for fault in discord.rest.faults if fault.times], "never met"
