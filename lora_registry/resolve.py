"""From what people type to the revision that is meant, or a sentence why there is none.

A bare name is looked for among the viewer's own presets, then in their community, then in what
that has installed, then in public; the first that they may use is meant, and the others are told.
`@owner/` skips the order. Without a pinned revision the one that holds at that place is meant:
the head of an own preset, the approved one elsewhere. What a viewer cannot reach does not exist
for them; what they can reach but may not use is refused with the reason.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiosqlite import Row

from lora_registry.errors import Refused, UnknownPreset, UnknownRevision
from lora_registry.models import Viewer
from lora_registry.names import Reference, parse_reference
from lora_registry.permissions import Action, Decision, Place, PlaceKind, Rules, may
from lora_registry.revisions import (
    PRESET_BY_NUMBER,
    READ_REVISION,
    Revision,
    read_preset,
    read_revision,
)
from lora_registry.search import Search
from lora_registry.subjects import listing_state, read_subject
from lora_registry.tables import Database, read_place, rules_for
from lora_registry.visibility import NAMED, RANK, sight

# An earlier name leads to its preset, unless somebody has it by now. ?4 is the name, ?5 the time.
_LIVE: Final = "a.slug = ?4 AND (a.until IS NULL OR a.until > ?5)"
_BY_SHORT_NAME: Final = f"""
    SELECT number FROM listing WHERE place IN (1, ?1, ?2) AND slug = ?4
    UNION SELECT x.number FROM alias a JOIN listing x ON x.preset = a.preset AND x.place = a.place
    WHERE a.place IN (1, ?1, ?2) AND {_LIVE}
"""  # noqa: S608
_BY_OWNER: Final = f"""
    SELECT x.number FROM owner h JOIN preset q ON q.owner = h.id AND q.slug = ?4
    JOIN listing x ON x.preset = q.number WHERE h.handle = ?6
    UNION SELECT x.number FROM owner h JOIN place w ON w.kind = 'person' AND w.id = h.id
    JOIN alias a ON a.place = w.number JOIN listing x ON x.preset = a.preset
    WHERE h.handle = ?6 AND {_LIVE}
