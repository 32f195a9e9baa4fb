"""Settings: what is declared, how layers come together, how changes are refused."""

from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from backends.base import ImageSize
from bot.communities import (
    LIMITS,
    Allowance,
    Change,
    CommunitySettings,
    MemberSettings,
    Pause,
    SettingsRefused,
    Source,
    contradiction,
    effective,
    member_defaults,
)
from bot.policy import FlaggedRule

NOTHING = CommunitySettings()


def test_what_nobody_has_set_is_what_is_declared() -> None:
    here = effective(NOTHING, NOTHING)
    settings = here.settings
    assert (settings.model, settings.preset, settings.size) == ("flux-1", None, None)
    assert settings.models == {"flux-1", "flux-2"}
    assert (settings.max_megapixels, settings.max_steps, settings.max_images) == (4.2, None, None)
    assert (settings.requester_queued, settings.requester_running) == (5, 1)
    assert (settings.community_queued, settings.community_running) == (200, None)
    assert (settings.requester_per_day, settings.community_per_day) == (None, None)
    assert (settings.requester_weight, settings.community_weight) == (1.0, 1.0)
    assert settings.daily_budget == 5.0
    assert settings.flagged is FlaggedRule.SPOILER
    assert settings.paused is None
    assert set(here.sources.values()) == {Source.DEFAULT}
    assert set(here.sources) == set(CommunitySettings.model_fields)


def test_the_nearer_layer_wins_and_is_named() -> None:
    here = effective(
        CommunitySettings(model="flux-2", preset="house", log_channel="1"),
        CommunitySettings(model="flux-1", report_channel="2"),
    )
    assert here.settings.model == "flux-1"
    assert here.sources["model"] is Source.COMMUNITY
    assert here.settings.preset == "house"
    assert here.sources["preset"] is Source.INSTANCE
    assert (here.settings.log_channel, here.settings.report_channel) == ("1", "2")
    assert here.sources["size"] is Source.DEFAULT


def test_a_value_that_equals_the_default_is_still_somebodys_own() -> None:
    here = effective(CommunitySettings(model="flux-2"), CommunitySettings(model="flux-1"))
    assert (here.settings.model, here.sources["model"]) == ("flux-1", Source.COMMUNITY)


def test_a_community_may_go_beyond_a_declared_limit() -> None:
    here = effective(NOTHING, CommunitySettings(daily_budget=50, requester_queued=None))
    assert (here.settings.daily_budget, here.settings.requester_queued) == (50, None)
    assert here.sources["daily_budget"] is Source.COMMUNITY


@pytest.mark.parametrize(
    ("instance", "own", "value", "source"),
    [
        (10.0, 5.0, 5.0, Source.COMMUNITY),
        (10.0, 10.0, 10.0, Source.COMMUNITY),
        (10.0, 50.0, 10.0, Source.INSTANCE),
        (10.0, None, 10.0, Source.INSTANCE),
        (None, 50.0, 50.0, Source.COMMUNITY),
        (0.0, 50.0, 0.0, Source.INSTANCE),
    ],
)
def test_a_limit_of_the_instance_is_a_bound_for_communities(
    instance: float | None, own: float | None, value: float | None, source: Source
) -> None:
    here = effective(CommunitySettings(daily_budget=instance), CommunitySettings(daily_budget=own))
    assert (here.settings.daily_budget, here.sources["daily_budget"]) == (value, source)


def test_every_limit_of_the_instance_bounds_the_community_and_its_roles() -> None:
    bounds = dict.fromkeys(LIMITS, 1)
    wide = dict.fromkeys(LIMITS)
    role = dict.fromkeys(LIMITS & set(Allowance.model_fields))
    here = effective(
        CommunitySettings.model_validate(bounds),
        CommunitySettings.model_validate({**wide, "roles": {"7": role}}),
    )
    assert {name: getattr(here.settings, name) for name in LIMITS} == bounds
    assert {name: getattr(here.settings.roles["7"], name) for name in role} == dict.fromkeys(
        role, 1
    )


