"""`permissions.may(…, Action.USE, …)` in SQL, for questions about many presets at once.

This is the one place; a property test holds the two together.
"""

from dataclasses import dataclass
from typing import Any, Final

from lora_registry.models import Viewer
from lora_registry.permissions import PlaceKind
from lora_registry.tables import PUBLIC_NUMBER, READ_PLACES, Rows, place_code

# Parameters: ?1 the viewer's own place, ?2 their community's (0 where there is none yet), ?3 the
# NSFW ceiling. Most places deny nothing of a kind; each EXISTS without a join to the listing is
# asked once a query and spares the others.
_HERE: Final = "place IN (1, ?2)"


def _denied(kind: str, matches: str) -> str:
    some = f"SELECT 1 FROM rule WHERE effect = 'deny' AND kind = '{kind}' AND {_HERE}"  # noqa: S608
    return f"(NOT EXISTS ({some}) OR NOT EXISTS ({some} AND {matches}))"


# The plus: no index by place helps whoever has found a listing already.
SHOWN: Final = (
    "+l.place IN (1, ?1, ?2)"
    " AND l.rev IS NOT NULL AND NOT l.hidden AND NOT l.barred AND l.nsfw <= ?3"
)
"""The half of `VISIBLE` that a listing's own row answers."""

NOT_DENIED: Final = " AND ".join(
    (
        _denied("owner", "value = l.owner"),
        _denied("preset", "value = (SELECT id FROM preset WHERE number = l.preset)"),
        _denied(
            "lora",
            "value IN (SELECT sha256 FROM preset_lora WHERE preset = l.preset AND rev = l.rev)",
        ),
        _denied(
            "tag", "value IN (SELECT tag FROM preset_tag WHERE preset = l.preset AND rev = l.rev)"
        ),
    )
)
"""The half that asks the rules: five times as slow, so it comes last."""

VISIBLE: Final = f"{SHOWN} AND {NOT_DENIED}"
"""A condition on `listing l`: what `Action.USE` allows."""

RANK: Final = """CASE WHEN l.place = ?1 THEN 0 WHEN l.place = ?2 THEN 1 WHEN EXISTS (
    SELECT 1 FROM installed i WHERE i.place = ?2 AND (
        (i.kind = 'owner' AND i.value = l.owner) OR
        (i.kind = 'preset' AND i.value = (SELECT id FROM preset WHERE number = l.preset))
    )) THEN 2 ELSE 3 END"""
"""Which listing a bare name means: the lowest. The order is the viewer's own, their community's,
what that has installed, all that is public."""

NAMED: Final = f"(l.bare OR {RANK} IN (0, 2))"
"""Whether a bare name reaches the listing."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a viewer can see, as the parameters ?1 to ?3 of a query."""

    own: int
    community: int
    ceiling: int

    @property
    def args(self) -> tuple[Any, ...]:
        return self.own, self.community, self.ceiling

    @property
    def places(self) -> tuple[int, ...]:
        """The places' numbers, the nearest first."""
        return tuple(number for number in (self.own, self.community, PUBLIC_NUMBER) if number)

    @property
    def codes(self) -> str:
        """The places that others do not see, for the indexes."""
        near = (number for number in (self.own, self.community) if number)
        return " OR ".join(f'"{place_code(number)}"' for number in near)


async def sight(rows: Rows, viewer: Viewer) -> Sight:
    """Look up where a viewer is."""
    own, community, ceiling = 0, 0, viewer.nsfw_ceiling
    for row in await rows(READ_PLACES, (viewer.requester, viewer.community)):
        match row["kind"]:
            case PlaceKind.PERSON:
                own = row["number"]
                continue
            case PlaceKind.COMMUNITY:
                community = row["number"]
        ceiling = min(ceiling, row["nsfw_ceiling"])
    return Sight(own, community, ceiling)
