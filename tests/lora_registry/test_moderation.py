"""Publishing, approval, hiding, rules, reports, and the log of all that."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.database import DatabaseError
from lora_registry.errors import NameTaken, Refused, UnknownPreset, UnknownRevision
from lora_registry.models import LoraFlag, PresetBody
from lora_registry.permissions import PUBLIC, Place, Publishing, Rule, State
from tests.lora_registry.world import (
    ANNA,
    AWAY,
    BOB,
    CURATOR,
    HERE,
    MANAGER,
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


async def test_a_publication_waits_until_a_curator_approves_it(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", PresetBody(title="one"))
    preset = made.preset.id
    assert await world.moderation.publish(ANNA, preset, HERE, 1) is State.PENDING
    assert await world.found(BOB) == []
    with pytest.raises(Refused, match="curator"):
        await world.moderation.approve(BOB, preset, HERE, 1)
    [waiting] = await world.moderation.waiting(CURATOR, HERE)
    assert (waiting.reference, waiting.rev, waiting.body.title) == ("@anna/dreamy", 1, "one")
    await world.moderation.approve(CURATOR, preset, HERE, waiting.rev)
    assert await world.found(BOB) == ["dreamy"]
    assert await world.found(AWAY) == []
    assert await world.moderation.waiting(CURATOR, HERE) == ()


async def test_the_approved_revision_stays_until_the_next_is_approved(world: Registry) -> None:
    made = await world.shared("dreamy", title="one")
    preset = made.preset.id
    await world.presets.edit(ANNA, preset, 1, PresetBody(title="two"))
    await world.moderation.publish(ANNA, preset, HERE, 2)
    [hit] = await world.search.search(BOB, "dreamy")
    assert (hit.rev, hit.title) == (1, "one")
    await world.presets.edit(ANNA, preset, 2, PresetBody(title="three"))
    await world.moderation.publish(ANNA, preset, HERE, 3)
    with pytest.raises(Refused, match="Revision 2 of dreamy waits no more; revision 3 waits"):
        await world.moderation.approve(CURATOR, preset, HERE, 2)
    await world.moderation.approve(CURATOR, preset, HERE, 3)
    [hit] = await world.search.search(BOB, "dreamy")
    assert (hit.rev, hit.title) == (3, "three")


async def test_a_rejected_publication_tells_nobody_and_frees_the_name(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", PresetBody())
    await world.moderation.publish(ANNA, made.preset.id, HERE, 1)
    await world.moderation.reject(CURATOR, made.preset.id, HERE, "too loud")
    assert await world.found(BOB) == []
    await world.shared("dreamy", by=BOB)
    assert await world.found(BOB, "dreamy") == ["dreamy"]


async def test_an_owner_sees_how_their_preset_stands_and_why(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", PresetBody())
    await world.moderation.publish(ANNA, made.preset.id, HERE, 1)
    own, here = await world.presets.standing(ANNA, made.preset.id)
    assert (own.place, own.state, own.rev) == (Place.person("anna"), State.APPROVED, 1)
    assert (here.place, here.state, here.rev, here.asked) == (HERE, State.PENDING, None, 1)
    await world.moderation.reject(CURATOR, made.preset.id, HERE, "too loud")
    _, here = await world.presets.standing(ANNA, made.preset.id)
    assert (here.state, here.asked, here.reason) == (State.REJECTED, None, "too loud")
    with pytest.raises(UnknownPreset):
        await world.presets.standing(BOB, made.preset.id)


async def test_where_publishing_is_open_nothing_waits(world: Registry) -> None:
    await world.moderation.set_policy(MANAGER, HERE, Publishing.OPEN, 4)
    made = await world.presets.create(ANNA, "dreamy", PresetBody())
    assert await world.moderation.publish(ANNA, made.preset.id, HERE, 1) is State.APPROVED
    assert await world.found(BOB) == ["dreamy"]


async def test_a_look_alike_gets_no_short_name_but_stays_reachable(world: Registry) -> None:
    await world.shared("dreamy-oil", PUBLIC)
    made = await world.presets.create(BOB, "drearny0il", PresetBody())
    preset = made.preset.id
    with pytest.raises(NameTaken, match="drearny0il looks like dreamy-oil, which is taken"):
        await world.moderation.publish(BOB, preset, PUBLIC, 1)
    await world.moderation.publish(BOB, preset, PUBLIC, 1, bare=False)
    await world.moderation.approve(OPERATOR, preset, PUBLIC, 1)
    assert await world.found(AWAY, "drearny0il") == ["@bob/drearny0il"]
    assert (await world.resolver.resolve(AWAY, "@bob/drearny0il")).revision.preset.id == preset
    with pytest.raises(UnknownPreset):
        await world.resolver.resolve(AWAY, "drearny0il")


async def test_what_a_community_installs_gets_its_short_name_there(world: Registry) -> None:
    await world.shared("dreamy", PUBLIC)
    his = await world.shared("dreamy", PUBLIC, by=BOB, bare=False)
    with pytest.raises(Refused, match="manager"):
        await world.moderation.install(CURATOR, "bob")
    with pytest.raises(UnknownPreset):
        await world.moderation.install(MANAGER, "nobody")
    for what in ("bob", his.preset.id):
        assert (await world.resolver.resolve(CURATOR, "dreamy")).revision.author == "anna"
        await world.moderation.install(MANAGER, what)
        found = await world.resolver.resolve(CURATOR, "dreamy")
        assert (found.revision.author, found.shadowed) == ("bob", ("@anna/dreamy",))
        assert sorted(await world.found(CURATOR)) == ["@anna/dreamy", "dreamy"]
        assert (await world.resolver.resolve(AWAY, "dreamy")).revision.author == "anna"
        await world.moderation.install(MANAGER, what, installed=False)


async def test_hidden_is_gone_for_others_until_it_is_shown_again(world: Registry) -> None:
    made = await world.shared("dreamy")
    await world.moderation.hide(CURATOR, made.preset.id, HERE, reason="complaints")
    assert await world.found(BOB) == []
    with pytest.raises(UnknownPreset):
        await world.resolver.resolve(BOB, "dreamy")
    with pytest.raises(Refused, match="hidden here by a curator"):
        await world.moderation.publish(ANNA, made.preset.id, HERE, 1)
    assert await world.found(ANNA) == ["dreamy"]
    await world.moderation.hide(CURATOR, made.preset.id, HERE, hidden=False)
    assert await world.found(BOB) == ["dreamy"]


async def test_a_pinned_preset_comes_first_and_pinning_twice_changes_nothing(
    world: Registry,
) -> None:
    for name in ("cloudy", "dreamy"):
        made = await world.shared(name)
    await world.people.count_uses(
        {(await world.resolver.resolve(BOB, "cloudy")).revision.preset.id: 9}
    )
    assert await world.found(BOB) == ["cloudy", "dreamy"]
    for _ in range(2):
        await world.moderation.pin(CURATOR, made.preset.id, HERE)
    assert await world.found(BOB) == ["dreamy", "cloudy"]
    await world.moderation.pin(CURATOR, made.preset.id, HERE, pinned=False)
    assert await world.found(BOB) == ["cloudy", "dreamy"]


async def test_a_denied_hash_catches_every_preset_and_revision_that_uses_it(
    world: Registry,
) -> None:
    ink = await world.loras.put(lora("ink"), by="olga")
    glow = await world.loras.put(lora("glow"), by="olga")
    made = await world.shared("dreamy", PUBLIC, loras=(using(ink),))
    await world.shared("inky", PUBLIC, loras=(using(glow), using(ink)))
    await world.shared("glowing", PUBLIC, loras=(using(glow),))
    await world.presets.edit(ANNA, made.preset.id, 1, PresetBody(loras=(using(glow),)))
    await world.moderation.publish(ANNA, made.preset.id, PUBLIC, 2)
    await world.moderation.approve(OPERATOR, made.preset.id, PUBLIC, 2)
    rule = Rule("deny", "lora", ink.sha256, HERE, "stolen")
    with pytest.raises(Refused, match="manager"):
        await world.moderation.add_rule(CURATOR, rule)
    await world.moderation.add_rule(MANAGER, rule)
    assert sorted(await world.found(BOB)) == ["dreamy", "glowing"]
    assert sorted(await world.found(AWAY)) == ["dreamy", "glowing", "inky"]
    for name in ("inky", "dreamy@1"):
        with pytest.raises(Refused, match="is denied in this community: stolen"):
            await world.resolver.resolve(BOB, name)
    await world.moderation.drop_rule(MANAGER, rule)
    assert "inky" in await world.found(BOB)


async def test_the_level_of_a_preset_follows_its_loras(world: Registry) -> None:
    ink = await world.loras.put(lora("ink"), by="olga")
    await world.shared("dreamy", loras=(using(ink),), nsfw=1)
    await world.loras.put(lora("ink", nsfw=3), by="olga")
    assert await world.found(replace(BOB, nsfw_ceiling=2)) == []
    [hit] = await world.search.search(BOB, "dreamy")
    assert hit.nsfw == 3
    await world.loras.put(lora("ink", nsfw=3, flags=frozenset({LoraFlag.MINOR})), by="olga")
    assert await world.found(BOB) == []
    assert (await world.resolver.explain(BOB, "dreamy")).reason.endswith("that is never drawn.")


async def test_a_real_person_is_shown_once_the_operator_allows_it(world: Registry) -> None:
    face = await world.loras.put(lora("face", flags=frozenset({LoraFlag.PERSON})), by="olga")
    made = await world.presets.create(ANNA, "portrait", PresetBody(loras=(using(face),)))
    with pytest.raises(Refused, match="real person"):
        await world.moderation.publish(ANNA, made.preset.id, HERE, 1)
    assert await world.found(ANNA) == []
    rule = Rule("allow", "lora", face.sha256, PUBLIC)
    await world.moderation.add_rule(OPERATOR, rule)
    assert await world.found(ANNA) == ["portrait"]
    await world.moderation.drop_rule(OPERATOR, rule)
    assert await world.found(ANNA) == []


async def test_a_ceiling_of_a_place_holds_for_everybody_there(world: Registry) -> None:
    await world.shared("dreamy", PUBLIC, nsfw=2)
    await world.moderation.set_policy(MANAGER, HERE, Publishing.REVIEWED, 1)
    assert await world.found(BOB) == []
    assert await world.found(AWAY) == ["dreamy"]
    with pytest.raises(Refused, match="0 to 4"):
        await world.moderation.set_policy(MANAGER, HERE, Publishing.OPEN, 5)


async def test_only_what_one_owns_is_published_where_one_is(world: Registry) -> None:
    made = await world.presets.create(ANNA, "dreamy", PresetBody())
    with pytest.raises(UnknownPreset):
        await world.moderation.publish(BOB, made.preset.id, HERE, 1)
    with pytest.raises(Refused, match="from within it"):
        await world.moderation.publish(ANNA, made.preset.id, Place.community("elsewhere"), 1)
    with pytest.raises(UnknownRevision):
        await world.moderation.publish(ANNA, made.preset.id, HERE, 7)


async def test_reports_are_for_curators_and_settled_once(world: Registry) -> None:
    made = await world.shared("dreamy")
    preset = made.preset.id
    for _ in range(2):
        await world.moderation.report(BOB, preset, HERE, 1, "looks like my work")
    with pytest.raises(UnknownPreset):
        await world.moderation.report(AWAY, preset, HERE, 1, "what is it?")
    with pytest.raises(Refused):
        await world.moderation.reports(BOB, HERE)
    [report] = await world.moderation.reports(CURATOR, HERE)
    assert (report.reference, report.reporter) == ("@anna/dreamy", "bob")
    with pytest.raises(Refused):
        await world.moderation.settle(BOB, report.number)
    await world.moderation.settle(CURATOR, report.number)
    assert await world.moderation.reports(CURATOR, HERE) == ()
    with pytest.raises(Refused, match="no open report"):
        await world.moderation.settle(CURATOR, report.number)


async def test_every_decision_leaves_a_line_that_nothing_changes(world: Registry) -> None:
    made = await world.shared("dreamy")
    await world.moderation.hide(CURATOR, made.preset.id, HERE, reason="complaints")
    await world.moderation.add_rule(MANAGER, Rule("deny", "tag", "gore", HERE, "no"))
    lines = await world.moderation.log(CURATOR, HERE)
    assert [(line.actor, line.action, line.what) for line in lines] == [
        ("mona", "deny", "tag gore"),
        ("cora", "hide", "@anna/dreamy"),
        ("cora", "approve", "@anna/dreamy"),
    ]
    with pytest.raises(Refused):
        await world.moderation.log(BOB, HERE)
    for change in ("UPDATE moderation SET reason = ''", "DELETE FROM moderation"):
        with pytest.raises(DatabaseError, match="never changes"):
            async with world.database.write() as sql:
                await sql.execute(change)


async def test_the_rules_of_a_place_can_be_read_there(world: Registry) -> None:
    mine = Rule("deny", "tag", "gore", HERE, "no")
    everywhere = Rule("deny", "owner", "bob", PUBLIC, "spam")
    await world.moderation.add_rule(MANAGER, mine)
    await world.moderation.add_rule(OPERATOR, everywhere)
    with pytest.raises(Refused, match="operator"):
        await world.moderation.add_rule(MANAGER, everywhere)
    assert set(await world.moderation.rules(BOB)) == {mine, everywhere}
    assert await world.moderation.rules(AWAY) == (everywhere,)
