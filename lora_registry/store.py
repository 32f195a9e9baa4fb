"""Presets and their immutable revisions. Every change is one transaction."""

import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from aiosqlite import Connection, Row

from lora_registry.errors import (
    EditConflict,
    NameTaken,
    Refused,
    TooMany,
    UnknownPreset,
    UnknownRevision,
)
from lora_registry.models import PresetBody, Role, Viewer
from lora_registry.names import parse_slug, skeleton
from lora_registry.permissions import PUBLIC, Action, Place, PlaceKind, State, Subject, may
from lora_registry.revisions import (
    PRESET_BY_ID,
    PRESETS_OF,
    READ_REVISION,
    NewListing,
    NewRevision,
    Preset,
    Revision,
    checked_loras,
    introduce,
    read_preset,
    read_revision,
    require_free,
    show_revision,
    write_listings,
    write_revisions,
)
from lora_registry.subjects import listing_state, read_subject
from lora_registry.tables import (
    Database,
    Rows,
    fetch,
    fetch_one,
    place_number,
    read_place,
    rules_for,
)
from lora_registry.wordlist import forget

MOST_PRESETS: Final = 1_000
"""Presets of one owner."""

MOST_REVISIONS: Final = 10_000
"""Revisions of one preset."""

HELD_S: Final = 90 * 86_400.0
"""How long nobody else gets the short name of a deleted preset."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A preset for `install`: listed with its owner and approved at `places` at once.

    `handle` is the owner's, also a reserved one; `uses` is how often it was used elsewhere.
    """

    owner: str
    handle: str
    name: str
    body: PresetBody
    places: tuple[Place, ...] = ()
    bare: bool = True
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a preset stands at a place.

    `rev` is the revision that is seen there, `asked` one that waits; `reason` is a curator's, for
    hiding or rejecting it.
    """

    place: Place
    state: State
    rev: int | None
    asked: int | None
    reason: str
    pinned: bool = False


class PresetStore:
    """The presets of one instance. `clock` gives seconds since 1970.

    Presets are named by their `id` here; `resolve.Resolver` turns what people type into one.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    # --- Making -------------------------------------------------------------------------------

    async def create(
        self,
        viewer: Viewer,
        name: str,
        body: PresetBody,
        *,
        handle: str | None = None,
        note: str = "",
    ) -> Revision:
        """Make a personal preset; `handle` is the name its owner would like before the slash.

        Under the name of a deleted preset of the same owner the revisions go on counting.

        Raises:
            BadName, NameTaken, TooMany: the name or the quota.
            UnknownLora, BadComposition: a LoRA is not known here or does not fit.
        """
        async with self._database.write() as sql:
            return await self._create(sql, viewer, name, body, note, handle=handle)

    async def fork(
        self, viewer: Viewer, preset_id: str, rev: int, name: str, *, handle: str | None = None
    ) -> Revision:
        """Copy a revision that the viewer may use into a preset of their own.

        Raises:
            UnknownPreset, UnknownRevision, Refused: it may not be used.
            BadName, NameTaken, TooMany: as for `create`.
        """
        async with self._database.write() as sql:
            rows = partial(fetch, sql)
            source = await _usable(rows, viewer, preset_id, rev)
            origin = (source.preset.id, source.rev)
            return await self._create(
                sql, viewer, name, source.body, "forked", handle=handle, origin=origin
            )

    async def install(self, viewer: Viewer, drafts: Sequence[Draft]) -> tuple[str, ...]:
        """Add many presets at once, for the instance's operator; returns their ids.

        Raises:
            Refused: the viewer is no operator.
            BadName, NameTaken, UnknownLora, BadComposition: nothing was added.
        """
        if Role.OPERATOR not in viewer.roles:
            raise Refused("Only the operator of this Atelier installs presets.")
        async with self._database.write() as sql:
            try:
                return await _install(sql, drafts, self._clock())
            except sqlite3.IntegrityError as error:
                raise NameTaken("A name among these presets is taken already.") from error

    # --- Changing -----------------------------------------------------------------------------

    async def edit(
        self, viewer: Viewer, preset_id: str, base: int, body: PresetBody, note: str = ""
    ) -> Revision:
        """Make a revision on top of revision `base`; an unchanged body makes none.

        Raises:
            EditConflict: the head is another one by now; nothing was changed.
            Refused, UnknownPreset: the viewer is not its owner.
            UnknownLora, BadComposition, TooMany: nothing was changed.
        """
        async with self._database.write() as sql:
            preset = await _own(sql, viewer, preset_id, Action.EDIT)
            return await self._edit(sql, viewer, preset, base, body, note)

    async def restore(self, viewer: Viewer, preset_id: str, rev: int, base: int) -> Revision:
        """Make a revision that says what an earlier one said.

        Raises:
            UnknownRevision: there is none of this number.
            EditConflict, Refused, UnknownPreset, UnknownLora, BadComposition: as for `edit`.
        """
        async with self._database.write() as sql:
            preset = await _own(sql, viewer, preset_id, Action.EDIT)
            earlier = await _revision(partial(fetch, sql), preset, rev)
            return await self._edit(sql, viewer, preset, base, earlier.body, f"restored {rev}")

    async def rename(self, viewer: Viewer, preset_id: str, name: str) -> Preset:
        """Give a preset another name everywhere; the earlier one keeps leading to it.

        Raises:
            Refused, UnknownPreset: the viewer is not its owner.
            BadName, NameTaken: nothing was changed.
        """
        slug = parse_slug(name)
        now = self._clock()
        async with self._database.write() as sql:
            preset = await _own(sql, viewer, preset_id, Action.EDIT)
            if slug == preset.name:
                return preset
            await _require_unused(sql, viewer.requester, slug)
            renamed = replace(preset, name=slug)
            await sql.execute("UPDATE preset SET slug = ? WHERE number = ?", (slug, preset.number))
            for row in await _listings(sql, preset.number):
                place = read_place(row)
                own = place.kind is PlaceKind.PERSON
                if own or row["bare"]:
                    await require_free(sql, row["place"], place.kind, slug, preset.number, now)
                    await _hold(sql, row["place"], preset, until=None)
                    await sql.execute(
                        "DELETE FROM alias WHERE place = ? AND slug = ?", (row["place"], slug)
                    )
                if row["rev"] is None:
                    await sql.execute(
                        "UPDATE listing SET slug = ?, skeleton = ? WHERE number = ?",
                        (slug, skeleton(slug), row["number"]),
                    )
                else:
                    shown = await _revision(partial(fetch, sql), preset, row["rev"])
                    await show_revision(sql, renamed, row["place"], shown.rev, shown.body)
            return renamed

    async def delete(self, viewer: Viewer, preset_id: str) -> None:
        """Take a preset and all its revisions away for good.

        Its revision numbers are never used again, and nobody else gets its short names for
        `HELD_S`.

        Raises:
            Refused, UnknownPreset: the viewer is neither its owner nor the operator.
        """
        async with self._database.write() as sql:
            preset = await _own(sql, viewer, preset_id, Action.DELETE)
            await delete_preset(sql, preset, self._clock())

    # --- Looking ------------------------------------------------------------------------------

    async def mine(self, viewer: Viewer) -> tuple[Preset, ...]:
        """The viewer's own presets by name."""
        rows = await self._database.rows(PRESETS_OF, (viewer.requester,))
        return tuple(read_preset(row) for row in rows)

    async def history(self, viewer: Viewer, preset_id: str) -> tuple[Revision, ...]:
        """The revisions that the viewer may know of, newest first: all of an own preset.

        Raises:
            UnknownPreset: none of it may be seen.
            Refused: says why.
        """
        preset = await _preset(self._database.rows, preset_id)
        if preset.owner == viewer.requester:
            rows = await self._database.rows(
                "SELECT rev, sha256, body, author, note, created_at FROM preset_rev"
                " WHERE preset = ? ORDER BY rev DESC",
                (preset.number,),
            )
            return tuple(read_revision(preset, row) for row in rows)
        revs = await self._database.rows(
            "SELECT DISTINCT a.rev FROM approval a JOIN place p ON p.number = a.place"
            " WHERE a.preset = ? AND (p.kind = 'public' OR p.kind = 'community' AND p.id = ?)"
            " ORDER BY a.rev DESC",
            (preset.number, viewer.community),
        )
        found: list[Revision] = []
        refusal: Refused | None = None
        for row in revs:
            try:
                found.append(await _usable(self._database.rows, viewer, preset_id, row["rev"]))
            except Refused as error:
                refusal = refusal or error
            except (UnknownPreset, UnknownRevision):
                continue
        if not found:
            raise refusal or UnknownPreset(preset_id)
        return tuple(found)

    async def revision(self, viewer: Viewer, preset_id: str, rev: int) -> Revision:
        """One revision, if the viewer may use it or owns it.

        Raises:
            UnknownPreset, UnknownRevision, Refused: see their texts.
        """
        preset = await _preset(self._database.rows, preset_id)
        if preset.owner == viewer.requester:
            return await _revision(self._database.rows, preset, rev)
        return await _usable(self._database.rows, viewer, preset_id, rev)

    async def standing(self, viewer: Viewer, preset_id: str) -> tuple[Standing, ...]:
        """Where an own preset is listed, its owner's place first.

        Raises:
            UnknownPreset: the viewer has no such preset.
        """
        preset = await _preset(self._database.rows, preset_id)
        if preset.owner != viewer.requester:
            raise UnknownPreset(preset_id)
        rows = await self._database.rows(
            "SELECT p.kind, p.id, l.rev, l.asked, l.hidden, l.reason, l.pinned FROM listing l"
            " JOIN place p ON p.number = l.place WHERE l.preset = ? ORDER BY l.number",
            (preset.number,),
        )
        return tuple(read_standing(row) for row in rows)

    # --- Steps --------------------------------------------------------------------------------

    async def _create(
        self,
        sql: Connection,
        viewer: Viewer,
        name: str,
        body: PresetBody,
        note: str,
        *,
        handle: str | None,
        origin: tuple[str, int] | tuple[None, None] = (None, None),
    ) -> Revision:
        slug, owner, now = parse_slug(name), viewer.requester, self._clock()
        loras = await checked_loras(sql, [body])
        place = await place_number(sql, Place.person(owner))
        await require_free(sql, place, PlaceKind.PERSON, slug, None, now)
        [count] = await fetch(
            sql,
            "SELECT count(*) AS n FROM preset WHERE owner = ? AND deleted_at IS NULL",
            (owner,),
        )
        if count["n"] >= MOST_PRESETS:
            raise TooMany(f"You have {count['n']:,} presets, which is the most; delete one first.")
        name_of_owner = await introduce(sql, owner, handle, now)
        preset_id = str(uuid.uuid4())
        [row] = await fetch(
            sql,
            "INSERT INTO preset (id, owner, slug, head, forked_from, forked_rev, created_at)"
            " VALUES (?, ?, ?, 1, ?, ?, ?)"
            " ON CONFLICT (owner, slug) DO UPDATE SET head = head + 1, deleted_at = NULL,"
            " forked_from = excluded.forked_from, forked_rev = excluded.forked_rev,"
            " created_at = excluded.created_at"
            " RETURNING number, id, head",
            (preset_id, owner, slug, *origin, now),
        )
        number, rev = row["number"], row["head"]
        await write_revisions(sql, [NewRevision(number, rev, body, owner, note)], now)
        listing = NewListing(place, number, owner, name_of_owner, slug, rev, body, bare=False)
        await write_listings(sql, [listing], loras)
        made = await _preset(partial(fetch, sql), row["id"])
        return await _revision(partial(fetch, sql), made, rev)

    async def _edit(
        self,
        sql: Connection,
        viewer: Viewer,
        preset: Preset,
        base: int,
        body: PresetBody,
        note: str,
    ) -> Revision:
        rows = partial(fetch, sql)
        head = await _revision(rows, preset, preset.head)
        if base != preset.head:
            raise EditConflict(preset.name, base, head.rev, preset.handle, head.note)
        if body == head.body:
            return head
        if head.rev >= MOST_REVISIONS:
            raise TooMany(f"{preset.name} has {head.rev:,} revisions, which is the most; fork it.")
        await checked_loras(sql, [body])
        rev = head.rev + 1
        new = NewRevision(preset.number, rev, body, viewer.requester, note)
        await write_revisions(sql, [new], self._clock())
        await sql.execute("UPDATE preset SET head = ? WHERE number = ?", (rev, preset.number))
        preset = replace(preset, head=rev)
        place = await place_number(sql, Place.person(preset.owner))
        await show_revision(sql, preset, place, rev, body)
        return await _revision(rows, preset, rev)


