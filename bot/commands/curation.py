"""Sharing presets, and deciding about what others share: one function an act, for every surface.

Every act asks the registry anew whether it is allowed; what is refused is raised as a
`RegistryError`, whose text says why.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.commands.presets import GONE, Details, details
from bot.registry import Registry
from lora_registry import curating
from lora_registry.curating import Act, Listing
from lora_registry.errors import (
    NameTaken,
    Refused,
    RegistryError,
    UnknownPreset,
    UnknownRevision,
)
from lora_registry.models import Viewer
from lora_registry.moderation import Report, Waiting
from lora_registry.names import Reference, parse_reference
from lora_registry.permissions import PUBLIC, Place, PlaceKind, State
from lora_registry.resolve import Resolved
from lora_registry.revisions import Preset

MOST_REASON: Final = 250
"""Characters of a reason that somebody gives."""

UNSEEN: Final = "Only its owner can draw with it now."
"""What keeps a curator from drawing with what is not shown."""


@dataclass(frozen=True, slots=True)
class Card:
    """One revision, and what who looks may do with it.

    `obstacle` says why it may not be drawn with here, None where it may. `listings` are the places
    that were asked about.
    """

    details: Details
    own: bool
    obstacle: str | None
    listings: tuple[Listing, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an act: `said` to who acted, `noted` for the log of the place.

    `noted` begins with a verb, so that who it was can stand before it; None is not worth a line.
    """

    said: str
    noted: str | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """What waits for a decision at a place, each oldest first, at most 200."""

    place: Place
    waiting: tuple[Waiting, ...]
    reports: tuple[Report, ...]


# --- Looking ----------------------------------------------------------------------------------


async def look(registry: Registry, viewer: Viewer, reference: str, places: Sequence[Place]) -> Card:
    """The preset that is meant. Its owner and who decides at a place see it in any state.

    Raises:
        BadName, UnknownPreset, UnknownRevision, Refused: says why not, with near names.
    """
    wanted = parse_reference(reference)
    try:
        found = await registry.resolver.resolve(viewer, wanted)
    except (UnknownPreset, UnknownRevision, Refused) as error:
        if (behind := await _behind(registry, viewer, wanted, places)) is None:
            raise
        why = str(error) if isinstance(error, Refused) else UNSEEN
        return await _card(registry, viewer, behind, str(wanted), why, places)
    return await _card(registry, viewer, found, str(wanted), None, places)


async def look_at(
    registry: Registry, viewer: Viewer, preset_id: str, rev: int, places: Sequence[Place]
) -> Card:
    """The same by id and revision, as a click names it.

    Raises:
        UnknownPreset, UnknownRevision, Refused: says why not.
    """
    preset = await _preset(registry, preset_id)
    reference = str(Reference(preset.name, preset.handle, rev))
    return await look(registry, viewer, reference, places)


async def listed(registry: Registry, viewer: Viewer, reference: str, place: Place) -> Resolved:
    """What is listed at a place under a name, in any state, for its owner or who decides there.

    Without a number it is the revision that waits, else the one that is shown.

    Raises:
        BadName, UnknownPreset, UnknownRevision, Refused: says why not.
    """
    wanted = parse_reference(reference)
    rows = registry.database.rows
    preset_id = await curating.named(rows, viewer, place, wanted)
    return await curating.behind(rows, viewer, preset_id, wanted.rev, place)


async def inboxes(registry: Registry, viewer: Viewer) -> tuple[Inbox, ...]:
    """What waits at any place, at most 200 of them, for who decides everywhere.

    Raises:
        Refused: the viewer does not.
    """
    busy = await curating.busy_places(registry.database.rows)
    return tuple([await inbox(registry, viewer, place) for place in busy])


async def inbox(registry: Registry, viewer: Viewer, place: Place) -> Inbox:
    """What waits for a decision at a place.

    Raises:
        Refused: the viewer does not decide there.
    """
    store = registry.moderation
    return Inbox(place, await store.waiting(viewer, place), await store.reports(viewer, place))


