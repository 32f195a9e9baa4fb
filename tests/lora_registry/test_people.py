"""Likes, uses, and a person's data."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lora_registry.errors import NameTaken, UnknownPreset
from lora_registry.models import PresetBody, Viewer
from lora_registry.permissions import PUBLIC, Rule
from tests.lora_registry.world import (
    ANNA,
    BOB,
    CURATOR,
    HERE,
    MANAGER,
    Registry,
    lora,
    registry,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as world:
        yield world


async def test_everybody_likes_once_and_may_take_it_back(world: Registry) -> None:
    preset = (await world.shared("dreamy")).preset.id
    assert await world.people.like(BOB, preset, 1) == 1
    assert await world.people.like(BOB, preset, 1) == 1
    assert await world.people.like(CURATOR, preset, 1) == 2
    assert await world.people.like(BOB, preset, 1, liked=False) == 1
    [hit] = await world.search.search(BOB, "dreamy")
    assert hit.likes == 1


async def test_nobody_likes_what_they_cannot_see(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", PresetBody())
    with pytest.raises(UnknownPreset):
        await world.people.like(BOB, made.preset.id, 1)


async def test_uses_are_counted_by_day_and_put_the_most_used_first(world: Registry) -> None:
    one = (await world.shared("cloudy")).preset.id
    two = (await world.shared("dreamy")).preset.id
    await world.people.count_uses({one: 1, two: 2, "gone": 5})
    await world.people.count_uses({two: 1})
    world.clock.now += 86_400
    await world.people.count_uses({two: 4})
    assert await world.found(BOB) == ["dreamy", "cloudy"]
    rows = await world.database.rows("SELECT day, uses FROM usage_daily WHERE preset = 2")
    assert [tuple(row) for row in rows] == [("2027-01-15", 3), ("2027-01-16", 4)]
    [hit, _] = await world.search.search(BOB, "")
    assert hit.uses == 7


async def test_an_export_holds_everything_of_one_person_and_nobody_elses(world: Registry) -> None:
    made = await world.shared("dreamy", title="soft")
    await world.shared("cloudy", by=BOB, title="his")
    bobs = (await world.presets.mine(BOB))[0].id
    await world.people.like(ANNA, bobs, 1)
    await world.moderation.report(ANNA, bobs, HERE, 1, "a reason")
    data = await world.people.export(ANNA)
    assert data["owner"]["handle"] == "anna"
    [preset] = data["presets"]
    assert preset["id"] == made.preset.id
    assert preset["revisions"][0]["body"]["title"] == "soft"
    assert [like["preset"] for like in data["likes"]] == [bobs]
    assert [report["reason"] for report in data["reports"]] == ["a reason"]
    assert "his" not in json.dumps(data)
    assert (await world.people.export(BOB))["likes"] == []


async def test_nothing_names_a_person_once_they_are_erased(world: Registry) -> None:
    boss = Viewer("here", "anna", MANAGER.roles, 4)
    await world.presets.create(ANNA, "annas-plan", PresetBody(tags=("annaword",)))
    made = await world.shared("annas-secret-preset", PUBLIC, title="forked too")
    fork = await world.presets.fork(BOB, made.preset.id, 1, "forked")
    bobs = (await world.shared("cloudy", by=BOB)).preset.id
    await world.people.like(ANNA, bobs, 1)
    await world.people.like(BOB, made.preset.id, 1)
    await world.moderation.report(ANNA, bobs, HERE, 1, "anna says so")
    await world.moderation.report(BOB, made.preset.id, PUBLIC, 1, "hm")
    await world.moderation.add_rule(boss, Rule("deny", "tag", "gore", HERE))
    await world.moderation.install(boss, "bob")
    await world.moderation.hide(boss, bobs, HERE)
    await world.loras.put(lora("ink"), by="anna")
    await world.presets.rename(ANNA, made.preset.id, "annas-other-preset")

    await world.people.erase(ANNA)

    tables = await world.database.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%\\_%' ESCAPE '\\'"
        " OR name IN ('preset_rev', 'lora_source', 'usage_daily', 'preset_tag')"
    )
    assert {"owner", "preset", "listing", "alias", "word", "moderation"} <= {
        row["name"] for row in tables
    }
    for table in (row["name"] for row in tables):
        rows = await world.database.rows(f"SELECT * FROM {table}")
        if table != "alias":  # short names that are held
            assert "anna" not in repr([tuple(row) for row in rows]), table
    assert (await world.presets.revision(BOB, fork.preset.id, 1)).body.title == "forked too"
    assert await world.people.export(ANNA) == {
        "owner": None,
        "presets": [],
        "likes": [],
        "reports": [],
        "reports_about": [],
        "rules_about": [],
        "decisions": [],
        "rules": [],
        "installed": [],
        "loras": [],
    }


async def test_nobody_gets_the_handle_or_the_short_names_of_an_erased_person(
    world: Registry,
) -> None:
    await world.shared("dreamy", PUBLIC)
    await world.people.erase(ANNA)
    made = await world.presets.create(BOB, "dreamy", PresetBody(), handle="anna")
    assert made.preset.handle == "anna-2"
    with pytest.raises(NameTaken):
        await world.moderation.publish(BOB, made.preset.id, PUBLIC, 1)