async def _install(sql: Connection, drafts: Sequence[Draft], now: float) -> tuple[str, ...]:
    loras = await checked_loras(sql, (draft.body for draft in drafts))
    [last] = await fetch(sql, "SELECT ifnull(max(number), 0) AS number FROM preset")
    handles: dict[str, str] = {}
    places: dict[Place, int] = {}
    presets, revisions, listings = [], [], []
    for number, draft in enumerate(drafts, start=last["number"] + 1):
        owner, slug = draft.owner, parse_slug(draft.name)
        if owner not in handles:
            handles[owner] = await introduce(sql, owner, draft.handle, now, reserved=True)
        presets.append((number, str(uuid.uuid4()), owner, slug, 1, draft.uses, now))
        revisions.append(NewRevision(number, 1, draft.body, owner, ""))
        for place in (Place.person(owner), *draft.places):
            if place not in places:
                places[place] = await place_number(sql, place)
            listings.append(
                NewListing(
                    place=places[place],
                    preset=number,
                    owner=owner,
                    handle=handles[owner],
                    slug=slug,
                    rev=1,
                    body=draft.body,
                    bare=draft.bare and place.kind is not PlaceKind.PERSON,
                    score=draft.uses,
                )
            )
    await sql.executemany(
        "INSERT INTO preset (number, id, owner, slug, head, uses, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        presets,
    )
    await write_revisions(sql, revisions, now)
    await write_listings(sql, listings, loras)
    held = await fetch_one(
        sql,
        "SELECT l.slug FROM listing l JOIN alias a ON a.place = l.place AND a.preset <> l.preset"
        " AND iif(l.bare, a.skeleton = l.skeleton, a.slug = l.slug)"
        " JOIN place p ON p.number = l.place"
        " WHERE l.preset > ? AND (l.bare OR p.kind = 'person')"
        " AND (a.until IS NULL OR a.until > ?)",
        (last["number"], now),
    )
    if held is not None:
        raise NameTaken(f"{held['slug']} is still kept for the preset that had this name.")
    return tuple(row[1] for row in presets)


