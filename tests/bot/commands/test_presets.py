"""What people may do with presets, through the real registry."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.commands import presets
from bot.commands.presets import Liking, differences
from bot.registry import Registry
from lora_registry.errors import (
    BadName,
    EditConflict,
    Refused,
    UnknownPreset,
    UnknownRevision,
)
from lora_registry.models import (
    LoraRecord,
    PictureSize,
    PresetBody,
    PresetLora,
    Role,
    TriggerSet,
    Viewer,
)
from lora_registry.permissions import PUBLIC, Action, Place, PlaceKind, Rule
from tests.bot.registries import ANNA, BOB, opened
from tests.lora_registry import world

HERE = Place.community("here")
CORA = Viewer("here", "cora", frozenset({Role.CURATOR, Role.MANAGER}), 4)
OLGA = Viewer("here", "olga", frozenset({Role.OPERATOR}), 4)
INK: LoraRecord = world.lora(
    "ink", triggers=(TriggerSet(words=("ink style",)), TriggerSet(name="wash", words=("wash",)))
)
OIL = world.lora("oil", nsfw=2)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        for record in (INK, OIL):
            await registry.loras.put(record, by="olga")
        yield registry


def using(record: LoraRecord, scale: float = 1.0, triggers: str | None = None) -> PresetLora:
    return PresetLora(sha256=record.sha256, name=record.name, scale=scale, triggers=triggers)


async def listed(registry: Registry, viewer: Viewer) -> list[tuple[str, str, int]]:
    entries = await presets.list_presets(registry, viewer)
    return [(one.name, one.place, one.nsfw) for one in entries]


async def share(registry: Registry, name: str, place: Place = HERE) -> None:
    head = await presets.whole(registry, ANNA, name)
    await registry.moderation.publish(ANNA, head.preset.id, place, head.rev)
    await registry.moderation.approve(OLGA, head.preset.id, place, head.rev)


# --- Looking ----------------------------------------------------------------------------------


async def test_a_list_has_the_own_ones_first_and_then_what_others_share(
    registry: Registry,
) -> None:
    body = PresetBody(loras=(using(OIL),))
    for name in ("zebra", "dreamy"):
        await presets.create(registry, ANNA, name, body, handle="anna")
    await presets.create(registry, BOB, "bold", PresetBody(), handle="bob")
    await share(registry, "dreamy")

    assert await listed(registry, ANNA) == [("dreamy", "person", 2), ("zebra", "person", 2)]
    assert await listed(registry, BOB) == [("bold", "person", 0), ("dreamy", "community", 2)]
    assert await listed(registry, replace(BOB, nsfw_ceiling=1)) == [("bold", "person", 0)]


async def test_a_search_forgives_a_typing_error(registry: Registry) -> None:
    await presets.create(registry, ANNA, "watercolour", PresetBody(title="Wet paper"))
    assert [x.name for x in await presets.search(registry, ANNA, "watercolor")] == ["watercolour"]
    assert [x.name for x in await presets.search(registry, ANNA, "pap")] == ["watercolour"]
    assert await presets.search(registry, BOB, "watercolour") == ()


async def test_details_say_what_is_added_and_who_may_use_it(registry: Registry) -> None:
    body = PresetBody(loras=(using(INK, 0.5, "wash"), using(OIL, triggers="none")))
    made = await presets.create(registry, ANNA, "dreamy", body, handle="anna")

    shown = await presets.show(registry, ANNA, "Dreamy")
    assert (shown.name, shown.revision) == ("dreamy", made)
    assert [one.words for one in shown.loras] == [("wash",), ()]
    assert (shown.nsfw, shown.audience) == (2, PlaceKind.PERSON)

    await share(registry, "dreamy")
    assert (await presets.show(registry, BOB, "dreamy")).audience is PlaceKind.COMMUNITY
    await share(registry, "dreamy", PUBLIC)
    assert (await presets.show(registry, BOB, "dreamy")).audience is PlaceKind.PUBLIC


async def test_what_is_denied_is_refused_with_the_reason(registry: Registry) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody(loras=(using(INK),)))
    await share(registry, "dreamy")
    await registry.moderation.add_rule(CORA, Rule("deny", "lora", INK.sha256, HERE, "stolen"))
    with pytest.raises(Refused, match="stolen"):
        await presets.show(registry, BOB, "dreamy")


async def test_others_private_presets_do_not_exist(registry: Registry) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody(), handle="anna")
    for act in (presets.show, presets.history):
        with pytest.raises(UnknownPreset):
            await act(registry, BOB, "@anna/dreamy")
    with pytest.raises(UnknownPreset):
        await presets.fork(registry, BOB, "@anna/dreamy", "mine-too")


# --- Changing ---------------------------------------------------------------------------------


async def test_a_history_says_what_each_revision_changed(registry: Registry) -> None:
    first = await presets.create(registry, ANNA, "dreamy", PresetBody(steps=20), note="begin")
    body = PresetBody(steps=28, loras=(using(INK, 0.5),))
    second = await presets.edit(registry, ANNA, first, body, "more ink")
    await presets.restore(registry, ANNA, "dreamy", 1)

    versions = await presets.history(registry, ANNA, "dreamy")
    assert [(one.revision.rev, one.changes, one.revision.note) for one in versions] == [
        (3, ("without ink", "steps 28 → 20"), "restored 1"),
        (2, ("with ink:0.5", "steps 20 → 28"), "more ink"),
        (1, (), "begin"),
    ]
    assert versions[0].revision.sha256 == first.sha256 != second.sha256


async def test_others_see_of_a_history_what_was_approved(registry: Registry) -> None:
    first = await presets.create(registry, ANNA, "dreamy", PresetBody(steps=20))
    second = await presets.edit(registry, ANNA, first, PresetBody(steps=21))
    await share(registry, "dreamy")
    third = await presets.edit(registry, ANNA, second, PresetBody(steps=22))
    assert third.rev == 3
    assert [x.revision.rev for x in await presets.history(registry, BOB, "dreamy")] == [2]


async def test_who_was_slower_is_told_and_changes_nothing(registry: Registry) -> None:
    first = await presets.create(registry, ANNA, "dreamy", PresetBody())
    await presets.edit(registry, ANNA, first, PresetBody(steps=9))
    with pytest.raises(EditConflict, match="revision 2"):
        await presets.edit(registry, ANNA, first, PresetBody(steps=10))
    assert (await presets.whole(registry, ANNA, "dreamy")).body.steps == 9


async def test_a_change_of_nothing_makes_no_revision(registry: Registry) -> None:
    first = await presets.create(registry, ANNA, "dreamy", PresetBody(steps=9))
    assert (await presets.edit(registry, ANNA, first, PresetBody(steps=9))).rev == 1


async def test_a_fork_belongs_to_who_made_it_and_knows_where_it_came_from(
    registry: Registry,
) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody(steps=9), handle="anna")
    await share(registry, "dreamy")
    fork = await presets.fork(registry, BOB, "dreamy", "bolder", handle="bob")
    assert (fork.reference, fork.body.steps) == ("@bob/bolder@1", 9)
    assert (await presets.show(registry, BOB, "bolder")).parent == "@anna/dreamy@1"

    head = await presets.whole(registry, ANNA, "dreamy")
    await presets.delete(registry, ANNA, head)
    gone = await presets.show(registry, BOB, "bolder")
    assert (gone.parent, gone.revision.body.steps) == (None, 9)


async def test_only_its_owner_changes_a_preset(registry: Registry) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody())
    await share(registry, "dreamy")
    head = await presets.whole(registry, BOB, "dreamy")
    with pytest.raises(Refused, match="fork it"):
        await presets.edit(registry, BOB, head, PresetBody(steps=9))
    with pytest.raises(Refused, match="Only its owner"):
        await presets.restore(registry, BOB, "dreamy", 1)
    with pytest.raises(Refused, match="Only its owner deletes"):
        await presets.delete(registry, BOB, head)
    await presets.delete(registry, OLGA, head)
    with pytest.raises(UnknownPreset):
        await presets.show(registry, ANNA, "dreamy")


@pytest.mark.parametrize("reference", ["dreamy@1", "dreamy@sha256:0123456789ab"])
async def test_what_is_about_a_whole_preset_takes_no_revision(
    registry: Registry, reference: str
) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody())
    with pytest.raises(BadName, match="write dreamy without"):
        await presets.whole(registry, ANNA, reference)


async def test_there_is_no_restoring_of_what_never_was(registry: Registry) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody())
    with pytest.raises(UnknownRevision, match="the newest is 1"):
        await presets.restore(registry, ANNA, "dreamy", 7)


# --- Differences ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, {}, ()),
        ({"steps": 9}, {}, ("no steps",)),
        ({}, {"guidance": 2.5}, ("guidance 2.5",)),
        ({"title": "A"}, {"title": "B"}, ("title A → B",)),
        ({"title": "A"}, {}, ("no title",)),
        ({}, {"description": "long text"}, ("description",)),
        ({}, {"template": "{prompt}!"}, ("template",)),
        ({}, {"size": PictureSize(width=9, height=9)}, ("size",)),
        ({"count": 2}, {"count": 4}, ("images 2 → 4",)),
        ({}, {"loras": (using(INK, 0.5),)}, ("with ink:0.5",)),
        ({"loras": (using(INK),)}, {}, ("without ink",)),
        ({"loras": (using(INK),)}, {"loras": (using(INK, 0.25),)}, ("ink 1 → 0.25",)),
        (
            {"loras": (using(INK),)},
            {"loras": (using(INK, triggers="wash"),)},
            ("trigger words of ink",),
        ),
        (
            {"loras": (using(INK), using(OIL))},
            {"loras": (using(OIL), using(INK))},
            ("order of LoRAs",),
        ),
    ],
)
def test_a_difference_is_said_in_a_few_words(
    old: dict[str, object], new: dict[str, object], said: tuple[str, ...]
) -> None:
    before, after = (PresetBody.model_validate(fields) for fields in (old, new))
    assert differences(before, after) == said


# --- By a click -------------------------------------------------------------------------------


async def test_a_click_finds_the_newest_revision_that_may_be_used(registry: Registry) -> None:
    made = await presets.create(registry, ANNA, "dreamy", PresetBody(), handle="anna")
    preset_id = made.preset.id
    for preset in (preset_id, "no-such-id"):
        with pytest.raises(Refused, match="no longer there, or not for you to see"):
            await presets.revision_of(registry, BOB, preset)
        with pytest.raises(Refused, match="no longer there"):
            await presets.history_of(registry, BOB, preset)
        with pytest.raises(Refused, match="no longer there"):
            await presets.restore_on(registry, BOB, preset, 1, 1)
    await share(registry, "dreamy")
    await presets.edit(registry, ANNA, made, PresetBody(steps=9))
    assert (await presets.revision_of(registry, ANNA, preset_id)).rev == 2
    assert (await presets.revision_of(registry, ANNA, preset_id, 1)).rev == 1
    assert (await presets.revision_of(registry, BOB, preset_id)).rev == 1
    assert len(await presets.history_of(registry, ANNA, preset_id)) == 2
    assert len(await presets.history_of(registry, BOB, preset_id)) == 1


async def test_a_revision_is_restored_only_on_top_of_the_one_that_was_seen(
    registry: Registry,
) -> None:
    made = await presets.create(registry, ANNA, "dreamy", PresetBody(steps=5))
    await presets.edit(registry, ANNA, made, PresetBody(steps=6))
    with pytest.raises(EditConflict):
        await presets.restore_on(registry, ANNA, made.preset.id, 1, 1)
    restored = await presets.restore_on(registry, ANNA, made.preset.id, 1, 2)
    assert (restored.rev, restored.body.steps) == (3, 5)


async def test_owners_change_what_they_may_not_use_here(registry: Registry) -> None:
    await presets.create(registry, ANNA, "dreamy", PresetBody(loras=(using(INK),)), handle="anna")
    await share(registry, "dreamy")
    await registry.moderation.add_rule(CORA, Rule("deny", "lora", INK.sha256, HERE, "stolen"))
    for action in (Action.EDIT, Action.DELETE):
        for name in ("Dreamy", "@anna/dreamy"):
            assert (await presets.changeable(registry, ANNA, name, action)).rev == 1
        with pytest.raises(Refused, match="stolen"):
            await presets.changeable(registry, BOB, "dreamy", action)
        with pytest.raises(BadName, match="whole preset"):
            await presets.changeable(registry, ANNA, "dreamy@1", action)
    assert len(await presets.history(registry, ANNA, "dreamy")) == 1

    await presets.create(registry, ANNA, "plain", PresetBody(), handle="anna")
    await share(registry, "plain")
    with pytest.raises(Refused, match="Only its owner edits"):
        await presets.changeable(registry, BOB, "plain", Action.EDIT)
    assert (await presets.changeable(registry, OLGA, "plain", Action.DELETE)).rev == 1


async def test_liking_again_takes_the_like_back(registry: Registry) -> None:
    made = await presets.create(registry, ANNA, "dreamy", PresetBody())
    await share(registry, "dreamy")
    assert await presets.like(registry, ANNA, made) == Liking(liked=True, likes=1)
    assert await presets.like(registry, BOB, made) == Liking(liked=True, likes=2)
    assert await presets.like(registry, ANNA, made) == Liking(liked=False, likes=1)


async def test_the_own_names_are_found_by_any_part(registry: Registry) -> None:
    for name in ("wet-ink", "ink", "oil"):
        await presets.create(registry, ANNA, name, PresetBody())
    assert await presets.own_names(registry, ANNA, " INK") == ("ink", "wet-ink")
    assert await presets.own_names(registry, ANNA, "") == ("ink", "oil", "wet-ink")
    assert await presets.own_names(registry, BOB, "") == ()
