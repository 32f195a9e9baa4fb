"""LoRAs by name, from the owner's folder and those that come with the demo model.

A name is a file's name without `.safetensors`, with the folders before it if there are any. Only
files that a listing of these folders shows can be named, so no name leads anywhere else.
"""

import asyncio
import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backends.base import LoraFile, LoraRef, ModelName
from backends.errors import shown
from bot.jobs.supervisor import LoraUnavailable, Report
from lora_registry.weights import LoraInfo, WeightsError, WrongModel, inspect

SUFFIX: Final = ".safetensors"
_CHUNK: Final = 8 * 2**20
_MOST_LISTED: Final = 10_000


class UnknownLora(LoraUnavailable):
    """There is no LoRA of this name; `near` are names that look like it."""

    def __init__(self, name: str, near: Sequence[str], known: int) -> None:
        if near:
            advice = f"Did you mean {' or '.join(near)}?"
        elif known:
            advice = "`atelier lora list` lists those that are here."
        else:
            advice = f"There are none here yet: put {SUFFIX} files into the LoRA folder."
        super().__init__(f"There is no LoRA {shown(name)}. {advice}")
        self.near = tuple(near)
        self.known = known


@dataclass(frozen=True, slots=True)
class _Version:
    """A file as it was when it was read: another size, time or inode is another file."""

    path: Path
    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "_Version":
        stat = path.stat()
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


class LoraFolder:
    """A `LoraSource` over folders; the first folder wins where two have the same name."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._hashes: dict[_Version, str] = {}
        self._infos: dict[_Version, LoraInfo] = {}
        self._hashing = asyncio.Lock()

    def files(self) -> dict[str, Path]:
        """Every LoRA's file by its name. Reads the folders: call it in a thread."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            for root, folders, names in os.walk(folder):
                folders.sort()
                for name in sorted(names):
                    path = Path(root, name)
                    if _is_ours(path):
                        label = path.relative_to(folder).with_suffix("").as_posix()
                        found.setdefault(label, path)
                    if len(found) == _MOST_LISTED:
                        return found
        return found

    async def check(self, name: str, architecture: ModelName) -> None:
        """Make sure that a LoRA is there and made for this architecture, before queueing.

        Raises:
            LoraUnavailable: says what is wrong, with near matches for a misspelt name.
        """
        await asyncio.to_thread(self._inspect, name, architecture)

    async def prepare(self, ref: LoraRef, architecture: ModelName, report: Report) -> LoraFile:
        """Find, check and hash a file; the hash is remembered until the file changes.

        Raises:
            LoraUnavailable: as for `check`.
        """
        await asyncio.to_thread(self._inspect, ref.path, architecture)
        return await self.read(ref, report)

    async def read(self, ref: LoraRef, report: Report) -> LoraFile:
        """Find and hash a file, whatever it holds.

        Raises:
            LoraUnavailable: there is none of this name, or it cannot be read.
        """
        version = await asyncio.to_thread(self._find, ref.path)
        async with self._hashing:
            if version not in self._hashes:
                report(f"reading the LoRA {ref.path}", None)
                try:
                    self._hashes[version] = await asyncio.to_thread(_sha256, version.path)
                except OSError as error:
                    raise _unreadable(ref.path, error) from error
        return LoraFile(ref.path, self._hashes[version], version.path, ref.scale)

    def _inspect(self, name: str, architecture: ModelName) -> _Version:
        version = self._find(name)
        try:
            if version not in self._infos:
                self._infos[version] = inspect(version.path)
        except WeightsError as error:
            raise LoraUnavailable(f"The LoRA {name} cannot be used. {error}") from error
        except OSError as error:
            raise _unreadable(name, error) from error
        require_fit(name, self._infos[version], architecture)
        return version

    def _find(self, name: str) -> _Version:
        files = self.files()
        wanted = name.removesuffix(SUFFIX)
        folded = {label.casefold(): label for label in files}
        label = wanted if wanted in files else folded.get(wanted.casefold())
        if label is None:
            near = difflib.get_close_matches(wanted.casefold(), folded, n=3)
            raise UnknownLora(name, [folded[key] for key in near], len(files))
        try:
            return _Version.of(files[label])
        except OSError:
            raise UnknownLora(name, [], len(files) - 1) from None


def require_fit(name: str, info: LoraInfo, architecture: ModelName) -> None:
    """Let pass what may fit.

    Raises:
        LoraUnavailable: says for which model it is.
    """
    try:
        info.require_model(architecture)
    except WrongModel as error:
        raise LoraUnavailable(
            f"The LoRA {name} is for {info.family.label}; this would be drawn with {architecture}. "
            "Choose another LoRA or model."
        ) from error


def _is_ours(path: Path) -> bool:
    named = path.name.endswith(SUFFIX) and not path.name.startswith(".")
    # Unlike `Path.is_file`, this says no to a link into a locked folder, for the sake of the rest.
    return named and os.path.isfile(path)  # noqa: PTH113


def _unreadable(name: str, error: OSError) -> LoraUnavailable:
    why = (error.strerror or "no reason given").lower()
    return LoraUnavailable(
        f"The LoRA {name} cannot be read ({why}); its file must be readable for the user who runs "
        f"Atelier."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
