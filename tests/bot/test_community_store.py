"""Settings in a real database: versions, conflicts, the audit trail, damage."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bot.communities import (
    INSTANCE,
    Change,
    CommunitySettings,
    MemberSettings,
    SettingsConflict,
    SettingsDamaged,
    SettingsRefused,
    Source,
)
from bot.community_store import CommunityStore, Entry, Record
from bot.database import Database
from bot.jobs.store import migrations
from bot.permissions import Requester

MIA = Requester("mia", manager=True)
NOA = Requester("noa", manager=True)
OWNER = Requester("owner", owner=True)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database, None]:
    opened = await Database.open(tmp_path / "jobs.db", migrations())
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> CommunityStore:
    return CommunityStore(database, clock=lambda: 1000.0)


async def damage(database: Database, document: str, community: str = "1") -> None:
    async with database.write() as connection:
        await connection.execute(
            "INSERT OR REPLACE INTO community_settings VALUES (?, 4, ?)", (community, document)
        )


async def test_an_unknown_community_has_the_declared_settings(store: CommunityStore) -> None:
    here = await store.effective("1")
    assert here.settings.model_dump() == CommunitySettings().model_dump()
    assert set(here.sources.values()) == {Source.DEFAULT}
    assert await store.load("1") == Record("1", 0, CommunitySettings())
    assert await store.history("1") == ()


async def test_a_change_is_seen_at_once_and_after_a_restart(
    store: CommunityStore, database: Database
) -> None:
    assert (await store.effective("1")).settings.max_steps is None
    record = await store.change("1", Change({"max_steps": 30}), base=0, by=MIA)
    assert record == Record("1", 1, CommunitySettings(max_steps=30))
    for reader in (store, CommunityStore(database)):
        here = await reader.effective("1")
        assert (here.settings.max_steps, here.sources["max_steps"]) == (30, Source.COMMUNITY)
        assert await reader.load("1") == record
    assert (await store.effective("2")).settings.max_steps is None


async def test_a_change_by_another_process_is_seen(store: CommunityStore, tmp_path: Path) -> None:
    await store.change("1", Change({"max_steps": 30}), base=0, by=MIA)
    assert (await store.effective("1")).settings.max_steps == 30
    other = await Database.open(tmp_path / "jobs.db", migrations())
    try:
        await CommunityStore(other).change("1", Change({"max_steps": 20}), base=1, by=MIA)
    finally:
        await other.close()
    assert (await store.effective("1")).settings.max_steps == 20


async def test_unchanged_settings_are_put_together_once(store: CommunityStore) -> None:
    await store.change("1", Change({"max_steps": 30}), base=0, by=MIA)
    assert await store.effective("1") is await store.effective("1")


async def test_a_change_of_the_instance_reaches_every_community(store: CommunityStore) -> None:
    await store.change("1", Change({"daily_budget": 50}), base=0, by=MIA)
    assert (await store.effective("1")).settings.daily_budget == 50
    await store.change(INSTANCE, Change({"daily_budget": 10}), base=0, by=OWNER)
    for community in ("1", "2"):
        here = await store.effective(community)
        assert here.settings.daily_budget == 10
        assert here.sources["daily_budget"] is Source.INSTANCE


async def test_a_cleared_setting_comes_from_the_layer_below(store: CommunityStore) -> None:
    await store.change("1", Change({"preset": "dreamy"}), base=0, by=MIA)
    record = await store.change("1", Change(cleared=frozenset({"preset"})), base=1, by=MIA)
    assert record.layer.model_fields_set == set()
    assert (await store.effective("1")).sources["preset"] is Source.DEFAULT


async def test_the_second_of_two_moderators_is_told_what_the_first_has_changed(
    store: CommunityStore,
) -> None:
    await store.change("1", Change({"max_steps": 30}), base=0, by=MIA)
    await store.change("1", Change({"size": "square", "preset": "x"}), base=1, by=MIA)
    with pytest.raises(SettingsConflict) as conflict:
        await store.change("1", Change({"max_steps": 20}), base=1, by=NOA)
    assert conflict.value.changed_by == ("mia",)
    assert conflict.value.fields == ("preset", "size")
    assert str(conflict.value) == (
        "Somebody else has changed preset, size since these settings were shown. "
        "Look at them again, then repeat your change."
    )
    assert (await store.load("1")).layer.max_steps == 30


async def test_of_changes_at_the_same_moment_exactly_one_is_made(store: CommunityStore) -> None:
    outcomes = await asyncio.gather(
        *(
            store.change("1", Change({"max_steps": steps}), base=0, by=MIA)
            for steps in range(1, 11)
        ),
        return_exceptions=True,
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, Record)]
    assert len(made) == 1
    assert sum(isinstance(outcome, SettingsConflict) for outcome in outcomes) == 9
    assert await store.load("1") == made[0]


async def test_the_audit_trail_says_who_when_and_which_but_never_what(
    store: CommunityStore, database: Database
) -> None:
    await store.change("1", Change({"blocked_words": ["dragon"]}), base=0, by=MIA)
    await store.change("1", Change({"max_steps": 3}, frozenset({"size"})), base=1, by=NOA)
    assert await store.history("1") == (
        Entry(2, "noa", 1000.0, ("max_steps", "size")),
        Entry(1, "mia", 1000.0, ("blocked_words",)),
    )
    assert await store.history("1", limit=1) == (Entry(2, "noa", 1000.0, ("max_steps", "size")),)
    rows = await database.rows("SELECT * FROM community_changes")
    assert "dragon" not in str([tuple(row) for row in rows])


@pytest.mark.parametrize(
    ("change", "by", "sentence"),
    [
        (Change({"max_steps": 0}), MIA, "max_steps cannot take 0"),
        (Change({"models": ["flux-2"]}), MIA, "model is flux-1, which not everyone may use"),
        (Change({"max_steps": 3}), Requester("ana"), "Only who manages this community"),
        (Change({"community_weight": 9}), MIA, "Only the owner of this Atelier sets"),
    ],
)
async def test_a_refused_change_leaves_nothing_behind(
    store: CommunityStore, change: Change, by: Requester, sentence: str
) -> None:
    with pytest.raises(SettingsRefused, match=sentence):
        await store.change("1", change, base=0, by=by)
    assert await store.load("1") == Record("1", 0, CommunitySettings())
    assert await store.history("1") == ()


async def test_a_contradiction_that_the_instance_caused_does_not_stop_a_pause(
    store: CommunityStore,
) -> None:
    await store.change("1", Change({"model": "flux-1"}), base=0, by=MIA)
    await store.change(
        INSTANCE, Change({"models": ["flux-2"], "model": "flux-2"}), base=0, by=OWNER
    )
    await store.change("1", Change({"paused": {"reason": "Lunch."}}), base=1, by=MIA)
    paused = (await store.effective("1")).settings.paused
    assert paused is not None
    assert paused.reason == "Lunch."


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "they are no JSON object"),
        ("[1]", "they are no JSON object"),
        ('{"max_steps": 900}', "max_steps holds what it does not take"),
        ('{"hats": 1}', "hats is no setting that this version of Atelier knows"),
    ],
)
async def test_settings_that_cannot_be_read_are_named_and_can_be_reset(
    store: CommunityStore, database: Database, document: str, reason: str
) -> None:
    await damage(database, document)
    sentence = (
        f"The settings stored for 1 cannot be read: {reason}. "
        "The owner of this Atelier can reset them, or restore a backup of its database."
    )
    with pytest.raises(SettingsDamaged) as damaged:
        await store.effective("1")
    assert str(damaged.value) == sentence
    with pytest.raises(SettingsDamaged):
        await store.load("1")
    with pytest.raises(SettingsDamaged):
        await store.change("1", Change({"max_steps": 3}), base=4, by=MIA)
    assert (await store.effective("2")).settings.max_steps is None

    with pytest.raises(SettingsRefused, match="Only the owner"):
        await store.reset("1", by=MIA)
    assert await store.reset("1", by=OWNER) == Record("1", 5, CommunitySettings())
    assert set((await store.effective("1")).sources.values()) == {Source.DEFAULT}
    assert await store.history("1") == (Entry(5, "owner", 1000.0, ()),)


async def test_after_a_reset_an_older_view_is_a_conflict_about_everything(
    store: CommunityStore,
) -> None:
    await store.change("1", Change({"max_steps": 30}), base=0, by=MIA)
    await store.reset("1", by=OWNER)
    with pytest.raises(SettingsConflict, match="Somebody else has changed everything since"):
        await store.change("1", Change({"max_steps": 20}), base=1, by=NOA)


async def test_damaged_settings_of_the_instance_stop_every_community(
    store: CommunityStore, database: Database
) -> None:
    await damage(database, "{", INSTANCE)
    with pytest.raises(SettingsDamaged, match="The settings stored for instance cannot be read"):
        await store.effective("1")


# --- Members ----------------------------------------------------------------------------------


async def test_a_members_defaults_are_kept_per_community(store: CommunityStore) -> None:
    assert await store.member("1", "ana") == MemberSettings()
    await store.change_member("1", "ana", Change({"preset": "dreamy", "ping": True}))
    changed = await store.change_member("1", "ana", Change({"images": 2}, frozenset({"preset"})))
    assert changed == MemberSettings(ping=True, images=2)
    assert await store.member("1", "ana") == changed
    assert await store.member("2", "ana") == MemberSettings()
    assert await store.member("1", "ben") == MemberSettings()
    await store.reset_member("1", "ana")
    assert await store.member("1", "ana") == MemberSettings()


async def test_a_wrong_default_is_refused(store: CommunityStore) -> None:
    with pytest.raises(SettingsRefused, match="images cannot take 9; use 1 to 4 pictures at once"):
        await store.change_member("1", "ana", Change({"images": 9}))
    assert await store.member("1", "ana") == MemberSettings()


async def test_damaged_defaults_of_a_member_can_be_reset(
    store: CommunityStore, database: Database
) -> None:
    async with database.write() as connection:
        await connection.execute("INSERT INTO member_settings VALUES ('1', 'ana', '{\"hats\": 1}')")
    with pytest.raises(SettingsDamaged, match="Your stored defaults cannot be read: hats is no"):
        await store.member("1", "ana")
    await store.reset_member("1", "ana")
    assert await store.member("1", "ana") == MemberSettings()