async def act(
    registry: Registry,
    viewer: Viewer,
    what: Act,
    preset_id: str,
    rev: int,
    place: Place,
    reason: str = "",
) -> Done:
    """Do what a button of a card or list says; `rev` is the revision that was looked at.

    Raises:
        UnknownRevision, Refused: says why not.
    """
    match what:
        case Act.SHARE:
            return await share(registry, viewer, preset_id, rev, place)
        case Act.WITHDRAW:
            return await withdraw(registry, viewer, preset_id, place)
        case Act.APPROVE:
            return await approve(registry, viewer, preset_id, rev, place)
        case Act.REJECT:
            return await reject(registry, viewer, preset_id, place, reason)
        case Act.HIDE | Act.SHOW:
            hidden = what is Act.HIDE
            return await hide(registry, viewer, preset_id, place, hidden=hidden, reason=reason)
        case Act.PIN | Act.UNPIN:
            return await pin(registry, viewer, preset_id, place, pinned=what is Act.PIN)
        case Act.REPORT:
            return await report(registry, viewer, preset_id, rev, place, reason)


# --- What owners do ---------------------------------------------------------------------------


async def share(registry: Registry, viewer: Viewer, preset_id: str, rev: int, place: Place) -> Done:
    """Publish a revision of an own preset at a place.

    Where its short name is taken there, it is published without, and that is said.

    Raises:
        UnknownRevision, Refused: says why not.
    """
    preset = await _preset(registry, preset_id)
    store, short = registry.moderation, ""
    try:
        with _by_id():
            state = await store.publish(viewer, preset_id, place, rev)
    except NameTaken:
        state = await store.publish(viewer, preset_id, place, rev, bare=False)
        short = f" Its short name is taken there, so people write {preset.reference}."
    what = f"{preset.reference}, revision {rev}"
    whom = _WHOM[place.kind]
    if state is State.PENDING:
        who = "the operator of this Atelier" if place == PUBLIC else "a curator"
        said = f"{what}, is offered to {whom} and waits until {who} approves it.{short}"
        return Done(said, f"asks to share {what}; it waits for approval")
    return Done(f"{what}, is now open to {whom}.{short}", f"shared {what}")


async def withdraw(registry: Registry, viewer: Viewer, preset_id: str, place: Place) -> Done:
    """Take an own preset away from a place.

    Raises:
        Refused: says why not.
    """
    preset = await _preset(registry, preset_id)
    with _by_id():
        await registry.moderation.withdraw(viewer, preset_id, place)
    said = f"{preset.reference} is no longer open to {_WHOM[place.kind]}."
    return Done(said, f"withdrew {preset.reference}")


async def rename(registry: Registry, viewer: Viewer, reference: str, name: str) -> Done:
    """Give an own preset another name everywhere; the earlier one goes on leading to it.

    Raises:
        BadName, NameTaken, UnknownPreset, Refused: says why not.
    """
    wanted = parse_reference(reference)
    old = (await registry.resolver.resolve(viewer, wanted)).revision.preset
    new = await registry.presets.rename(viewer, old.id, name)
    if new.name == old.name:
        return Done(f"{new.reference} is its name already.")
    return Done(f"{old.reference} is now {new.reference}; its earlier name still leads to it.")


async def report(
    registry: Registry, viewer: Viewer, preset_id: str, rev: int, place: Place, reason: str
) -> Done:
    """Complain about a revision to who decides at a place; said twice it is one report.

    Raises:
        UnknownRevision, Refused: the viewer cannot see it there.
    """
    preset, why = await _preset(registry, preset_id), _reason(reason)
    if not why:
        raise Refused("Say what is wrong with it, so that somebody can do something about it.")
    with _by_id():
        await registry.moderation.report(viewer, preset_id, place, rev, why)
    who = "The operator of this Atelier" if place == PUBLIC else "The curators here"
    noted = f"reported {preset.reference}, revision {rev}: {why}"
    return Done(f"Thank you. {who} will look at {preset.reference}.", noted)


# --- What curators do -------------------------------------------------------------------------


