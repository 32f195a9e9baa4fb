"""What an owner does with LoRAs: bring them in, look at them, check them, take them away.

Whatever is refused is raised as a `RegistryError`, `FetchError` or `WeightsError`, whose text is a
sentence for people.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from bot.lora_folder import LoraFolder
from bot.registry import Registry
from lora_registry.errors import LoraInUse, Refused, RegistryError
from lora_registry.fetch import Progress
from lora_registry.library import StillUsed
from lora_registry.lora_store import LoraSource
from lora_registry.models import LocalSource, LoraRecord, Role, TriggerSet, Viewer
from lora_registry.names import parse_slug, slugify
from lora_registry.sources.candidate import Candidate, trigger_sets
from lora_registry.weights import WeightsError, inspect

_MOST_TRIES: Final = 100


class BadLora(RegistryError):
    """What was said about a LoRA cannot be kept; str() says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """What its adder says of a LoRA; None and empty where the source is to be believed.

    Each of `triggers` is a set of words, `ink drawing, black and white`.
    """

    name: str | None = None
    triggers: tuple[str, ...] = ()
    licence: str | None = None
    nsfw: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A LoRA that could be added; `known` is its record where this instance has it already."""

    candidate: Candidate
    known: LoraRecord | None


@dataclass(frozen=True, slots=True)
class Added:
    """A LoRA that is here now; `new` is False where it was known before."""

    record: LoraRecord
    new: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A LoRA in a list: of the registry, of the LoRA folder, or both.

    `path` is its file in the folder. `record` is None for a file that was not added; `about` then
    says what it is for, or what is wrong with it.
    """

    name: str
    record: LoraRecord | None
    path: Path | None
    about: str


