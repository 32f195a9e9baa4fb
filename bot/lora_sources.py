"""Where a LoRA comes from, by the form of `loras[].path`.

a URL or path of our own upload storage     the stored file, never fetched
https://…, http://… of a trusted host       downloaded once
a name that the registry knows              from any of its sources that has the right bytes
anything else                               a name in the LoRA folder

Whatever it is, a file whose hash is denied is not used.
"""

import asyncio
import re
from typing import Final

from backends.base import LoraFile, LoraRef, ModelName
from backends.errors import shown
from bot.jobs.supervisor import LoraUnavailable, Report
from bot.lora_folder import SUFFIX, LoraFolder, UnknownLora, require_fit
from bot.registry import Registry
from bot.uploads import Upload, Uploads, is_ours
from lora_registry import errors as registry_errors
from lora_registry.addresses import file_name, without_query
from lora_registry.errors import RegistryError
from lora_registry.fetch import AddressRefused, FetchError, Progress
from lora_registry.models import LocalSource, LoraRecord
from lora_registry.revisions import require_family
from lora_registry.weights import LoraInfo, WeightsError, inspect

_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class LoraSources:
    """Everything that a request's LoRAs may be: checks before queueing, prepares before drawing."""

    def __init__(self, folder: LoraFolder, uploads: Uploads, registry: Registry) -> None:
        self._folder = folder
        self._uploads = uploads
        self._registry = registry

    async def check(self, name: str, architecture: ModelName) -> None:
        """Find out quickly, without the network, what is wrong with a LoRA.

        Raises:
            LoraUnavailable: says what, and what to do.
        """
        if (upload := await self._uploads.find(name)) is not None:
            await _inspect(upload, architecture)
        elif self._is_address(name):
            return
        elif (record := await self._record(name)) is not None:
            _require_family(record, architecture)
        else:
            await self._check_folder(name, architecture)

    async def prepare(
        self, ref: LoraRef, architecture: ModelName, report: Report, *, community: str
    ) -> LoraFile:
        """Get the file, reporting (what, fraction); it stays until the current task has ended.

        Raises:
            LoraUnavailable: as for `check`, where it cannot be fetched, or where it is denied.
        """
        try:
            file = await self._file(ref, architecture, report)
            await self._registry.require_allowed(community, file.sha256, file.name)
        except RegistryError as error:
            raise LoraUnavailable(str(error)) from error
        except (FetchError, WeightsError) as error:
            raise _unusable(ref.path, error) from error
        except OSError as error:
            raise LoraUnavailable(
                f"The LoRA {_label(ref.path)} cannot be read ({error.strerror}). Try again later."
            ) from error
        return file

    async def _file(self, ref: LoraRef, architecture: ModelName, report: Report) -> LoraFile:
        if (upload := await self._uploads.find(ref.path, expired=True)) is not None:
            await _inspect(upload, architecture)
            # Whoever has its URL has the file, so a picture's recipe holds only its name.
            return LoraFile(_label(upload.name), upload.sha256, upload.path, ref.scale)
        if self._is_address(ref.path):
            return await self._fetched(ref, architecture, report)
        if (record := await self._record(ref.path)) is not None:
            _require_family(record, architecture)
            return await self._known(record, ref, report)
        await self._check_folder(ref.path, architecture)
        return await self._folder.prepare(ref, architecture, report)

    async def _fetched(self, ref: LoraRef, architecture: ModelName, report: Report) -> LoraFile:
        label = _label(ref.path)

        def require(info: LoraInfo) -> None:
            require_fit(label, info, architecture)

        got = await self._registry.web.get(ref.path, require, _telling(label, report))
        got.loan.until_done(_task())
        name, public = without_query(ref.path), ref.path if got.public else None
        return LoraFile(name, got.loan.sha256, got.loan.path, ref.scale, public)

    async def _known(self, record: LoraRecord, ref: LoraRef, report: Report) -> LoraFile:
        sources = [one.source for one in await self._registry.loras.sources(record.sha256)]
        for source in sources:
            if isinstance(source, LocalSource):
                local = await self._local(source, record, ref, report)
                if local is not None:
                    return local
        loan = await self._registry.library.fetch(record, sources, _telling(record.name, report))
        loan.until_done(_task())
        public = await self._registry.web.public_url(record.sha256, sources)
        return LoraFile(record.name, loan.sha256, loan.path, ref.scale, public)

    async def _local(
        self, source: LocalSource, record: LoraRecord, ref: LoraRef, report: Report
    ) -> LoraFile | None:
        """The file where it lies, if it is still the one that was registered."""
        name = source.path.removesuffix(SUFFIX)
        try:
            file = await self._folder.read(LoraRef(path=name, scale=ref.scale), report)
        except LoraUnavailable:
            return None
        if file.sha256 != record.sha256:
            return None
        return LoraFile(record.name, file.sha256, file.path, ref.scale)

    async def _record(self, name: str) -> LoraRecord | None:
        try:
            return await self._registry.loras.find(name)
        except registry_errors.UnknownLora:
            return None

    async def _check_folder(self, name: str, architecture: ModelName) -> None:
        try:
            await self._folder.check(name, architecture)
        except UnknownLora as error:
            raise await self._advised(name, error) from error

    async def _advised(self, name: str, error: UnknownLora) -> LoraUnavailable:
        """Say more to whoever gave something else than a name, or nearly a name."""
        if is_ours(name):
            return _expired(name)
        near: list[str] = []
        try:
            await self._registry.loras.find(name)
        except registry_errors.UnknownLora as unknown:
            near = [*dict.fromkeys((*error.near, *unknown.near))]
        if not near and _REPOSITORY.fullmatch(name):
            return LoraUnavailable(
                f"There is no LoRA {shown(name)} here. If it is a Hugging Face repository, the "
                f"owner adds it with `atelier lora add {name}`; or give the address of its file."
            )
        return UnknownLora(name, near[:5], error.known)

    def _is_address(self, path: str) -> bool:
        """Whether a LoRA is to be fetched, which must then be allowed."""
        if path[:5].lower() == "data:":
            raise LoraUnavailable(
                "A LoRA inside the request (data:…) is taken only by the fal-compatible endpoint. "
                "Give its name, or the https address of its file."
            )
        if not _URL.match(path):
            return False
        try:
            self._registry.web.check(path)
        except AddressRefused as error:
            if is_ours(path):
                raise _expired(path) from None
            raise _unusable(path, error) from error
        return True


