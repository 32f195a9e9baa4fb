"""`atelier run`: every configured surface, served until told to stop."""

import asyncio
import gc
import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from backends.base import MODELS
from backends.fal.backend import FalBackend
from backends.fal.webhooks import WebhookVerifier
from backends.local.backend import LocalBackend, Phase
from bot.app import App, CommunityRules, DataFolderLock, build_backends, build_supervisor, open_app
from bot.chat import discord_bot, open_discord
from bot.chat_slack import open_slack, slack_bot
from bot.commands.imagine import Draw
from bot.commands.jobs import Jobs
from bot.database import DatabaseError
from bot.endpoint import open_endpoint
from bot.fal_webhooks import create_webhook_router
from bot.housekeeping import keep_house
from bot.http import HttpServer, Tls, create_app
from bot.jobs.metrics import Metrics
from bot.jobs.supervisor import Supervisor
from bot.owner import owner_viewer
from bot.sealing import Vault
from bot.settings import Settings
from bot.signals import stop_on_signals
from bot.signing import Signer, load_secret
from bot.surfaces.base import Surface
from bot.surfaces.fal_api.app import PREFIXES, create_api
from bot.surfaces.fal_api.surface import FalApiSurface
from bot.surfaces.terminal.surface import TerminalSurface
from bot.surfaces.web import surface as web
from bot.surfaces.web.access import Access
from bot.surfaces.web.routes import Hint, Playground, Status, create_router

DRAIN_GRACE_S: Final = 30.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EXAMPLES: Final = (
    "a large red circle on a blue background",
    "a small yellow star at the top on a black background",
    "a red chili pepper",
)


class Chat(Protocol):
    """A chat platform that is configured; `trouble` says why it is not there at the moment."""

    trouble: str | None

    @property
    def surface(self) -> Surface: ...


async def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; a second one ends the process at once.

    Raises:
        AlreadyRunning, DatabaseError, KeyDamaged, StorageError, ListenError, OSError: str() says
            what to do.
    """
    async with AsyncExitStack() as stack:
        lock = DataFolderLock(settings)
        await lock.wait()
        stack.callback(lock.release)
        stop = stop_on_signals()  # until here there was nothing to stop in good order
        app = await stack.enter_async_context(open_app(settings, build_backends(settings)))
        registry, page, programs = CollectorRegistry(), web.WebSurface(), FalApiSurface()
        secret = await asyncio.to_thread(_secret, settings)
        signer = Signer(secret)
        discord = discord_bot(settings, signer, Vault(secret))
        slack = slack_bot(settings, signer)
        chats: list[Chat] = [chat for chat in (discord, slack) if chat is not None]
        surfaces: list[Surface] = [TerminalSurface(), page, programs]
        surfaces += [chat.surface for chat in chats]
        supervisor = build_supervisor(app, surfaces, Metrics(registry))
        endpoint = await stack.enter_async_context(open_endpoint(app, supervisor, programs, signer))
        server = HttpServer(
            create_app(
                lambda: _failing(app, chats),
                registry,
                [
                    create_router(_playground(app, supervisor, page, signer)),
                    *await _webhooks_in(app, stack),
                    *([] if slack is None else [slack.router()]),
                ],
                dict.fromkeys(PREFIXES, create_api(endpoint.api)),
            ),
            host=settings.host,
            port=settings.port,
            tls=_tls(settings),
        )
        stack.push_async_callback(server.stop)
        await server.start()
        if discord is not None:
            stack.push_async_callback(discord.close)
            if (refusal := await open_discord(discord, app, supervisor)) is not None:
                say(refusal)
        if slack is not None:
            stack.push_async_callback(slack.close)
            if (refusal := await open_slack(slack, app, supervisor)) is not None:
                say(refusal)
        stack.push_async_callback(supervisor.drain, DRAIN_GRACE_S)
        await supervisor.start()
        if app.backends.by_name:
            await app.backends.choose("flux-1").start()
        gc.collect()
        gc.freeze()  # looking through all that is loaded would hold the loop for 0.1 s at a time
        say(f"Atelier is running at {server.url}")
        if settings.host not in _LOOPBACK:
            say(f"From other machines, the playground asks for this token: {signer.web_token}")
        chores = asyncio.create_task(
            keep_house(app.jobs, app.pictures, settings, registry, endpoint.sweeps),
            name="housekeeping",
        )
        await stop.wait()
        say("Stopping: finishing what is being drawn …")
        chores.cancel()
        await asyncio.gather(chores, return_exceptions=True)


def _secret(settings: Settings) -> str:
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    return load_secret(settings.data_dir)


def _tls(settings: Settings) -> Tls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Tls(settings.tls_cert, settings.tls_key)


async def _webhooks_in(app: App, stack: AsyncExitStack) -> list[APIRouter]:
    """The route that fal calls, where it has been told an address."""
    backend = app.backends.by_name.get("fal")
    if not isinstance(backend, FalBackend) or app.settings.public_url is None:
        return []
    # Without credentials: the keys that sign webhooks are public.
    client = httpx.AsyncClient(trust_env=False, follow_redirects=False)
    http = await stack.enter_async_context(client)
    verifier = WebhookVerifier(app.settings.fal_rest_url, http)
    return [create_webhook_router(verifier.verify, backend.notified)]


def _playground(
    app: App, supervisor: Supervisor, page: web.WebSurface, signer: Signer
) -> Playground:
    return Playground(
        surface=page,
        draw=Draw(app.imagine, supervisor),
        jobs=Jobs(
            store=app.jobs,
            pictures=app.pictures,
            canceller=supervisor,
            treat=CommunityRules(app.communities).treatment,
            surface=page.name,
        ),
        signer=signer,
        access=Access(signer, loopback_only=app.settings.host in _LOOPBACK),
        status=lambda: _status(app),
        loras=partial(_loras, app),
        presets=partial(_presets, app),
    )


async def _loras(app: App) -> list[Hint]:
    """Every LoRA that may be named: the registry's, then what else lies in the folder."""
    known = {record.name: record for record in await app.registry.loras.list()}
    files = await asyncio.to_thread(app.lora_folder.files)
    hints = [
        Hint(name=name, about=", ".join((record.family.label, *record.words())))
        for name, record in known.items()
    ]
    return [*hints, *(Hint(name=name, about="") for name in sorted(files) if name not in known)]


