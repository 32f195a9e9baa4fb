"""Who may do what: one table."""

from dataclasses import replace
from typing import Final

import pytest

from lora_registry.models import Role, Viewer
from lora_registry.permissions import (
    PUBLIC,
    Action,
    Decision,
    Place,
    Publishing,
    Rule,
    Rules,
    State,
    Subject,
    may,
)
from tests.lora_registry.world import ANNA, AWAY, BOB, CURATOR, HERE, MANAGER, OPERATOR

SHA: Final = "a" * 64
OWN: Final = Subject("p", "anna", Place.person("anna"), loras=frozenset({SHA}))
LISTED: Final = replace(OWN, place=HERE, tags=frozenset({"soft"}))
OPEN: Final = replace(OWN, place=PUBLIC)
PEOPLE: Final = {
    "anna": ANNA,
    "bob": BOB,
    "carl": AWAY,
    "curator": CURATOR,
    "manager": MANAGER,
    "operator": OPERATOR,
}
EVERYBODY: Final = tuple(PEOPLE)
NOBODY: Final = ()
U, E, D, P, W, A, M, G = Action

# Action, subject, and who may.
TABLE: Final = [
    (U, OWN, ("anna",)),
    (U, LISTED, ("anna", "bob", "curator", "manager")),
    (U, OPEN, EVERYBODY),
    (U, replace(LISTED, state=State.PENDING), NOBODY),
    (U, replace(OPEN, state=State.HIDDEN), NOBODY),
    (U, replace(OPEN, state=State.REJECTED), NOBODY),
    (E, OWN, ("anna",)),
    (E, OPEN, ("anna",)),
    (D, OPEN, ("anna", "operator")),
    (P, LISTED, ("anna",)),
    (P, OPEN, ("anna",)),
    (P, OWN, NOBODY),
    (P, replace(LISTED, place=Place.community("elsewhere")), NOBODY),
    (W, LISTED, ("anna",)),
    (W, replace(OPEN, state=State.HIDDEN), ("anna",)),
    (A, LISTED, ("curator", "manager", "operator")),
    (A, OPEN, ("operator",)),
    (M, LISTED, ("curator", "manager", "operator")),
    (M, OPEN, ("operator",)),
    (M, replace(LISTED, place=Place.community("third")), ("operator",)),
    (G, LISTED, ("manager", "operator")),
    (G, OPEN, ("operator",)),
]


@pytest.mark.parametrize(("action", "subject", "who"), TABLE)
def test_the_table_of_permissions(action: Action, subject: Subject, who: tuple[str, ...]) -> None:
    decisions = {name: may(person, action, subject, Rules()) for name, person in PEOPLE.items()}
    assert tuple(name for name, one in decisions.items() if one.allowed) == who
    for decision in decisions.values():
        assert decision.allowed == (decision.reason == "")
        assert decision.allowed or decision.reason.endswith(".")


def deny(kind: str, value: str, place: Place = HERE) -> Rule:
    return Rule("deny", kind, value, place, "spam")  # type: ignore[arg-type]


def allow(kind: str, value: str, place: Place = HERE) -> Rule:
    return Rule("allow", kind, value, place)  # type: ignore[arg-type]


MATCHING: Final = [("preset", "p"), ("owner", "anna"), ("lora", SHA), ("tag", "soft")]


@pytest.mark.parametrize(("kind", "value"), MATCHING)
@pytest.mark.parametrize("place", [HERE, PUBLIC])
@pytest.mark.parametrize("viewer", PEOPLE.values(), ids=PEOPLE)
def test_denying_wins_over_everybody_and_every_allowing_rule(
    kind: str, value: str, place: Place, viewer: Viewer
) -> None:
    everything = tuple(allow(*one, where) for one in MATCHING for where in (HERE, PUBLIC))
    rules = Rules((*everything, deny(kind, value, place)), publishing=Publishing.OPEN)
    for action in (U, P, A):
        assert not may(viewer, action, LISTED, rules).allowed


