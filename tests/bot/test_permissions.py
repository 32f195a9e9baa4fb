"""Who may do what, and if not, why."""

from typing import Any

import pytest

from backends.base import parse_request
from bot.communities import (
    INSTANCE,
    Allowance,
    CommunitySettings,
    Effective,
    Pause,
    SettingsRefused,
    effective,
)
from bot.jobs.limits import Limits
from bot.permissions import (
    Blocked,
    Excess,
    ModelNotAllowed,
    OverAllowance,
    OverBudget,
    Paused,
    Refusal,
    Requester,
    WordsBlocked,
    allowance,
    check_may_change,
    is_moderator,
    limits,
    may,
)

ANA = Requester("ana")
ARTIST = Requester("ana", roles=frozenset({"artist", "other"}))
OWNER = Requester("owner", owner=True)
CAT = parse_request({"prompt": "a cat"})


def community(
    instance: dict[str, Any] | None = None, /, **own: Any
) -> Effective[CommunitySettings]:
    return effective(CommunitySettings(**(instance or {})), CommunitySettings(**own))


def test_by_default_an_ordinary_request_is_allowed() -> None:
    assert may(community(), ANA, CAT) is None


REFUSED: list[tuple[dict[str, Any], dict[str, Any], Refusal | None]] = [
    ({"blocked_members": {"ana"}}, {}, Blocked()),
    ({"blocked_members": {"ben"}}, {}, None),
    ({"paused": Pause()}, {}, Paused("")),
    ({"paused": Pause(reason="Back at noon.")}, {}, Paused("Back at noon.")),
    ({"models": {"flux-2"}}, {}, ModelNotAllowed("flux-1", ("flux-2",))),
    ({"models": {"flux-2"}}, {"model": "flux-2"}, None),
    ({"max_steps": 27}, {}, OverAllowance((Excess("num_inference_steps", 28, 27),))),
    ({"max_steps": 28}, {}, None),
    ({"max_images": 1}, {"num_images": 2}, OverAllowance((Excess("num_images", 2, 1),))),
    (
        {"max_megapixels": 1},
        {"image_size": "square_hd"},
        OverAllowance((Excess("image_size", 1.048576, 1),)),
    ),
    ({"max_megapixels": 1.048576}, {"image_size": "square_hd"}, None),
    (
        {"max_megapixels": 0.2, "max_steps": 20, "max_images": 1},
        {"image_size": "square", "num_images": 3},
        OverAllowance(
            (
                Excess("image_size", 0.262144, 0.2),
                Excess("num_inference_steps", 28, 20),
                Excess("num_images", 3, 1),
            )
        ),
    ),
    ({"blocked_words": {"Cat", "dog"}}, {}, WordsBlocked(("Cat",))),
    ({"blocked_words": {"cat"}}, {"prompt": "a catfish"}, None),
    # Who is blocked learns nothing else; a pause is said before anything about the request.
    ({"blocked_members": {"ana"}, "paused": Pause(), "max_steps": 1}, {}, Blocked()),
    ({"paused": Pause(), "max_steps": 1, "blocked_words": {"cat"}}, {}, Paused("")),
]


@pytest.mark.parametrize(("settings", "fields", "refusal"), REFUSED)
def test_a_request_is_refused_with_the_reason(
    settings: dict[str, Any], fields: dict[str, Any], refusal: Refusal | None
) -> None:
    request = parse_request({"prompt": "a cat", **fields})
    assert may(community(**settings), ANA, request) == refusal


@pytest.mark.parametrize(
    ("budget", "price", "spent", "allowed"),
    [
        (1.0, 0.03, 0.0, True),
        (1.0, 0.03, 0.97, True),
        (0.3, 0.1, 0.2, True),
        (1.0, 0.03, 0.98, False),
        (0.0, 0.03, 0.0, False),
        (0.0, 0.0, 0.0, True),
        (1.0, 0.0, 2.0, True),
        (None, 100.0, 100.0, True),
    ],
)
def test_a_price_must_fit_into_what_is_left_of_the_budget(
    budget: float | None, price: float, spent: float, allowed: bool
) -> None:
    here = community(daily_budget=budget)
    refusal = may(here, ANA, CAT, price=price, spent_today=spent)
    assert refusal == (None if allowed else OverBudget(price, spent, budget or 0.0))


def test_a_refusal_keeps_the_words_out_of_logs() -> None:
    assert "cat" not in repr(WordsBlocked(("cat",)))


# --- Roles ------------------------------------------------------------------------------------


