"""A whole registry in a folder, with people in it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.database import Database, Migration, load_migrations
from lora_registry.lora_store import LoraStore
from lora_registry.models import LoraRecord, PresetBody, PresetLora, Role, TriggerSet, Viewer
from lora_registry.moderation import ModerationStore
from lora_registry.people import PeopleStore
from lora_registry.permissions import PUBLIC, Place
from lora_registry.resolve import Resolver
from lora_registry.revisions import Revision
from lora_registry.search import Search
from lora_registry.store import PresetStore
from lora_registry.tables import MIGRATIONS
from lora_registry.weights import Family, Layout

INDEXES: Final = ("public_words", "public_parts", "other_words", "other_parts", "word_parts")
HERE: Final = Place.community("here")
ANNA: Final = Viewer("here", "anna", nsfw_ceiling=4)
BOB: Final = Viewer("here", "bob", nsfw_ceiling=4)
AWAY: Final = Viewer("elsewhere", "carl", nsfw_ceiling=4)
CURATOR: Final = Viewer("here", "cora", frozenset({Role.CURATOR}), 4)
MANAGER: Final = Viewer("here", "mona", frozenset({Role.MANAGER}), 4)
OPERATOR: Final = Viewer("elsewhere", "olga", frozenset({Role.OPERATOR}), 4)


class Clock:
    """Goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Registry:
    """Everything that stands on one database."""

    database: Database
    clock: Clock

    def __post_init__(self) -> None:
        self.loras = LoraStore(self.database, self.clock)
        self.presets = PresetStore(self.database, self.clock)
        self.moderation = ModerationStore(self.database, self.clock)
        self.people = PeopleStore(self.database, self.presets, self.clock)
        self.search = Search(self.database)
        self.resolver = Resolver(self.database, self.search, self.clock)

    async def found(self, viewer: Viewer, text: str = "") -> list[str]:
        return [hit.name for hit in await self.search.search(viewer, text)]

    async def shared(
        self, name: str, place: Place = HERE, by: Viewer = ANNA, *, bare: bool = True, **body: Any
    ) -> Revision:
        """A preset that was made, published and approved."""
        made = await self.presets.create(by, name, PresetBody(**body))
        await self.moderation.publish(by, made.preset.id, place, made.rev, bare=bare)
        if place == PUBLIC:
            await self.moderation.approve(OPERATOR, made.preset.id, place, made.rev)
        else:
            await self.moderation.approve(CURATOR, made.preset.id, place, made.rev)
        return made


STEPS: Final = load_migrations(MIGRATIONS)


@asynccontextmanager
async def registry(
    folder: Path, steps: Sequence[Migration] = STEPS
) -> AsyncGenerator[Registry, None]:
    database = await Database.open(folder / "registry.db", steps)
    try:
        yield Registry(database, Clock())
    finally:
        await database.close()


def lora(name: str, **traits: Any) -> LoraRecord:
    """A LoRA whose hash follows from its name."""
    defaults: dict[str, Any] = {
        "sha256": name.encode().hex().ljust(64, "0")[:64],
        "name": name,
        "size": 1_000,
        "family": Family.FLUX_1,
        "layout": Layout.PEFT,
        "rank": 16,
        "triggers": (TriggerSet(words=(f"{name} style",)),),
    }
    return LoraRecord(**{**defaults, **traits})


def using(record: LoraRecord, scale: float = 1.0, **traits: Any) -> PresetLora:
    return PresetLora(sha256=record.sha256, name=record.name, scale=scale, **traits)