async def approve(
    registry: Registry, viewer: Viewer, preset_id: str, rev: int, place: Place
) -> Done:
    """Let the revision that waits be seen; `rev` is the one that was looked at.

    Raises:
        Refused: says why not.
    """
    preset = await _preset(registry, preset_id)
    with _by_id():
        await registry.moderation.approve(viewer, preset_id, place, rev)
    what = f"{preset.reference}, revision {rev}"
    now = await curating.standing(registry.database.rows, preset_id, place)
    if now is not None and now.state is State.HIDDEN:
        return Done(f"{what}, is approved, but the preset is hidden.", f"approved {what}")
    return Done(f"{what}, is now open to {_WHOM[place.kind]}.", f"approved {what}")


async def reject(
    registry: Registry, viewer: Viewer, preset_id: str, place: Place, reason: str
) -> Done:
    """Say no to the revision that waits; its owner reads the reason on the preset's card.

    Raises:
        Refused: says why not.
    """
    preset, why = await _preset(registry, preset_id), _reason(reason)
    with _by_id():
        await registry.moderation.reject(viewer, preset_id, place, why)
    said = f"{preset.reference} is rejected. Its owner reads the reason on its card."
    return Done(said, f"rejected {preset.reference}{_because(why)}")


async def hide(
    registry: Registry,
    viewer: Viewer,
    preset_id: str,
    place: Place,
    *,
    hidden: bool = True,
    reason: str = "",
) -> Done:
    """Hide a preset at a place, or show it again.

    Raises:
        Refused: says why not.
    """
    preset, why = await _preset(registry, preset_id), _reason(reason)
    with _by_id():
        await registry.moderation.hide(viewer, preset_id, place, hidden=hidden, reason=why)
    if hidden:
        said = f"{preset.reference} is hidden; only its owner can still draw with it."
        return Done(said, f"hid {preset.reference}{_because(why)}")
    return Done(f"{preset.reference} is shown again.", f"showed {preset.reference} again")


async def pin(
    registry: Registry, viewer: Viewer, preset_id: str, place: Place, *, pinned: bool = True
) -> Done:
    """Let a preset come first in lists and suggestions at a place, or no more.

    Raises:
        Refused: says why not.
    """
    preset = await _preset(registry, preset_id)
    with _by_id():
        await registry.moderation.pin(viewer, preset_id, place, pinned=pinned)
    if pinned:
        return Done(f"{preset.reference} comes first now.", f"pinned {preset.reference}")
    return Done(f"{preset.reference} comes first no more.", f"unpinned {preset.reference}")


async def settle(registry: Registry, viewer: Viewer, number: int) -> Done:
    """Close a report.

    Raises:
        Refused: the viewer may not, or there is no such open report.
    """
    await registry.moderation.settle(viewer, number)
    return Done(f"Report {number} is settled.", f"settled report {number} about a preset")


# --- Steps ------------------------------------------------------------------------------------

_WHOM: Final = {
    PlaceKind.PERSON: "its owner",
    PlaceKind.COMMUNITY: "everybody in this community",
    PlaceKind.PUBLIC: "everybody on this Atelier",
}


@contextlib.contextmanager
def _by_id() -> Iterator[None]:
    """An id says nothing to people, so it is left out of what they read."""
    try:
        yield
    except UnknownPreset:
        raise Refused(GONE) from None


async def _preset(registry: Registry, preset_id: str) -> Preset:
    with _by_id():
        return await curating.preset(registry.database.rows, preset_id)


async def _behind(
    registry: Registry, viewer: Viewer, wanted: Reference, places: Sequence[Place]
) -> Resolved | None:
    """What others do not see, found at the viewer's own place or where they decide."""
    if wanted.digest is not None:
        return None
    rows = registry.database.rows
    for place in (Place.person(viewer.requester), *places):
        try:
            preset_id = await curating.named(rows, viewer, place, wanted)
            return await curating.behind(rows, viewer, preset_id, wanted.rev, place)
        except RegistryError:
            continue
    return None


async def _card(
    registry: Registry,
    viewer: Viewer,
    found: Resolved,
    name: str,
    obstacle: str | None,
    places: Sequence[Place],
) -> Card:
    listings = [
        await curating.listing(registry.database.rows, viewer, found, place) for place in places
    ]
    return Card(
        details=await details(registry, viewer, found, name),
        own=found.revision.preset.owner == viewer.requester,
        obstacle=obstacle,
        listings=tuple(listings),
    )


def _reason(text: str) -> str:
    return " ".join(text.split())[:MOST_REASON]


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