def test_what_the_instance_blocks_is_blocked_everywhere() -> None:
    instance = CommunitySettings(
        blocked_words=frozenset({"a"}),
        blocked_members=frozenset({"1"}),
        models=frozenset({"flux-1"}),
    )
    own = CommunitySettings(
        blocked_words=frozenset({"b"}),
        blocked_members=frozenset(),
        models=frozenset({"flux-1", "flux-2"}),
    )
    here = effective(instance, own)
    assert here.settings.blocked_words == {"a", "b"}
    assert here.settings.blocked_members == {"1"}
    assert here.settings.models == {"flux-1"}
    assert here.sources["blocked_words"] is Source.COMMUNITY
    assert here.sources["blocked_members"] is Source.INSTANCE
    assert here.sources["models"] is Source.INSTANCE


def test_a_community_without_a_model_of_the_instance_is_left_with_the_instances() -> None:
    here = effective(
        CommunitySettings(models=frozenset({"flux-2"})),
        CommunitySettings(models=frozenset({"flux-1"})),
    )
    assert here.settings.models == {"flux-2"}


def test_the_stricter_rule_for_flagged_pictures_holds() -> None:
    strict = CommunitySettings(flagged=FlaggedRule.WITHHOLD)
    mild = CommunitySettings(flagged=FlaggedRule.SPOILER)
    bounded, own = effective(strict, mild), effective(mild, strict)
    assert bounded.settings.flagged is own.settings.flagged is FlaggedRule.WITHHOLD
    assert bounded.sources["flagged"] is Source.INSTANCE
    assert own.sources["flagged"] is Source.COMMUNITY


def test_a_pause_of_the_instance_cannot_be_lifted_by_a_community() -> None:
    here = effective(
        CommunitySettings(paused=Pause(reason="Moving house.")), CommunitySettings(paused=None)
    )
    assert here.settings.paused == Pause(reason="Moving house.")
    assert here.sources["paused"] is Source.INSTANCE


def test_a_members_own_defaults_come_before_the_communitys() -> None:
    here = effective(
        CommunitySettings(model="flux-2"), CommunitySettings(preset="dreamy", size=ImageSize())
    )
    mine = member_defaults(here, MemberSettings(preset=None, images=2))
    assert mine.settings.preset is None
    assert mine.sources == {
        "preset": Source.MEMBER,
        "size": Source.COMMUNITY,
        "model": Source.INSTANCE,
        "images": Source.MEMBER,
        "private": Source.DEFAULT,
        "ping": Source.DEFAULT,
    }
    assert mine.settings.size == ImageSize(width=512, height=512)
    assert (mine.settings.model, mine.settings.images) == ("flux-2", 2)
    assert (mine.settings.private, mine.settings.ping) == (False, False)


# --- Changes ----------------------------------------------------------------------------------


def test_a_change_keeps_what_it_does_not_name() -> None:
    layer = CommunitySettings(max_steps=30, preset="dreamy", roles={"7": Allowance(max_steps=50)})
    changed = Change({"max_steps": 20, "size": "square"}, frozenset({"preset"})).applied_to(layer)
    assert changed.model_fields_set == {"max_steps", "size", "roles"}
    assert changed.max_steps == 20
    assert changed.size == ImageSize(width=512, height=512)
    assert changed.roles["7"].model_fields_set == {"max_steps"}


def test_text_from_a_form_is_read() -> None:
    changed = Change({"max_steps": "30", "daily_budget": "2.50"}).applied_to(NOTHING)
    assert (changed.max_steps, changed.daily_budget) == (30, 2.5)


