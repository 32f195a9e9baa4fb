"""The playground over a real socket: real stores, supervisor and server, a stub backend."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from backends.base import Backend, ModelName
from bot.app import CommunityRules
from bot.commands.composing import Composer
from bot.commands.imagine import Draw, Imagine
from bot.commands.jobs import Jobs
from bot.communities import INSTANCE
from bot.community_store import CommunityStore
from bot.database import Database
from bot.http import HttpServer, create_app
from bot.jobs.store import JobStore, migrations
from bot.jobs.supervisor import Supervisor
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.signing import Signer
from bot.storage import PictureStore
from bot.surfaces.web.access import Access
from bot.surfaces.web.routes import Hint, Playground, Status, create_router
from bot.surfaces.web.surface import WebSurface
from bot.uploads import Uploads
from tests.fakes.backend import StubBackend
from tests.fakes.registry import empty_registry

STATUS = Status(
    version="1.2.3",
    backend="demo",
    sentence="The stub draws.",
    next_steps=[("More", "Do this.")],
    examples=["a large red circle on a blue background"],
    models=["flux-1", "flux-2"],
)


class Only:
    """A chooser with one backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def choose(self, model: ModelName) -> Backend:
        return self._backend


@dataclass
class Site:
    url: str
    client: httpx.AsyncClient
    store: JobStore
    database: Database
    pictures: PictureStore
    communities: CommunityStore
    supervisor: Supervisor
    surface: WebSurface
    signer: Signer
    backend: StubBackend

    async def imagine(self, text: str, job_id: str | None = None) -> Any:
        answer = await self.client.post(
            "/api/imagine", json={"text": text, "id": job_id or str(uuid.uuid4())}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def until(self, job_id: str, state: str, timeout: float = 10.0) -> Any:
        async with asyncio.timeout(timeout):
            while True:
                job = (await self.client.get(f"/api/jobs/{job_id}")).json()
                if job["state"] == state:
                    return job
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """The event stream as (name, data)."""
        async with self.client.stream("GET", "/api/events", timeout=30) as answer:
            assert answer.status_code == 200
            yield _parse(answer)


async def _parse(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def loras_there() -> list[Hint]:
    return [Hint(name="glow", about="FLUX.1")]


async def presets_found(text: str) -> list[Hint]:
    """Those of three that have the text."""
    names = ("dreamy", "dream-ink", "@ann/quick")
    return [Hint(name=name, about=f"about {name}") for name in names if text in name]


@asynccontextmanager
async def site(
    folder: Path,
    *,
    slots: int = 2,
    loopback_only: bool = True,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        database = await Database.open(folder / "jobs.db", migrations())
        stack.push_async_callback(database.close)
        store, communities = JobStore(database), CommunityStore(database)
        pictures = await PictureStore.in_folder(folder / "storage")
        backend = StubBackend(folder / "stub", slots=slots)
        registry = await stack.enter_async_context(empty_registry(folder))
        uploads = Uploads(database, folder / "uploads")
        loras = LoraSources(LoraFolder([folder / "loras"]), uploads, registry)
        surface = WebSurface()
        rules = CommunityRules(communities)
        supervisor = Supervisor(
            store=store,
            pictures=pictures,
            backends={"stub": backend},
            surfaces={surface.name: surface},
            loras=loras,
            rules=rules,
        )
        imagine = Imagine(
            communities=communities,
            jobs=store,
            backends=Only(backend),
            loras=loras,
            composer=Composer(registry),
        )
        signer = Signer("s" * 32)
        playground = Playground(
            surface=surface,
            draw=Draw(imagine, supervisor),
            jobs=Jobs(
                store=store,
                pictures=pictures,
                canceller=supervisor,
                treat=rules.treatment,
                surface=surface.name,
            ),
            signer=signer,
            access=Access(signer, loopback_only=loopback_only),
            status=lambda: STATUS,
            loras=loras_there,
            presets=presets_found,
        )

        async def ready() -> list[str]:
            return []

        app = create_app(ready, CollectorRegistry(), [create_router(playground)])
        server = HttpServer(app, host="127.0.0.1", port=0, grace=0.2)
        await server.start()
        stack.push_async_callback(server.stop)
        await supervisor.start()
        stack.push_async_callback(supervisor.drain, 0.0)
        sent = {"X-Atelier": "1"} if headers is None else headers
        client = httpx.AsyncClient(base_url=server.url, headers=sent, timeout=10)
        await stack.enter_async_context(client)
        yield Site(
            server.url,
            client,
            store,
            database,
            pictures,
            communities,
            supervisor,
            surface,
            signer,
            backend,
        )


__all__ = ["INSTANCE", "STATUS", "Site", "site"]
