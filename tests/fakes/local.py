"""A local backend with a scripted renderer, and a look at its drawing process from outside."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import psutil

from backends.base import (
    Capabilities,
    Event,
    GenerationRequest,
    LoraFile,
    ModelSupport,
    parse_request,
)
from backends.local.backend import LocalBackend, Phase
from backends.local.messages import RendererSpec
from backends.local.worker import Timeouts
from tests.fakes.renderer import Script, Settings

SUPPORT = ModelSupport(frozenset({"jpeg", "png", "webp"}), (16, 2048))
CAPABILITIES = Capabilities({"flux-1": SUPPORT, "flux-2": SUPPORT}, slots=1, previews=True)


def scripted(
    prompts: Mapping[str, Script] | None = None, load: Script | None = None
) -> RendererSpec:
    """Describe a renderer that follows these scripts."""
    settings = Settings(prompts=prompts or {}, load=load or Script())
    return RendererSpec("tests.fakes.renderer:ScriptedRenderer", settings.model_dump(mode="json"))


@contextlib.asynccontextmanager
async def local_backend(
    prompts: Mapping[str, Script] | None = None,
    load: Script | None = None,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[LocalBackend]:
    """Make a backend, not started, that is closed at the end and then leaves no process behind."""
    spec = scripted(prompts, load)
    backend = LocalBackend("local", spec, CAPABILITIES, timeouts or Timeouts(silence=20))
    try:
        yield backend
    finally:
        await backend.close()
        assert children() == []


def ask(prompt: str = "a red circle", **fields: object) -> GenerationRequest:
    """Build a quick request with a seed."""
    return parse_request({"prompt": prompt, "num_inference_steps": 4, "seed": 7, **fields})


async def events(
    backend: LocalBackend, request: GenerationRequest, loras: Sequence[LoraFile] = ()
) -> list[Event]:
    """Run to the end and keep everything."""
    return [event async for event in backend.run(request, loras)]


def children() -> list[psutil.Process]:
    """List the drawing processes that this process has started, dead ones not reaped included."""
    mine = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "backends.local.child" not in child.cmdline() and child.status() != "zombie":
                continue
        mine.append(child)
    return mine


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, 15 seconds at most."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def ready(backend: LocalBackend) -> None:
    """Start it and wait until its model is loaded."""
    await backend.start()
    await until(lambda: phase(backend) is Phase.READY)


def phase(backend: LocalBackend) -> Phase:
    return backend.status.phase
