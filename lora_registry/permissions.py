"""Who may do what with a preset: one function, which also says why not.

    USE       draw with it, look at it, fork, like and report it
    EDIT      make revisions of it, restore, rename
    DELETE    take it away everywhere
    PUBLISH   offer it to a community or the whole instance
    WITHDRAW  take it back from there
    APPROVE   let a revision be seen at a place
    MODERATE  reject, hide, pin, settle reports
    GOVERN    set a place's rules, ceiling and way of publishing, install presets there

`visibility.py` says the same about USE in SQL.
"""

import enum
from dataclasses import dataclass
from typing import Final, Literal

from lora_registry.models import Role, Viewer


class PlaceKind(enum.StrEnum):
    """What kind of place lists a preset."""

    PERSON = "person"
    COMMUNITY = "community"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Place:
    """Where presets are listed; `id` is the requester's or the community's, empty for public."""

    kind: PlaceKind
    id: str = ""

    @classmethod
    def person(cls, requester: str) -> "Place":
        return cls(PlaceKind.PERSON, requester)

    @classmethod
    def community(cls, community: str) -> "Place":
        return cls(PlaceKind.COMMUNITY, community)


PUBLIC: Final = Place(PlaceKind.PUBLIC)
"""The whole instance; its rules and its ceiling hold everywhere."""


class Action(enum.StrEnum):
    """What somebody wants to do; see the top of the file."""

    USE = "use"
    EDIT = "edit"
    DELETE = "delete"
    PUBLISH = "publish"
    WITHDRAW = "withdraw"
    APPROVE = "approve"
    MODERATE = "moderate"
    GOVERN = "govern"


class State(enum.StrEnum):
    """How a preset stands at a place. A person's own are always approved."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    HIDDEN = "hidden"


class Publishing(enum.StrEnum):
    """Who may publish at a place."""

    OPEN = "open"  # everybody, at once
    REVIEWED = "reviewed"  # everybody, once a curator approves
    CLOSED = "closed"  # curators only


RuleKind = Literal["preset", "owner", "lora", "tag"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A decision about everything with one trait; `value` is an id, a hash or a tag.

    Denying always wins. Allowing spares a preset, an owner's presets or a tag the review, and lets
    a LoRA of a real person be used where the instance says it.
    """

    effect: Literal["allow", "deny"]
    kind: RuleKind
    value: str
    place: Place
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds where the viewer is.

    `rules` are the instance's and the community's, `ceiling` the lower of their NSFW ceilings,
    `publishing` the way of the place that the subject is, or is to be, listed at.
    """

    rules: tuple[Rule, ...] = ()
    ceiling: int = 4
    publishing: Publishing = Publishing.REVIEWED


@dataclass(frozen=True, slots=True)
class Subject:
    """One revision of a preset as a place lists it.

    `nsfw` is the highest of its own level and its LoRAs'. `minor` says that one of them draws
    somebody who looks under age; `persons` are those that draw a real person.
    """

    preset: str
    owner: str
    place: Place
    state: State = State.APPROVED
    nsfw: int = 0
    minor: bool = False
    persons: frozenset[str] = frozenset()
    loras: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether, and if not, why: `reason` is a sentence.

    `secret` refusals must look like there was nothing. `review` says that a publication waits
    for a curator.
    """

    allowed: bool
    reason: str = ""
    secret: bool = False
    review: bool = False


_YES: Final = Decision(allowed=True)
_RANKS: Final = {Role.MEMBER: 0, Role.CURATOR: 1, Role.MANAGER: 2, Role.OPERATOR: 3}


def may(viewer: Viewer, action: Action, subject: Subject, rules: Rules) -> Decision:
    """May this viewer do this with this preset here, and if not, why?"""
    match action:
        case Action.USE:
            return _may_use(viewer, subject, rules)
        case Action.EDIT:
            if viewer.requester == subject.owner:
                return _YES
            return _no("Only its owner edits a preset; fork it to make your own of it")
        case Action.DELETE:
            if viewer.requester == subject.owner or _holds(viewer, Role.OPERATOR):
                return _YES
            return _no("Only its owner deletes a preset; a curator can hide it")
        case Action.PUBLISH:
            return _may_publish(viewer, subject, rules)
        case Action.WITHDRAW:
            if viewer.requester == subject.owner:
                return _YES
            return _no("Only its owner withdraws a preset; a curator can hide it")
        case Action.APPROVE:
            allowed = may(viewer, Action.MODERATE, subject, rules)
            return _content(subject, rules, rules.ceiling) or allowed
        case Action.MODERATE:
            return _may_decide(viewer, Role.CURATOR, subject.place)
        case Action.GOVERN:
            return _may_decide(viewer, Role.MANAGER, subject.place)


