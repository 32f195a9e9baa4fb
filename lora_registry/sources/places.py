"""Every place that a LoRA may come from, behind one question: what is this?"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from lora_registry.fetch import GuardedFetcher
from lora_registry.models import (
    CivitaiSource,
    FalSource,
    HttpsSource,
    HuggingFaceSource,
    LocalSource,
    Source,
)
from lora_registry.sources import civitai, huggingface
from lora_registry.sources._asking import read_info
from lora_registry.sources.candidate import Candidate, Claims, NotThere, require_usable
from lora_registry.sources.files import local_file, trained_file, web_file
from lora_registry.sources.reference import (
    CivitaiRef,
    FalRef,
    HuggingFaceRef,
    LocalRef,
    LoraReference,
    WebRef,
    parse_lora_reference,
)
from lora_registry.weights import LoraInfo, inspect

KNOWN_HOSTS: Final = frozenset(
    {
        "huggingface.co",
        "hf.co",  # its content networks: cas-bridge.xethub.hf.co, cdn-lfs-us-1.hf.co, …
        "civitai.com",  # and b2.civitai.com
        "civitai.red",
        "5ac0637cfd0766c97916cefa3764fbdf.r2.cloudflarestorage.com",  # Civitai's own account there
        "fal.media",  # v3.fal.media, v3b.fal.media, …
    }
)
"""Sites, with their subdomains, that LoRAs are fetched from unless the owner allows more."""


class Places:
    """Looks LoRAs up. `folders` are the only ones whose files may be named."""

    def __init__(self, fetcher: GuardedFetcher, folders: Sequence[Path]) -> None:
        self._fetcher = fetcher
        self._folders = tuple(folder.absolute() for folder in folders)

    async def describe(self, reference: LoraReference | str) -> Candidate:
        """Find out all that can be known before the download: at most the file's header is read.

        Raises:
            SourceError: nothing is there, it cannot be used, or a file must be chosen.
            FetchError: the place cannot be asked.
            WeightsError: the file is no LoRA, or a damaged one.
        """
        if isinstance(reference, str):
            reference = parse_lora_reference(reference)
        with _odd_answers_told():
            source, claims, path = await self._find(reference)
        if path is None:
            info = await read_info(self._fetcher, remote_url(source))
        else:
            info = await asyncio.to_thread(_inspect, path)
        require_usable(info)
        return Candidate(source, claims, info, path)

    async def find_elsewhere(self, sha256: str) -> Source | None:
        """Another place that has the file with this hash, as far as anybody can be asked.

        Raises:
            FetchError, SourceError: nobody answers.
        """
        with _odd_answers_told():
            return await civitai.find(self._fetcher, sha256)

    def local_paths(self, source: LocalSource) -> list[Path]:
        """The files that a local source may mean, in each folder at most one. Blocks."""
        paths = (folder / source.path for folder in self._folders)
        return [path for path in paths if path.is_file()]

    async def _find(self, reference: LoraReference) -> tuple[Source, Claims, Path | None]:
        match reference:
            case HuggingFaceRef():
                return *await huggingface.look_up(self._fetcher, reference), None
            case CivitaiRef():
                return *await civitai.look_up(self._fetcher, reference), None
            case FalRef():
                return *await trained_file(self._fetcher, reference), None
            case WebRef():
                return *web_file(reference), None
            case LocalRef():
                return await asyncio.to_thread(local_file, self._folders, reference)


def _inspect(path: Path) -> LoraInfo:
    try:
        return inspect(path)
    except OSError as error:
        why = (error.strerror or "no reason given").lower()
        raise NotThere(
            f"{path.name} cannot be read ({why}); its file must be readable for the user who runs "
            "Atelier."
        ) from error


@contextlib.contextmanager
def _odd_answers_told() -> Iterator[None]:
    """Say it when a site sends numbers or names that no source can have."""
    try:
        yield
    except ValidationError as error:
        raise NotThere(
            "The answer of the site is of another form than expected. Try again later."
        ) from error


def remote_url(source: Source) -> str:
    """Where the bytes of a source are that is not on this machine."""
    match source:
        case HuggingFaceSource():
            return huggingface.file_url(source)
        case CivitaiSource():
            return civitai.file_url(source)
        case HttpsSource() | FalSource():
            return source.url
        case LocalSource():
            raise ValueError("a local file has no address")
