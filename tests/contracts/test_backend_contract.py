"""What every backend promises, whatever it draws with.

A new backend joins by adding an async context manager that yields a `Case` to `CASES`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.base import (
    Backend,
    Cancelled,
    Event,
    Failed,
    GenerationRequest,
    LoraFile,
    Rendered,
    Step,
    parse_request,
)
from backends.errors import BackendError
from tests.fakes.fal_service import fal_case
from tests.fakes.local import local_backend
from tests.fakes.renderer import Script


@dataclass(frozen=True)
class Case:
    """A backend with the fields of requests to try: one quick, one that takes a while.

    `broken` is a LoRA file that the backend cannot use.
    """

    backend: Backend
    quick: dict[str, object]
    slow: dict[str, object]
    broken: LoraFile


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Case]:
    async with local_backend({"slow": Script(steps=2000, pause=0.01)}) as backend:
        quick = {"prompt": "a red circle", "num_inference_steps": 4, "image_size": "square"}
        missing = LoraFile("ghibli", "00" * 32, Path("/nowhere.safetensors"), 1.0)
        yield Case(backend, quick, quick | {"prompt": "slow"}, missing)


@contextlib.asynccontextmanager
async def fal() -> AsyncIterator[Case]:
    async with fal_case() as (backend, quick, slow, broken):
        yield Case(backend, quick, slow, broken)


CASES: dict[str, Callable[[], AbstractAsyncContextManager[Case]]] = {
    "local, scripted": scripted,
    "fal, scripted": fal,
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    async with request.param() as made:
        await made.backend.start()
        yield made


async def run(case: Case, fields: dict[str, object], loras: Sequence[LoraFile] = ()) -> list[Event]:
    async with asyncio.timeout(60):
        return [event async for event in case.backend.run(parse_request(fields), loras)]


def is_final(event: Event) -> bool:
    return isinstance(event, Rendered | Failed | Cancelled)


async def test_the_stream_ends_with_its_only_final_event(case: Case) -> None:
    seen = await run(case, case.quick)

    assert [is_final(event) for event in seen] == [False] * (len(seen) - 1) + [True]
    assert isinstance(seen[-1], Rendered)


async def test_steps_only_increase_and_stay_within_their_total(case: Case) -> None:
    seen = await run(case, case.quick | {"num_images": 2})

    steps = [event for event in seen if isinstance(event, Step)]
    assert len({step.total for step in steps}) <= 1
    indices = [step.index for step in steps]
    assert indices == sorted(set(indices))
    assert all(1 <= step.index <= step.total for step in steps)


@pytest.mark.parametrize("count", [1, 4])
async def test_there_are_as_many_pictures_as_asked_for_with_seeds_counting_up(
    case: Case, count: int
) -> None:
    seen = await run(case, case.quick | {"num_images": count, "seed": 100})

    rendered = seen[-1]
    assert isinstance(rendered, Rendered)
    assert [picture.seed for picture in rendered.pictures] == list(range(100, 100 + count))
    assert all(picture.data for picture in rendered.pictures)


async def test_without_a_seed_one_is_chosen_and_told(case: Case) -> None:
    first, second = [(await run(case, case.quick))[-1] for _ in range(2)]

    assert isinstance(first, Rendered)
    assert isinstance(second, Rendered)
    assert first.pictures[0].seed != second.pictures[0].seed


async def test_the_same_request_gives_the_same_bytes(case: Case) -> None:
    first, second = [(await run(case, case.quick | {"seed": 3}))[-1] for _ in range(2)]

    assert isinstance(first, Rendered)
    assert isinstance(second, Rendered)
    assert [p.data for p in first.pictures] == [p.data for p in second.pictures]


async def test_every_format_that_it_claims_is_delivered(case: Case) -> None:
    request: GenerationRequest = parse_request(case.quick)
    for name in sorted(case.backend.capabilities.models[request.model].formats):
        rendered = (await run(case, case.quick | {"output_format": name}))[-1]
        assert isinstance(rendered, Rendered)
        assert {picture.format for picture in rendered.pictures} == {name}


async def test_closing_the_stream_cancels_within_seconds_and_the_next_job_is_drawn(
    case: Case,
) -> None:
    await run(case, case.quick)
    stream = case.backend.run(parse_request(case.slow), ())
    await anext(stream)
    async with asyncio.timeout(10):
        await stream.aclose()

    assert isinstance((await run(case, case.quick))[-1], Rendered)


async def test_a_failure_is_an_event_with_a_sentence_and_the_next_job_is_drawn(case: Case) -> None:
    failed = (await run(case, case.quick, [case.broken]))[-1]

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, BackendError)
    assert str(failed.error).endswith(".")
    assert isinstance((await run(case, case.quick))[-1], Rendered)


async def test_it_can_be_started_and_closed_again_and_again(case: Case) -> None:
    await case.backend.start()
    await case.backend.close()
    await case.backend.close()

    assert isinstance((await run(case, case.quick))[-1], Failed)
