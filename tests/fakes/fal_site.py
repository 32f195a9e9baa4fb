"""The fal-compatible endpoint over a real socket: real stores, supervisor and server, a stub."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from bot.app import CommunityRules
from bot.commands.composing import Composer
from bot.commands.imagine import Draw, Imagine
from bot.commands.jobs import Jobs
from bot.communities import INSTANCE, Change
from bot.community_store import CommunityStore
from bot.database import Database
from bot.http import HttpServer, Tls, create_app
from bot.jobs.job import Job
from bot.jobs.store import JobStore, migrations
from bot.jobs.supervisor import Supervisor
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.multipart import MultipartUploads
from bot.permissions import Requester
from bot.signing import Signer
from bot.storage import PictureStore
from bot.surfaces.fal_api.access import Access
from bot.surfaces.fal_api.answers import webhook_render
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.app import PREFIXES, create_api
from bot.surfaces.fal_api.surface import FalApiSurface
from bot.uploads import Uploads
from bot.webhook_key import WebhookKey
from bot.webhooks_out import Webhooks
from lora_registry.fetch import FetchRules, GuardedFetcher
from tests.fakes.backend import StubBackend
from tests.fakes.registry import empty_registry
from tests.fakes.site import Only

KEY = "the-first-key-of-the-tests"
OTHER_KEY = "the-other-key-of-the-tests"
TLS = httpx.create_ssl_context()  # made once: it takes longer than most requests
FLUX_1 = "/queue/fal-ai/flux-lora"
FLUX_2 = "/queue/fal-ai/flux-2/lora"


@dataclass
class FalSite:
    """`client` shows `KEY`, where the site has keys; `stranger` shows `OTHER_KEY`."""

    url: str
    client: httpx.AsyncClient
    stranger: httpx.AsyncClient
    nobody: httpx.AsyncClient
    store: JobStore
    database: Database
    communities: CommunityStore
    pictures: PictureStore
    supervisor: Supervisor
    backend: StubBackend
    api: FalApi

    async def submit(self, prompt: str, path: str = FLUX_1, **fields: Any) -> dict[str, Any]:
        """Submit a request; the stub takes any size, small ones are quick."""
        answer = await self.client.post(path, json={"prompt": prompt, **fields})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def until(
        self, submitted: dict[str, Any], status: str, timeout: float = 10.0
    ) -> dict[str, Any]:
        """Poll, with the log, until a request has this status."""
        async with asyncio.timeout(timeout):
            while True:
                answer = await self.client.get(submitted["status_url"], params={"logs": "1"})
                body: dict[str, Any] = answer.json()
                if body["status"] == status:
                    return body
                await asyncio.sleep(0.02)

    async def result(self, submitted: dict[str, Any]) -> httpx.Response:
        """What the result answers once the request is completed."""
        await self.until(submitted, "COMPLETED")
        return await self.client.get(submitted["response_url"])

    async def set(self, **values: object) -> None:
        """Change the instance's settings."""
        base = (await self.communities.load(INSTANCE)).version
        owner = Requester("owner", owner=True)
        await self.communities.change(INSTANCE, Change(values), base=base, by=owner)

    @asynccontextmanager
    async def hanging_up(
        self, path: str, body: dict[str, Any], headers: str = ""
    ) -> AsyncIterator[None]:
        """Send a request, and hang up without having read anything when the block is left."""
        url = httpx.URL(self.url)
        _, writer = await asyncio.open_connection(url.host, url.port)
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nAuthorization: Key {KEY}\r\n"
        )
        writer.write(f"{head}{headers}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        try:
            yield
        finally:
            writer.close()
            await writer.wait_closed()
            # The server is in this loop: a few turns, and it has seen the end of the connection.
            for _ in range(10):
                await asyncio.sleep(0)

    async def jobs(self) -> list[Job]:
        """All jobs of the endpoint that nobody was told about yet."""
        return await self.store.unreported([self.api.surface.name])

    async def cancelled(self, job_id: str, timeout: float = 10.0) -> None:
        """Return once a job is cancelled."""
        async with asyncio.timeout(timeout):
            while (job := await self.store.get(job_id)) is None or job.state != "cancelled":
                await asyncio.sleep(0.02)


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any] | str]:
    """Server-sent events: JSON for data, text for comments."""
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield line


@asynccontextmanager
async def fal_site(
    folder: Path,
    *,
    slots: int = 2,
    keys: Sequence[str] = (KEY, OTHER_KEY),
    public_url: str | None = None,
    allow_unchecked: bool = False,
    keep_alive: float = 10.0,
    run_limit: float = 60.0,
    tls: Tls | None = None,
) -> AsyncIterator[FalSite]:
    async with AsyncExitStack() as stack:
        database = await Database.open(folder / "jobs.db", migrations())
        stack.push_async_callback(database.close)
        store, communities = JobStore(database), CommunityStore(database)
        pictures = await PictureStore.in_folder(folder / "storage")
        backend = StubBackend(folder / "stub", slots=slots)
        fetcher = GuardedFetcher(FetchRules(trusted_hosts=frozenset({"127.0.0.1"})))
        uploads = Uploads(database, folder / "uploads")
        multipart = MultipartUploads(uploads)
        await uploads.start()
        await multipart.start()
        registry = await stack.enter_async_context(empty_registry(folder, "127.0.0.1"))
        loras = LoraSources(LoraFolder([folder / "loras"]), uploads, registry)
        surface, rules = FalApiSurface(), CommunityRules(communities)
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
        jobs = Jobs(
            store=store,
            pictures=pictures,
            canceller=supervisor,
            treat=rules.treatment,
            surface=surface.name,
        )
        key = WebhookKey.load(folder)
        webhooks = Webhooks(
            database=database,
            jobs=store,
            fetcher=fetcher,
            key=key,
            render=webhook_render(jobs, signer),
        )
        api = FalApi(
            surface=surface,
            draw=Draw(imagine, supervisor),
            jobs=jobs,
            signer=signer,
            access=Access(keys),
            uploads=uploads,
            multipart=multipart,
            webhooks=webhooks,
            jwks=key.jwks,
            public_url=public_url,
            allow_unchecked=allow_unchecked,
            keep_alive=keep_alive,
            run_limit=run_limit,
        )

        async def ready() -> list[str]:
            return []

        app = create_app(ready, CollectorRegistry(), apps=dict.fromkeys(PREFIXES, create_api(api)))
        server = HttpServer(app, host="127.0.0.1", port=0, grace=0.2, tls=tls)
        await server.start()
        stack.push_async_callback(server.stop)
        await webhooks.start()
        stack.push_async_callback(webhooks.close)
        await supervisor.start()
        stack.push_async_callback(supervisor.drain, 0.0)

        async def client(key: str | None) -> httpx.AsyncClient:
            headers = {} if key is None else {"Authorization": f"Key {key}"}
            return await stack.enter_async_context(
                httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10, verify=TLS)
            )

        yield FalSite(
            server.url,
            await client(KEY if keys else None),
            await client(OTHER_KEY),
            await client(None),
            store,
            database,
            communities,
            pictures,
            supervisor,
            backend,
            api,
        )