def _task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - coroutines run in tasks
    return task


def _telling(label: str, report: Report) -> Progress:
    def tell(done: int, total: int | None) -> None:
        report(f"downloading the LoRA {label}", done / total if total else None)

    return tell


def _label(path: str) -> str:
    """What people call it: a name, or the name of a file."""
    last = file_name(path) if _URL.match(path) or is_ours(path) else path
    return last.removesuffix(SUFFIX)


def _unusable(path: str, error: Exception) -> LoraUnavailable:
    return LoraUnavailable(f"The LoRA {_label(path)} cannot be used. {error}")


def _require_family(record: LoraRecord, architecture: ModelName) -> None:
    try:
        require_family(record.name, record, architecture, "what would draw it")
    except RegistryError as error:
        raise LoraUnavailable(str(error)) from error


async def _inspect(upload: Upload, architecture: ModelName) -> None:
    name = _label(upload.name)
    try:
        info = await asyncio.to_thread(inspect, upload.path)
    except WeightsError as error:
        raise _unusable(upload.name, error) from error
    except FileNotFoundError as error:
        raise _expired(upload.name) from error
    require_fit(name, info, architecture)


def _expired(reference: str) -> LoraUnavailable:
    return LoraUnavailable(
        f"The uploaded LoRA {_label(reference)} is no longer here: uploads are kept for a few "
        "days. Upload it again."
    )
