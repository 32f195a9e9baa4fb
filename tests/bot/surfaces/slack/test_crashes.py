"""Every result is seen exactly once at Slack, whatever breaks between two lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from bot.jobs.job import JobState
from bot.surfaces.slack.notes import Note, Notes
from tests.bot.surfaces.slack.stage import Stage, running, stage
from tests.fakes.slack import FakeSlack, Fault, Message


def lost(method: str) -> Fault:
    """The next call takes effect, and its answer never arrives."""
    return Fault(method, cut=True, after=True)


def results(s: Stage) -> list[Message]:
    return [m for m in s.general.posted if "Again" in m.buttons]


@contextmanager
def dying(point: str) -> Iterator[None]:
    """Break off the first time that a note is written which says so, as a crash would there."""
    write = Notes.write
    done: list[str] = []

    async def broken(self: Notes, job_id: str, note: Note) -> None:
        if getattr(note, point) and not done:
            done.append(job_id)
            raise OSError("the process ends here")
        await write(self, job_id, note)

    with patch.object(Notes, "write", broken):
        yield


@pytest.mark.parametrize("method", ["chat.postMessage", "files.completeUploadExternal", "upload"])
async def test_a_call_whose_answer_is_lost_shows_the_result_once(
    tmp_path: Path, method: str
) -> None:
    async with stage(tmp_path) as s:
        await s.slack.slash(s.ana, s.general, "/imagine", "steps=2 pause=0.2 a cat")
        s.slack.api.faults.append(lost(method))
        await s.until(await s.newest(s.ana))
        [result] = results(s)
        assert s.slack.sight(s.ben, result).open_pictures
        assert s.general.posted == [result]


async def test_a_start_whose_answer_is_lost_is_found_and_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.slack.api.faults.append(lost("chat.postMessage"))
        await s.slack.slash(s.ana, s.general, "/imagine", "a cat")
        assert (await s.until(await s.newest(s.ana))).state is JobState.DELIVERED
        assert len(s.general.posted) == len(results(s)) == 1


@pytest.mark.parametrize("point", ["files", "posting", "posted"])
async def test_a_crash_between_two_lines_shows_the_result_once(tmp_path: Path, point: str) -> None:
    async with stage(tmp_path) as s:
        with dying(point):
            await s.slack.slash(s.ana, s.general, "/imagine", "a cat")
            done = await s.until(await s.newest(s.ana))
        assert done.deliveries > 0
        assert s.general.posted == results(s)
        assert len(results(s)) == 1


async def test_where_the_history_cannot_be_read_the_file_tells_of_its_post(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.slack.team.scopes.discard("channels:history")
        with dying("posted"):
            await s.slack.slash(s.ana, s.general, "/imagine", "a cat")
            await s.until(await s.newest(s.ana))
        assert s.general.posted == results(s)
        assert len(results(s)) == 1


async def test_a_restart_goes_on_with_the_message_that_is_there(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        slack.processing = 0.0
        ana = slack.user("Ana")
        general = slack.channel("general", ana)
        async with running(slack, tmp_path):
            await slack.slash(ana, general, "/imagine", "steps=3 pause=0.3 a cat")
            [message] = general.posted
            await message.until(lambda m: "step" in str(m.blocks))
        async with running(slack, tmp_path):
            done = await slack.posted(general, lambda m: "Again" in m.buttons)
            await slack.until(lambda: general.posted == [done])


async def test_a_result_whose_place_is_gone_waits_for_who_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.slack.slash(s.ana, s.general, "/imagine", "steps=3 pause=0.2 a cat")
        s.general.archived = True
        kept = await s.until(await s.newest(s.ana))
        assert kept.state is JobState.UNDELIVERABLE


async def test_too_many_calls_delay_a_result_and_lose_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.slack.slash(s.ana, s.general, "/imagine", "steps=2 pause=0.2 a cat")
        s.slack.api.faults.append(Fault("chat.postMessage", status=429, times=2))
        await s.until(await s.newest(s.ana))
        assert len(results(s)) == 1


async def test_a_socket_that_drops_is_opened_again(tmp_path: Path) -> None:
    with patch("bot.surfaces.slack.bot.PING_S", 0.2):
        async with stage(tmp_path) as s:
            await s.slack.sockets.kill()
            await s.slack.sockets.until_connected()
            assert await s.drawn(s.ana)