"""  # noqa: S608
_CANDIDATES: Final = f"""
SELECT l.preset, l.rev, l.asked, l.hidden, l.slug, l.place, o.handle, w.kind, w.id
FROM listing l JOIN place w ON w.number = l.place JOIN owner o ON o.id = l.owner
WHERE ?3 >= 0 AND +l.place IN (1, ?1, ?2) AND {{}} ORDER BY {RANK}, l.slug <> ?4 LIMIT 20
"""  # noqa: S608
_BARE: Final = _CANDIDATES.format(f"l.number IN ({_BY_SHORT_NAME}) AND {NAMED}")
_OWNED: Final = _CANDIDATES.format(f"l.number IN ({_BY_OWNER})")


@dataclass(frozen=True, slots=True)
class Resolved:
    """The revision that is meant, and at which place.

    `shadowed` are other presets that the same bare name would have led to, as `@owner/name`.
    """

    revision: Revision
    place: Place
    nsfw: int
    shadowed: tuple[str, ...] = ()

    @property
    def notice(self) -> str | None:
        """What to tell about shadowed presets, or None."""
        if not self.shadowed:
            return None
        where = _WHERE[self.place.kind]
        return (
            f"{self.revision.preset.name} means {where}; "
            f"{' and '.join(self.shadowed)} {'has' if len(self.shadowed) == 1 else 'have'} "
            "the same name."
        )


_WHERE: Final = {
    PlaceKind.PERSON: "your own preset",
    PlaceKind.COMMUNITY: "the preset of this community",
    PlaceKind.PUBLIC: "the public preset",
}


class Resolver:
    """Looks presets up by what people type."""

    def __init__(
        self, database: Database, search: Search, clock: Callable[[], float] = time.time
    ) -> None:
        self._rows = database.rows
        self._search = search
        self._clock = clock

    async def resolve(self, viewer: Viewer, reference: Reference | str) -> Resolved:
        """The revision that a reference means for this viewer.

        Raises:
            BadName: it is no reference.
            UnknownPreset: nothing that they can reach has this name; says near ones.
            UnknownRevision: the preset has no such revision at that place.
            Refused: it is there and may not be used; says why.
        """
        wanted = parse_reference(reference) if isinstance(reference, str) else reference
        rules = await rules_for(self._rows, viewer)
        usable: list[Resolved] = []
        refusals: list[Exception] = []
        for row in await self._candidates(viewer, wanted):
            if any(one.revision.preset.number == row["preset"] for one in usable):
                continue
            found = await self._look(viewer, wanted, row, rules)
            if isinstance(found, Resolved):
                usable.append(found)
            elif found is not None:
                refusals.append(found)
        if usable:
            others = tuple(one.revision.preset.reference for one in usable[1:])
            first = usable[0]
            return Resolved(first.revision, first.place, first.nsfw, others)
        if refusals:
            raise refusals[0]
        raise UnknownPreset(str(wanted), await self._search.near(viewer, wanted.name))

    async def explain(self, viewer: Viewer, reference: Reference | str) -> Decision:
        """Whether a viewer may use what a reference means, and if not, why."""
        try:
            await self.resolve(viewer, reference)
        except UnknownPreset as error:
            return Decision(allowed=False, reason=str(error), secret=True)
        except (Refused, UnknownRevision) as error:
            return Decision(allowed=False, reason=str(error))
        return Decision(allowed=True)

    async def _candidates(self, viewer: Viewer, wanted: Reference) -> Sequence[Row]:
        seen = await sight(self._rows, viewer)
        args = (*seen.args, wanted.name, self._clock())
        if wanted.owner is None:
            return await self._rows(_BARE, args)
        return await self._rows(_OWNED, (*args, wanted.owner))

    async def _look(
        self, viewer: Viewer, wanted: Reference, row: Row, rules: Rules
    ) -> Resolved | Exception | None:
        """What a listing says about a reference: it, why not, or nothing at all."""
        place, state = read_place(row), listing_state(row)
        shown = row["rev"] or row["asked"] or 1
        subject = await read_subject(self._rows, row["preset"], shown, place, state)
        if subject is None:
            return None
        decision = may(viewer, Action.USE, subject, rules)
        if decision.secret:
            return None
        name = f"@{row['handle']}/{row['slug']}"
        rev = await self._pinned(wanted, row, place)
        if rev is None:
            pin = wanted.rev or f"sha256:{wanted.digest}"
            return UnknownRevision(
                f"{name} has no revision {pin} here; the one in use is {row['rev']}."
            )
        if rev != shown:
            subject = await read_subject(self._rows, row["preset"], rev, place, state) or subject
            decision = may(viewer, Action.USE, subject, rules)
        if not decision.allowed:
            return Refused(f"{name} may not be used here: {decision.reason}")
        preset = read_preset((await self._rows(PRESET_BY_NUMBER, (row["preset"],)))[0])
        [revision] = await self._rows(READ_REVISION, (preset.number, rev))
        return Resolved(read_revision(preset, revision), place, subject.nsfw)

    async def _pinned(self, wanted: Reference, row: Row, place: Place) -> int | None:
        """The revision that is meant: of an own preset any, elsewhere one that was approved."""
        if wanted.rev is None and wanted.digest is None:
            return int(row["rev"])
        rows = await self._rows(
            "SELECT r.rev FROM preset_rev r WHERE r.preset = ?1"
            " AND (r.rev = ?2 OR r.sha256 BETWEEN ?3 AND ?3 || 'g')"
            " AND (?4 = 'person' OR EXISTS (SELECT 1 FROM approval a"
            "      WHERE a.preset = ?1 AND a.place = ?5 AND a.rev = r.rev))"
            " ORDER BY r.rev DESC LIMIT 1",
            (row["preset"], wanted.rev, wanted.digest, place.kind, row["place"]),
        )
        return int(rows[0]["rev"]) if rows else None