def _may_use(viewer: Viewer, subject: Subject, rules: Rules) -> Decision:
    match subject.place.kind:
        case PlaceKind.PERSON:
            reached = subject.place.id == viewer.requester
        case PlaceKind.COMMUNITY:
            reached = subject.place.id == viewer.community
        case PlaceKind.PUBLIC:
            reached = True
    if not reached or subject.state is not State.APPROVED:
        return Decision(allowed=False, reason="There is no such preset here.", secret=True)
    return _content(subject, rules, min(viewer.nsfw_ceiling, rules.ceiling)) or _YES


def _may_publish(viewer: Viewer, subject: Subject, rules: Rules) -> Decision:
    place = subject.place
    if viewer.requester != subject.owner:
        return _no("Only its owner publishes a preset; fork it to publish your own of it")
    if place.kind is PlaceKind.PERSON:
        return _no("Your own presets are yours already; publish to a community or to everybody")
    if place.kind is PlaceKind.COMMUNITY and place.id != viewer.community:
        return _no("Publish to a community from within it")
    if refused := _content(subject, rules, rules.ceiling):
        return refused
    trusted = _may_decide(viewer, Role.CURATOR, place).allowed
    if rules.publishing is Publishing.CLOSED and not trusted:
        return _no("Only curators publish here; ask one of them")
    spared = any(
        rule.effect == "allow" and rule.place == place and _catches(rule, subject)
        for rule in rules.rules
    )
    review = rules.publishing is Publishing.REVIEWED and not trusted and not spared
    return Decision(allowed=True, review=review)


def _may_decide(viewer: Viewer, role: Role, place: Place) -> Decision:
    if _holds(viewer, Role.OPERATOR):
        return _YES
    if place.kind is PlaceKind.COMMUNITY:
        if place.id == viewer.community and _holds(viewer, role):
            return _YES
        return _no(f"Only a {role} of this community decides that")
    return _no("Only the operator of this Atelier decides that")


def _content(subject: Subject, rules: Rules, ceiling: int) -> Decision | None:
    """What nobody gets around, whoever they are: None where nothing is against it."""
    if subject.minor and subject.nsfw > 0:
        return _no("It joins NSFW with a LoRA of somebody who looks under age; that is never drawn")
    for rule in rules.rules:
        if rule.effect == "deny" and _catches(rule, subject):
            where = "on this Atelier" if rule.place == PUBLIC else "in this community"
            why = f": {rule.reason.rstrip('.')}" if rule.reason else ""
            return _no(f"{_WHAT[rule.kind].format(rule.value)} is denied {where}{why}")
    allowed = {
        rule.value
        for rule in rules.rules
        if rule.effect == "allow" and rule.kind == "lora" and rule.place == PUBLIC
    }
    if subject.persons - allowed:
        return _no("One of its LoRAs draws a real person; the operator has to allow that first")
    if subject.nsfw > ceiling:
        return _no(f"Its NSFW level is {subject.nsfw}; here at most {ceiling} is shown")
    return None


_WHAT: Final = {
    "preset": "This preset",
    "owner": "Everything of its owner",
    "lora": "A LoRA of it ({:.12}…)",
    "tag": "The tag {}",
}


def _catches(rule: Rule, subject: Subject) -> bool:
    match rule.kind:
        case "preset":
            return rule.value == subject.preset
        case "owner":
            return rule.value == subject.owner
        case "lora":
            return rule.value in subject.loras
        case "tag":
            return rule.value in subject.tags


def _holds(viewer: Viewer, role: Role) -> bool:
    return any(_RANKS[held] >= _RANKS[role] for held in viewer.roles)


def _no(reason: str) -> Decision:
    return Decision(allowed=False, reason=f"{reason}.")
