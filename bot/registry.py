"""The registry of this instance, opened: its database, its stores, its files."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backends.local.families import DEMO_LORAS
from bot.database import Database, load_migrations
from bot.fetchers import anonymous_fetcher, guarded_fetcher, with_tokens
from bot.settings import Settings
from lora_registry.address_book import AddressBook
from lora_registry.errors import Refused
from lora_registry.library import Library
from lora_registry.lora_store import LoraStore
from lora_registry.models import LoraFlag, LoraRecord, Viewer
from lora_registry.moderation import ModerationStore
from lora_registry.people import PeopleStore
from lora_registry.permissions import PUBLIC, Action, Subject, may
from lora_registry.resolve import Resolver
from lora_registry.search import Search
from lora_registry.sources.places import KNOWN_HOSTS, Places
from lora_registry.store import PresetStore
from lora_registry.tables import MIGRATIONS, rules_for
from lora_registry.web_loras import WebLoras


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that presets and LoRAs need. Only who holds the data folder's lock starts the
    library; everybody may read and write the stores.
    """

    database: Database
    presets: PresetStore
    loras: LoraStore
    search: Search
    resolver: Resolver
    moderation: ModerationStore
    people: PeopleStore
    places: Places
    library: Library
    web: WebLoras

    async def require_usable(self, viewer: Viewer, record: LoraRecord) -> None:
        """Let pass a LoRA that a viewer names without a preset, by the rules that presets have.

        Raises:
            Refused: says why not.
        """
        subject = Subject(
            preset="",
            owner="",
            place=PUBLIC,
            nsfw=record.nsfw,
            minor=LoraFlag.MINOR in record.flags,
            persons=frozenset({record.sha256} if LoraFlag.PERSON in record.flags else ()),
            loras=frozenset({record.sha256}),
        )
        decision = may(viewer, Action.USE, subject, await rules_for(self.database.rows, viewer))
        if not decision.allowed:
            raise Refused(f"The LoRA {record.name} may not be used here: {decision.reason}")

    async def require_allowed(self, community: str, sha256: str, name: str) -> None:
        """Let pass a file of which nothing but its hash is known, if no rule denies that.

        Raises:
            Refused: says which rule.
        """
        rules = await rules_for(self.database.rows, Viewer(community, requester=""))
        for rule in rules.rules:
            if (rule.effect, rule.kind, rule.value) == ("deny", "lora", sha256):
                why = f": {rule.reason.rstrip('.')}" if rule.reason else ""
                raise Refused(f"The LoRA {name} is denied here{why}.")


@asynccontextmanager
async def open_registry(settings: Settings) -> AsyncGenerator[Registry, None]:
    """Open `registry.db`.

    Raises:
        DatabaseError: it cannot be used; str() says what to do.
    """
    database = await Database.open(settings.registry_db, load_migrations(MIGRATIONS))
    try:
        yield _registry(database, settings)
    finally:
        await database.close()


def _registry(database: Database, settings: Settings) -> Registry:
    fetcher = guarded_fetcher(settings, with_tokens(settings))
    strict = guarded_fetcher(settings, with_tokens(settings), only=KNOWN_HOSTS)
    presets, loras, search = PresetStore(database), LoraStore(database), Search(database)
    places = Places(strict, [settings.lora_dir, DEMO_LORAS])
    library = Library(settings.data_dir / "lora-library", fetcher, places, loras)
    return Registry(
        database=database,
        presets=presets,
        loras=loras,
        search=search,
        resolver=Resolver(database, search),
        moderation=ModerationStore(database),
        people=PeopleStore(database, presets),
        places=places,
        library=library,
        web=WebLoras(library, fetcher, anonymous_fetcher(), AddressBook(database)),
    )
