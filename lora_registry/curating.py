"""What owners and curators look at before they decide: also what nobody else sees yet, or any more.

Everything here reads; `moderation.py` writes, and asks `permissions.may` anew.
"""

import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from lora_registry.errors import Refused, UnknownPreset, UnknownRevision, either
from lora_registry.models import Viewer
from lora_registry.names import Reference
from lora_registry.permissions import Action, Decision, Place, Publishing, State, Subject, may
from lora_registry.resolve import Resolved
from lora_registry.revisions import (
    PRESET_BY_ID,
    READ_REVISION,
    Preset,
    read_preset,
    read_revision,
)
from lora_registry.store import Standing, read_standing
from lora_registry.subjects import read_subject
from lora_registry.tables import Rows, read_place, rules_for

_STANDING: Final = """
SELECT w.kind, w.id, l.rev, l.asked, l.hidden, l.reason, l.pinned
FROM listing l JOIN place w ON w.number = l.place JOIN preset p ON p.number = l.preset
WHERE p.id = ? AND w.kind = ? AND w.id = ?
"""
_NAMED: Final = """
SELECT p.id, o.handle, p.slug FROM listing l JOIN place w ON w.number = l.place
JOIN preset p ON p.number = l.preset JOIN owner o ON o.id = p.owner
WHERE w.kind = ?1 AND w.id = ?2 AND p.slug = ?3 AND (?4 IS NULL OR o.handle = ?4)
AND (?5 OR p.owner = ?6)
ORDER BY l.bare DESC, l.number LIMIT 5
"""
_BUSY: Final = """
SELECT kind, id FROM place WHERE number IN (
    SELECT place FROM listing WHERE asked IS NOT NULL
    UNION SELECT place FROM report WHERE settled_at IS NULL
) ORDER BY number LIMIT 200
"""


class Act(enum.StrEnum):
    """What somebody may do now about a revision at a place."""

    SHARE = "share"
    WITHDRAW = "withdraw"
    APPROVE = "approve"
    REJECT = "reject"
    HIDE = "hide"
    SHOW = "show"
    PIN = "pin"
    UNPIN = "unpin"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Listing:
    """A revision at a place, as one viewer may know of it.

    `standing` is for its owner and who decides there; None where it is not listed, too.
    """

    place: Place
    standing: Standing | None
    acts: frozenset[Act]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who publishes at a place, and the highest NSFW level there."""

    publishing: Publishing
    nsfw_ceiling: int


@dataclass(frozen=True, slots=True)
class Installed:
    """A preset, or all of an owner's, that comes before other public ones; `value` is the id."""

    kind: Literal["preset", "owner"]
    value: str


# --- One preset -------------------------------------------------------------------------------


async def preset(rows: Rows, preset_id: str) -> Preset:
    """Raises:
    UnknownPreset: there is none, or no longer.
    """
    found = await rows(PRESET_BY_ID, (preset_id,))
    if not found:
        raise UnknownPreset(preset_id)
    return read_preset(found[0])


async def standing(rows: Rows, preset_id: str, place: Place) -> Standing | None:
    """How a preset stands at a place; None where it is not listed there."""
    found = await rows(_STANDING, (preset_id, place.kind, place.id))
    return read_standing(found[0]) if found else None


async def listing(rows: Rows, viewer: Viewer, found: Resolved, place: Place) -> Listing:
    """What a viewer may know and do about a revision at a place that is not a person's."""
    rev, of = found.revision.rev, found.revision.preset
    now = await standing(rows, of.id, place)
    state = State.PENDING if now is None else now.state
    subject = await read_subject(rows, of.number, rev, place, state)
    if subject is None:
        raise UnknownRevision(f"{of.reference} has no revision {rev}.")
    rules = await rules_for(rows, viewer, place)
    can = {action for action in Action if may(viewer, action, subject, rules).allowed}
    acts = set(_acts(can, now, rev))
    own = viewer.requester == of.owner
    if not own and Action.USE in can and Action.MODERATE not in can:
        acts.add(Act.REPORT)
    known = own or Action.MODERATE in can
    return Listing(place, now if known else None, frozenset(acts))


def _acts(can: set[Action], now: Standing | None, rev: int) -> Iterable[Act]:
    hidden = now is not None and now.state is State.HIDDEN
    if Action.PUBLISH in can and not hidden and (now is None or rev not in {now.rev, now.asked}):
        yield Act.SHARE
    if now is None:
        return
    if Action.WITHDRAW in can and now.state in {State.APPROVED, State.PENDING}:
        yield Act.WITHDRAW
    if Action.MODERATE not in can:
        return
    if hidden:
        yield Act.SHOW
        return
    if now.asked == rev:
        if Action.APPROVE in can:
            yield Act.APPROVE
        yield Act.REJECT
    if now.state is State.APPROVED:
        yield Act.HIDE
        yield Act.UNPIN if now.pinned else Act.PIN


