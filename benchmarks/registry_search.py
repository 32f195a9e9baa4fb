"""How fast a preset is found among many, while somebody types.

    python -m benchmarks.registry_search [--presets 100000] [--queries 300] [--folder FOLDER]

The presets are made by the real store, the queries go through the real search, visibility rules
and deny lists included: 70 % of the presets are public, 20 % belong to one of 50 communities, 10 %
to their owner alone. Words follow Zipf's law. The cache is warm, an answer has up to 25 presets.
The baseline is a plain `LIKE` on the names in the same file under the same rules.
"""

import argparse
import asyncio
import hashlib
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.database import Database, load_migrations
from lora_registry.lora_store import LoraStore
from lora_registry.models import LoraRecord, PresetBody, PresetLora, Role, Viewer
from lora_registry.moderation import ModerationStore
from lora_registry.names import skeleton
from lora_registry.permissions import PUBLIC, Place, Rule
from lora_registry.resolve import Resolver
from lora_registry.search import MOST, Search
from lora_registry.store import Draft, PresetStore
from lora_registry.tables import MIGRATIONS
from lora_registry.visibility import VISIBLE, sight
from lora_registry.weights import Family, Layout

BATCH = 5_000
OPERATOR = Viewer("0", "operator", frozenset({Role.OPERATOR}), 4)
VIEWER = Viewer("1", "owner 1", nsfw_ceiling=2)
SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "ai", "on")]
LORAS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(500)]


@dataclass(frozen=True)
class Known:
    """A preset that the viewer sees."""

    name: str
    title: str


class World:
    """Presets that follow from a seed."""

    def __init__(self, presets: int) -> None:
        self.random = random.Random(1)
        count = max(2_000, presets // 8)
        words = {
            "".join(self.random.choices(SYLLABLES, k=self.random.randint(2, 4)))
            for _ in range(count)
        }
        self.words = sorted(words)
        self.random.shuffle(self.words)
        self.weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(words))))
        self.names: set[str] = set()
        self.known: list[Known] = []

    def drafts(self, count: int, owners: int) -> Iterator[Draft]:
        for number in range(count):
            owner = f"owner {self.random.randrange(owners)}"
            name, title = self.name(), " ".join(self.some(3)).title()
            where = self.random.random()
            community = str(self.random.randrange(50))
            places = (PUBLIC,) if where < 0.7 else (Place.community(community),)
            loras = [
                PresetLora(sha256=sha256, name=f"lora-{sha256:.6}", scale=0.8)
                for sha256 in self.random.sample(LORAS, self.random.randint(1, 3))
            ]
            body = PresetBody(
                title=title,
                loras=tuple(loras),
                tags=tuple(word[:30] for word in self.some(3)),
                nsfw=self.random.choice([0, 0, 0, 1, 2, 3]),
                template=f"{title}, {{prompt}}",
                steps=28,
            )
            if places == (PUBLIC,) and number % 20 == 0:
                self.known.append(Known(name, title.lower()))
            uses = int(1_000 / (1 + self.random.random() * 1_000))
            yield Draft(
                owner, owner.replace(" ", "-"), name, body, places if where < 0.9 else (), uses=uses
            )

    def name(self) -> str:
        while True:
            name = "-".join(self.some(2))[:34]
            if skeleton(name) in self.names:
                name = f"{name}-{self.random.choice(self.words)}"[:39]
            if skeleton(name) not in self.names:
                self.names.add(skeleton(name))
                return name

    def some(self, count: int) -> list[str]:
        return self.random.choices(self.words, cum_weights=self.weights, k=count)

    def misspelt(self, word: str) -> str:
        at = self.random.randrange(1, len(word) - 1)
        return self.random.choice(
            (
                word[:at] + word[at + 1 :],
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + "x" + word[at + 1 :],
            )
        )


