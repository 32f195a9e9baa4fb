"""Surfaces' contract on Slack: slack_bolt at a loopback Slack, by Socket Mode."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.jobs.job import JobState
from tests.bot.surfaces.slack.stage import running
from tests.contracts.scene import Card, Run, State
from tests.fakes.slack import Channel, FakeSlack, Fault, Seen, User

HOURS_S = 5 * 3600.0


class OnSlack:
    """A workspace with one channel. Ana asks, Ben looks on."""

    without_place = JobState.UNDELIVERABLE

    def __init__(self, slack: FakeSlack, folder: Path) -> None:
        self._slack = slack
        self._folder = folder
        self._ana: User = slack.user("Ana")
        self._ben: User = slack.user("Ben")
        self._general: Channel = slack.channel("general", self._ana, self._ben)

    @property
    def community(self) -> str:
        return self._slack.team.id

    @property
    def requester(self) -> str:
        return self._ana.id

    @asynccontextmanager
    async def run(self, slots: int = 2) -> AsyncIterator[Run]:
        async with running(self._slack, self._folder, slots) as (app, backend, supervisor, bot):
            yield Run(
                *(app.database, app.jobs, app.communities, app.pictures),
                *(supervisor, bot.surface, backend),
            )

    async def ask(self, text: str) -> None:
        before = len(self._general.messages)
        await self._slack.slash(self._ana, self._general, "/imagine", text)
        await self._slack.until(lambda: len(self._general.messages) > before)

    async def cancel(self, card: Card) -> None:
        await self._slack.click(self._ana, self._general.messages[card.name], "Cancel")

    async def cards(self) -> list[Card]:
        return [_card(seen) for seen in self._slack.seen_by(self._ben, self._general)]

    async def handed_out(self) -> int:
        return len(self._slack.files)

    def break_upload(self, *, after: bool) -> None:
        self._slack.api.faults.append(Fault("upload", cut=True, after=after))

    def limit(self) -> None:
        self._slack.api.faults.append(Fault("chat.postMessage", status=429, times=2))

    async def later(self) -> None:
        self._slack.clock.move(HOURS_S)

    async def close_place(self) -> None:
        self._general.archived = True


def _card(seen: Seen) -> Card:
    states: dict[str, State] = {
        "Cancel": "going on",
        "Again": "result",
        "Try again": "no result",
        "Draw it after all": "no result",
    }
    (state,) = [state for label, state in states.items() if label in seen.buttons]
    assert not any(picture.broken for picture in seen.pictures)
    hidden = len(seen.pictures) - len(seen.open_pictures)
    return Card(seen.message.ts, state, seen.text, len(seen.open_pictures), hidden)


@asynccontextmanager
async def on_slack(folder: Path) -> AsyncIterator[OnSlack]:
    """The scene; it ends with a look at whether Slack's rules were kept."""
    async with FakeSlack() as slack:
        slack.processing = 0.0
        yield OnSlack(slack, folder)
        assert not [fault for fault in slack.api.faults if fault.times], "never met"
