"""The rule for flagged pictures, every combination by hand."""

import itertools

import pytest

from backends.base import Verdict
from bot.jobs.job import Place
from bot.policy import FlaggedRule, Treatment, decide, stricter

CHANNEL = Place(community="1", channel="2")
AGE_RESTRICTED = Place(community="1", channel="2", age_restricted=True)
PRIVATE = Place(community="1", channel="2", private=True)
PRIVATE_AGE_RESTRICTED = Place(community="1", channel="2", private=True, age_restricted=True)

CLEAR, FLAGGED, UNCHECKED = Verdict.CLEAR, Verdict.FLAGGED, Verdict.UNCHECKED
SHOW, SPOILER, WITHHOLD = Treatment.SHOW, Treatment.SPOILER, Treatment.WITHHOLD
R = FlaggedRule

TABLE = [
    (CLEAR, CHANNEL, R.SPOILER, SHOW),
    (CLEAR, CHANNEL, R.SPOILER_AGE_RESTRICTED, SHOW),
    (CLEAR, CHANNEL, R.PRIVATE, SHOW),
    (CLEAR, CHANNEL, R.WITHHOLD, SHOW),
    (CLEAR, AGE_RESTRICTED, R.SPOILER, SHOW),
    (CLEAR, AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, SHOW),
    (CLEAR, AGE_RESTRICTED, R.PRIVATE, SHOW),
    (CLEAR, AGE_RESTRICTED, R.WITHHOLD, SHOW),
    (CLEAR, PRIVATE, R.SPOILER, SHOW),
    (CLEAR, PRIVATE, R.SPOILER_AGE_RESTRICTED, SHOW),
    (CLEAR, PRIVATE, R.PRIVATE, SHOW),
    (CLEAR, PRIVATE, R.WITHHOLD, SHOW),
    (CLEAR, PRIVATE_AGE_RESTRICTED, R.SPOILER, SHOW),
    (CLEAR, PRIVATE_AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, SHOW),
    (CLEAR, PRIVATE_AGE_RESTRICTED, R.PRIVATE, SHOW),
    (CLEAR, PRIVATE_AGE_RESTRICTED, R.WITHHOLD, SHOW),
    (FLAGGED, CHANNEL, R.SPOILER, SPOILER),
    (FLAGGED, CHANNEL, R.SPOILER_AGE_RESTRICTED, WITHHOLD),
    (FLAGGED, CHANNEL, R.PRIVATE, WITHHOLD),
    (FLAGGED, CHANNEL, R.WITHHOLD, WITHHOLD),
    (FLAGGED, AGE_RESTRICTED, R.SPOILER, SPOILER),
    (FLAGGED, AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, SPOILER),
    (FLAGGED, AGE_RESTRICTED, R.PRIVATE, WITHHOLD),
    (FLAGGED, AGE_RESTRICTED, R.WITHHOLD, WITHHOLD),
    (FLAGGED, PRIVATE, R.SPOILER, SPOILER),
    (FLAGGED, PRIVATE, R.SPOILER_AGE_RESTRICTED, WITHHOLD),
    (FLAGGED, PRIVATE, R.PRIVATE, SPOILER),
    (FLAGGED, PRIVATE, R.WITHHOLD, WITHHOLD),
    (FLAGGED, PRIVATE_AGE_RESTRICTED, R.SPOILER, SPOILER),
    (FLAGGED, PRIVATE_AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, SPOILER),
    (FLAGGED, PRIVATE_AGE_RESTRICTED, R.PRIVATE, SPOILER),
    (FLAGGED, PRIVATE_AGE_RESTRICTED, R.WITHHOLD, WITHHOLD),
    (UNCHECKED, CHANNEL, R.SPOILER, SPOILER),
    (UNCHECKED, CHANNEL, R.SPOILER_AGE_RESTRICTED, WITHHOLD),
    (UNCHECKED, CHANNEL, R.PRIVATE, WITHHOLD),
    (UNCHECKED, CHANNEL, R.WITHHOLD, WITHHOLD),
    (UNCHECKED, AGE_RESTRICTED, R.SPOILER, SPOILER),
    (UNCHECKED, AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, SPOILER),
    (UNCHECKED, AGE_RESTRICTED, R.PRIVATE, WITHHOLD),
    (UNCHECKED, AGE_RESTRICTED, R.WITHHOLD, WITHHOLD),
    (UNCHECKED, PRIVATE, R.SPOILER, SPOILER),
    (UNCHECKED, PRIVATE, R.SPOILER_AGE_RESTRICTED, WITHHOLD),
    (UNCHECKED, PRIVATE, R.PRIVATE, SPOILER),
    (UNCHECKED, PRIVATE, R.WITHHOLD, WITHHOLD),
    (UNCHECKED, PRIVATE_AGE_RESTRICTED, R.SPOILER, SPOILER),
    (UNCHECKED, PRIVATE_AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, SPOILER),
    (UNCHECKED, PRIVATE_AGE_RESTRICTED, R.PRIVATE, SPOILER),
    (UNCHECKED, PRIVATE_AGE_RESTRICTED, R.WITHHOLD, WITHHOLD),
]
PLACES = [CHANNEL, AGE_RESTRICTED, PRIVATE, PRIVATE_AGE_RESTRICTED]


@pytest.mark.parametrize(("verdict", "place", "rule", "treatment"), TABLE)
def test_a_picture_is_treated_as_the_table_says(
    verdict: Verdict, place: Place, rule: FlaggedRule, treatment: Treatment
) -> None:
    assert decide(verdict, place, rule) is treatment


def test_the_table_lists_every_combination_once() -> None:
    listed = [(verdict, place.model_dump_json(), rule) for verdict, place, rule, _ in TABLE]
    places = [place.model_dump_json() for place in PLACES]
    assert sorted(listed) == sorted(itertools.product(Verdict, places, FlaggedRule))


STRICTER = [
    (R.SPOILER, R.SPOILER, R.SPOILER),
    (R.SPOILER, R.SPOILER_AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED),
    (R.SPOILER, R.PRIVATE, R.PRIVATE),
    (R.SPOILER, R.WITHHOLD, R.WITHHOLD),
    (R.SPOILER_AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED, R.SPOILER_AGE_RESTRICTED),
    (R.SPOILER_AGE_RESTRICTED, R.PRIVATE, R.WITHHOLD),
    (R.SPOILER_AGE_RESTRICTED, R.WITHHOLD, R.WITHHOLD),
    (R.PRIVATE, R.PRIVATE, R.PRIVATE),
    (R.PRIVATE, R.WITHHOLD, R.WITHHOLD),
    (R.WITHHOLD, R.WITHHOLD, R.WITHHOLD),
]


@pytest.mark.parametrize(("one", "other", "both"), STRICTER)
def test_two_rules_together_withhold_what_either_withholds(
    one: FlaggedRule, other: FlaggedRule, both: FlaggedRule
) -> None:
    assert stricter(one, other) is both
    assert stricter(other, one) is both
    for place in PLACES:
        if WITHHOLD in {decide(FLAGGED, place, one), decide(FLAGGED, place, other)}:
            assert decide(FLAGGED, place, both) is WITHHOLD