async def build(database: Database, world: World, presets: int) -> float:
    """Fill the registry; returns the seconds that it took."""
    loras, store = LoraStore(database), PresetStore(database)
    for number, sha256 in enumerate(LORAS):
        await loras.put(
            LoraRecord(
                sha256=sha256,
                name=f"lora-{sha256:.12}",
                size=1,
                family=Family.FLUX_1,
                layout=Layout.PEFT,
                nsfw=3 if number % 10 == 0 else 0,
            ),
            by="operator",
        )
    began = time.perf_counter()
    for batch in batches(world.drafts(presets, max(50, presets // 20))):
        await store.install(OPERATOR, batch)
    seconds = time.perf_counter() - began
    moderation = ModerationStore(database)
    denied = [("lora", sha256) for sha256 in LORAS[1:21]]
    denied += [("owner", f"owner {number}") for number in range(2, 12)]
    denied += [("tag", word) for word in world.words[50:60]]
    for number, (kind, value) in enumerate(denied):
        place = PUBLIC if number % 2 else Place.community(VIEWER.community)
        rule = Rule("deny", kind, value, place)  # type: ignore[arg-type]
        await moderation.add_rule(OPERATOR, rule)
    return seconds


def batches(drafts: Iterator[Draft]) -> Iterator[Sequence[Draft]]:
    while batch := list(itertools.islice(drafts, BATCH)):
        yield batch


async def like(database: Database, text: str) -> object:
    """The baseline: look through all names."""
    seen = await sight(database.rows, VIEWER)
    query = (
        f"SELECT l.preset, l.rev, l.slug FROM listing l WHERE l.slug LIKE ?4 AND {VISIBLE}"
        f" ORDER BY l.score DESC LIMIT {MOST}"
    )
    return await database.rows(query, (*seen.args, f"%{text}%"))


def queries(world: World, count: int) -> dict[str, list[str]]:
    """What is typed, by kind. Every text comes from a preset that is there."""
    some = [world.random.choice(world.known) for _ in range(count)]
    inner = [known.name.split("-")[1] for known in some]
    return {
        "nothing yet": [""] * count,
        "exact name": [known.name for known in some],
        "prefix, 1 letter": [known.name[:1] for known in some],
        "prefix, 2 letters": [known.name[:2] for known in some],
        "prefix, 3 letters": [known.name[:3] for known in some],
        "prefix, 5 letters": [known.name[:5] for known in some],
        "any word, 2 to 4 letters": [
            known.title.split()[1][: world.random.randint(2, 4)] for known in some
        ],
        "two words, one a prefix": [" ".join(known.title.split()[1:])[:-2] for known in some],
        "substring": [word[1:5] for word in inner],
        "misspelt": [world.misspelt(max(known.name.split("-"), key=len)) for known in some],
        "misspelt, two words": [
            f"{world.misspelt(known.title.split()[0])} {known.title.split()[1]}" for known in some
        ],
    }


async def timed(kind: str, texts: Sequence[str], ask: Callable[[str], Awaitable[object]]) -> None:
    for text in texts[:20]:
        await ask(text)
    times = []
    for text in texts:
        began = time.perf_counter()
        await ask(text)
        times.append((time.perf_counter() - began) * 1e3)
    cuts = statistics.quantiles(times, n=100)
    print(f"| {kind} | {cuts[49]:.2f} | {cuts[94]:.2f} | {cuts[98]:.2f} |", flush=True)


async def run(folder: Path, presets: int, count: int) -> None:
    path = folder / "registry.db"
    database = await Database.open(path, load_migrations(MIGRATIONS))
    try:
        world = World(presets)
        seconds = await build(database, world, presets)
        [size] = await database.rows(
            "SELECT page_count * page_size / 1e6 FROM pragma_page_count(), pragma_page_size()"
        )
        print(f"{presets:,} presets in {seconds:.0f} s, {size[0]:.0f} MB, times in ms\n")
        print("| query | p50 | p95 | p99 |\n|---|---|---|---|")
        search = Search(database)
        resolver = Resolver(database, search)
        kinds = queries(world, count)
        for kind, texts in kinds.items():
            await timed(kind, texts, lambda text: search.search(VIEWER, text))
        await timed("resolve a name", kinds["exact name"], lambda t: resolver.explain(VIEWER, t))
        some = kinds["substring"][: max(20, count // 10)]
        await timed("LIKE, baseline of substring", some, lambda text: like(database, text))
        found = 0
        for text, known in zip(kinds["misspelt"], kinds["exact name"], strict=True):
            words = {
                word for hit in await search.search(VIEWER, text) for word in hit.name.split("-")
            }
            found += max(known.split("-"), key=len) in words
        print(f"\nmisspelt words whose word was found: {found} of {count}")
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--presets", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=None, help="on which disk to measure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        asyncio.run(run(Path(name), args.presets, args.queries))


if __name__ == "__main__":
    main()