async def delete_preset(sql: Connection, preset: Preset, now: float) -> None:
    """Leave a tombstone of a preset."""
    for row in await _listings(sql, preset.number):
        await unlist(sql, preset, row["place"], now)
    await sql.execute(
        "UPDATE preset SET deleted_at = ?, uses = 0, likes = 0 WHERE number = ?",
        (now, preset.number),
    )
    for table in ("preset_rev", "preset_lora", "preset_tag", "approval", "liked", "usage_daily"):
        await sql.execute(f"DELETE FROM {table} WHERE preset = ?", (preset.number,))  # noqa: S608
    await sql.execute(
        "UPDATE report SET settled_at = ?, settled_by = '' WHERE preset = ? AND settled_at IS NULL",
        (now, preset.number),
    )


async def unlist(sql: Connection, preset: Preset, place: int, now: float) -> None:
    """Take a preset away from a place; short names that were shown stay held for `HELD_S`."""
    [row] = await fetch(
        sql,
        "DELETE FROM listing WHERE preset = ? AND place = ? RETURNING bare, rev, words",
        (preset.number, place),
    )
    await sql.execute(
        "UPDATE alias SET until = ? WHERE preset = ? AND place = ? AND until IS NULL",
        (now + HELD_S, preset.number, place),
    )
    if row["bare"] and row["rev"] is not None:
        await _hold(sql, place, preset, until=now + HELD_S)
    await sql.execute("DELETE FROM approval WHERE preset = ? AND place = ?", (preset.number, place))
    await forget(sql, row["words"])