async def _presets(app: App, text: str) -> list[Hint]:
    hits = await app.registry.search.search(owner_viewer(), text, limit=12)
    return [Hint(name=hit.name, about=f"{hit.title or hit.name}, {hit.model}") for hit in hits]


def _status(app: App) -> Status:
    """What draws, and how to draw with more."""
    name = next(iter(app.backends.by_name), None)
    match name:
        case "local":
            sentence = f"{app.settings.local_model} draws on this machine."
        case "fal":
            host = urlsplit(app.settings.fal_queue_url).hostname
            sentence = f"{host} draws; every picture costs what it asks."
        case "demo":
            sentence = (
                "A small demo model draws on this machine: coloured shapes, to try everything out."
            )
        case _:
            sentence = app.backends.why_none
    steps = [
        (
            "From a terminal",
            'atelier imagine "a large red circle on a blue background" -o circle.png',
        )
    ]
    if name not in {"local", "fal"}:
        steps = [
            (
                "Draw with FLUX, on this machine's GPU",
                "Put ATELIER_LOCAL_MODEL=black-forest-labs/FLUX.1-dev and HF_TOKEN into .env and "
                "start again. `atelier doctor` says what is missing.",
            ),
            (
                "Draw with FLUX, at fal",
                "Put FAL_KEY into .env and start again. A picture then costs a few cents.",
            ),
            *steps,
        ]
    return Status(
        version=importlib.metadata.version("atelier"),
        backend=name,
        sentence=sentence,
        next_steps=steps,
        examples=_EXAMPLES,
        models=[
            model
            for model in MODELS
            if any(model in b.capabilities.models for b in app.backends.by_name.values())
        ],
    )


async def _failing(app: App, chats: Sequence[Chat]) -> list[str]:
    """What keeps this instance from doing its work, a sentence each."""
    failing = []
    try:
        async with app.database.write():
            pass
    except DatabaseError as error:
        failing.append(str(error))
    failing += [
        f"The backend {backend.name} cannot draw: {backend.status.reason}"
        for backend in app.backends.by_name.values()
        if isinstance(backend, LocalBackend) and backend.status.phase is Phase.FAILED
    ]
    if not app.backends.by_name:
        failing.append(app.backends.why_none)
    failing += [chat.trouble for chat in chats if chat.trouble is not None]
    return failing
