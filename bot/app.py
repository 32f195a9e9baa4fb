"""The composition root: the one place that names concrete classes and puts them together."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import structlog
from filelock import FileLock, Timeout

from backends.base import Backend, Capabilities, ModelName, ModelSupport, OutputFormat, Verdict
from backends.fal.backend import FalBackend
from backends.fal.gateway import Gateway
from backends.local.backend import LocalBackend
from backends.local.families import DEMO_LORAS, DEMO_MODEL, RendererSettings
from backends.local.messages import RendererSpec
from bot import fal_webhooks, wording
from bot.commands.composing import Composer
from bot.commands.imagine import Imagine, Refused
from bot.communities import SettingsDamaged
from bot.community_store import CommunityStore
from bot.database import Database, DatabaseUnwritable
from bot.demo_presets import install_demo
from bot.fetchers import guarded_fetcher
from bot.jobs.job import Place
from bot.jobs.metrics import Metrics
from bot.jobs.store import JobStore, migrations
from bot.jobs.supervisor import Supervisor
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.policy import Treatment, decide
from bot.registry import Registry, open_registry
from bot.settings import Settings
from bot.storage import PictureStore
from bot.surfaces.base import Surface
from bot.uploads import Uploads

RENDERER: Final = "backends.local.pipeline:FluxRenderer"
LOCK_WAIT_S: Final = 15.0

log = structlog.get_logger()


class AlreadyRunning(Exception):
    """Another process owns the data folder; str() says what to do."""


# --- Backends ---------------------------------------------------------------------------------

_FORMATS: Final[frozenset[OutputFormat]] = frozenset({"jpeg", "png", "webp"})
_DEMO: Final = Capabilities(
    models={
        "flux-1": ModelSupport(_FORMATS, sides=(1, 14142)),
        "flux-2": ModelSupport(_FORMATS, sides=(1, 14142), architecture="flux-1"),
    },
    slots=1,
    previews=True,
)
_LOCAL: Final = Capabilities(
    models={"flux-1": ModelSupport(_FORMATS, sides=(64, 2048))}, slots=1, previews=True
)


class Backends:
    """The backends of this installation, and which of them draws which model."""

    def __init__(self, by_name: Mapping[str, Backend], why_none: str = "") -> None:
        """The first that draws a model is preferred; `why_none` is said where there is none."""
        self.by_name = by_name
        self.why_none = why_none

    def choose(self, model: ModelName) -> Backend:
        """The first preferred backend that draws this model.

        Raises:
            Refused: none does.
        """
        for backend in self.by_name.values():
            if model in backend.capabilities.models:
                return backend
        if not self.by_name:
            raise Refused(self.why_none)
        raise Refused(f"Nothing here draws with {model}; choose another model.")

    async def close(self) -> None:
        await asyncio.gather(*(backend.close() for backend in self.by_name.values()))


def build_backends(settings: Settings) -> Backends:
    """Everything that can draw here, the preferred first. Constructing one starts nothing."""
    has_torch = importlib.util.find_spec("torch") is not None
    built: dict[str, Backend] = {}
    if has_torch and settings.local_model is not None and settings.backend in {"auto", "local"}:
        token = settings.hf_token.get_secret_value() if settings.hf_token else None
        built["local"] = _local_backend(
            "local",
            RendererSettings(
                model=settings.local_model,
                safety_model=settings.safety_model,
                safety_threshold=settings.safety_threshold,
                hf_token=token,
            ),
            _LOCAL,
        )
    if settings.draws_with_fal:
        built["fal"] = _fal_backend(settings)
    if has_torch and settings.backend in {"auto", "demo"}:
        renderer = RendererSettings(
            model=str(DEMO_MODEL), safety_threshold=settings.safety_threshold
        )
        built["demo"] = _local_backend("demo", renderer, _DEMO)
    return Backends(built, _why_none(settings, has_torch=has_torch))


def _why_none(settings: Settings, *, has_torch: bool) -> str:
    if settings.backend == "fal":
        return "ATELIER_BACKEND is fal, but there is no key for it; set FAL_KEY in .env."
    if not has_torch:
        return (
            "Nothing here can draw: PyTorch is not installed, and there is no key for fal. "
            "`make start` installs it; FAL_KEY in .env is the other way."
        )
    return "ATELIER_BACKEND is local, but ATELIER_LOCAL_MODEL names no weights; set it in .env."


def fal_gateway(settings: Settings) -> Gateway:
    """The service that draws for money, or stands in for it."""
    return Gateway(
        queue_url=settings.fal_queue_url,
        rest_url=settings.fal_rest_url,
        key=settings.fal_key.get_secret_value() if settings.fal_key else None,
        scheme=settings.fal_auth_scheme,
        extra_query=dict(parse_qsl(settings.fal_extra_query, keep_blank_values=True)),
    )


def _fal_backend(settings: Settings) -> FalBackend:
    return FalBackend(
        fal_gateway(settings),
        guarded_fetcher(settings),
        folder=settings.data_dir / "fal",
        concurrency=settings.fal_concurrency,
        webhook_url=settings.public_url and f"{settings.public_url}{fal_webhooks.PATH}",
    )


def _local_backend(name: str, settings: RendererSettings, can: Capabilities) -> LocalBackend:
    return LocalBackend(name, RendererSpec(RENDERER, settings.model_dump(mode="json")), can)


# --- Stores and commands ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class App:
    """What every process has, whether it draws or only asks."""

    settings: Settings
    database: Database
    jobs: JobStore
    communities: CommunityStore
    pictures: PictureStore
    uploads: Uploads
    registry: Registry
    lora_folder: LoraFolder
    loras: LoraSources
    backends: Backends
    imagine: Imagine


@asynccontextmanager
async def open_app(settings: Settings, backends: Backends) -> AsyncGenerator[App, None]:
    """Open the stores; the backends are closed with them.

    Raises:
        DatabaseError, StorageError: the data folder cannot be used; str() says what to do.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backends.close)
        database = await Database.open(settings.jobs_db, migrations())
        stack.push_async_callback(database.close)
        registry = await stack.enter_async_context(open_registry(settings))
        if settings.draws_with_demo:
            await install_demo(registry)
        jobs, communities = JobStore(database), CommunityStore(database)
        uploads = Uploads(database, settings.data_dir / "uploads")
        folder = LoraFolder([settings.lora_dir, DEMO_LORAS])
        loras = LoraSources(folder, uploads, registry)
        yield App(
            settings=settings,
            database=database,
            jobs=jobs,
            communities=communities,
            pictures=await PictureStore.in_folder(settings.storage_dir),
            uploads=uploads,
            registry=registry,
            lora_folder=folder,
            loras=loras,
            backends=backends,
            imagine=Imagine(
                communities=communities,
                jobs=jobs,
                backends=backends,
                loras=loras,
                composer=Composer(registry),
            ),
        )


