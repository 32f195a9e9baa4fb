"""The drawing process dies, hangs or talks nonsense."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import pytest

from backends.base import Event, Failed, Preparing, Rendered, Step
from backends.errors import ModelUnavailable, WorkerLost
from backends.local.backend import Phase
from backends.local.worker import Timeouts
from tests.fakes.local import ask, children, events, local_backend, phase, until
from tests.fakes.renderer import Ending, Script

KILLED = "The drawing process was killed (SIGKILL); the machine may have run out of memory."


async def kill_child() -> None:
    (child,) = children()
    child.send_signal(signal.SIGKILL)


async def test_killed_while_drawing_the_job_fails_and_the_next_one_is_drawn() -> None:
    async with local_backend({"long": Script(steps=1000, pause=0.02)}) as backend:
        seen: list[Event] = []
        async for event in backend.run(ask("long"), ()):
            if isinstance(event, Step) and not any(isinstance(e, Step) for e in seen):
                await kill_child()
            seen.append(event)

        assert isinstance(seen[-1], Failed)
        assert isinstance(seen[-1].error, WorkerLost)
        assert str(seen[-1].error) == KILLED
        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_killed_while_loading_the_job_fails_and_the_next_one_is_drawn(
    tmp_path: Path,
) -> None:
    patched = tmp_path / "patched"
    async with local_backend(load=Script(then="stall", until=patched)) as backend:
        stream = backend.run(ask(), ())
        assert isinstance(await anext(stream), Preparing)
        await kill_child()
        last = [event async for event in stream][-1]
        assert isinstance(last, Failed)
        assert str(last.error) == KILLED
        assert last.error.retryable

        patched.touch()
        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_killed_while_idle_it_is_started_again_at_once() -> None:
    async with local_backend() as backend:
        await events(backend, ask())
        (before,) = children()
        await kill_child()
        await until(lambda: children() not in ([], [before]))
        await until(lambda: phase(backend) is Phase.READY)

        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_a_job_that_follows_an_idle_death_immediately_is_drawn_or_may_be_retried() -> None:
    async with local_backend() as backend:
        await events(backend, ask())
        await kill_child()
        last = (await events(backend, ask()))[-1]

        assert isinstance(last, Rendered) or (isinstance(last, Failed) and last.error.retryable)
        assert isinstance((await events(backend, ask()))[-1], Rendered)


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ("die", KILLED),
        ("segfault", "The drawing process crashed (SIGSEGV)."),
        ("exit", "The drawing process ended by itself (exit code 7)."),
        ("garbage", "The drawing process sent something that cannot be read."),
    ],
)
async def test_the_sentence_says_how_the_process_ended(ending: Ending, sentence: str) -> None:
    async with local_backend({"bad": Script(then=ending)}) as backend:
        last = (await events(backend, ask("bad")))[-1]

        assert isinstance(last, Failed)
        assert isinstance(last.error, WorkerLost)
        assert str(last.error) == sentence
        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_a_process_without_a_sign_of_life_is_killed() -> None:
    timeouts = Timeouts(silence=3)
    async with local_backend({"hang": Script(then="hang")}, timeouts=timeouts) as backend:
        last = (await events(backend, ask("hang")))[-1]

        assert isinstance(last, Failed)
        assert isinstance(last.error, WorkerLost)
        assert str(last.error) == "The drawing process gave no sign of life for 3 seconds."
        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_a_job_without_progress_is_given_up_though_the_process_lives() -> None:
    timeouts = Timeouts(silence=20, progress=1)
    async with local_backend({"stall": Script(then="stall")}, timeouts=timeouts) as backend:
        last = (await events(backend, ask("stall")))[-1]

        assert isinstance(last, Failed)
        assert str(last.error) == "The drawing process made no progress for 1 seconds."


async def test_an_idle_process_is_left_alone() -> None:
    async with local_backend(timeouts=Timeouts(silence=3, progress=3)) as backend:
        await events(backend, ask())
        (before,) = children()
        await asyncio.sleep(4)

        assert children() == [before]
        assert phase(backend) is Phase.READY


async def test_a_bot_that_was_away_itself_does_not_blame_the_process() -> None:
    async with local_backend(timeouts=Timeouts(silence=3)) as backend:
        await events(backend, ask())
        (before,) = children()
        time.sleep(4)  # noqa: ASYNC251 - this is the point
        await asyncio.sleep(0.3)

        assert children() == [before]
        assert phase(backend) is Phase.READY


@pytest.mark.parametrize("ending", ["stall", "hang"])
async def test_a_process_that_ignores_a_cancel_is_killed(ending: Ending) -> None:
    timeouts = Timeouts(silence=20, cancel=0.3)
    deaf = Script(steps=1, pause=0.1, then=ending)
    async with local_backend({"deaf": deaf}, timeouts=timeouts) as backend:
        await events(backend, ask())
        (before,) = children()
        async with contextlib.aclosing(backend.run(ask("deaf"), ())) as stream:
            await anext(stream)
            await asyncio.sleep(0.3)
            async with asyncio.timeout(2):
                await stream.aclose()

        assert isinstance((await events(backend, ask()))[-1], Rendered)
        assert before not in children()


async def test_a_process_that_always_dies_while_loading_is_given_up_without_spinning() -> None:
    async with local_backend(load=Script(then="die")) as backend:
        await backend.start()
        await until(lambda: phase(backend) is Phase.FAILED)
        assert backend.status.reason == KILLED
        await asyncio.sleep(0.5)
        assert children() == []

        last = (await events(backend, ask()))[-1]

        assert isinstance(last, Failed)
        assert isinstance(last.error, ModelUnavailable)
        assert "the end of 4 drawing processes in a row" in str(last.error)


async def test_after_it_was_given_up_the_next_job_tries_again(tmp_path: Path) -> None:
    patched = tmp_path / "patched"
    async with local_backend(load=Script(then="die", until=patched)) as backend:
        errors = []
        for _ in range(3):
            last = (await events(backend, ask()))[-1]
            assert isinstance(last, Failed)
            errors.append(type(last.error))
        assert errors == [WorkerLost, WorkerLost, ModelUnavailable]

        patched.touch()
        assert isinstance((await events(backend, ask()))[-1], Rendered)


async def test_a_process_that_cannot_be_started_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    async with local_backend() as backend:
        last = (await events(backend, ask()))[-1]

    assert isinstance(last, Failed)
    assert (
        str(last.error) == "The drawing process could not be started (No such file or directory)."
    )


async def test_kills_at_any_moment_lose_nothing_but_the_job_at_hand() -> None:
    async with local_backend({"long": Script(steps=20, pause=0.005)}) as backend:
        for number in range(10):
            listening = asyncio.create_task(events(backend, ask("long")))
            await asyncio.sleep(0.03 * number)
            for child in children():
                child.kill()
            last = (await listening)[-1]
            assert isinstance(last, Rendered) or (isinstance(last, Failed) and last.error.retryable)
            # A kill after the job's end may be noticed only by the next one.
            again = [(await events(backend, ask()))[-1] for _ in range(2)]
            assert isinstance(again[-1], Rendered)
