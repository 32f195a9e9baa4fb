"""The rule of who sees what is one rule, in Python and in SQL."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lora_registry.models import LoraFlag, LoraRecord, PresetBody, Viewer
from lora_registry.permissions import (
    PUBLIC,
    Action,
    Place,
    Publishing,
    Rule,
    may,
)
from lora_registry.search import MOST
from lora_registry.store import Draft
from lora_registry.subjects import listing_state, read_subject
from lora_registry.tables import read_place, rules_for
from lora_registry.visibility import VISIBLE, sight
from tests.lora_registry.world import HERE, OPERATOR, Registry, lora, registry, using

LORAS = [lora(name) for name in ("ghibli", "ink", "glow", "pixel")]
TAGS = ("soft", "dark", "night")
THERE = Place.community("there")
OWNERS = ("anna", "bob")


@dataclass(frozen=True)
class LoraTraits:
    nsfw: int
    flags: frozenset[LoraFlag]


@dataclass(frozen=True)
class Sketch:
    """A preset to be installed."""

    owner: str
    loras: frozenset[LoraRecord]
    tags: frozenset[str]
    nsfw: int
    places: frozenset[Place]


RULES = st.builds(
    Rule,
    st.sampled_from(["deny", "allow"]),
    st.sampled_from(["tag", "lora", "preset", "owner"]),
    st.integers(0, 3).map(str),
    st.sampled_from([PUBLIC, HERE, THERE]),
)
DRAFTS = st.lists(
    st.builds(
        Sketch,
        st.sampled_from(OWNERS),
        st.frozensets(st.sampled_from(LORAS), max_size=2),
        st.frozensets(st.sampled_from(TAGS), min_size=1, max_size=2),
        st.sampled_from([0, 0, 0, 1, 3]),
        st.frozensets(st.sampled_from([HERE, THERE, PUBLIC])),
    ),
    min_size=3,
    max_size=6,
)
TRAITS = st.lists(
    st.builds(
        LoraTraits,
        st.sampled_from([0, 0, 1, 3]),
        st.sampled_from([frozenset(), *(frozenset({flag}) for flag in LoraFlag)]),
    ),
    min_size=len(LORAS),
    max_size=len(LORAS),
)
VIEWERS = st.builds(
    Viewer,
    st.sampled_from(["here", "there", "nowhere"]),
    st.sampled_from([*OWNERS, "carl"]),
    nsfw_ceiling=st.sampled_from([4, 4, 2, 0]),
)


def meant(rule: Rule, ids: tuple[str, ...]) -> Rule:
    """A rule about something that exists, chosen by the number in its value."""
    number = int(rule.value)
    values = {
        "owner": OWNERS[number % len(OWNERS)],
        "lora": LORAS[number].sha256,
        "tag": TAGS[number % len(TAGS)],
        "preset": ids[number % len(ids)],
    }
    return Rule(rule.effect, rule.kind, values[rule.kind], rule.place)


async def visible(world: Registry, viewer: Viewer) -> set[int]:
    seen = await sight(world.database.rows, viewer)
    query = f"SELECT number FROM listing l WHERE {VISIBLE}"
    return {row["number"] for row in await world.database.rows(query, seen.args)}


async def allowed(world: Registry, viewer: Viewer) -> set[int]:
    """The same, one listing after the other, through `may` and the tables that it is told from."""
    rows = world.database.rows
    found = set()
    rules = await rules_for(rows, viewer)
    for row in await rows(
        "SELECT l.*, p.kind, p.id FROM listing l JOIN place p ON p.number = l.place", ()
    ):
        rev = row["rev"] or row["asked"]
        place, state = read_place(row), listing_state(row)
        subject = await read_subject(rows, row["preset"], rev, place, state)
        assert subject is not None
        if may(viewer, Action.USE, subject, rules).allowed:
            found.add(row["number"])
    return found


async def compare(
    folder: Path, drafts: list[Sketch], traits: list[LoraTraits], rules: list[Rule], who: Viewer
) -> None:
    async with registry(folder) as world:
        for record in LORAS:
            await world.loras.put(record, by="olga")
        ids = await world.presets.install(
            OPERATOR,
            [
                Draft(
                    one.owner,
                    one.owner,
                    f"preset-{number}",
                    PresetBody(
                        loras=tuple(using(record) for record in one.loras),
                        tags=tuple(one.tags),
                        nsfw=one.nsfw,
                    ),
                    tuple(one.places),
                )
                for number, one in enumerate(drafts)
            ],
        )
        for record, trait in zip(LORAS, traits, strict=True):
            rated = record.model_copy(update={"nsfw": trait.nsfw, "flags": trait.flags})
            await world.loras.put(rated, by="olga")
        made = [meant(rule, ids) for rule in rules]
        for rule in made:
            await world.moderation.add_rule(OPERATOR, rule)
        for number, rule in enumerate(made):
            if number % 3 == 2:
                await world.moderation.drop_rule(OPERATOR, rule)
        await world.moderation.set_policy(OPERATOR, HERE, Publishing.OPEN, 2)
        if PUBLIC in drafts[0].places:
            await world.moderation.hide(OPERATOR, ids[0], PUBLIC)
        expected = await allowed(world, who)
        assert await visible(world, who) == expected
        shown = {hit.preset for hit in await world.search.search(who, "preset")}
        ids_of = {
            row["number"]: row["id"]
            for row in await world.database.rows(
                "SELECT l.number, p.id FROM listing l JOIN preset p ON p.number = l.preset"
            )
        }
        assert shown == {ids_of[number] for number in expected}
        assert len(shown) < MOST


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_sql_shows_exactly_what_may_allows(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    work = partial(
        compare,
        tmp_path_factory.mktemp("world"),
        data.draw(DRAFTS),
        data.draw(TRAITS),
        data.draw(st.lists(RULES, min_size=2, max_size=6)),
        data.draw(VIEWERS),
    )
    asyncio.run(work())
