"""What people are told about what they have left today."""

from dataclasses import replace

from bot.commands.quota import Today
from bot.permissions import Paused

PLENTY = Today(
    jobs=0,
    most=None,
    at_once=None,
    community_jobs=7,
    community_most=None,
    spent=0.0,
    budget=5.0,
)


def test_without_limits_only_what_was_asked_for_is_told() -> None:
    assert PLENTY.told() == ("You have asked for 0 jobs today; there is no limit for a day.",)


def test_every_limit_that_holds_is_told_with_what_is_used_of_it() -> None:
    told = Today(
        jobs=1,
        most=1,
        at_once=5,
        community_jobs=7,
        community_most=20,
        spent=0.125,
        budget=5.0,
    ).told()
    assert told == (
        "You have used 1 of your 1 job of today.",
        "5 jobs of yours may wait at a time.",
        "All here together have used 7 of 20 jobs of today.",
        "Of today's $5.00 for everybody here $0.12 are used.",
        "The next day begins at 00:00 UTC.",
    )


def test_a_pause_is_all_that_matters_while_it_lasts() -> None:
    closed = replace(PLENTY, closed=Paused("We move house."))
    assert closed.told() == ("Generating is paused here. We move house.",)
