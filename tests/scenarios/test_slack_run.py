"""`atelier run` at a Slack: a person's command, the demo model's picture, a kill, both ways in."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from backends.local.families import DEMO_MODEL
from bot.jobs.job import JobState
from bot.surfaces.slack.http import PATH
from bot.surfaces.slack.manifest import manifest
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service
from tests.fakes.looking import BLUE, RED, colour, near
from tests.fakes.slack import Channel, FakeSlack, Message, User, View

pytestmark = pytest.mark.timeout(300)

CIRCLE = "a large red circle at the center on a blue background"
PEPPER = "a red chili pepper"


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as slack:
        slack.install(manifest())
        yield slack


@pytest.fixture
def ana(slack: FakeSlack) -> User:
    return slack.user("Ana")


@pytest.fixture
def general(slack: FakeSlack, ana: User) -> Channel:
    return slack.channel("general", ana)


@asynccontextmanager
async def life(
    folder: Path, slack: FakeSlack, **env: str
) -> AsyncIterator[tuple[CommandLine, Service]]:
    """One life of `atelier run`; it must not hold up the Slack of the test."""
    environment = {"ATELIER_BACKEND": "demo", **slack.environment, **env}
    command = CommandLine(folder, **environment)
    running = command.running()
    service = await asyncio.to_thread(running.__enter__)
    try:
        yield command, service
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
        command.clean_up()


async def result(slack: FakeSlack, channel: Channel, words: str, *old: Message) -> Message:
    """The message with the pictures for these words, once it is there."""
    return await slack.posted(
        channel,
        lambda m: m not in old and "Again" in m.buttons and words in str(m.blocks),
        PATIENCE_S,
    )


async def form(slack: FakeSlack, user: User, card: Message) -> View:
    """The form that Edit opens."""
    answer = await slack.click(user, card, "Edit")
    await answer.until(lambda a: a.has_modal)
    return answer.modal


def drawn_as_asked(picture: Image.Image) -> bool:
    return near(colour(picture, 0.5, 0.5), RED) and near(colour(picture, 0.02, 0.02), BLUE)


async def test_a_command_becomes_the_picture_and_a_kill_shows_nothing_twice(
    tmp_path: Path, slack: FakeSlack, ana: User, general: Channel
) -> None:
    async with life(tmp_path, slack) as (_, service):
        await slack.sockets.until_connected(seconds=PATIENCE_S)
        slack.delivery.copies = 2
        answer = await slack.slash(ana, general, "/imagine", f"{CIRCLE} —seed 5")
        assert not answer.failed
        progress = await slack.posted(general, lambda m: "Cancel" in m.buttons)
        done = await result(slack, general, "circle")
        seen = slack.sight(ana, done)
        [picture] = seen.open_pictures
        assert drawn_as_asked(picture.image)
        assert "circle" in picture.alt
        assert "seed 5" in seen.text
        await slack.until(lambda: progress.deleted)

        await slack.submit(ana, await form(slack, ana, done), {"Prompt": PEPPER})
        hidden = await result(slack, general, "pepper", done)
        [picture] = slack.sight(ana, hidden).pictures
        assert picture.collapsed
        assert "pepper" not in picture.alt

        await slack.sockets.ask_to_leave()
        await slack.until(lambda: slack.sockets.opened == 2 and slack.sockets.connected)
        slack.delivery.copies = 1
        await slack.mention(ana, general, f"{CIRCLE} --steps 50 --images 2", done)
        slow = await slack.posted(general, lambda m: "Cancel" in m.buttons and m.thread_ts)
        await slow.until(lambda m: "step" in str(m.blocks), PATIENCE_S)
        service.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(service.process.wait, PATIENCE_S)

    async with life(tmp_path, slack) as (command, service):
        two = await result(slack, general, "circle", done)
        assert two.thread_ts == done.ts
        assert len(slack.sight(ana, two).open_pictures) == 2
        await slack.until(lambda: slow.deleted)
        await slack.until(lambda: set(command.states()) == {JobState.DELIVERED}, PATIENCE_S)
        shown = [message for message in general.posted if message.user is not ana]
        assert shown == [done, hidden, two]
        assert len(command.jobs()) == 3
        assert await asyncio.to_thread(service.ready)
        for secret in (slack.bot_token, slack.app_token, CIRCLE, PEPPER):
            assert secret not in service.log


async def test_over_signed_http_and_without_a_checker_the_picture_is_there_and_closed(
    tmp_path: Path, slack: FakeSlack, ana: User, general: Channel
) -> None:
    slack.requests.url = "not known yet"
    local = {"ATELIER_BACKEND": "local", "ATELIER_LOCAL_MODEL": str(DEMO_MODEL)}
    without = {"ATELIER_SAFETY_MODEL": str(tmp_path / "missing")}
    async with life(tmp_path, slack, **local, **without) as (command, service):
        slack.requests.url = service.url + PATH
        slack.install(manifest("https://pictures.example.com" + PATH))
        assert (await slack.requests.verify_url()).status == 200
        await slack.mention(ana, general, CIRCLE)
        done = await result(slack, general, "circle")
        seen = slack.sight(ana, done)
        [picture] = seen.pictures
        assert picture.collapsed
        assert "circle" not in picture.alt
        assert drawn_as_asked(picture.image)
        assert "nothing could check it" in seen.text
        asked, *_ = slack.delivery.sent
        await slack.repeat(asked)
        assert slack.requests.replies[-1].status == 200

        await slack.submit(ana, await form(slack, ana, done), {"Pictures": "2"})
        two = await result(slack, general, "circle", done)
        assert [p.collapsed for p in slack.sight(ana, two).pictures] == [True, True]
        assert len(command.jobs()) == 2
        assert slack.requests.secret not in service.log
