"""Where presets are listed, what is allowed there, and who decided it. Each is one transaction.

Every decision about somebody else's preset, and every rule, leaves a line in the moderation log.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiosqlite import Connection, Row

from lora_registry.errors import Refused, UnknownPreset, UnknownRevision
from lora_registry.lora_store import REFRESH_LORA
from lora_registry.models import MAX_NSFW, PresetBody, Viewer
from lora_registry.names import skeleton
from lora_registry.permissions import (
    Action,
    Decision,
    Place,
    PlaceKind,
    Publishing,
    Rule,
    State,
    Subject,
    may,
)
from lora_registry.revisions import (
    PRESET_BY_ID,
    READ_REVISION,
    Preset,
    read_preset,
    require_free,
    show_revision,
)
from lora_registry.store import unlist
from lora_registry.subjects import listing_state, read_subject
from lora_registry.tables import (
    READ_RULES,
    Database,
    fetch,
    fetch_one,
    place_code,
    place_number,
    read_place,
    read_rule,
    rules_for,
)

PIN: Final = 1_000_000_000
"""What a pin adds to a listing's score, which is otherwise its uses and five for every like."""

_MOST_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """A revision that waits for a curator; `nsfw` is its own level, without its LoRAs'."""

    preset: str
    reference: str
    rev: int
    place: Place
    body: PresetBody


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody's complaint about a revision."""

    number: int
    preset: str
    reference: str
    rev: int
    place: Place
    reporter: str
    reason: str
    made_at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the moderation log.

    `what` is the preset's name, its id once it is deleted, or what else was decided about.
    """

    place: Place
    actor: str
    action: str
    what: str
    rev: int | None
    reason: str
    at: float


class ModerationStore:
    """Publishing and moderation at the places of one instance."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    # --- Publishing ---------------------------------------------------------------------------

    async def publish(
        self, viewer: Viewer, preset_id: str, place: Place, rev: int, *, bare: bool = True
    ) -> State:
        """Offer a revision to a place: approved at once, or pending until a curator looks.

        With `bare` the preset also gets its short name there; without, it is reached as
        `@owner/name`. An earlier approved revision stays until the new one is approved.

        Raises:
            Refused: says why it may not be published.
            NameTaken: somebody has the short name, or one that looks like it.
            UnknownPreset, UnknownRevision: it is not there.
        """
        async with self._database.write() as sql:
            rows = partial(fetch, sql)
            preset = await _preset(sql, preset_id)
            subject = await _subject(sql, preset, rev, place)
            if preset.owner != viewer.requester and not await _sees(sql, viewer, preset):
                raise UnknownPreset(preset_id)
            rules = await rules_for(rows, viewer, place)
            decision = _require(may(viewer, Action.PUBLISH, subject, rules))
            number = await place_number(sql, place)
            listing = await _listing(sql, preset, number)
            if listing is not None and listing["hidden"]:
                raise Refused(f"{preset.name} is hidden here by a curator; ask them to show it.")
            if bare:
                now = self._clock()
                await require_free(sql, number, place.kind, preset.name, preset.number, now)
            await sql.execute(
                "INSERT INTO listing (place, preset, owner, slug, skeleton, bare, here, score)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                " ON CONFLICT (preset, place) DO UPDATE SET bare = ?6, reason = ''",
                (
                    number,
                    preset.number,
                    preset.owner,
                    preset.name,
                    skeleton(preset.name),
                    bare,
                    place_code(number),
                    preset.uses + 5 * preset.likes,
                ),
            )
            if decision.review:
                await _ask(sql, preset, number, rev)
                return State.PENDING
            await self._show(sql, preset, number, rev)
            return State.APPROVED

    async def withdraw(self, viewer: Viewer, preset_id: str, place: Place) -> None:
        """Take an own preset away from a place where it is shown or waits to be.

        Nobody else gets a short name that was shown there for `HELD_S`. What is hidden stays so:
        to publish it anew would show it again.

        Raises:
            Refused: the viewer is not its owner, or it is hidden there.
            UnknownPreset: it is not listed there.
        """
        async with self._database.write() as sql:
            preset = await _preset(sql, preset_id)
            listing = await _listing(sql, preset, await place_number(sql, place))
            if listing is None or place.kind is PlaceKind.PERSON:
                raise UnknownPreset(preset_id)
            rules = await rules_for(partial(fetch, sql), viewer)
            subject = Subject(preset.id, preset.owner, place)
            _require(may(viewer, Action.WITHDRAW, subject, rules))
            if listing["hidden"]:
                raise Refused(f"{preset.name} is hidden there by a curator already, and stays so.")
            await unlist(sql, preset, listing["place"], self._clock())

    async def approve(self, viewer: Viewer, preset_id: str, place: Place, rev: int) -> None:
        """Let the revision that waits be seen at a place; `rev` is the one that was looked at.

        Raises:
            Refused: the viewer may not, the content may not, or another revision waits by now.
        """
        async with self._database.write() as sql:
            preset, listing = await self._decide(sql, viewer, preset_id, place, Action.APPROVE, rev)
            if listing["asked"] != rev:
                waits = f"revision {listing['asked']} waits" if listing["asked"] else "none waits"
                raise Refused(f"Revision {rev} of {preset.name} waits no more; {waits}.")
            await self._show(sql, preset, listing["place"], rev)
            await self._log(sql, listing["place"], viewer, "approve", preset.id, rev, "")

    async def reject(self, viewer: Viewer, preset_id: str, place: Place, reason: str) -> None:
        """Say no to the revision that waits; its owner is shown the reason.

        Raises:
            Refused: the viewer may not, or nothing waits.
        """
        async with self._database.write() as sql:
            preset, listing = await self._decide(sql, viewer, preset_id, place, Action.MODERATE)
            rev = listing["asked"]
            if rev is None:
                raise Refused(f"Nothing of {preset.name} waits any more.")
            # The short name of what was never shown is free again.
            await sql.execute(
                "UPDATE listing SET asked = NULL, reason = ?, bare = bare AND rev IS NOT NULL"
                " WHERE number = ?",
                (reason, listing["number"]),
            )
            await self._log(sql, listing["place"], viewer, "reject", preset.id, rev, reason)

    async def hide(
        self, viewer: Viewer, preset_id: str, place: Place, *, hidden: bool = True, reason: str = ""
    ) -> None:
        """Hide a preset at a place, or show it again.

        Raises:
            Refused: the viewer may not.
        """
        async with self._database.write() as sql:
            preset, listing = await self._decide(sql, viewer, preset_id, place, Action.MODERATE)
            await sql.execute(
                "UPDATE listing SET hidden = ?, reason = ? WHERE number = ?",
                (hidden, reason, listing["number"]),
            )
            action = "hide" if hidden else "show"
            await self._log(sql, listing["place"], viewer, action, preset.id, None, reason)

    async def pin(
        self, viewer: Viewer, preset_id: str, place: Place, *, pinned: bool = True
    ) -> None:
        """Let a preset come first at a place, or no more.

        Raises:
            Refused: the viewer may not.
        """
        async with self._database.write() as sql:
            preset, listing = await self._decide(sql, viewer, preset_id, place, Action.MODERATE)
            await sql.execute(
                "UPDATE listing SET pinned = ?1, score = score + (?1 - pinned) * ?2"
                " WHERE number = ?3",
                (pinned, PIN, listing["number"]),
            )
            action = "pin" if pinned else "unpin"
            await self._log(sql, listing["place"], viewer, action, preset.id, None, "")

    async def waiting(self, viewer: Viewer, place: Place) -> tuple[Waiting, ...]:
        """What waits for approval at a place, oldest first, at most 200.

        Raises:
            Refused: the viewer may not decide there.
        """
        await self._require_curator(viewer, place)
        rows = await self._database.rows(
            "SELECT p.id, o.handle, l.slug, l.asked, r.body FROM listing l"
            " JOIN preset p ON p.number = l.preset JOIN owner o ON o.id = p.owner"
            " JOIN preset_rev r ON r.preset = l.preset AND r.rev = l.asked"
            " JOIN place w ON w.number = l.place"
            " WHERE l.asked IS NOT NULL AND w.kind = ? AND w.id = ? ORDER BY l.number LIMIT ?",
            (place.kind, place.id, _MOST_SHOWN),
        )
        return tuple(
            Waiting(
                preset=row["id"],
                reference=f"@{row['handle']}/{row['slug']}",
                rev=row["asked"],
                place=place,
                body=PresetBody.model_validate_json(row["body"]),
            )
            for row in rows
        )

    # --- Rules --------------------------------------------------------------------------------

    async def add_rule(self, viewer: Viewer, rule: Rule) -> None:
        """Allow or deny everything with one trait at `rule.place`.

        Raises:
            Refused: the viewer may not make rules there.
        """
        async with self._database.write() as sql:
            number = await self._govern(sql, viewer, rule.place)
            await sql.execute(
                "INSERT OR REPLACE INTO rule (effect, kind, value, place, reason, made_by, made_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    rule.effect,
                    rule.kind,
                    rule.value,
                    number,
                    rule.reason,
                    viewer.requester,
                    self._clock(),
                ),
            )
            await self._after_rule(sql, viewer, number, rule, rule.effect)

    async def drop_rule(self, viewer: Viewer, rule: Rule) -> None:
        """Take a rule back.

        Raises:
            Refused: the viewer may not make rules there.
        """
        async with self._database.write() as sql:
            number = await self._govern(sql, viewer, rule.place)
            await sql.execute(
                "DELETE FROM rule WHERE effect = ? AND kind = ? AND value = ? AND place = ?",
                (rule.effect, rule.kind, rule.value, number),
            )
            await self._after_rule(sql, viewer, number, rule, f"no longer {rule.effect}")

    async def rules(self, viewer: Viewer) -> tuple[Rule, ...]:
        """What holds where the viewer is: the instance's rules and the community's."""
        return tuple(
            read_rule(row) for row in await self._database.rows(READ_RULES, (viewer.community,))
        )

    async def set_policy(
        self, viewer: Viewer, place: Place, publishing: Publishing, nsfw_ceiling: int
    ) -> None:
        """Set who publishes at a place and the highest NSFW level there.

        Raises:
            Refused: the viewer may not, or there is no such level.
        """
        if not 0 <= nsfw_ceiling <= MAX_NSFW:
            raise Refused(f"{nsfw_ceiling} is no NSFW level; use 0 to {MAX_NSFW}.")
        async with self._database.write() as sql:
            number = await self._govern(sql, viewer, place)
            await sql.execute(
                "UPDATE place SET publishing = ?, nsfw_ceiling = ? WHERE number = ?",
                (publishing, nsfw_ceiling, number),
            )
            what = f"{publishing}, NSFW up to {nsfw_ceiling}"
            await self._log(sql, number, viewer, "policy", what, None, "")

    async def install(
        self, viewer: Viewer, preset_or_owner: str, *, installed: bool = True
    ) -> None:
        """Let public presets come before other public ones in the viewer's community, or no more.

        Takes a preset's id, or an owner's for all of theirs.

        Raises:
            Refused: the viewer may not.
            UnknownPreset: there is no such preset or owner.
        """
        place = Place.community(viewer.community)
        async with self._database.write() as sql:
            number = await self._govern(sql, viewer, place)
            known = await fetch_one(
                sql,
                "SELECT 'preset' AS kind FROM preset WHERE id = ?1 AND deleted_at IS NULL"
                " UNION ALL SELECT 'owner' FROM owner WHERE id = ?1",
                (preset_or_owner,),
            )
            if known is None:
                raise UnknownPreset(preset_or_owner)
            if installed:
                await sql.execute(
                    "INSERT OR IGNORE INTO installed VALUES (?, ?, ?, ?, ?)",
                    (number, known["kind"], preset_or_owner, viewer.requester, self._clock()),
                )
            else:
                await sql.execute(
                    "DELETE FROM installed WHERE place = ? AND kind = ? AND value = ?",
                    (number, known["kind"], preset_or_owner),
                )
            action = "install" if installed else "uninstall"
            await self._log(sql, number, viewer, action, preset_or_owner, None, "")

    # --- Reports and log ----------------------------------------------------------------------

    async def report(
        self, viewer: Viewer, preset_id: str, place: Place, rev: int, reason: str
    ) -> None:
        """Complain about a revision that the viewer may use; said twice it is one report.

        Raises:
            Refused, UnknownPreset, UnknownRevision: the viewer cannot see it there.
        """
        async with self._database.write() as sql:
            rows = partial(fetch, sql)
            preset = await _preset(sql, preset_id)
            number = await place_number(sql, place)
            listing = await _listing(sql, preset, number)
            if listing is None or place.kind is PlaceKind.PERSON:
                raise UnknownPreset(preset_id)
            subject = await _subject(sql, preset, rev, place, listing_state(listing))
            decision = may(viewer, Action.USE, subject, await rules_for(rows, viewer))
            if decision.secret:
                raise UnknownPreset(preset_id)
            await sql.execute(
                "INSERT INTO report (preset, place, rev, reporter, reason, made_at)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM report"
                " WHERE preset = ?1 AND place = ?2 AND reporter = ?4 AND settled_at IS NULL)",
                (preset.number, number, rev, viewer.requester, reason[:1000], self._clock()),
            )

    async def reports(self, viewer: Viewer, place: Place) -> tuple[Report, ...]:
        """Open reports at a place, oldest first, at most 200.

        Raises:
            Refused: the viewer may not decide there.
        """
        await self._require_curator(viewer, place)
        rows = await self._database.rows(
            "SELECT r.number, p.id, o.handle, p.slug, r.rev, r.reporter, r.reason, r.made_at"
            " FROM report r JOIN preset p ON p.number = r.preset JOIN owner o ON o.id = p.owner"
            " JOIN place w ON w.number = r.place"
            " WHERE r.settled_at IS NULL AND w.kind = ? AND w.id = ? ORDER BY r.number LIMIT ?",
            (place.kind, place.id, _MOST_SHOWN),
        )
        return tuple(
            Report(
                number=row["number"],
                preset=row["id"],
                reference=f"@{row['handle']}/{row['slug']}",
                rev=row["rev"],
                place=place,
                reporter=row["reporter"],
                reason=row["reason"],
                made_at=row["made_at"],
            )
            for row in rows
        )

    async def settle(self, viewer: Viewer, number: int) -> None:
        """Close a report.

        Raises:
            Refused: the viewer may not, or there is no such open report.
        """
        async with self._database.write() as sql:
            row = await fetch_one(
                sql,
                "SELECT r.place, r.rev, p.id AS preset, w.kind, w.id FROM report r"
                " JOIN place w ON w.number = r.place JOIN preset p ON p.number = r.preset"
                " WHERE r.number = ? AND r.settled_at IS NULL",
                (number,),
            )
            if row is None:
                raise Refused(f"There is no open report {number}.")
            subject = Subject("", "", read_place(row))
            rules = await rules_for(partial(fetch, sql), viewer)
            _require(may(viewer, Action.MODERATE, subject, rules))
            await sql.execute(
                "UPDATE report SET settled_at = ?, settled_by = ? WHERE number = ?",
                (self._clock(), viewer.requester, number),
            )
            await self._log(sql, row["place"], viewer, "settle", row["preset"], row["rev"], "")

    async def log(self, viewer: Viewer, place: Place, limit: int = 50) -> tuple[Entry, ...]:
        """What was decided at a place, the latest first.

        Raises:
            Refused: the viewer may not decide there.
        """
        await self._require_curator(viewer, place)
        rows = await self._database.rows(
            "SELECT m.actor, m.action, ifnull('@' || o.handle || '/' || p.slug, m.what) AS what,"
            " m.rev, m.reason, m.at FROM moderation m JOIN place w ON w.number = m.place"
            " LEFT JOIN preset p ON p.id = m.what AND p.deleted_at IS NULL"
            " LEFT JOIN owner o ON o.id = p.owner WHERE w.kind = ? AND w.id = ?"
            " ORDER BY m.number DESC LIMIT ?",
            (place.kind, place.id, min(limit, _MOST_SHOWN)),
        )
        return tuple(Entry(place, *row) for row in rows)

    # --- Steps --------------------------------------------------------------------------------

    async def _decide(
        self,
        sql: Connection,
        viewer: Viewer,
        preset_id: str,
        place: Place,
        action: Action,
        rev: int | None = None,
    ) -> tuple[Preset, Row]:
        rows = partial(fetch, sql)
        subject = Subject(preset_id, "", place)
        rules = await rules_for(rows, viewer)
        _require(may(viewer, Action.MODERATE, subject, rules))
        preset = await _preset(sql, preset_id)
        listing = await _listing(sql, preset, await place_number(sql, place))
        if listing is None or place.kind is PlaceKind.PERSON:
            raise UnknownPreset(preset_id)
        if rev is not None:
            subject = await _subject(sql, preset, rev, place)
            _require(may(viewer, action, subject, rules))
        return preset, listing

    async def _show(self, sql: Connection, preset: Preset, place: int, rev: int) -> None:
        [row] = await fetch(sql, READ_REVISION, (preset.number, rev))
        body = PresetBody.model_validate_json(row["body"])
        await sql.execute(
            "UPDATE listing SET asked = NULL, reason = '' WHERE preset = ? AND place = ?",
            (preset.number, place),
        )
        await show_revision(sql, preset, place, rev, body)

    async def _govern(self, sql: Connection, viewer: Viewer, place: Place) -> int:
        rules = await rules_for(partial(fetch, sql), viewer)
        _require(may(viewer, Action.GOVERN, Subject("", "", place), rules))
        return await place_number(sql, place)

    async def _require_curator(self, viewer: Viewer, place: Place) -> None:
        rules = await rules_for(self._database.rows, viewer)
        _require(may(viewer, Action.MODERATE, Subject("", "", place), rules))

    async def _after_rule(
        self, sql: Connection, viewer: Viewer, place: int, rule: Rule, action: str
    ) -> None:
        if rule.kind == "lora" and rule.effect == "allow":
            await sql.execute(REFRESH_LORA, (rule.value,))
        what = f"{rule.kind} {rule.value}"
        await self._log(sql, place, viewer, action, what, None, rule.reason)

    async def _log(
        self,
        sql: Connection,
        place: int,
        viewer: Viewer,
        action: str,
        what: str,
        rev: int | None,
        reason: str,
    ) -> None:
        await sql.execute(
            "INSERT INTO moderation (place, actor, action, what, rev, reason, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (place, viewer.requester, action, what, rev, reason, self._clock()),
        )