def test_a_denial_says_what_where_and_why() -> None:
    decision = may(BOB, U, LISTED, Rules((deny("tag", "soft"),)))
    assert decision.reason == "The tag soft is denied in this community: spam."
    decision = may(BOB, U, LISTED, Rules((deny("lora", SHA, PUBLIC),)))
    assert decision.reason == "A LoRA of it (aaaaaaaaaaaa…) is denied on this Atelier: spam."
    assert not decision.secret


def test_a_rule_about_something_else_changes_nothing() -> None:
    rules = Rules((deny("preset", "q"), deny("owner", "bob"), deny("lora", "b" * 64)))
    assert may(BOB, U, LISTED, rules).allowed


@pytest.mark.parametrize(
    ("nsfw", "person", "place", "allowed"),
    [(0, 0, 4, True), (1, 0, 4, False), (3, 4, 2, False), (2, 4, 2, True), (4, 4, 4, True)],
)
def test_the_lower_of_both_ceilings_holds(
    nsfw: int, person: int, place: int, allowed: bool
) -> None:
    subject = replace(LISTED, nsfw=nsfw)
    viewer = replace(BOB, nsfw_ceiling=person)
    assert may(viewer, U, subject, Rules(ceiling=place)).allowed == allowed


@pytest.mark.parametrize("viewer", PEOPLE.values(), ids=PEOPLE)
@pytest.mark.parametrize("action", [U, P, A])
def test_nsfw_with_somebody_who_looks_under_age_is_never_allowed(
    viewer: Viewer, action: Action
) -> None:
    subject = replace(LISTED, nsfw=1, minor=True)
    everything = Rules(tuple(allow(*one, PUBLIC) for one in MATCHING), publishing=Publishing.OPEN)
    assert not may(viewer, action, subject, everything).allowed


def test_somebody_who_looks_under_age_may_be_drawn_where_nothing_is_nsfw() -> None:
    assert may(BOB, U, replace(LISTED, minor=True), Rules()).allowed


def test_a_real_person_is_drawn_once_the_operator_allows_the_lora() -> None:
    subject = replace(LISTED, persons=frozenset({SHA}))
    assert "real person" in may(ANNA, U, subject, Rules()).reason
    assert not may(ANNA, U, subject, Rules((allow("lora", SHA, HERE),))).allowed
    assert may(ANNA, U, subject, Rules((allow("lora", SHA, PUBLIC),))).allowed


@pytest.mark.parametrize(
    ("publishing", "viewer", "rules", "expected"),
    [
        (Publishing.OPEN, ANNA, (), Decision(True)),
        (Publishing.REVIEWED, ANNA, (), Decision(True, review=True)),
        (Publishing.REVIEWED, ANNA, (allow("owner", "anna"),), Decision(True)),
        (Publishing.REVIEWED, ANNA, (allow("owner", "bob"),), Decision(True, review=True)),
        (Publishing.REVIEWED, ANNA, (allow("tag", "soft", PUBLIC),), Decision(True, review=True)),
        (
            Publishing.CLOSED,
            ANNA,
            (allow("owner", "anna"),),
            Decision(False, "Only curators publish here; ask one of them."),
        ),
    ],
)
def test_who_publishes_follows_the_place(
    publishing: Publishing, viewer: Viewer, rules: tuple[Rule, ...], expected: Decision
) -> None:
    assert may(viewer, P, LISTED, Rules(rules, publishing=publishing)) == expected


def test_a_curator_publishes_their_own_without_review() -> None:
    mine = replace(LISTED, owner="cora")
    assert may(CURATOR, P, mine, Rules(publishing=Publishing.CLOSED)) == Decision(True)


def test_what_cannot_be_reached_is_a_secret_and_what_can_is_not() -> None:
    assert may(BOB, U, OWN, Rules()).secret
    assert may(AWAY, U, LISTED, Rules((deny("preset", "p"),))).secret
    assert not may(replace(BOB, nsfw_ceiling=0), U, replace(LISTED, nsfw=1), Rules()).secret


def test_every_role_has_the_powers_of_those_below_it() -> None:
    for action in (A, M, G):
        allowed = [
            may(replace(BOB, roles=frozenset({role})), action, LISTED, Rules()).allowed
            for role in (Role.MEMBER, Role.CURATOR, Role.MANAGER, Role.OPERATOR)
        ]
        assert allowed == sorted(allowed)
