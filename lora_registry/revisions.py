"""How revisions and listings are written: the same statements for one preset and for thousands."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiosqlite import Connection, Row

from lora_registry.errors import BadComposition, NameTaken, UnknownLora
from lora_registry.lora_store import REFRESH_LISTING, known_loras
from lora_registry.models import NO_TRIGGERS, LoraFlag, LoraRecord, PresetBody
from lora_registry.names import skeleton, slugify
from lora_registry.permissions import PlaceKind
from lora_registry.tables import PUBLIC_NUMBER, fetch, fetch_one, place_code
from lora_registry.wordlist import forget, learn, listing_words


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset without what its revisions say. `head` is the newest revision's number.

    `forked_from` and `forked_rev` name the preset and revision that it began as a copy of.
    """

    number: int
    id: str
    owner: str
    handle: str
    name: str
    head: int
    forked_from: str | None
    forked_rev: int | None
    uses: int
    likes: int
    created_at: float

    @property
    def reference(self) -> str:
        return f"@{self.handle}/{self.name}"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision, which never changes; `sha256` is the hash of its body."""

    preset: Preset
    rev: int
    sha256: str
    body: PresetBody
    author: str
    note: str
    created_at: float

    @property
    def reference(self) -> str:
        return f"{self.preset.reference}@{self.rev}"


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A revision to be written."""

    preset: int
    rev: int
    body: PresetBody
    author: str
    note: str


@dataclass(frozen=True, slots=True)
class NewListing:
    """A listing to be written, its revision approved."""

    place: int
    preset: int
    owner: str
    handle: str
    slug: str
    rev: int
    body: PresetBody
    bare: bool
    score: int = 0


_PRESETS: Final = """
SELECT p.number, p.id, p.owner, o.handle, p.slug, p.head, p.forked_from, p.forked_rev, p.uses,
       p.likes, p.created_at
FROM preset p JOIN owner o ON o.id = p.owner
WHERE p.deleted_at IS NULL AND
"""
PRESET_BY_ID: Final = _PRESETS + "p.id = ?"
PRESET_BY_NUMBER: Final = _PRESETS + "p.number = ?"
PRESETS_OF: Final = _PRESETS + "p.owner = ? ORDER BY p.slug"
READ_REVISION: Final = (
    "SELECT rev, sha256, body, author, note, created_at FROM preset_rev"
    " WHERE preset = ? AND rev = ?"
)


def read_preset(row: Row) -> Preset:
    return Preset(
        number=row["number"],
        id=row["id"],
        owner=row["owner"],
        handle=row["handle"],
        name=row["slug"],
        head=row["head"],
        forked_from=row["forked_from"],
        forked_rev=row["forked_rev"],
        uses=row["uses"],
        likes=row["likes"],
        created_at=row["created_at"],
    )


def read_revision(preset: Preset, row: Row) -> Revision:
    return Revision(
        preset=preset,
        rev=row["rev"],
        sha256=row["sha256"],
        body=PresetBody.model_validate_json(row["body"]),
        author=row["author"],
        note=row["note"],
        created_at=row["created_at"],
    )


# --- LoRAs ------------------------------------------------------------------------------------


async def checked_loras(sql: Connection, bodies: Iterable[PresetBody]) -> dict[str, LoraRecord]:
    """The LoRAs of these bodies, by hash.

    Raises:
        UnknownLora: one is not known here.
        BadComposition: one is for another model or has no such trigger set.
    """
    bodies = list(bodies)
    records = await known_loras(sql, (lora.sha256 for body in bodies for lora in body.loras))
    for body in bodies:
        for lora in body.loras:
            record = records.get(lora.sha256)
            if record is None:
                raise UnknownLora(f"{lora.name} ({lora.sha256:.12}…)")
            require_family(lora.name, record, body.model, "the preset's model")
            sets = [one.name for one in record.triggers]
            if lora.triggers not in {None, NO_TRIGGERS, *sets}:
                known = ", ".join(sets) or "none"
                raise BadComposition(
                    f"{lora.name} has no trigger set {lora.triggers}; it has: {known}."
                )
    return records


def require_family(name: str, record: LoraRecord, model: str, what: str) -> None:
    """Let pass what may fit.

    Raises:
        BadComposition: the LoRA is for another model.
    """
    fits = record.family.model
    if fits == model or record.family.value == "flux-1-or-klein-4b":
        return
    advice = f"Choose {fits} or another LoRA." if fits else "Choose another LoRA."
    raise BadComposition(f"{name} is for {record.family.label}; {what} is {model}. {advice}")


# --- Writing ----------------------------------------------------------------------------------


async def write_revisions(sql: Connection, new: Sequence[NewRevision], now: float) -> None:
    """Write revisions with what rules look at."""
    rows = []
    for one in new:
        canonical = one.body.canonical()
        digest = hashlib.sha256(canonical).hexdigest()
        rows.append((one.preset, one.rev, digest, canonical.decode(), one.author, one.note, now))
    await sql.executemany("INSERT INTO preset_rev VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    await sql.executemany(
        "INSERT INTO preset_lora (preset, rev, sha256) VALUES (?, ?, ?)",
        [(one.preset, one.rev, lora.sha256) for one in new for lora in one.body.loras],
    )
    await sql.executemany(
        "INSERT INTO preset_tag (preset, rev, tag) VALUES (?, ?, ?)",
        [(one.preset, one.rev, tag) for one in new for tag in one.body.tags],
    )