async def behind(
    rows: Rows, viewer: Viewer, preset_id: str, rev: int | None, place: Place
) -> Resolved:
    """A revision for the eyes of who decides about it at a place, or of its owner.

    It is found whether it waits, is hidden or denied; `rev` None is what waits, else what is shown.

    Raises:
        UnknownPreset, UnknownRevision: it is neither shown nor waits there.
        Refused: the viewer is neither its owner nor decides there.
    """
    of = await preset(rows, preset_id)
    now = await standing(rows, preset_id, place)
    if viewer.requester != of.owner:
        decision = await _decides(rows, viewer, place)
        if not decision.allowed:
            raise Refused(decision.reason)
        if now is None:
            raise UnknownPreset(of.reference)
        if rev is not None and rev not in {now.rev, now.asked}:
            raise UnknownRevision(f"Revision {rev} of {of.reference} neither waits nor is shown.")
    rev = rev or (now and (now.asked or now.rev)) or of.head
    found = await rows(READ_REVISION, (of.number, rev))
    subject = await read_subject(rows, of.number, rev, place)
    if not found or subject is None:
        raise UnknownRevision(f"{of.reference} has no revision {rev}.")
    return Resolved(read_revision(of, found[0]), place, subject.nsfw)


async def _decides(rows: Rows, viewer: Viewer, place: Place) -> Decision:
    rules = await rules_for(rows, viewer)
    return may(viewer, Action.MODERATE, Subject("", "", place), rules)


async def named(rows: Rows, viewer: Viewer, place: Place, wanted: Reference) -> str:
    """The id of what is listed at a place under this name, whatever its state.

    It is the viewer's own, or anybody's where they decide.

    Raises:
        UnknownPreset: there is none.
        Refused: several are; names them.
    """
    decides = await _decides(rows, viewer, place)
    args = (place.kind, place.id, wanted.name, wanted.owner, decides.allowed, viewer.requester)
    found = await rows(_NAMED, args)
    if not found:
        raise UnknownPreset(str(wanted))
    if len(found) > 1:
        names = either([f"@{row['handle']}/{row['slug']}" for row in found])
        raise Refused(f"Several presets are called {wanted.name} there; say {names}.")
    return str(found[0]["id"])


# --- A place ----------------------------------------------------------------------------------


async def policy(rows: Rows, place: Place) -> Policy:
    """What a place has set, or what it begins with."""
    found = await rows(
        "SELECT publishing, nsfw_ceiling FROM place WHERE kind = ? AND id = ?",
        (place.kind, place.id),
    )
    if not found:
        return Policy(Publishing.REVIEWED, 4)
    return Policy(Publishing(found[0]["publishing"]), found[0]["nsfw_ceiling"])


async def installed(rows: Rows, community: str) -> tuple[Installed, ...]:
    """What a community has installed, in the order in which it did, at most 200."""
    found = await rows(
        "SELECT i.kind, i.value FROM installed i JOIN place w ON w.number = i.place"
        " WHERE w.kind = 'community' AND w.id = ? ORDER BY i.installed_at LIMIT 200",
        (community,),
    )
    return tuple(Installed(row["kind"], row["value"]) for row in found)


async def busy_places(rows: Rows) -> tuple[Place, ...]:
    """The places where something waits for a decision, at most 200."""
    return tuple(read_place(row) for row in await rows(_BUSY, ()))


async def owner_called(rows: Rows, handle: str) -> str:
    """The id of the owner with this handle.

    Raises:
        Refused: there is none.
    """
    found = await rows("SELECT id FROM owner WHERE handle = ?", (handle,))
    if not found:
        raise Refused(f"Nobody here is called @{handle}; look at the name of one of their presets.")
    return str(found[0]["id"])


async def called(rows: Rows, ids: Iterable[str]) -> Mapping[str, str]:
    """What people call these presets, owners and LoRAs, by id or hash; unknown ones are absent."""
    found = await rows(
        "SELECT value AS id, coalesce("
        " (SELECT '@' || o.handle || '/' || p.slug FROM preset p JOIN owner o ON o.id = p.owner"
        "  WHERE p.id = value AND p.deleted_at IS NULL),"
        " (SELECT '@' || handle FROM owner WHERE id = value),"
        " (SELECT name FROM lora WHERE sha256 = value)) AS name FROM json_each(?)",
        (json.dumps(list(ids)),),
    )
    return {row["id"]: row["name"] for row in found if row["name"] is not None}
