"""What managers of a community do with its settings: every setting, every refusal, in words."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.base import ImageSize
from bot.commands.settings import (
    AS_EVERYBODY,
    BY_DEFAULT,
    BY_OWNER,
    FOR_THE_ROLE,
    HERE,
    Administration,
    Edit,
    Overview,
    Target,
    cleared,
    confirmation,
    conflict,
    extended,
    noted,
    reduced,
    target,
    together,
    valued,
    written,
)
from bot.commands.settings_fields import FOR_ROLES, PAGES, SETTINGS, Kind, page_of, spoken
from bot.commands.settings_values import in_words, items, phrases, read
from bot.communities import (
    INSTANCE,
    Allowance,
    CommunitySettings,
    SettingsConflict,
    SettingsDamaged,
    SettingsRefused,
    effective,
)
from bot.community_store import CommunityStore
from bot.database import Database
from bot.jobs.store import migrations
from bot.permissions import Requester, check_may_change
from bot.policy import FlaggedRule
from lora_registry.models import PresetBody
from tests.bot.registries import ANNA, opened

MIA = Requester("mia", manager=True)
NOA = Requester("noa", manager=True)
OWNER = Requester("owner", owner=True)

TYPED: dict[str, tuple[str, object, str]] = {
    "flagged": ("withhold", FlaggedRule.WITHHOLD, "withheld everywhere"),
    "blocked_words": ("cat, wet dog\nowl", frozenset({"cat", "wet dog", "owl"}), "3 entries"),
    "blocked_members": ("<@11> 12", frozenset({"11", "12"}), "2 members"),
    "moderators": ("<@!11|ana>", frozenset({"11"}), "1 member"),
    "moderator_roles": ("<@&7>, <!subteam^S8>", frozenset({"7", "S8"}), "2 roles"),
    "paused": ("we move", "we move", "on, “we move”"),
    "report_channel": ("<#5>", "5", "5"),
    "log_channel": ("6", "6", "6"),
    "models": ("flux-1 FLUX-2", frozenset({"flux-1", "flux-2"}), "flux-1, flux-2"),
    "max_megapixels": ("8.5", 8.5, "8.5 megapixels"),
    "max_steps": ("30", 30, "30 steps"),
    "max_images": ("1", 1, "1 picture"),
    "requester_queued": ("0", 0, "no jobs"),
    "requester_running": ("none", None, "no limit"),
    "requester_per_day": ("1000", 1000, "1,000 jobs a day"),
    "requester_weight": ("2.5", 2.5, "2.5"),
    "community_queued": ("No limit", None, "no limit"),
    "community_running": ("3", 3, "3 jobs"),
    "community_per_day": ("1", 1, "1 job a day"),
    "daily_budget": ("$12.50", 12.5, "$12.50 a day"),
    "community_weight": ("2", 2.0, "2"),
    "model": ("flux-2", "flux-2", "flux-2"),
    "size": ("1024x768", ImageSize(width=1024, height=768), "1024x768"),
    "preset": ("dreamy+ink:0.6", "dreamy+ink:0.6", "dreamy+ink:0.6"),
}
"""What may be typed, what it becomes, how that is said."""


def overview(own: CommunitySettings, instance: CommunitySettings | None = None) -> Overview:
    return Overview("1", 1, own, effective(instance or CommunitySettings(), own))


def after(edit: Edit, now: Overview) -> Overview:
    return overview(edit.change.applied_to(now.own))


NOTHING = overview(CommunitySettings())


# --- Every setting ----------------------------------------------------------------------------


def test_every_setting_stands_on_exactly_one_page() -> None:
    placed = [setting.name for page in PAGES for setting in page.settings]
    assert sorted(placed) == sorted(CommunitySettings.model_fields)
    assert {one.name for one in FOR_ROLES} == set(Allowance.model_fields)
    assert page_of("daily_budget").key == "community"


def test_labels_differ_and_every_setting_says_what_it_does_and_takes() -> None:
    labels = [setting.label for setting in SETTINGS.values()]
    assert len(set(labels)) == len(labels)
    assert all(setting.about.endswith(".") and setting.takes for setting in SETTINGS.values())


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "roles"])
def test_every_setting_can_be_typed_and_is_said_in_words(name: str) -> None:
    text, value, words = TYPED[name]
    setting = SETTINGS[name]
    now = after(written(NOTHING, target(name), text), NOTHING)
    kept = getattr(now.own, name)
    assert (kept.reason if name == "paused" else kept) == value
    assert words in in_words(setting, now.value(setting))
    assert now.source(setting) == (BY_OWNER if name == "community_weight" else HERE)
    gone = cleared(now, [Target(setting)]).change.applied_to(now.own)
    assert gone.model_fields_set == set()


@pytest.mark.parametrize("name", [one.name for one in SETTINGS.values() if one.none])
def test_what_may_be_none_takes_the_word(name: str) -> None:
    assert read(SETTINGS[name], " None ") is None
    assert in_words(SETTINGS[name], None) == SETTINGS[name].none


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("max_steps", "77", "use 1 to 50 steps"),
        ("max_steps", "", "use 1 to 50 steps"),
        ("daily_budget", "a lot", "US dollars"),
        ("flagged", "hide", "use one of spoiler"),
        ("models", "flux-3", "one or more of"),
        ("size", "99999x4", "1 to 14142 pixels"),
        ("size", "squareish", "Did you mean square"),
        ("log_channel", "", "a channel's id"),
        ("blocked_words", "...", "with a letter, digit or symbol"),
        ("roles", "7", "roles.ROLE.max_steps"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsRefused, match=said):
        written(NOTHING, target(name), text).change.applied_to(NOTHING.own)


def test_a_setting_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsRefused, match="did you mean max_steps"):
        target("max_stepz")
    with pytest.raises(SettingsRefused, match="there are flagged"):
        target("zzz")
    with pytest.raises(SettingsRefused, match="no setting roles"):
        target("roles.7.daily_budget")
    with pytest.raises(SettingsRefused, match="Say which limit"):
        written(NOTHING, target("roles.7"), "3")


def test_sentences_for_chats_name_settings_as_people_do() -> None:
    assert spoken("max_steps cannot take “x”.") == "“Most steps” cannot take “x”."


# --- Where a value comes from -----------------------------------------------------------------


def test_sources_are_said_in_words() -> None:
    now = overview(
        CommunitySettings(daily_budget=50, max_steps=20, blocked_words={"cat"}),
        CommunitySettings(daily_budget=10, model="flux-2", blocked_words={"dog", "owl"}),
    )
    said = {name: now.source(setting) for name, setting in SETTINGS.items()}
    assert said["max_images"] == BY_DEFAULT
    assert said["model"] == BY_OWNER
    assert said["max_steps"] == HERE
    assert said["daily_budget"].startswith(BY_OWNER)
    assert "here it is set to $50 a day" in said["daily_budget"]
    assert said["blocked_words"] == f"{HERE}, and 2 by the owner of this Atelier"
    own = [name for name, setting in SETTINGS.items() if now.has(setting)]
    assert own == ["blocked_words", "max_steps", "daily_budget"]


def test_a_confirmation_says_what_holds_now_even_where_that_is_something_else() -> None:
    instance = CommunitySettings(daily_budget=10)
    edit = written(NOTHING, target("daily_budget"), "50")
    said = confirmation(edit, overview(edit.change.applied_to(NOTHING.own), instance))
    assert said.startswith("Saved. Daily budget: $10 a day (set by the owner")


# --- Lists ------------------------------------------------------------------------------------


def test_entries_are_added_and_taken_away_whatever_their_case() -> None:
    words = SETTINGS["blocked_words"]
    now = after(extended(NOTHING, words, phrases("Cat, dog\n wet  owl ,,")), NOTHING)
    assert items(words, now.entries(words)) == ("Cat", "dog", "wet  owl")
    now = after(reduced(now, words, ["CAT", "nobody"]), now)
    assert now.entries(words) == {"dog", "wet  owl"}
    with pytest.raises(SettingsRefused, match="None of these is among the blocked words"):
        reduced(now, words, ["nobody"])


def test_a_list_begins_with_the_instances_unless_that_is_added_anyway() -> None:
    instance = CommunitySettings(moderators={"1"}, blocked_words={"cat"})
    now = overview(CommunitySettings(), instance)
    assert extended(now, SETTINGS["moderators"], ["2"]).change.values == {"moderators": {"1", "2"}}
    words = SETTINGS["blocked_words"]
    assert now.entries(words) == frozenset()
    assert now.added_by_owner(words) == 1
    assert extended(now, words, ["dog"]).change.values == {"blocked_words": {"dog"}}


def test_ids_are_listed_oldest_first() -> None:
    assert items(SETTINGS["moderators"], {"100", "20", "3"}) == ("3", "20", "100")


# --- Roles ------------------------------------------------------------------------------------


def test_a_role_is_added_changed_and_removed() -> None:
    steps, budget = SETTINGS["max_steps"], SETTINGS["requester_per_day"]
    now = after(written(NOTHING, target("roles.7.max_steps"), "50"), NOTHING)
    assert (now.value(steps, "7"), now.source(steps, "7")) == (50, FOR_THE_ROLE)
    assert (now.value(budget, "7"), now.source(budget, "7")) == (None, AS_EVERYBODY)
    now = after(written(now, target("roles.7.requester_per_day"), "9"), now)
    now = after(valued(now, SETTINGS["models"], frozenset({"flux-2"}), "8"), now)
    assert now.own.roles["7"].model_fields_set == {"max_steps", "requester_per_day"}
    assert now.roles["8"].models == {"flux-2"}
    now = after(cleared(now, [target("roles.7.max_steps")]), now)
    assert now.own.roles["7"].model_fields_set == {"requester_per_day"}
    now = after(cleared(now, [target("roles.7.requester_per_day")]), now)
    assert set(now.roles) == {"8"}
    edit = cleared(now, [target("roles.8")])
    now = after(edit, now)
    assert now.roles == {}
    assert confirmation(edit, now) == "Saved. Limits of 8: as for everybody."
    with pytest.raises(SettingsRefused, match="no limits of its own"):
        cleared(now, [target("roles.8")])


def test_several_changes_together_are_one_and_see_each_other() -> None:
    now = after(written(NOTHING, target("roles.7.max_steps"), "50"), NOTHING)
    edit = together(
        now,
        [
            lambda seen: written(seen, target("roles.7.max_images"), "4"),
            lambda seen: cleared(seen, [target("roles.7.max_steps")]),
            lambda seen: written(seen, target("daily_budget"), "9"),
        ],
    )
    now = after(edit, now)
    assert now.own.roles["7"].model_fields_set == {"max_images"}
    assert now.value(SETTINGS["daily_budget"]) == 9
    said = "Most pictures at once of 7: 4 pictures (set for this role); Most steps of 7: no limit"
    assert said in confirmation(edit, now)
    with pytest.raises(SettingsRefused, match="max_images"):
        together(now, [lambda seen: written(seen, target("max_images"), "9")])


def test_roles_of_the_instance_are_kept_when_the_first_own_one_is_added() -> None:
    instance = CommunitySettings(roles={"1": {"max_steps": 40}}, max_images=2)
    now = overview(CommunitySettings(), instance)
    assert now.source(SETTINGS["max_steps"], "1") == BY_OWNER
    edit = written(now, target("roles.2.max_images"), "4")
    assert edit.change.values["roles"] == {"1": {"max_steps": 40}, "2": {"max_images": "4"}}
    bounded = overview(edit.change.applied_to(now.own), instance)
    assert bounded.value(SETTINGS["max_images"], "2") == 2
    assert "for the role it is set to 4 pictures" in bounded.source(SETTINGS["max_images"], "2")


# --- In the store -----------------------------------------------------------------------------


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    yield database
    await database.close()


@pytest.fixture
async def office(tmp_path: Path, database: Database) -> AsyncIterator[Administration]:
    async with opened(tmp_path) as registry:
        yield Administration(CommunityStore(database), registry)


async def test_a_change_names_the_version_that_was_shown(office: Administration) -> None:
    shown = await office.overview("1", MIA)
    edit = written(shown, target("max_steps"), "30")
    now = await office.change(shown, edit, base=shown.version, by=MIA)
    assert (now.version, now.value(SETTINGS["max_steps"])) == (1, 30)
    with pytest.raises(SettingsConflict) as caught:
        await office.change(shown, edit, base=shown.version, by=NOA)
    said = conflict(caught.value, NOA.id)
    assert "mia has changed Most steps since this was shown" in said
    assert "you have, elsewhere," in conflict(caught.value, MIA.id)
    assert [one.by for one in await office.history("1", MIA)] == ["mia"]


async def test_only_who_manages_a_community_sees_and_changes_its_settings(
    office: Administration,
) -> None:
    member = Requester("ben")
    shown = await office.overview("1", MIA)
    edit = written(shown, target("max_steps"), "30")
    refused: list[Any] = [
        office.overview("1", member),
        office.history("1", member),
        office.change(shown, edit, base=0, by=member),
        office.overview(INSTANCE, MIA),
        office.reset("1", MIA),
    ]
    for work in refused:
        with pytest.raises(SettingsRefused, match="Only"):
            await work
    for name, setting in SETTINGS.items():
        with contextlib.ExitStack() as stack:
            if setting.owner_only:
                stack.enter_context(pytest.raises(SettingsRefused, match="owner of this Atelier"))
            check_may_change("1", [name], MIA)
    weight = written(shown, target("community_weight"), "9")
    with pytest.raises(SettingsRefused, match="Only the owner of this Atelier sets"):
        await office.change(shown, weight, base=0, by=MIA)
    assert (await office.change(shown, weight, base=0, by=OWNER)).version == 1


async def test_a_default_preset_must_be_one_that_everybody_may_use(
    office: Administration,
) -> None:
    await office.registry.presets.create(ANNA, "my-own", PresetBody(), handle="anna")
    now = await office.overview("here", MIA)
    for name in ("my-own", "nobody-has-it"):
        with pytest.raises(SettingsRefused, match="everybody here may use"):
            await office.change(now, written(now, target("preset"), name), base=0, by=MIA)
    none = await office.change(now, written(now, target("preset"), "none"), base=0, by=MIA)
    assert none.value(SETTINGS["preset"]) is None


@pytest.mark.parametrize(
    ("community", "command"), [("1", "reset --community 1"), (INSTANCE, "reset")]
)
async def test_damaged_settings_name_the_command_that_helps(
    office: Administration, database: Database, community: str, command: str
) -> None:
    async with database.write() as connection:
        await connection.execute(
            "INSERT INTO community_settings VALUES (?, 4, 'broken')", (community,)
        )
    with pytest.raises(SettingsDamaged, match=f"atelier settings {command}”"):
        await office.overview("1", MIA)
    await office.reset(community, OWNER)
    assert (await office.overview("1", MIA)).own.model_fields_set == set()


def test_the_log_says_who_and_which_and_no_value() -> None:
    edit = extended(NOTHING, SETTINGS["blocked_words"], ["secret"])
    assert noted(edit, "Ana") == "Ana has changed settings: Blocked words."
    for setting in (one for one in SETTINGS.values() if one.kind is Kind.WORDS):
        assert "secret" not in in_words(setting, frozenset({"secret"}))