async def write_listings(
    sql: Connection, new: Sequence[NewListing], loras: Mapping[str, LoraRecord]
) -> None:
    """Write approved listings with all that search needs; `loras` are those of the bodies."""
    allowed = {
        row["value"]
        for row in await fetch(
            sql,
            "SELECT value FROM rule WHERE effect = 'allow' AND kind = 'lora' AND place = ?",
            (PUBLIC_NUMBER,),
        )
    }
    rows: list[tuple[Any, ...]] = []
    for one in new:
        used = [loras[lora.sha256] for lora in one.body.loras]
        nsfw = max(one.body.nsfw, *(lora.nsfw for lora in used), 0)
        minor = nsfw > 0 and any(LoraFlag.MINOR in lora.flags for lora in used)
        person = any(LoraFlag.PERSON in x.flags and x.sha256 not in allowed for x in used)
        words = listing_words(one.slug, one.handle, one.body)
        names = (one.slug, skeleton(one.slug), one.bare, one.rev)
        traits = (nsfw, minor or person, one.score, words, place_code(one.place))
        rows.append((one.place, one.preset, one.owner, *names, *traits))
    await sql.executemany(
        "INSERT INTO listing (place, preset, owner, slug, skeleton, bare, rev, nsfw, barred, score,"
        " words, here) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    await sql.executemany(
        "INSERT INTO approval (preset, place, rev) VALUES (?, ?, ?)",
        [(one.preset, one.place, one.rev) for one in new],
    )
    await learn(sql, (row[-2] for row in rows))


async def show_revision(
    sql: Connection, preset: Preset, place: int, rev: int, body: PresetBody
) -> None:
    """Let a listing show another revision, or the same one under another name."""
    old = await fetch_one(
        sql, "SELECT words FROM listing WHERE preset = ? AND place = ?", (preset.number, place)
    )
    words = listing_words(preset.name, preset.handle, body)
    await sql.execute(
        "UPDATE listing SET rev = ?, slug = ?, skeleton = ?, words = ?"
        " WHERE preset = ? AND place = ?",
        (rev, preset.name, skeleton(preset.name), words, preset.number, place),
    )
    await sql.execute(
        "INSERT OR IGNORE INTO approval (preset, place, rev) VALUES (?, ?, ?)",
        (preset.number, place, rev),
    )
    await sql.execute(REFRESH_LISTING, (preset.number, place))
    await learn(sql, [words])
    if old is not None:
        await forget(sql, old["words"])


# --- Names ------------------------------------------------------------------------------------


async def require_free(
    sql: Connection, place: int, kind: PlaceKind, slug: str, preset: int | None, now: float
) -> None:
    """Make sure that nobody else has a name, or one that looks like it, at a place.

    Among a person's own presets only the very same name is in the way.

    Raises:
        NameTaken: says what has it.
    """
    column, wanted = ("slug", slug) if kind is PlaceKind.PERSON else ("skeleton", skeleton(slug))
    listed = await fetch_one(
        sql,
        f"SELECT slug FROM listing WHERE place = ? AND {column} = ? AND preset IS NOT ?"  # noqa: S608
        " AND (bare OR ? = 'person')",
        (place, wanted, preset, kind),
    )
    held = await fetch_one(
        sql,
        f"SELECT slug FROM alias WHERE place = ? AND {column} = ? AND preset IS NOT ?"  # noqa: S608
        " AND (until IS NULL OR until > ?)",
        (place, wanted, preset, now),
    )
    if listed is None and held is None:
        return
    if kind is PlaceKind.PERSON:
        problem = "You have a preset" if listed else "One of your presets was once called"
        raise NameTaken(f"{problem} {slug}{' already' if listed else ''}; choose another name.")
    other = (listed or held or {"slug": slug})["slug"]
    why = f"{slug} is taken" if other == slug else f"{slug} looks like {other}, which is taken"
    where = "in this community" if kind is PlaceKind.COMMUNITY else "in public"
    raise NameTaken(
        f"{why} {where}; rename your preset, or publish it without the short name and it stays "
        "reachable with your @name before it."
    )


async def introduce(
    sql: Connection, owner: str, wished: str | None, now: float, *, reserved: bool = False
) -> str:
    """The handle of an owner, who gets one with their first preset: the wished one or like it."""
    known = await fetch_one(sql, "SELECT handle FROM owner WHERE id = ?", (owner,))
    if known is not None:
        return str(known["handle"])
    base = (wished if reserved else None) or slugify(wished or owner) or "someone"
    for tail in ("", *(f"-{number}" for number in range(2, 1000)), f"-{hash_of(owner)[:12]}"):
        handle = f"{base[: 39 - len(tail)]}{tail}"
        cursor = await sql.execute(
            "INSERT OR IGNORE INTO owner (id, handle, skeleton, created_at) VALUES (?, ?, ?, ?)",
            (owner, handle, hash_of(skeleton(handle)), now),
        )
        if cursor.rowcount:
            return handle
    raise NameTaken(f"{base} and a thousand names like it are taken; choose another name.")


def hash_of(text: str) -> str:
    """Keeps a handle taken after its person is erased, without keeping it."""
    return hashlib.sha256(text.encode()).hexdigest()
