"""Where a LoRA comes from, by the form of `loras[].path`.

a URL or path of our own upload storage     the stored file, never fetched
https://…, http://… of a trusted host       downloaded once
anything else                               a name in the LoRA folder
"""

import asyncio
import re
from typing import Final

from backends.base import LoraFile, LoraRef, ModelName
from backends.errors import shown
from bot.jobs.supervisor import LoraUnavailable, Report
from bot.lora_downloads import LoraDownloads, file_name, without_query
from bot.lora_folder import LoraFolder, UnknownLora, require_fit
from bot.uploads import Upload, Uploads, is_ours
from lora_registry.weights import WeightsError, inspect

_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class LoraSources:
    """Everything that a request's LoRAs may be: checks before queueing, prepares before drawing."""

    def __init__(self, folder: LoraFolder, uploads: Uploads, downloads: LoraDownloads) -> None:
        self._folder = folder
        self._uploads = uploads
        self._downloads = downloads

    async def check(self, name: str, architecture: ModelName) -> None:
        """Find out quickly, without the network, what is wrong with a LoRA.

        Raises:
            LoraUnavailable: says what, and what to do.
        """
        if (upload := await self._uploads.find(name)) is not None:
            await _inspect(upload, architecture)
        elif self._is_address(name):
            return
        else:
            try:
                await self._folder.check(name, architecture)
            except UnknownLora as error:
                raise _advised(name, error) from error

    async def prepare(self, ref: LoraRef, architecture: ModelName, report: Report) -> LoraFile:
        """Get the file, reporting (what, fraction).

        Raises:
            LoraUnavailable: as for `check`, and where it cannot be fetched.
        """
        if (upload := await self._uploads.find(ref.path, expired=True)) is not None:
            await _inspect(upload, architecture)
            # Whoever has its URL has the file, so a picture's recipe holds only its name.
            return LoraFile(file_name(upload.name), upload.sha256, upload.path, ref.scale)
        if self._is_address(ref.path):
            got = await self._downloads.get(ref.path, architecture, report)
            public_url = ref.path if got.public else None
            return LoraFile(without_query(ref.path), got.sha256, got.path, ref.scale, public_url)
        try:
            return await self._folder.prepare(ref, architecture, report)
        except UnknownLora as error:
            raise _advised(ref.path, error) from error

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
            self._downloads.check(path)
        except LoraUnavailable:
            if is_ours(path):
                raise _expired(path) from None
            raise
        return True


async def _inspect(upload: Upload, architecture: ModelName) -> None:
    name = file_name(upload.name)
    try:
        info = await asyncio.to_thread(inspect, upload.path)
    except WeightsError as error:
        raise LoraUnavailable(f"The LoRA {name} cannot be used. {error}") from error
    except FileNotFoundError as error:
        raise _expired(upload.name) from error
    require_fit(name, info, architecture)


def _expired(reference: str) -> LoraUnavailable:
    return LoraUnavailable(
        f"The uploaded LoRA {file_name(reference)} is no longer here: uploads are kept for a few "
        "days. Upload it again."
    )


def _advised(name: str, error: UnknownLora) -> LoraUnavailable:
    """Say more to whoever gave something else than a name."""
    if is_ours(name):
        return _expired(name)
    if not error.near and _REPOSITORY.fullmatch(name):
        return LoraUnavailable(
            f"There is no LoRA {shown(name)} here. If it is a Hugging Face repository, give the "
            f"address of its file: https://huggingface.co/{name}/resolve/main/FILE.safetensors."
        )
    return error