@dataclass(frozen=True, slots=True)
class Details:
    """All that is known of a LoRA; `here` says whether its file is in the library now.

    `presets` are those that have it in one of their revisions, as `@owner/name`.
    """

    record: LoraRecord
    sources: tuple[LoraSource, ...]
    here: bool
    presets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """A file that was hashed anew; `record` is None where no LoRA has this hash any more."""

    sha256: str
    record: LoraRecord | None
    sound: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of a LoRA: its record stays where presets need it.

    `kept_file` says that a job uses the file now.
    """

    record: LoraRecord
    kept_record: bool
    kept_file: bool
    presets: tuple[str, ...]


# --- Bringing in ------------------------------------------------------------------------------


async def find(registry: Registry, viewer: Viewer, reference: str) -> Found:
    """Find out what a reference leads to, before anything is downloaded.

    Raises:
        Refused: the viewer is no operator.
        SourceError, FetchError, WeightsError: it cannot be had, or never be used here.
    """
    _require_operator(viewer)
    candidate = await registry.places.describe(reference)
    known = await registry.loras.get(candidate.sha256) if candidate.sha256 else None
    return Found(candidate, known)


async def add(
    registry: Registry, viewer: Viewer, found: Found, said: Said, on_progress: Progress
) -> Added:
    """Bring a LoRA in, or only another source of one that is here.

    Without a name it gets one after its title. What was said of a known LoRA is changed, the rest
    stays. Nothing is kept of one that fails.

    Raises:
        Refused: the viewer is no operator.
        BadLora, BadName, NameTaken: what was said of it, known before the download.
        FetchError, SourceError, WeightsError, LibraryError: it cannot be had, kept or used.
    """
    _require_operator(viewer)
    await _check_name(registry, said, found.candidate.sha256)
    _with_said(found.known or found.candidate.record("a-lora", "0" * 64), said)
    with await registry.library.add(found.candidate, on_progress) as loan:
        known = await registry.loras.get(loan.sha256)
        record = known
        if record is None:
            name = await _free_name(registry, found.candidate)
            record = found.candidate.record(name, loan.sha256)
        record = _with_said(record, said)
        source = found.candidate.source
        await registry.loras.put(record, source, by=viewer.requester)
        await registry.loras.mark(record.sha256, source)
    return Added(record, new=known is None)


# --- Looking ----------------------------------------------------------------------------------


async def list_loras(registry: Registry, folder: LoraFolder) -> tuple[Listed, ...]:
    """The registry's LoRAs and the folder's files, each once, by name."""
    records = await registry.loras.list()
    files = await asyncio.to_thread(folder.files)
    sources = {
        source.source.path: record.name
        for record in records
        for source in await registry.loras.sources(record.sha256)
        if isinstance(source.source, LocalSource)
    }
    paths = {sources.get(f"{name}.safetensors"): path for name, path in files.items()}
    listed = [Listed(one.name, one, paths.get(one.name), one.family.label) for one in records]
    for name, path in files.items():
        if f"{name}.safetensors" not in sources:
            about = await asyncio.to_thread(_about, path)
            listed.append(Listed(name, None, path, about))
    return tuple(sorted(listed, key=lambda one: one.name))


async def show(registry: Registry, name: str) -> Details:
    """All that is known of a LoRA, by its name or 8 digits and more of its hash.

    Raises:
        UnknownLora: with near names.
    """
    record = await registry.loras.find(name)
    files = {file.sha256 for file in await registry.library.files()}
    return Details(
        record=record,
        sources=await registry.loras.sources(record.sha256),
        here=record.sha256 in files,
        presets=await registry.loras.used_by(record.sha256),
    )


async def verify(registry: Registry, name: str | None = None) -> AsyncIterator[Verified]:
    """Hash the files anew, one by one; a damaged one is thrown away and fetched when needed.

    Raises:
        UnknownLora: no LoRA has this name.
    """
    only = None if name is None else [(await registry.loras.find(name)).sha256]
    async for file in registry.library.verify(only):
        record = await registry.loras.get(file.sha256)
        yield Verified(file.sha256, record, file.sound)


# --- Taking away ------------------------------------------------------------------------------


async def remove(
    registry: Registry, viewer: Viewer, name: str, *, despite_presets: bool = False
) -> Removed:
    """Forget a LoRA and throw its file away.

    What presets need is refused, unless `despite_presets`: then only the file goes, since their
    revisions keep naming the LoRA, and whoever draws with them fetches it again.

    Raises:
        Refused: the viewer is no operator.
        UnknownLora: with near names.
        LoraInUse: presets need it; says which.
    """
    _require_operator(viewer)
    record = await registry.loras.find(name)
    presets = await registry.loras.used_by(record.sha256)
    if presets and not despite_presets:
        raise LoraInUse(f"{record.name} is part of {_listed(presets)}; take it out of them first.")
    if not presets:
        await registry.loras.remove(record.sha256)
    try:
        await registry.library.remove(record.sha256)
    except StillUsed:
        return Removed(record, bool(presets), kept_file=True, presets=presets)
    return Removed(record, bool(presets), kept_file=False, presets=presets)


# --- Steps ------------------------------------------------------------------------------------


def _require_operator(viewer: Viewer) -> None:
    if Role.OPERATOR not in viewer.roles:
        raise Refused("Only the operator of this Atelier adds and removes LoRAs.")


def _with_said(record: LoraRecord, said: Said) -> LoraRecord:
    changes = {
        "name": None if said.name is None else parse_slug(said.name, reserved=True),
        "triggers": _triggers(said.triggers) or None,
        "licence": said.licence,
        "nsfw": said.nsfw,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return LoraRecord.model_validate({**record.model_dump(), **given})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0]) if error.errors()[0]["loc"] else "LoRA"
        allowed = {
            "nsfw": "use 0 to 4",
            "licence": "use one line of at most 120 characters",
        }.get(field, "use at most 20 sets of at most 20 words, each of at most 80 characters")
        raise BadLora(f"This {field} cannot be kept; {allowed}.") from None


def _triggers(lists: tuple[str, ...]) -> tuple[TriggerSet, ...]:
    """One set for each list, unlike a site's, where single words belong together."""
    sets = [found[0] for text in lists if (found := trigger_sets([text]))]
    return tuple(
        TriggerSet(name="default" if number == 1 else f"set-{number}", words=one.words)
        for number, one in enumerate(sets, start=1)
    )


async def _check_name(registry: Registry, said: Said, sha256: str | None) -> None:
    """Say that a name is taken before the download, where that is known."""
    if said.name is None:
        return
    name = parse_slug(said.name, reserved=True)
    other = next((one for one in await registry.loras.list() if one.name == name), None)
    if other is not None and sha256 is not None and other.sha256 != sha256:
        raise BadLora(f"Another LoRA is called {name}; choose another --name.")


async def _free_name(registry: Registry, candidate: Candidate) -> str:
    """A name after the title that no other LoRA has."""
    base = slugify(candidate.title) or "lora-1"
    taken = {one.name for one in await registry.loras.list()}
    tails = ("", *(f"-{number}" for number in range(2, _MOST_TRIES)))
    for tail in tails:
        name = f"{base[: 39 - len(tail)]}{tail}"
        if name not in taken:
            return name
    raise BadLora(f"{base} and {_MOST_TRIES} names like it are taken; choose one with --name.")


def _about(path: Path) -> str:
    try:
        return inspect(path).family.label
    except (WeightsError, OSError) as error:
        return str(error)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more presets" if len(names) > 5 else shown