class DataFolderLock:
    """Whoever holds it runs the jobs of this data folder. The kernel frees it when we die."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data_dir
        self._lock = FileLock(settings.data_dir / "engine.lock", thread_local=False)

    def take(self) -> bool:
        """Try once; False when another process has it.

        Raises:
            DatabaseUnwritable: the folder cannot be made or written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise DatabaseUnwritable(wording.data_folder(self._folder, error)) from error
        return True

    async def wait(self) -> None:
        """Wait for a short-lived holder, such as `atelier imagine`.

        Raises:
            AlreadyRunning: the holder stays.
            DatabaseUnwritable: the folder cannot be made or written.
        """
        deadline = time.monotonic() + LOCK_WAIT_S
        while not self.take():
            if time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"Another Atelier already works in {self._folder}. Stop it first, or give this "
                    f"one its own folder with ATELIER_DATA_DIR."
                )
            await asyncio.sleep(0.2)

    def release(self) -> None:
        """Let go, if it is ours."""
        self._lock.release()


class CommunityRules:
    """What communities have set, for the supervisor."""

    def __init__(self, communities: CommunityStore) -> None:
        self._communities = communities

    async def treatment(self, verdict: Verdict, place: Place) -> Treatment:
        try:
            here = await self._communities.effective(place.community)
        except SettingsDamaged:
            log.warning("settings damaged; pictures that are not clear are withheld")
            return Treatment.SHOW if verdict is Verdict.CLEAR else Treatment.WITHHOLD
        return decide(verdict, place, here.settings.flagged)


def build_supervisor(
    app: App, surfaces: Sequence[Surface], metrics: Metrics | None = None
) -> Supervisor:
    """A supervisor over these surfaces' jobs. The caller holds the data folder's lock."""
    return Supervisor(
        store=app.jobs,
        pictures=app.pictures,
        backends=app.backends.by_name,
        surfaces={surface.name: surface for surface in surfaces},
        loras=app.loras,
        rules=CommunityRules(app.communities),
        metrics=metrics,
    )
