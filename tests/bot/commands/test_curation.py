"""Sharing and curating presets, and a place's rules, through the real registry."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.commands import curation, preset_rules, presets
from bot.commands.curation import UNSEEN, Card
from bot.registry import Registry
from lora_registry.errors import (
    BadName,
    NameTaken,
    Refused,
    RegistryError,
    UnknownLora,
    UnknownPreset,
    UnknownRevision,
)
from lora_registry.models import PresetBody, PresetLora, Role, Viewer
from lora_registry.permissions import PUBLIC, Place, Publishing, State
from tests.bot.registries import ANNA, BOB, opened
from tests.lora_registry import world

HERE = Place.community("here")
BOTH = (HERE, PUBLIC)
CORA = Viewer("here", "cora", frozenset({Role.CURATOR}), 4)
MONA = Viewer("here", "mona", frozenset({Role.MANAGER}), 4)
OLGA = Viewer("here", "olga", frozenset({Role.OPERATOR}), 4)
AWAY = Viewer("away", "carl", frozenset({Role.MANAGER}), 4)
INK = world.lora("ink")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        await registry.loras.put(INK, by="olga")
        yield registry


async def make(registry: Registry, name: str = "dreamy", by: Viewer = ANNA, **body: object) -> str:
    made = await presets.create(
        registry, by, name, PresetBody.model_validate(body), handle=by.requester
    )
    return made.preset.id


async def shared(registry: Registry, name: str = "dreamy", place: Place = HERE) -> str:
    preset = await make(registry, name)
    await curation.share(registry, ANNA, preset, 1, place)
    await curation.approve(registry, replace(OLGA, community="here"), preset, 1, place)
    return preset


def acts(card: Card, place: Place = HERE) -> set[str]:
    return next(set(one.acts) for one in card.listings if one.place == place)


async def look(registry: Registry, viewer: Viewer, name: str = "@anna/dreamy") -> Card:
    return await curation.look(registry, viewer, name, BOTH)


# --- What a card offers -----------------------------------------------------------------------


async def test_a_card_offers_what_would_work_and_nothing_else(registry: Registry) -> None:
    preset = await make(registry)
    own = await look(registry, ANNA)
    assert (own.own, own.obstacle) == (True, None)
    assert (acts(own), acts(own, PUBLIC)) == ({"share"}, {"share"})
    for other in (BOB, CORA, AWAY, OLGA):
        with pytest.raises(UnknownPreset):
            await look(registry, other)

    await curation.share(registry, ANNA, preset, 1, HERE)
    assert acts(await look(registry, ANNA)) == {"withdraw"}
    waiting = await look(registry, CORA)
    assert (acts(waiting), waiting.obstacle) == ({"approve", "reject"}, UNSEEN)
    for other in (BOB, AWAY):
        with pytest.raises(UnknownPreset):
            await look(registry, other)

    await curation.approve(registry, CORA, preset, 1, HERE)
    assert acts(await look(registry, BOB)) == {"report"}
    assert acts(await look(registry, CORA)) == {"hide", "pin"}
    await curation.pin(registry, CORA, preset, HERE)
    assert acts(await look(registry, CORA)) == {"hide", "unpin"}
    await curation.hide(registry, CORA, preset, HERE, reason="spam")
    assert acts(await look(registry, CORA)) == {"show"}
    hidden = await look(registry, ANNA)
    assert acts(hidden) == set()
    standing = hidden.listings[0].standing
    assert standing is not None
    assert (standing.state, standing.reason) == (State.HIDDEN, "spam")


async def test_nobody_learns_how_it_stands_but_its_owner_and_who_decides(
    registry: Registry,
) -> None:
    preset = await shared(registry, place=PUBLIC)
    await curation.share(registry, ANNA, preset, 1, HERE)
    for viewer, here, public in ((ANNA, True, True), (CORA, True, False), (BOB, False, False)):
        card = await look(registry, viewer)
        assert [one.standing is not None for one in card.listings] == [here, public]


async def test_a_newer_revision_waits_beside_the_one_that_is_shown(registry: Registry) -> None:
    preset = await shared(registry)
    head = await presets.whole(registry, ANNA, "dreamy")
    await presets.edit(registry, ANNA, head, PresetBody(steps=9))
    await curation.share(registry, ANNA, preset, 2, HERE)
    assert (await look(registry, BOB)).details.revision.rev == 1
    with pytest.raises(UnknownRevision):
        await look(registry, BOB, "@anna/dreamy@2")
    newer = await curation.look_at(registry, CORA, preset, 2, BOTH)
    assert newer.details.revision.body.steps == 9
    assert acts(newer) >= {"approve", "reject"}
    assert "approve" not in acts(await look(registry, CORA))
    with pytest.raises(Refused, match="Revision 1 of dreamy waits no more; revision 2 waits"):
        await curation.approve(registry, CORA, preset, 1, HERE)


async def test_approving_what_is_hidden_does_not_show_it(registry: Registry) -> None:
    preset = await shared(registry)
    head = await presets.whole(registry, ANNA, "dreamy")
    await presets.edit(registry, ANNA, head, PresetBody(steps=9))
    await curation.share(registry, ANNA, preset, 2, HERE)
    await curation.hide(registry, CORA, preset, HERE)
    assert acts(await curation.look_at(registry, CORA, preset, 2, BOTH)) == {"show"}
    assert "is hidden" in (await curation.approve(registry, CORA, preset, 2, HERE)).said
    with pytest.raises(UnknownPreset):
        await look(registry, BOB)
    await curation.hide(registry, CORA, preset, HERE, hidden=False)
    assert (await look(registry, BOB)).details.revision.rev == 2


async def test_what_is_denied_is_shown_to_its_owner_with_the_reason(registry: Registry) -> None:
    lora = PresetLora(sha256=INK.sha256, name="ink")
    await make(registry, loras=(lora,))
    await preset_rules.add_rule(registry, MONA, HERE, "deny", "lora", "ink", "stolen")
    card = await look(registry, ANNA)
    assert card.obstacle is not None
    assert "is denied in this community: stolen." in card.obstacle
    assert acts(card) == set()


# --- Sharing ----------------------------------------------------------------------------------


async def test_a_taken_short_name_is_shared_under_the_owners(registry: Registry) -> None:
    await shared(registry)
    other = await make(registry, "dreamy", BOB)
    done = await curation.share(registry, BOB, other, 1, HERE)
    assert "people write @bob/dreamy" in done.said
    await curation.approve(registry, CORA, other, 1, HERE)
    assert (await look(registry, CORA, "dreamy")).details.revision.preset.handle == "anna"
    assert (await look(registry, CORA, "@bob/dreamy")).obstacle is None


async def test_only_its_owner_shares_and_withdraws(registry: Registry) -> None:
    preset = await shared(registry)
    for act in (
        curation.share(registry, BOB, preset, 1, HERE),
        curation.withdraw(registry, CORA, preset, HERE),
    ):
        with pytest.raises(Refused, match="Only its owner"):
            await act
    with pytest.raises(Refused, match="from within it"):
        await curation.share(registry, ANNA, preset, 1, Place.community("away"))


async def test_what_is_withdrawn_is_gone_and_its_name_is_kept(registry: Registry) -> None:
    preset = await shared(registry)
    await curation.withdraw(registry, ANNA, preset, HERE)
    with pytest.raises(UnknownPreset):
        await look(registry, BOB)
    with pytest.raises(UnknownPreset):
        await look(registry, BOB, "@anna/dreamy@1")
    assert await presets.search(registry, BOB, "dreamy") == ()
    other = await make(registry, "dreamy", BOB)
    assert "people write @bob" in (await curation.share(registry, BOB, other, 1, HERE)).said
    with pytest.raises(Refused, match="no longer there"):
        await curation.withdraw(registry, ANNA, preset, HERE)

    await curation.share(registry, ANNA, preset, 1, HERE)
    await curation.approve(registry, CORA, preset, 1, HERE)
    assert (await look(registry, CORA, "dreamy")).details.revision.preset.id == preset


async def test_earlier_names_are_not_kept_for_ever_after_a_withdrawal(registry: Registry) -> None:
    preset = await shared(registry)
    await curation.rename(registry, ANNA, "dreamy", "misty")
    await curation.withdraw(registry, ANNA, preset, HERE)
    held = await registry.database.rows(
        "SELECT a.slug, a.until FROM alias a JOIN place w ON w.number = a.place"
        " WHERE w.kind = 'community' ORDER BY a.slug"
    )
    assert [(row["slug"], row["until"] is None) for row in held] == [
        ("dreamy", False),
        ("misty", False),
    ]


async def test_a_name_that_only_waited_is_free_once_it_is_withdrawn(registry: Registry) -> None:
    preset = await make(registry)
    await curation.share(registry, ANNA, preset, 1, HERE)
    await curation.withdraw(registry, ANNA, preset, HERE)
    other = await make(registry, "dreamy", BOB)
    assert "people write" not in (await curation.share(registry, BOB, other, 1, HERE)).said


async def test_what_is_hidden_cannot_be_shown_by_withdrawing_it(registry: Registry) -> None:
    preset = await shared(registry)
    await curation.hide(registry, CORA, preset, HERE)
    with pytest.raises(Refused, match="hidden there by a curator"):
        await curation.withdraw(registry, ANNA, preset, HERE)
    with pytest.raises(Refused, match="hidden here by a curator"):
        await curation.share(registry, ANNA, preset, 1, HERE)


async def test_a_renamed_preset_answers_to_both_names(registry: Registry) -> None:
    preset = await shared(registry)
    assert "@anna/misty" in (await curation.rename(registry, ANNA, "dreamy", "misty")).said
    for name in ("dreamy", "misty", "@anna/dreamy"):
        assert (await look(registry, BOB, name)).details.revision.preset.id == preset
    await make(registry, "other")
    with pytest.raises(NameTaken):
        await curation.rename(registry, ANNA, "misty", "other")
    with pytest.raises(Refused, match="Only its owner"):
        await curation.rename(registry, BOB, "misty", "mine-now")


# --- Deciding ---------------------------------------------------------------------------------


async def test_only_who_decides_at_a_place_does(registry: Registry) -> None:
    preset = await shared(registry)
    await curation.report(registry, BOB, preset, 1, HERE, "ugly")
    [report] = (await curation.inbox(registry, CORA, HERE)).reports
    head = await presets.whole(registry, ANNA, "dreamy")
    await presets.edit(registry, ANNA, head, PresetBody(steps=9))
    await curation.share(registry, ANNA, preset, 2, HERE)
    for viewer in (ANNA, BOB, AWAY):
        for act in (
            curation.inbox(registry, viewer, HERE),
            curation.approve(registry, viewer, preset, 2, HERE),
            curation.reject(registry, viewer, preset, HERE, "no"),
            curation.hide(registry, viewer, preset, HERE),
            curation.pin(registry, viewer, preset, HERE),
            curation.settle(registry, viewer, report.number),
        ):
            with pytest.raises(Refused, match="Only a curator of this community"):
                await act
    await curation.settle(registry, CORA, report.number)
    done = await curation.reject(registry, CORA, preset, HERE, "  too\nplain ")
    assert done.noted == "rejected @anna/dreamy: too plain"
    with pytest.raises(Refused, match="Nothing of dreamy waits any more"):
        await curation.reject(registry, CORA, preset, HERE, "again")
    inbox = await curation.inbox(registry, CORA, HERE)
    assert (inbox.waiting, inbox.reports) == ((), ())


async def test_the_operator_sees_what_waits_anywhere(registry: Registry) -> None:
    preset = await make(registry)
    for place in BOTH:
        await curation.share(registry, ANNA, preset, 1, place)
    inboxes = await curation.inboxes(registry, OLGA)
    assert {one.place for one in inboxes} == set(BOTH)
    found = await curation.listed(registry, OLGA, "dreamy", PUBLIC)
    await curation.approve(registry, OLGA, found.revision.preset.id, found.revision.rev, PUBLIC)
    assert [one.place for one in await curation.inboxes(registry, OLGA)] == [HERE]
    assert (await look(registry, AWAY)).obstacle is None


async def test_a_report_needs_a_reason_and_counts_once(registry: Registry) -> None:
    preset = await shared(registry)
    with pytest.raises(Refused, match="Say what is wrong"):
        await curation.report(registry, BOB, preset, 1, HERE, " \n ")
    for _ in range(2):
        await curation.report(registry, BOB, preset, 1, HERE, "ugly")
    assert len((await curation.inbox(registry, CORA, HERE)).reports) == 1
    with pytest.raises(Refused, match="not for you to see"):
        await curation.report(registry, AWAY, preset, 1, HERE, "ugly")


async def test_a_deleted_preset_is_said_to_be_gone(registry: Registry) -> None:
    preset = await shared(registry)
    await presets.delete(registry, ANNA, await presets.whole(registry, ANNA, "dreamy"))
    for act in (
        curation.look_at(registry, CORA, preset, 1, BOTH),
        curation.approve(registry, CORA, preset, 1, HERE),
        curation.hide(registry, CORA, preset, HERE),
    ):
        with pytest.raises(RegistryError, match="no longer there"):
            await act


# --- Rules ------------------------------------------------------------------------------------


async def test_rules_are_made_by_what_people_call_things(registry: Registry) -> None:
    await shared(registry)
    for kind, text in (
        ("preset", "dreamy"), ("owner", "@anna"), ("lora", "ink"), ("lora", "f" * 64),
        ("tag", "Calm"),
    ):  # fmt: skip
        await preset_rules.add_rule(registry, MONA, HERE, "deny", kind, text)  # type: ignore[arg-type]
    await preset_rules.add_rule(registry, OLGA, PUBLIC, "deny", "tag", "spam", "no ads")
    house = await preset_rules.house(registry, MONA, HERE)
    assert {one.name for one in house.rules} == {
        "the preset @anna/dreamy", "everything of @anna", "the LoRA ink",
        "the LoRA ffffffffffff", "the tag calm",
    }  # fmt: skip
    assert [one.name for one in house.above] == ["the tag spam"]
    # A preset that is denied, so that its name leads nowhere any more, can still be let in again.
    for kind, text in (
        ("preset", "@anna/dreamy"), ("owner", "anna"), ("lora", "ink"), ("lora", "f" * 64),
        ("tag", "calm"),
    ):  # fmt: skip
        await preset_rules.drop_rule(registry, MONA, HERE, "deny", kind, text)  # type: ignore[arg-type]
    assert (await preset_rules.house(registry, MONA, HERE)).rules == ()
    assert (await look(registry, BOB)).obstacle is None


@pytest.mark.parametrize(
    ("kind", "text", "error"),
    [
        ("preset", "nobody-has-it", UnknownPreset),
        ("preset", "dreamy@1", BadName),
        ("owner", "@nobody", Refused),
        ("lora", "inc", UnknownLora),
        ("tag", "ä", BadName),
    ],
)
async def test_a_rule_about_nothing_is_refused(
    registry: Registry, kind: str, text: str, error: type[Exception]
) -> None:
    await shared(registry)
    with pytest.raises(error):
        await preset_rules.add_rule(registry, MONA, HERE, "deny", kind, text)  # type: ignore[arg-type]


async def test_only_managers_govern_their_own_place(registry: Registry) -> None:
    await shared(registry, place=PUBLIC)
    for viewer, place in ((CORA, HERE), (AWAY, HERE), (MONA, PUBLIC)):
        for act in (
            preset_rules.house(registry, viewer, place),
            preset_rules.set_policy(registry, viewer, place, Publishing.OPEN),
            preset_rules.add_rule(registry, viewer, place, "deny", "tag", "calm"),
            preset_rules.drop_rule(registry, viewer, place, "deny", "tag", "calm"),
        ):
            with pytest.raises(Refused, match="Only"):
                await act
    with pytest.raises(Refused, match="Only a manager"):
        await preset_rules.install(registry, CORA, "dreamy")
    with pytest.raises(Refused, match="Only the operator of this Atelier allows a LoRA"):
        await preset_rules.add_rule(registry, MONA, HERE, "allow", "lora", "ink")


async def test_a_policy_is_changed_one_half_at_a_time(registry: Registry) -> None:
    await preset_rules.set_policy(registry, MONA, HERE, publishing=Publishing.OPEN)
    await preset_rules.set_policy(registry, MONA, HERE, nsfw_ceiling=1)
    await preset_rules.set_policy(registry, OLGA, PUBLIC, nsfw_ceiling=0)
    house = await preset_rules.house(registry, MONA, HERE)
    assert (house.policy.publishing, house.policy.nsfw_ceiling) == (Publishing.OPEN, 1)
    assert house.ceiling == 0
    done = await curation.share(registry, ANNA, await make(registry), 1, HERE)
    assert "is now open to" in done.said


async def test_installed_presets_come_before_other_public_ones(registry: Registry) -> None:
    first = await shared(registry, place=PUBLIC)
    other = await make(registry, "dreamy", BOB)
    await curation.share(registry, BOB, other, 1, PUBLIC)
    await curation.approve(registry, OLGA, other, 1, PUBLIC)
    dora = Viewer("here", "dora", nsfw_ceiling=4)
    assert (await look(registry, dora, "dreamy")).details.revision.preset.id == first
    await preset_rules.install(registry, MONA, "@bob/dreamy")
    assert (await look(registry, dora, "dreamy")).details.revision.preset.id == other
    [chosen] = (await preset_rules.house(registry, MONA, HERE)).installed
    await preset_rules.install(registry, MONA, chosen.installed.value, installed=False)
    assert (await look(registry, dora, "dreamy")).details.revision.preset.id == first
