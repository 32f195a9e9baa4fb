"""How a picture may appear: its verdict, the place it goes to and the community's rule."""

import enum

from backends.base import Verdict
from bot.jobs.job import Place


class Treatment(enum.StrEnum):
    """What a surface does with a picture.

    `SPOILER` is whatever the surface hides pictures with until somebody opens them: a spoiler, a
    collapsed block, a blur. `WITHHOLD` uploads nothing and says so.
    """

    SHOW = "show"
    SPOILER = "spoiler"
    WITHHOLD = "withhold"


class FlaggedRule(enum.StrEnum):
    """What a community wants done with pictures that are not clear.

    One set of intents for every surface; each offers those that make sense there, in its own
    words. Discord: `spoiler`, `spoiler_age_restricted`, `withhold`. Slack: `spoiler` (its
    `collapse`), `private` (its `dm`), `withhold`.
    """

    SPOILER = "spoiler"
    """Behind a spoiler, everywhere."""
    SPOILER_AGE_RESTRICTED = "spoiler_age_restricted"
    """Behind a spoiler in age-restricted places, withheld elsewhere."""
    PRIVATE = "private"
    """Behind a spoiler where only the requester sees it, withheld elsewhere."""
    WITHHOLD = "withhold"
    """Never uploaded."""


def decide(verdict: Verdict, place: Place, rule: FlaggedRule) -> Treatment:
    """Say how a picture with this verdict appears in this place.

    `UNCHECKED` is treated as `FLAGGED`. A live preview has always the verdict `UNCHECKED`; where
    it would be withheld there is no preview. A withheld picture may be offered to its requester
    alone exactly when the same place with `private=True` gives `SPOILER`.
    """
    if verdict is Verdict.CLEAR:
        return Treatment.SHOW
    match rule:
        case FlaggedRule.SPOILER:
            hidden_is_enough = True
        case FlaggedRule.SPOILER_AGE_RESTRICTED:
            hidden_is_enough = place.age_restricted
        case FlaggedRule.PRIVATE:
            hidden_is_enough = place.private
        case FlaggedRule.WITHHOLD:
            hidden_is_enough = False
    return Treatment.SPOILER if hidden_is_enough else Treatment.WITHHOLD


def stricter(one: FlaggedRule, other: FlaggedRule) -> FlaggedRule:
    """The mildest rule that never shows what either of the two would withhold."""
    if one is other or other is FlaggedRule.SPOILER:
        return one
    # Between an age-restricted place and a private one, neither rule is stricter everywhere.
    return other if one is FlaggedRule.SPOILER else FlaggedRule.WITHHOLD