def read_standing(row: Row) -> Standing:
    return Standing(
        place=read_place(row),
        state=listing_state(row),
        rev=row["rev"],
        asked=row["asked"],
        reason=row["reason"],
        pinned=bool(row["pinned"]),
    )


async def _preset(rows: Rows, preset_id: str) -> Preset:
    found = await rows(PRESET_BY_ID, (preset_id,))
    if not found:
        raise UnknownPreset(preset_id)
    return read_preset(found[0])


async def _revision(rows: Rows, preset: Preset, rev: int) -> Revision:
    found = await rows(READ_REVISION, (preset.number, rev))
    if not found:
        raise UnknownRevision(
            f"{preset.reference} has no revision {rev}; the newest is {preset.head}."
        )
    return read_revision(preset, found[0])


async def _own(sql: Connection, viewer: Viewer, preset_id: str, action: Action) -> Preset:
    """The preset, if the viewer may change it; what they cannot even see is unknown to them."""
    rows = partial(fetch, sql)
    preset = await _preset(rows, preset_id)
    subject = Subject(preset.id, preset.owner, Place.person(preset.owner))
    decision = may(viewer, action, subject, await rules_for(rows, viewer))
    if not decision.allowed:
        shared = [read_place(row) for row in await _listings(sql, preset.number)]
        if not {PUBLIC, Place.community(viewer.community)}.intersection(shared):
            raise UnknownPreset(preset_id)
        raise Refused(decision.reason)
    return preset


