"""Presets and their revisions."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.database import DatabaseError
from lora_registry.errors import (
    BadComposition,
    BadName,
    EditConflict,
    NameTaken,
    Refused,
    TooMany,
    UnknownLora,
    UnknownPreset,
    UnknownRevision,
)
from lora_registry.models import PresetBody
from lora_registry.permissions import PUBLIC, Place
from lora_registry.store import HELD_S, Draft
from lora_registry.weights import Family
from tests.lora_registry.world import (
    ANNA,
    AWAY,
    BOB,
    HERE,
    OPERATOR,
    Registry,
    lora,
    registry,
    using,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as world:
        yield world


def says(title: str) -> PresetBody:
    return PresetBody(title=title)


async def test_a_preset_is_made_and_edited_in_revisions(world: Registry) -> None:
    first = await world.presets.create(ANNA, "Dreamy", says("one"), handle="Anna K.")
    assert first.reference == "@anna-k/dreamy@1"
    second = await world.presets.edit(ANNA, first.preset.id, 1, says("two"), "warmer")
    assert (second.rev, second.note, second.author) == (2, "warmer", "anna")
    history = await world.presets.history(ANNA, first.preset.id)
    assert [one.body.title for one in history] == ["two", "one"]
    assert history[1] == await world.presets.revision(ANNA, first.preset.id, 1)


async def test_an_edit_that_changes_nothing_makes_no_revision(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", says("one"))
    assert (await world.presets.edit(ANNA, made.preset.id, 1, says("one"))).rev == 1


async def test_an_edit_of_an_old_head_is_a_conflict_that_says_who_and_what(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", says("one"))
    await world.presets.edit(ANNA, made.preset.id, 1, says("two"), "warmer")
    with pytest.raises(EditConflict, match="anna made revision 2 \\(“warmer”\\)") as caught:
        await world.presets.edit(ANNA, made.preset.id, 1, says("three"))
    assert (caught.value.base, caught.value.head) == (1, 2)
    assert len(await world.presets.history(ANNA, made.preset.id)) == 2


async def test_of_edits_at_the_same_moment_one_wins(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", says("one"))
    edits = [world.presets.edit(ANNA, made.preset.id, 1, says(f"edit {n}")) for n in range(5)]
    results = await asyncio.gather(*edits, return_exceptions=True)
    assert sum(isinstance(result, EditConflict) for result in results) == 4
    assert len(await world.presets.history(ANNA, made.preset.id)) == 2


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12))
def test_whatever_is_edited_and_restored_earlier_revisions_never_change(
    steps: list[tuple[bool, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def work() -> None:
        async with registry(tmp_path_factory.mktemp("world")) as world:
            made = await world.presets.create(ANNA, "dreamy", says("start"))
            bodies = [says("start")]
            for edits, number in steps:
                if edits:
                    wanted = says(f"title {number}")
                    await world.presets.edit(ANNA, made.preset.id, len(bodies), wanted)
                else:
                    rev = number % len(bodies) + 1
                    wanted = bodies[rev - 1]
                    await world.presets.restore(ANNA, made.preset.id, rev, len(bodies))
                if wanted != bodies[-1]:
                    bodies.append(wanted)
                history = await world.presets.history(ANNA, made.preset.id)
                assert [one.body for one in reversed(history)] == bodies
                assert [one.rev for one in reversed(history)] == list(range(1, len(bodies) + 1))
                assert all(one.sha256 == one.body.content_hash() for one in history)
                assert history[0].preset.head == len(bodies)
                [hit] = await world.search.search(ANNA, "dreamy")
                assert (hit.rev, hit.title) == (len(bodies), bodies[-1].title)

    asyncio.run(work())


async def test_the_database_itself_refuses_to_change_or_drop_a_revision(world: Registry) -> None:
    await world.presets.create(ANNA, "dreamy", says("one"))
    for change in ("UPDATE preset_rev SET body = '{}'", "DELETE FROM preset_rev"):
        with pytest.raises(DatabaseError, match="a revision"):
            async with world.database.write() as sql:
                await sql.execute(change)


async def test_a_fork_keeps_where_it_came_from(world: Registry) -> None:
    made = await world.shared("dreamy", title="soft")
    fork = await world.presets.fork(BOB, made.preset.id, 1, "dreamier")
    assert fork.body == made.body
    assert (fork.preset.forked_from, fork.preset.forked_rev) == (made.preset.id, 1)
    await world.presets.delete(ANNA, made.preset.id)
    assert (await world.presets.revision(BOB, fork.preset.id, 1)).body.title == "soft"


async def test_what_one_cannot_see_one_can_neither_fork_nor_edit_nor_find_out(
    world: Registry,
) -> None:
    made = await world.presets.create(ANNA, "dreamy", says("one"))
    for attempt in (
        world.presets.fork(BOB, made.preset.id, 1, "mine"),
        world.presets.edit(BOB, made.preset.id, 1, says("two")),
        world.presets.delete(BOB, made.preset.id),
        world.presets.history(BOB, made.preset.id),
        world.presets.revision(BOB, made.preset.id, 1),
        world.presets.edit(BOB, "no such id", 1, says("two")),
    ):
        with pytest.raises(UnknownPreset):
            await attempt


async def test_others_edit_nothing_that_is_shared_but_may_fork_it(world: Registry) -> None:
    made = await world.shared("dreamy")
    with pytest.raises(Refused, match="fork it"):
        await world.presets.edit(BOB, made.preset.id, 1, says("two"))


async def test_only_approved_revisions_are_there_for_others(world: Registry) -> None:
    made = await world.shared("dreamy", title="one")
    await world.presets.edit(ANNA, made.preset.id, 1, says("two"))
    assert [one.rev for one in await world.presets.history(BOB, made.preset.id)] == [1]
    with pytest.raises(UnknownPreset):
        await world.presets.revision(BOB, made.preset.id, 2)
    with pytest.raises(UnknownRevision, match="no revision 3; the newest is 2"):
        await world.presets.revision(ANNA, made.preset.id, 3)


async def test_the_old_name_leads_to_a_renamed_preset_and_nobody_gets_it(world: Registry) -> None:
    made = await world.shared("dreamy", PUBLIC)
    renamed = await world.presets.rename(ANNA, made.preset.id, "cloudy")
    assert renamed.reference == "@anna/cloudy"
    for name in ("dreamy", "@anna/dreamy@1", "cloudy"):
        assert (await world.resolver.resolve(AWAY, name)).revision.preset.id == made.preset.id
    other = await world.presets.create(BOB, "dreamy", says("mine"))
    with pytest.raises(NameTaken, match="dreamy is taken in public"):
        await world.moderation.publish(BOB, other.preset.id, PUBLIC, 1)
    with pytest.raises(NameTaken, match="once called dreamy"):
        await world.presets.create(ANNA, "dreamy", says("new"))
    back = await world.presets.rename(ANNA, made.preset.id, "dreamy")
    assert back.name == "dreamy"


async def test_a_deleted_preset_leaves_a_name_that_is_held_and_numbers_that_are_used(
    world: Registry,
) -> None:
    made = await world.shared("dreamy", PUBLIC, tags=("veryrareword",))
    await world.presets.edit(ANNA, made.preset.id, 1, says("two"))
    await world.presets.delete(ANNA, made.preset.id)
    assert await world.found(BOB, "dreamy") == await world.found(BOB, "veryrareword") == []
    with pytest.raises(UnknownPreset):
        await world.resolver.resolve(ANNA, "@anna/dreamy@1")
    assert await world.database.row("SELECT 1 FROM preset_rev") is None
    assert await world.database.row("SELECT 1 FROM word WHERE text = 'veryrareword'") is None

    other = await world.presets.create(BOB, "dreamy", says("mine"))
    with pytest.raises(NameTaken):
        await world.moderation.publish(BOB, other.preset.id, PUBLIC, 1)
    world.clock.now += HELD_S + 1
    await world.moderation.publish(BOB, other.preset.id, PUBLIC, 1)

    again = await world.presets.create(ANNA, "dreamy", says("again"))
    assert again.rev == 3


async def test_a_name_belongs_to_one_preset_of_an_owner(world: Registry) -> None:
    await world.presets.create(ANNA, "dreamy", says("one"))
    with pytest.raises(NameTaken, match="You have a preset dreamy already"):
        await world.presets.create(ANNA, "DREAMY", says("two"))
    await world.presets.create(BOB, "dreamy", says("his"))
    with pytest.raises(BadName):
        await world.presets.create(ANNA, "admin", says("x"))


async def test_owners_get_handles_that_cannot_be_confused(world: Registry) -> None:
    one = await world.presets.create(ANNA, "dreamy", says("x"), handle="Max")
    two = await world.presets.create(BOB, "dreamy", says("x"), handle="max")
    assert (one.preset.handle, two.preset.handle) == ("max", "max-2")


async def test_loras_of_a_preset_must_be_known_and_fit_its_model(world: Registry) -> None:
    ghibli = lora("ghibli")
    with pytest.raises(UnknownLora, match="ghibli"):
        await world.presets.create(ANNA, "dreamy", PresetBody(loras=(using(ghibli),)))
    await world.loras.put(ghibli, by="olga")
    with pytest.raises(BadComposition, match=r"ghibli is for FLUX.1; the preset's model is flux-2"):
        await world.presets.create(
            ANNA, "dreamy", PresetBody(model="flux-2", loras=(using(ghibli),))
        )
    body = PresetBody(loras=(using(ghibli, triggers="night"),))
    with pytest.raises(BadComposition, match="no trigger set night; it has: default"):
        await world.presets.create(ANNA, "dreamy", body)
    either = lora("both", family=Family.FLUX_1_OR_KLEIN_4B)
    await world.loras.put(either, by="olga")
    for model in ("flux-1", "flux-2"):
        body = PresetBody.model_validate({"model": model, "loras": (using(either),)})
        await world.presets.create(ANNA, f"both-{model}", body)


async def test_quotas_of_presets_are_said(world: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_registry.store.MOST_PRESETS", 1)
    monkeypatch.setattr("lora_registry.store.MOST_REVISIONS", 1)
    made = await world.presets.create(ANNA, "dreamy", says("one"))
    with pytest.raises(TooMany, match="delete one first"):
        await world.presets.create(ANNA, "cloudy", says("two"))
    with pytest.raises(TooMany, match="fork it"):
        await world.presets.edit(ANNA, made.preset.id, 1, says("two"))


async def test_the_operator_installs_many_or_none(world: Registry) -> None:
    drafts = [
        Draft("instance", "atelier", name, says(name), (PUBLIC, HERE), uses=uses)
        for name, uses in (("dreamy", 1), ("cloudy", 5))
    ]
    with pytest.raises(Refused):
        await world.presets.install(ANNA, drafts)
    await world.presets.install(OPERATOR, drafts)
    assert await world.found(BOB) == ["cloudy", "dreamy"]
    assert (await world.resolver.resolve(AWAY, "@atelier/dreamy")).place == PUBLIC
    more = [Draft("bob", "bob", "misty", says("x"), (PUBLIC,)), drafts[0]]
    with pytest.raises(NameTaken):
        await world.presets.install(OPERATOR, more)
    look_alike = Draft("bob", "bob", "c1oudy", says("x"), (PUBLIC,))
    with pytest.raises(NameTaken):
        await world.presets.install(OPERATOR, [look_alike])
    assert await world.found(BOB, "misty") == []


async def test_an_install_does_not_take_the_name_of_a_deleted_preset(world: Registry) -> None:
    made = await world.shared("dreamy", PUBLIC)
    await world.presets.delete(ANNA, made.preset.id)
    with pytest.raises(NameTaken, match="still kept"):
        await world.presets.install(
            OPERATOR, [Draft("bob", "bob", "dreamy", says("x"), (PUBLIC, Place.community("c")))]
        )