def test_a_change_names_its_fields() -> None:
    assert Change({"preset": "x", "model": "flux-2"}, frozenset({"size"})).fields == (
        "model",
        "preset",
        "size",
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"max_steps": 900},
            "max_steps cannot take 900; use 1 to 50 steps, or none for no limit.",
        ),
        ({"model": "sdxl"}, "model cannot take “sdxl”; use one of flux-1, flux-2."),
        (
            {"models": []},
            "models cannot take []; use one or more of flux-1, flux-2.",
        ),
        (
            {"daily_budget": float("nan")},
            "daily_budget cannot take nan; use 0 to 1000000 US dollars a day, or none for no "
            "limit.",
        ),
        (
            {"flagged": "show"},
            "flagged cannot take “show”; use one of spoiler, spoiler_age_restricted, private, "
            "withhold.",
        ),
        (
            {"blocked_words": ["fine", " … "]},
            "blocked_words cannot take “ … ”; use up to 5000 words or phrases of up to 100 "
            "characters, each with a letter, digit or symbol.",
        ),
        (
            {"roles": {"7": {"max_images": 9}}},
            "max_images of role 7 cannot take 9; use 1 to 4 pictures at once, or none for no "
            "limit.",
        ),
        ({"steps": 3}, "There is no setting steps; leave it out."),
        ({"roles": {"7": {"steps": 3}}}, "There is no setting steps of role 7; leave it out."),
        (
            {"max_steps": 0, "max_images": 5},
            "max_steps cannot take 0; use 1 to 50 steps, or none for no limit. "
            "max_images cannot take 5; use 1 to 4 pictures at once, or none for no limit.",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_the_setting_takes(
    values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsRefused) as refused:
        Change(values).applied_to(NOTHING)
    assert str(refused.value) == sentence
    assert refused.value.fields == tuple(values)


def test_clearing_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsRefused, match="There is no setting stpes; leave it out"):
        Change(cleared=frozenset({"stpes"})).applied_to(NOTHING)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(CommunitySettings.model_fields)), json_values))
def test_any_value_is_taken_and_kept_or_refused_with_a_sentence(values: dict[str, object]) -> None:
    outcome: CommunitySettings | SettingsRefused
    try:
        outcome = Change(values).applied_to(NOTHING)
    except SettingsRefused as refused:
        outcome = refused
    if isinstance(outcome, SettingsRefused):
        assert str(outcome).endswith(".")
        assert set(outcome.fields) <= set(values)
    else:
        kept = outcome.model_dump_json(exclude_unset=True)
        assert CommunitySettings.model_validate_json(kept) == outcome


def test_equal_settings_are_written_as_equal_bytes() -> None:
    words = [f"word {n}" for n in range(50)]
    one = CommunitySettings(blocked_words=frozenset(words), moderators=frozenset(words))
    other = CommunitySettings(
        moderators=frozenset(reversed(words)), blocked_words=frozenset(reversed(words))
    )
    assert one.model_dump_json(exclude_unset=True) == other.model_dump_json(exclude_unset=True)


def test_blocked_words_are_not_shown_in_logs() -> None:
    assert "dragon" not in repr(CommunitySettings(blocked_words=frozenset({"dragon"})))


@pytest.mark.parametrize("model", [Allowance, CommunitySettings, MemberSettings])
def test_every_setting_says_what_it_takes(model: type[BaseModel]) -> None:
    assert get_type_hints(model).keys() >= model.model_fields.keys()
    assert [name for name, info in model.model_fields.items() if not info.description] == []


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(NOTHING, "max_steps", 3)  # noqa: B010


# --- Contradictions ---------------------------------------------------------------------------


def test_the_declared_settings_contradict_nothing() -> None:
    assert contradiction(NOTHING) is None


def test_a_default_model_that_not_everyone_may_use_is_a_contradiction() -> None:
    refused = contradiction(CommunitySettings(models=frozenset({"flux-2"})))
    assert str(refused) == (
        "model is flux-1, which not everyone may use here; make it flux-2, or add it to models."
    )


def test_a_default_size_over_the_limit_is_a_contradiction() -> None:
    size = ImageSize(width=1024, height=1024)
    assert contradiction(CommunitySettings(size=size, max_megapixels=None)) is None
    refused = contradiction(CommunitySettings(size=size, max_megapixels=1))
    assert refused is not None
    assert str(refused) == (
        "size is 1024x1024, which is more than max_megapixels (1); make it smaller, or raise "
        "max_megapixels."
    )
    assert refused.fields == ("size", "max_megapixels")