async def _usable(rows: Rows, viewer: Viewer, preset_id: str, rev: int) -> Revision:
    """A revision that the viewer may use at one place at least."""
    preset = await _preset(rows, preset_id)
    rules = await rules_for(rows, viewer)
    listings = await rows(
        "SELECT p.kind, p.id, l.rev, l.asked, l.hidden FROM listing l"
        " JOIN place p ON p.number = l.place WHERE l.preset = ?1"
        " AND (p.kind = 'person' OR EXISTS ("
        "     SELECT 1 FROM approval WHERE preset = ?1 AND place = p.number AND rev = ?2))",
        (preset.number, rev),
    )
    reasons = []
    for row in listings:
        place = read_place(row)
        subject = await read_subject(rows, preset.number, rev, place, listing_state(row))
        if subject is None:
            raise UnknownRevision(f"{preset.reference} has no revision {rev}.")
        decision = may(viewer, Action.USE, subject, rules)
        if decision.allowed:
            return await _revision(rows, preset, rev)
        if not decision.secret:
            reasons.append(decision.reason)
    if reasons:
        raise Refused(f"{preset.reference} may not be used here: {reasons[0]}")
    raise UnknownPreset(preset_id)


async def _require_unused(sql: Connection, owner: str, slug: str) -> None:
    """A tombstone's name keeps its revision numbers, so another preset cannot move there."""
    row = await fetch_one(sql, "SELECT 1 FROM preset WHERE owner = ? AND slug = ?", (owner, slug))
    if row is not None:
        raise NameTaken(f"You have, or had, a preset {slug}; choose another name.")


async def _listings(sql: Connection, preset: int) -> Sequence[Row]:
    return await fetch(
        sql,
        "SELECT l.number, l.place, l.bare, l.rev, l.words, p.kind, p.id"
        " FROM listing l JOIN place p ON p.number = l.place WHERE l.preset = ?",
        (preset,),
    )


async def _hold(sql: Connection, place: int, preset: Preset, until: float | None) -> None:
    """Keep a preset's name at a place for it."""
    await sql.execute(
        "INSERT OR REPLACE INTO alias (place, slug, skeleton, preset, until)"
        " VALUES (?, ?, ?, ?, ?)",
        (place, preset.name, skeleton(preset.name), preset.number, until),
    )
