"""The fal-compatible endpoint with all that works behind it, for `bot/service.py`."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bot.app import App, CommunityRules
from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.fetchers import guarded_fetcher
from bot.jobs.supervisor import Supervisor
from bot.multipart import MultipartUploads
from bot.signing import Signer
from bot.surfaces.fal_api.access import Access
from bot.surfaces.fal_api.answers import webhook_render
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.surface import FalApiSurface
from bot.surfaces.fal_api.waiting import forget_unread
from bot.webhook_key import WebhookKey
from bot.webhooks_out import Webhooks

Sweep = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What its routes use, and what must be swept now and then."""

    api: FalApi
    sweeps: tuple[Sweep, ...]


@asynccontextmanager
async def open_endpoint(
    app: App, supervisor: Supervisor, surface: FalApiSurface, signer: Signer
) -> AsyncGenerator[Endpoint, None]:
    """Start what works in the background. The caller holds the data folder's lock.

    Raises:
        DatabaseError, KeyDamaged, OSError: str() says what to do.
    """
    settings = app.settings
    multipart = MultipartUploads(app.uploads)
    await app.uploads.start()
    await multipart.start()
    await app.registry.library.start()
    jobs = Jobs(
        store=app.jobs,
        pictures=app.pictures,
        canceller=supervisor,
        treat=CommunityRules(app.communities).treatment,
        surface=surface.name,
    )
    key = await asyncio.to_thread(WebhookKey.load, settings.data_dir)
    webhooks = Webhooks(
        database=app.database,
        jobs=app.jobs,
        fetcher=guarded_fetcher(settings),
        key=key,
        render=webhook_render(jobs, signer),
    )
    api = FalApi(
        surface=surface,
        draw=Draw(app.imagine, supervisor),
        jobs=jobs,
        signer=signer,
        access=Access(key.get_secret_value() for key in settings.api_keys),
        uploads=app.uploads,
        multipart=multipart,
        webhooks=webhooks,
        jwks=key.jwks,
        public_url=settings.public_url,
        allow_unchecked=settings.allow_unchecked,
    )
    async with AsyncExitStack() as stack:
        await webhooks.start()
        stack.push_async_callback(webhooks.close)
        forgetting = asyncio.create_task(forget_unread(api), name="forget unread results")
        stack.push_async_callback(_end, forgetting)
        yield Endpoint(api, (app.uploads.sweep, multipart.sweep, webhooks.sweep))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