def _require(decision: Decision) -> Decision:
    if not decision.allowed:
        raise Refused(decision.reason)
    return decision


async def _preset(sql: Connection, preset_id: str) -> Preset:
    row = await fetch_one(sql, PRESET_BY_ID, (preset_id,))
    if row is None:
        raise UnknownPreset(preset_id)
    return read_preset(row)


async def _subject(
    sql: Connection, preset: Preset, rev: int, place: Place, state: State = State.APPROVED
) -> Subject:
    subject = await read_subject(partial(fetch, sql), preset.number, rev, place, state)
    if subject is None:
        raise UnknownRevision(f"{preset.reference} has no revision {rev}.")
    return subject


async def _sees(sql: Connection, viewer: Viewer, preset: Preset) -> bool:
    """Whether a refusal betrays nothing: the preset is shown where the viewer is."""
    row = await fetch_one(
        sql,
        "SELECT 1 FROM listing l JOIN place w ON w.number = l.place"
        " WHERE l.preset = ? AND l.rev IS NOT NULL AND NOT l.hidden"
        " AND (w.kind = 'public' OR w.kind = 'community' AND w.id = ?)",
        (preset.number, viewer.community),
    )
    return row is not None


async def _listing(sql: Connection, preset: Preset, place: int) -> Row | None:
    return await fetch_one(
        sql,
        "SELECT number, place, rev, asked, hidden FROM listing WHERE preset = ? AND place = ?",
        (preset.number, place),
    )


async def _ask(sql: Connection, preset: Preset, place: int, rev: int) -> None:
    await sql.execute(
        "UPDATE listing SET asked = ? WHERE preset = ? AND place = ?", (rev, preset.number, place)
    )
