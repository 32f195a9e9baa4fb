"""Reads what `permissions.may` decides about: a revision as a place lists it."""

from collections.abc import Mapping
from typing import Final

from aiosqlite import Row

from lora_registry.permissions import Place, State, Subject
from lora_registry.tables import Rows

_SUBJECT: Final = """
SELECT p.id, p.owner, json_extract(r.body, '$.nsfw') AS own,
       (SELECT group_concat(tag, ' ') FROM preset_tag WHERE preset = ?1 AND rev = ?2) AS tags
FROM preset p JOIN preset_rev r ON r.preset = p.number
WHERE p.number = ?1 AND r.rev = ?2
"""
_LORAS: Final = """
SELECT p.sha256, l.nsfw, l.minor, l.person
FROM preset_lora p LEFT JOIN lora l ON l.sha256 = p.sha256
WHERE p.preset = ? AND p.rev = ?
"""


async def read_subject(
    rows: Rows, preset: int, rev: int, place: Place, state: State = State.APPROVED
) -> Subject | None:
    """The subject, or None where there is no such revision."""
    found = await rows(_SUBJECT, (preset, rev))
    if not found:
        return None
    loras = await rows(_LORAS, (preset, rev))
    return Subject(
        preset=found[0]["id"],
        owner=found[0]["owner"],
        place=place,
        state=state,
        nsfw=max(found[0]["own"], *(row["nsfw"] or 0 for row in loras), 0),
        minor=any(row["minor"] for row in loras),
        persons=frozenset(row["sha256"] for row in loras if row["person"]),
        loras=frozenset(row["sha256"] for row in loras),
        tags=frozenset((found[0]["tags"] or "").split()),
    )


def listing_state(listing: Row | Mapping[str, object]) -> State:
    """How a listing stands; one with an approved revision stays approved while another waits."""
    if listing["hidden"]:
        return State.HIDDEN
    if listing["rev"] is not None:
        return State.APPROVED
    return State.REJECTED if listing["asked"] is None else State.PENDING