def test_a_person_has_the_most_generous_of_everyones_and_their_roles_limits() -> None:
    here = community(
        max_steps=20,
        max_images=2,
        requester_queued=5,
        requester_weight=2.0,
        models={"flux-1"},
        roles={
            "artist": Allowance(max_steps=40, models=frozenset({"flux-2"}), requester_weight=1.0),
            "other": Allowance(max_steps=30, max_images=None, requester_queued=2),
            "not theirs": Allowance(max_steps=None, requester_weight=10),
        },
    )
    theirs = allowance(here, ARTIST)
    assert theirs.max_steps == 40
    assert theirs.max_images is None
    assert theirs.models == {"flux-1", "flux-2"}
    assert theirs.requester_queued == 5
    assert theirs.requester_weight == 2.0
    assert allowance(here, ANA).max_steps == 20
    many = parse_request({"prompt": "a cat", "model": "flux-2", "num_images": 4})
    assert may(here, ARTIST, many) is None
    assert may(here, ANA, many) == ModelNotAllowed("flux-2", ("flux-1",))


def test_a_role_leaves_alone_what_it_does_not_set() -> None:
    here = community(max_steps=20, roles={"artist": Allowance(max_images=4)})
    assert allowance(here, ARTIST).max_steps == 20


def test_a_role_does_not_lift_what_the_instance_has_set() -> None:
    here = community({"max_steps": 30}, roles={"artist": Allowance(max_steps=None)})
    assert allowance(here, ARTIST).max_steps == 30


# --- Limits -----------------------------------------------------------------------------------


def test_the_job_store_gets_the_persons_and_the_communitys_limits() -> None:
    here = community(
        requester_queued=3,
        requester_running=2,
        requester_per_day=40,
        requester_weight=0.5,
        community_queued=100,
        community_running=4,
        community_per_day=1000,
        community_weight=3.0,
        daily_budget=2.5,
        roles={"artist": Allowance(requester_queued=9, requester_weight=4)},
    )
    assert limits(here, ARTIST) == Limits(
        requester_queued=9,
        requester_running=2,
        requester_per_day=40,
        requester_weight=4,
        community_queued=100,
        community_running=4,
        community_per_day=1000,
        community_budget=2.5,
        community_weight=3.0,
    )
    assert limits(here, ANA).requester_queued == 3


def test_declared_limits_do_not_bind_the_owner_of_the_instance() -> None:
    assert limits(community(), OWNER) == Limits()
    huge = parse_request({"prompt": "a cat", "image_size": {"width": 4096, "height": 4096}})
    assert may(community(), OWNER, huge, price=100, spent_today=100) is None


def test_declared_limits_on_waiting_jobs_do_not_bind_programs_but_money_does() -> None:
    program = Requester("key-1", program=True)
    assert limits(community(), program) == Limits(community_budget=5.0)
    set_here = community(requester_queued=3, community_queued=9)
    assert limits(set_here, program).requester_queued == 3
    assert limits(set_here, program).community_queued == 9


def test_limits_that_somebody_set_bind_the_owner_too() -> None:
    here = community({"daily_budget": 2.0}, requester_queued=3, blocked_words={"cat"})
    dog = parse_request({"prompt": "a dog"})
    assert limits(here, OWNER) == Limits(requester_queued=3, community_budget=2.0)
    assert may(here, OWNER, dog, price=1, spent_today=2) == OverBudget(1, 2, 2)
    assert may(here, OWNER, CAT) == WordsBlocked(("cat",))


# --- Moderators and settings ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requester", "moderates"),
    [
        (Requester("ana"), False),
        (Requester("mod"), True),
        (Requester("ana", roles=frozenset({"crew", "other"})), True),
        (Requester("ana", roles=frozenset({"other"})), False),
        (Requester("ana", manager=True), True),
        (Requester("ana", owner=True), True),
    ],
)
def test_moderators_are_named_have_a_role_or_manage(requester: Requester, moderates: bool) -> None:
    here = community(moderators={"mod"}, moderator_roles={"crew"})
    assert is_moderator(here, requester) is moderates


@pytest.mark.parametrize(
    ("community_id", "fields", "by", "sentence"),
    [
        ("1", ["max_steps"], Requester("a", manager=True), None),
        ("1", ["max_steps"], OWNER, None),
        ("1", ["community_weight"], OWNER, None),
        (INSTANCE, ["max_steps"], OWNER, None),
        ("1", ["max_steps"], ANA, "Only who manages this community changes its settings."),
        (
            "1",
            ["community_weight", "max_steps"],
            Requester("a", manager=True),
            "Only the owner of this Atelier sets community_weight.",
        ),
        (
            INSTANCE,
            ["max_steps"],
            Requester("a", manager=True),
            "Only the owner of this Atelier changes the instance's settings.",
        ),
    ],
)
def test_settings_are_changed_by_managers_and_the_instances_by_its_owner(
    community_id: str, fields: list[str], by: Requester, sentence: str | None
) -> None:
    if sentence is None:
        check_may_change(community_id, fields, by)
    else:
        with pytest.raises(SettingsRefused) as refused:
            check_may_change(community_id, fields, by)
        assert str(refused.value) == sentence
