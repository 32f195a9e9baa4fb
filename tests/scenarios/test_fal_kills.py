"""`kill -9` of `atelier run` at each stage of a job that a fal-compatible service draws."""

import asyncio
import io
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from PIL import Image

from bot.jobs.job import JobState
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service
from tests.fakes.fal_service import KEY, Act, FalService, picture

pytestmark = pytest.mark.timeout(300)

REQUESTS: Final = "/queue/fal-ai/flux-lora/requests"
REMOTE: Final = "flux-lora-0"
WISH: Final = {"prompt": "a cat", "seed": 41, "image_size": "square", "output_format": "png"}


@pytest.fixture
async def fal() -> AsyncIterator[FalService]:
    async with FalService().serving() as service:
        yield service


@pytest.fixture
def atelier(tmp_path: Path, fal: FalService) -> Iterator[CommandLine]:
    command = CommandLine(tmp_path, ATELIER_BACKEND="fal", FAL_QUEUE_URL=fal.url, FAL_KEY=KEY)
    yield command
    command.clean_up()


@asynccontextmanager
async def life(atelier: CommandLine) -> AsyncIterator[Service]:
    """One life of `atelier run`. Its start and end must not hold up the service of the test."""
    running = atelier.running()
    service = await asyncio.to_thread(running.__enter__)
    try:
        yield service
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def ended(client: httpx.AsyncClient, request_id: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            body: dict[str, Any] = (await client.get(f"{REQUESTS}/{request_id}/status")).json()
            if body["status"] == "COMPLETED":
                return body
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Stage:
    """How far the service lets a job come, and how to know that it is there."""

    hold: Callable[[FalService], None]
    reached: Callable[[FalService], object]


def hold_in_queue(fal: FalService) -> None:
    fal.on_stream = [fal.envelope(REMOTE, queue_position=3), Act.HANG]


def hold_while_drawing(fal: FalService) -> None:
    fal.on_stream = [fal.envelope(REMOTE, "IN_PROGRESS", logs=[]), Act.HANG]


def let_go(fal: FalService) -> None:
    fal.on_submit = fal.on_result = fal.on_file = []
    fal.on_stream = None


TAKEN_UP: Final = {
    "in the queue": Stage(hold_in_queue, lambda fal: fal.made("GET", "/stream")),
    "being drawn": Stage(hold_while_drawing, lambda fal: fal.made("GET", "/stream")),
    "its result on the way": Stage(
        lambda fal: fal.on_result.append(Act.HANG), lambda fal: fal.made("GET", REMOTE)
    ),
    "its picture on the way": Stage(
        lambda fal: fal.on_file.append(Act.HANG), lambda fal: fal.made("GET", ".png")
    ),
}


@pytest.mark.parametrize("stage", TAKEN_UP.values(), ids=list(TAKEN_UP))
async def test_a_job_is_taken_up_by_its_id_and_paid_for_once(
    atelier: CommandLine, fal: FalService, stage: Stage
) -> None:
    stage.hold(fal)
    async with life(atelier) as first, httpx.AsyncClient(base_url=first.url) as client:
        submitted = await client.post("/queue/fal-ai/flux-lora", json=WISH)
        await fal.until(lambda: stage.reached(fal))
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait, PATIENCE_S)
    assert atelier.states() == [JobState.RUNNING]

    let_go(fal)
    request_id = submitted.json()["request_id"]
    async with life(atelier) as second, httpx.AsyncClient(base_url=second.url) as client:
        assert (await ended(client, request_id)).get("error") is None
        result = (await client.get(f"{REQUESTS}/{request_id}")).json()
        (image,) = result["images"]
        drawn = Image.open(io.BytesIO((await client.get(image["url"])).content))

    assert drawn.getpixel((5, 5)) == Image.open(io.BytesIO(picture(41))).getpixel((5, 5))
    assert len(fal.submits) == 1
    assert not fal.made("PUT")
    (job,) = atelier.jobs()
    assert (job["state"], job["deliveries"], job["attempt"]) == (JobState.DELIVERED, 0, 2)
    assert job["charge"] == pytest.approx(0.035)


async def test_killed_while_the_request_is_sent_its_fate_is_told_as_unknown(
    atelier: CommandLine, fal: FalService
) -> None:
    fal.on_submit.append(Act.HANG)
    async with life(atelier) as first, httpx.AsyncClient(base_url=first.url) as client:
        submitted = await client.post("/queue/fal-ai/flux-lora", json=WISH)
        await fal.until(lambda: fal.submits)
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait, PATIENCE_S)

    let_go(fal)
    request_id = submitted.json()["request_id"]
    async with life(atelier) as second, httpx.AsyncClient(base_url=second.url) as client:
        status = await ended(client, request_id)
        result = await client.get(f"{REQUESTS}/{request_id}")

    assert "may have been billed" in status["error"]
    assert result.status_code == 500
    assert "may have been billed" in result.text
    assert len(fal.submits) == 1
    (job,) = atelier.jobs()
    assert job["state"] == JobState.FAILED
    assert job["charge"] == pytest.approx(0.035)


async def test_killed_before_it_was_sent_a_job_is_sent_once(
    atelier: CommandLine, fal: FalService
) -> None:
    """The first job hangs at the service; the others wait for a place of their own."""
    fal.on_submit.append(Act.HANG)
    atelier.env["FAL_CONCURRENCY"] = "1"
    async with life(atelier) as first, httpx.AsyncClient(base_url=first.url) as client:
        await client.post("/queue/fal-ai/flux-lora", json=WISH)
        await fal.until(lambda: fal.submits)
        waiting = await client.post("/queue/fal-ai/flux-lora", json={**WISH, "seed": 99})
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait, PATIENCE_S)

    let_go(fal)
    async with life(atelier) as second, httpx.AsyncClient(base_url=second.url) as client:
        assert (await ended(client, waiting.json()["request_id"])).get("error") is None
    assert [call.body["seed"] for call in fal.submits] == [41, 99]


async def test_a_terminal_beside_a_killed_service_gets_its_picture_once(
    atelier: CommandLine, fal: FalService
) -> None:
    hold_while_drawing(fal)
    async with life(atelier) as first:
        terminal = await asyncio.to_thread(
            atelier.start, "imagine", "a cat", "--seed", "41", "--size", "square", "-o", "cat.png"
        )
        await fal.until(lambda: fal.made("GET", "/stream"))
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait, PATIENCE_S)
        let_go(fal)
        out, err = await asyncio.to_thread(terminal.communicate, None, PATIENCE_S)

    assert (terminal.returncode, err) == (0, "")
    assert "$0.035" in out
    assert Image.open(atelier.home / "cat.png").size == (512, 512)
    assert len(fal.submits) == 1
    assert KEY not in out
