"""From what people type to a revision."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lora_registry.errors import BadName, Refused, UnknownPreset, UnknownRevision
from lora_registry.models import PresetBody
from lora_registry.permissions import PUBLIC, Place, Rule
from tests.lora_registry.world import (
    ANNA,
    AWAY,
    BOB,
    CURATOR,
    HERE,
    MANAGER,
    OPERATOR,
    Registry,
    registry,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as world:
        yield world


async def test_a_bare_name_is_ones_own_then_the_communitys_then_public(world: Registry) -> None:
    public = await world.shared("dreamy", PUBLIC, by=replace(ANNA, requester="pia"))
    found = await world.resolver.resolve(BOB, "dreamy")
    assert (found.revision, found.place, found.notice) == (public, PUBLIC, None)

    here = await world.shared("dreamy", HERE)
    found = await world.resolver.resolve(BOB, "dreamy")
    assert (found.revision.preset.id, found.place) == (here.preset.id, HERE)
    assert found.notice == (
        "dreamy means the preset of this community; @pia/dreamy has the same name."
    )

    mine = await world.presets.create(BOB, "dreamy", PresetBody())
    found = await world.resolver.resolve(BOB, "Dreamy")
    assert (found.revision, found.place) == (mine, Place.person("bob"))
    assert found.shadowed == ("@anna/dreamy", "@pia/dreamy")
    assert (await world.resolver.resolve(BOB, "@pia/dreamy")).revision == public
    assert (await world.resolver.resolve(AWAY, "dreamy")).revision == public


async def test_one_preset_at_two_places_shadows_nothing(world: Registry) -> None:
    made = await world.shared("dreamy", HERE)
    await world.moderation.publish(ANNA, made.preset.id, PUBLIC, 1)
    await world.moderation.approve(OPERATOR, made.preset.id, PUBLIC, 1)
    assert (await world.resolver.resolve(ANNA, "dreamy")).notice is None


async def test_unpinned_is_the_approved_revision_and_the_owners_head(world: Registry) -> None:
    made = await world.shared("dreamy", title="one")
    await world.presets.edit(ANNA, made.preset.id, 1, PresetBody(title="two"))
    assert (await world.resolver.resolve(BOB, "dreamy")).revision.rev == 1
    assert (await world.resolver.resolve(ANNA, "dreamy")).revision.rev == 2


async def test_pinned_revisions_stay_once_they_were_approved(world: Registry) -> None:
    made = await world.shared("dreamy", title="one")
    preset = made.preset.id
    for rev, title in ((2, "two"), (3, "three")):
        await world.presets.edit(ANNA, preset, rev - 1, PresetBody(title=title))
    await world.moderation.publish(ANNA, preset, HERE, 3)
    await world.moderation.approve(CURATOR, preset, HERE, 3)
    assert (await world.resolver.resolve(BOB, "dreamy")).revision.rev == 3
    for pin in ("1", f"sha256:{made.sha256}", f"sha256:{made.sha256[:8]}"):
        assert (await world.resolver.resolve(BOB, f"@anna/dreamy@{pin}")).revision.rev == 1
    assert (await world.resolver.resolve(ANNA, "dreamy@2")).revision.rev == 2
    for pin in ("2", "4", "sha256:00000000"):
        with pytest.raises(UnknownRevision, match="the one in use is 3"):
            await world.resolver.resolve(BOB, f"dreamy@{pin}")


async def test_a_misspelt_name_gets_near_ones_that_may_be_seen(world: Registry) -> None:
    await world.shared("dreamland", PUBLIC)
    await world.presets.create(ANNA, "dreamboat", PresetBody())
    with pytest.raises(UnknownPreset, match="Did you mean dreamland") as caught:
        await world.resolver.resolve(BOB, "draemland")
    assert caught.value.near == ("dreamland",)
    with pytest.raises(UnknownPreset) as caught:
        await world.resolver.resolve(BOB, "dreambota")
    assert "dreamboat" not in caught.value.near


async def test_what_is_private_pending_or_elsewhere_answers_like_nothing(world: Registry) -> None:
    await world.presets.create(ANNA, "private", PresetBody())
    pending = await world.presets.create(ANNA, "pending", PresetBody())
    await world.moderation.publish(ANNA, pending.preset.id, HERE, 1)
    await world.shared("elsewhere", Place.community("here"))
    answers = set()
    for viewer, name in ((BOB, "private"), (BOB, "pending"), (AWAY, "elsewhere"), (BOB, "nothing")):
        for reference in (name, f"@anna/{name}", f"@anna/{name}@1"):
            with pytest.raises(UnknownPreset) as caught:
                await world.resolver.resolve(viewer, reference)
            answers.add(str(caught.value).replace(reference, "NAME"))
            decision = await world.resolver.explain(viewer, reference)
            assert not decision.allowed
            assert decision.secret
    assert answers == {"There is no preset NAME here. Search for a part of its name."}


async def test_what_can_be_reached_but_not_used_says_why(world: Registry) -> None:
    made = await world.shared("dreamy", nsfw=2)
    with pytest.raises(Refused, match="Its NSFW level is 2; here at most 1 is shown"):
        await world.resolver.resolve(replace(BOB, nsfw_ceiling=1), "dreamy")
    await world.moderation.add_rule(MANAGER, Rule("deny", "preset", made.preset.id, HERE, "spam"))
    with pytest.raises(Refused, match="@anna/dreamy may not be used here: This preset is denied"):
        await world.resolver.resolve(BOB, "dreamy")
    decision = await world.resolver.explain(BOB, "dreamy")
    assert (decision.allowed, decision.secret) == (False, False)


async def test_what_is_denied_gives_way_to_the_next_of_its_name(world: Registry) -> None:
    here = await world.shared("dreamy", HERE)
    public = await world.shared("dreamy", PUBLIC, by=BOB)
    await world.moderation.add_rule(MANAGER, Rule("deny", "preset", here.preset.id, HERE))
    found = await world.resolver.resolve(CURATOR, "dreamy")
    assert (found.revision, found.shadowed) == (public, ())


async def test_a_pinned_revision_is_judged_by_what_it_says_itself(world: Registry) -> None:
    made = await world.shared("dreamy", nsfw=3)
    await world.presets.edit(ANNA, made.preset.id, 1, PresetBody())
    await world.moderation.publish(ANNA, made.preset.id, HERE, 2)
    await world.moderation.approve(CURATOR, made.preset.id, HERE, 2)
    mild = replace(BOB, nsfw_ceiling=1)
    assert (await world.resolver.resolve(mild, "dreamy")).nsfw == 0
    with pytest.raises(Refused):
        await world.resolver.resolve(mild, "dreamy@1")
    assert (await world.resolver.resolve(BOB, "dreamy@1")).nsfw == 3


async def test_what_is_no_reference_is_said(world: Registry) -> None:
    with pytest.raises(BadName, match="dreamy@3"):
        await world.resolver.resolve(BOB, "@@@")
