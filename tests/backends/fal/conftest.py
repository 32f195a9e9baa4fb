"""A scripted service, a backend that uses it, and ways to run a job and look at its events."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest

from backends.base import Event, Failed, LoraFile, Rendered, Submitted, parse_request
from backends.errors import BackendError
from backends.fal.backend import FalBackend
from tests.fakes.fal_service import FalService, fal_backend

_T = TypeVar("_T")


@pytest.fixture
async def service() -> AsyncIterator[FalService]:
    async with FalService().serving() as serving:
        yield serving


@pytest.fixture
async def other() -> AsyncIterator[FalService]:
    """Another origin."""
    async with FalService().serving() as serving:
        yield serving


@pytest.fixture
async def backend(service: FalService, tmp_path: Path) -> AsyncIterator[FalBackend]:
    async with fal_backend(service, tmp_path) as made:
        yield made


class Run:
    """What a job brought."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    def of(self, kind: type[_T]) -> list[_T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def rendered(self) -> Rendered:
        assert isinstance(self.events[-1], Rendered), self.events[-1]
        return self.events[-1]

    @property
    def error(self) -> BackendError:
        assert isinstance(self.events[-1], Failed), self.events[-1]
        return self.events[-1].error


FIELDS: Mapping[str, object] = {
    "prompt": "a red fox",
    "num_inference_steps": 4,
    "image_size": {"width": 64, "height": 48},
    "seed": 7,
}


async def draw(
    backend: FalBackend,
    fields: Mapping[str, object] | None = None,
    loras: Sequence[LoraFile] = (),
    remote: Mapping[str, str] | None = None,
) -> Run:
    async with asyncio.timeout(30):
        request = parse_request({**FIELDS, **(fields or {})})
        async with aclosing(backend.run(request, loras, remote=remote)) as events:
            return Run([event async for event in events])


async def submit(backend: FalBackend, fields: Mapping[str, object] | None = None) -> dict[str, str]:
    """Submit a job and stop listening, as a process that ends does."""
    request = parse_request({**FIELDS, **(fields or {})})
    async with asyncio.timeout(30), aclosing(backend.run(request, ())) as events:
        async for event in events:
            if isinstance(event, Submitted):
                return dict(event.remote)
    raise AssertionError("nothing was submitted")


@pytest.fixture
def lora(service: FalService) -> LoraFile:
    """A LoRA that the service may fetch by itself."""
    url = "https://loras.example/ghibli.safetensors"
    return LoraFile("ghibli", "ab" * 32, Path("/nowhere.safetensors"), 0.8, url)
