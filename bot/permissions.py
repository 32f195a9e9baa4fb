"""What a community's settings allow whom: one place that says yes, or why not."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from backends.base import MODELS, GenerationRequest, ModelName
from bot.blocked_words import find_blocked
from bot.communities import (
    INSTANCE,
    LIMITS,
    Allowance,
    CommunitySettings,
    Effective,
    SettingsRefused,
    Source,
)
from bot.jobs.limits import Limits

_OWNERS: Final = frozenset({"community_weight"})
"""Settings of a community that only the instance's owner makes: it may not favour itself."""


_PROGRAMS: Final = frozenset({"requester_queued", "requester_running", "community_queued"})
"""Limits that hold for programs only where somebody has set them."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks: a person or an API key, as their surface knows them.

    `roles` are ids of roles or user groups in the community. `manager` may manage the community on
    its platform (Discord's Manage Server, a Slack workspace's admin). `owner` runs this instance:
    whoever is at its command line or its loopback playground. `program` is an API key, which the
    owner has given out.
    """

    id: str
    roles: frozenset[str] = frozenset()
    manager: bool = False
    owner: bool = False
    program: bool = False


def is_moderator(here: Effective[CommunitySettings], requester: Requester) -> bool:
    """Whether they may delete, veil and reveal the pictures of others."""
    return (
        requester.owner
        or requester.manager
        or requester.id in here.settings.moderators
        or not requester.roles.isdisjoint(here.settings.moderator_roles)
    )


def check_may_change(community: str, fields: Iterable[str], by: Requester) -> None:
    """Refuse a change of settings to who may not make it.

    Raises:
        SettingsRefused: says who may.
    """
    if by.owner:
        return
    if community == INSTANCE:
        raise SettingsRefused("Only the owner of this Atelier changes the instance's settings.")
    if reserved := sorted(_OWNERS.intersection(fields)):
        raise SettingsRefused(
            f"Only the owner of this Atelier sets {', '.join(reserved)}.", *reserved
        )
    if not by.manager:
        raise SettingsRefused("Only who manages this community changes its settings.")


def allowance(here: Effective[CommunitySettings], requester: Requester) -> Allowance:
    """What this person may ask for: everyone's limits, or the most generous of their roles'."""
    settings = _binding(here, requester)
    granted = {name: getattr(settings, name) for name in Allowance.model_fields}
    for role in requester.roles & settings.roles.keys():
        extra = settings.roles[role]
        for name in extra.model_fields_set:
            granted[name] = _more_generous(name, granted[name], getattr(extra, name))
    return Allowance.model_construct(**granted)


def limits(here: Effective[CommunitySettings], requester: Requester) -> Limits:
    """What holds for a job of this person in this community."""
    person, settings = allowance(here, requester), _binding(here, requester)
    return Limits(
        requester_queued=person.requester_queued,
        requester_running=person.requester_running,
        requester_per_day=person.requester_per_day,
        requester_weight=person.requester_weight,
        community_queued=settings.community_queued,
        community_running=settings.community_running,
        community_per_day=settings.community_per_day,
        community_budget=settings.daily_budget,
        community_weight=settings.community_weight,
    )


def _binding(here: Effective[CommunitySettings], requester: Requester) -> CommunitySettings:
    """Declared limits guard the instance from others, so they do not bind its owner.

    Those on how many jobs wait and run do not bind programs either, which submit hundreds at once
    and count on a queue that takes them. What somebody has set binds everyone.
    """
    if not (requester.owner or requester.program):
        return here.settings
    lifted = LIMITS if requester.owner else _PROGRAMS
    declared = {name: None for name in lifted if here.sources[name] is Source.DEFAULT}
    return here.settings.model_copy(update=declared)


def _more_generous(name: str, one: Any, other: Any) -> Any:
    if name == "models":
        return one | other
    return None if one is None or other is None else max(one, other)


@dataclass(frozen=True, slots=True)
class Blocked:
    """This person may not generate here."""


@dataclass(frozen=True, slots=True)
class Paused:
    """Nobody may at the moment; `reason` is the moderators' own sentence, or empty."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModelNotAllowed:
    """This person may use the `allowed` models only."""

    model: ModelName
    allowed: tuple[ModelName, ...]


@dataclass(frozen=True, slots=True)
class Excess:
    """A field of the request over its limit; sizes count in megapixels (millions of pixels)."""

    field: Literal["image_size", "num_inference_steps", "num_images"]
    asked: float
    limit: float


@dataclass(frozen=True, slots=True)
class OverAllowance:
    """More than this person may ask for; every excess is named."""

    excesses: tuple[Excess, ...]


@dataclass(frozen=True, slots=True)
class OverBudget:
    """The community's money for today (UTC) does not cover it. All in US dollars."""

    price: float
    spent_today: float
    budget: float


@dataclass(frozen=True, slots=True)
class WordsBlocked:
    """The prompt holds these entries of the owner's list. They are for the requester's eyes."""

    words: tuple[str, ...] = field(repr=False)


Refusal = Blocked | Paused | ModelNotAllowed | OverAllowance | OverBudget | WordsBlocked
"""Why not; `bot.wording` has a sentence for each."""


def closed(here: Effective[CommunitySettings], requester: Requester) -> Blocked | Paused | None:
    """Why this person may have nothing drawn here at the moment, whatever it is."""
    if requester.id in here.settings.blocked_members:
        return Blocked()
    paused = here.settings.paused
    return None if paused is None else Paused(paused.reason)


def may(
    here: Effective[CommunitySettings],
    requester: Requester,
    request: GenerationRequest,
    *,
    price: float = 0.0,
    spent_today: float = 0.0,
) -> Refusal | None:
    """May this requester have this drawn here, and if not, why?

    `price` is the estimated price of the request and `spent_today` what the community has spent
    since midnight UTC, both in US dollars; a backend that costs nothing has the price 0. How many
    jobs wait, run and were asked for today is not known here: `limits` gives the job store the
    numbers to enforce.
    """
    settings, person = _binding(here, requester), allowance(here, requester)
    if (why := closed(here, requester)) is not None:
        return why
    if request.model not in person.models:
        return ModelNotAllowed(request.model, tuple(m for m in MODELS if m in person.models))
    if excesses := _excesses(person, request):
        return OverAllowance(excesses)
    if words := find_blocked(settings.blocked_words, request.prompt):
        return WordsBlocked(words)
    budget = settings.daily_budget
    # Sums of prices are rounded to a millionth of a dollar: 0.1 + 0.2 is not more than 0.3.
    if price > 0 and budget is not None and round(spent_today + price - budget, 6) > 0:
        return OverBudget(price, spent_today, budget)
    return None


def _excesses(person: Allowance, request: GenerationRequest) -> tuple[Excess, ...]:
    asked: tuple[tuple[Any, float, float | None], ...] = (
        ("image_size", request.image_size.pixels / 1e6, person.max_megapixels),
        ("num_inference_steps", request.num_inference_steps, person.max_steps),
        ("num_images", request.num_images, person.max_images),
    )
    return tuple(
        Excess(name, value, limit)
        for name, value, limit in asked
        if limit is not None and value > limit
    )
