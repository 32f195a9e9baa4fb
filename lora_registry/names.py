"""Names of presets, owners and LoRAs, and references to a preset.

    dreamy    dreamy@3    @owner/dreamy    @owner/dreamy@sha256:ab12cd34…    dreamy+ink:0.6

A name is 2 to 39 of a–z, 0–9 and hyphens and begins with no hyphen; NFKC and lower case are applied
before the rule. That leaves ASCII, so look-alikes are those within ASCII (`skeleton`).
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from lora_registry.errors import BadName

MAX_NAME: Final = 39
MAX_PARTS: Final = 5
"""Presets in one composition."""

MAX_MULTIPLIER: Final = 4.0

_RESERVED: Final = """
    admin administrator all anonymous any anyone atelier community create default delete deleted
    demo edit everyone export false fork guest help here hidden history import list lora loras
    me mine model moderator new nobody none null official operator owner pack packs personal
    preset presets public random remove rename report restore root search self settings sha256
    show support system true undefined unknown user
"""
RESERVED: Final = frozenset(_RESERVED.split())
"""Names with a meaning of their own, or that would pass for an authority."""

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,38}")
_LOOK_ALIKES: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "8": "b", "-": None})
_REFERENCE: Final = re.compile(
    r"(?:@(?P<owner>[^/@\s]+)/)?(?P<name>[^/@:\s]+)"
    r"(?:@(?:(?P<rev>[1-9]\d{0,8})|sha256:(?P<digest>[0-9a-f]{8,64})))?"
)
_PART: Final = re.compile(r"(?P<reference>.+?)(?::(?P<multiplier>\d*[.,]?\d+))?")
_FORMS: Final = "Write it as dreamy, dreamy@3, @owner/dreamy or @owner/dreamy@sha256:…"


@dataclass(frozen=True, slots=True)
class Reference:
    """Which preset is meant; `str()` writes it as `parse_reference` reads it.

    At most one of `rev` (from 1) and `digest` (the first 8 to 64 hex digits of a revision's
    content hash) is set; without both, the approved head is meant.
    """

    name: str
    owner: str | None = None
    rev: int | None = None
    digest: str | None = None

    def __str__(self) -> str:
        place = f"@{self.owner}/" if self.owner else ""
        pin = f"@{self.rev}" if self.rev else f"@sha256:{self.digest}" if self.digest else ""
        return f"{place}{self.name}{pin}"


@dataclass(frozen=True, slots=True)
class Part:
    """One preset of a composition; `multiplier` scales all its LoRAs, 0 to 4."""

    reference: Reference
    multiplier: float = 1.0


def parse_slug(text: str, *, reserved: bool = False) -> str:
    """Read a name; with `reserved` also one that only the instance may use.

    Raises:
        BadName: says the rule, with a name that obeys it where one can be made.
    """
    name = _folded(text)
    if _SLUG.fullmatch(name) is None:
        suggestion = slugify(text)
        example = f", such as {suggestion}" if suggestion else ""
        raise BadName(
            f"{_quoted(text)} cannot be a name. Use 2 to {MAX_NAME} of a–z, 0–9 and hyphens, "
            f"without a hyphen at the beginning{example}.",
            suggestion,
        )
    if name in RESERVED and not reserved:
        raise BadName(f"{_quoted(name)} is reserved. Add a word to it, such as my-{name}.")
    return name


def slugify(text: str) -> str | None:
    """The nearest name to a text; None where nothing of it can stay. Reserved ones get a tail."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(char for char in plain if not unicodedata.combining(char))
    name = re.sub(r"[^a-z0-9]+", "-", kept).strip("-")[:MAX_NAME].rstrip("-")
    if name in RESERVED:
        return f"{name}-1"
    return name if len(name) > 1 else None


def skeleton(name: str) -> str:
    """What a name looks like at a glance: names with equal skeletons are confusable.

    0/o, 1/l/i, 5/s, 8/b, rn/m, vv/w and hyphens anywhere.
    """
    return name.translate(_LOOK_ALIKES).replace("rn", "m").replace("vv", "w")


def parse_reference(text: str) -> Reference:
    """Read a reference to one preset.

    Raises:
        BadName: says which part is wrong.
    """
    found = _REFERENCE.fullmatch(_folded(text))
    if found is None:
        raise BadName(f"{_quoted(text)} is no reference to a preset. {_FORMS}.", slugify(text))
    owner = found["owner"]
    return Reference(
        parse_slug(found["name"], reserved=True),
        None if owner is None else parse_slug(owner, reserved=True),
        None if found["rev"] is None else int(found["rev"]),
        found["digest"],
    )


def parse_composition(text: str) -> tuple[Part, ...]:
    """Read `dreamy+ink:0.6`: one to `MAX_PARTS` presets, each with a multiplier if wanted.

    Raises:
        BadName: a part cannot be read, or there are too many.
    """
    parts = _folded(text).split("+")
    if len(parts) > MAX_PARTS:
        raise BadName(f"At most {MAX_PARTS} presets go together; these are {len(parts)}.")
    return tuple(_part(part.strip()) for part in parts)


def format_composition(parts: tuple[Part, ...]) -> str:
    """Write what `parse_composition` reads."""
    return "+".join(
        str(part.reference) if part.multiplier == 1.0 else f"{part.reference}:{part.multiplier:g}"
        for part in parts
    )


def _part(text: str) -> Part:
    found = _PART.fullmatch(text)
    # A digest of digits only is a pin, not a multiplier.
    if found is None or found["multiplier"] is None or found["reference"].endswith("@sha256"):
        return Part(parse_reference(text))
    multiplier = float(found["multiplier"].replace(",", "."))
    if multiplier > MAX_MULTIPLIER:
        raise BadName(
            f"{found['multiplier']} is too much for {found['reference']}; "
            f"use 0 to {MAX_MULTIPLIER:g}."
        )
    return Part(parse_reference(found["reference"]), multiplier)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().lower()


def _quoted(text: str) -> str:
    shown = "".join(char for char in text if char.isprintable())
    return f"“{shown}”" if len(shown) <= 60 else f"“{shown[:59]}…”"
