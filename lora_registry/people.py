"""Likes, counts of use, and a person's data: taken out whole, or erased."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aiosqlite import Connection

from lora_registry.errors import UnknownPreset
from lora_registry.models import Viewer
from lora_registry.revisions import PRESETS_OF, read_preset
from lora_registry.store import PresetStore, delete_preset
from lora_registry.tables import Database, fetch

_RESCORE: Final = """
UPDATE listing SET score = (SELECT uses + 5 * likes FROM preset WHERE number = listing.preset)
    + pinned * 1000000000
WHERE preset IN (SELECT number FROM preset WHERE id IN (SELECT value FROM json_each(?)))
"""


class PeopleStore:
    """What people do with presets, and what is kept about them."""

    def __init__(
        self, database: Database, presets: PresetStore, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._presets = presets
        self._clock = clock

    async def like(self, viewer: Viewer, preset_id: str, rev: int, *, liked: bool = True) -> int:
        """Like a preset that the viewer may use, or no more; returns how many do.

        Raises:
            UnknownPreset, UnknownRevision, Refused: it may not be used.
        """
        if liked:
            preset = (await self._presets.revision(viewer, preset_id, rev)).preset
        async with self._database.write() as sql:
            if liked:
                await sql.execute(
                    "INSERT OR IGNORE INTO liked SELECT number, ?, ? FROM preset"
                    " WHERE number = ? AND deleted_at IS NULL",
                    (viewer.requester, self._clock(), preset.number),
                )
            else:
                await sql.execute(
                    "DELETE FROM liked WHERE requester = ?"
                    " AND preset = (SELECT number FROM preset WHERE id = ?)",
                    (viewer.requester, preset_id),
                )
            return await _recount(sql, preset_id)

    async def likes(self, viewer: Viewer, preset_id: str) -> bool:
        """Whether the viewer likes a preset."""
        row = await self._database.row(
            "SELECT 1 FROM liked k JOIN preset p ON p.number = k.preset"
            " WHERE p.id = ? AND k.requester = ?",
            (preset_id, viewer.requester),
        )
        return row is not None

    async def count_uses(self, uses: Mapping[str, int]) -> None:
        """Add up how often presets were drawn with, by id; those that are gone are left out."""
        day = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        pairs = json.dumps(dict(uses))
        async with self._database.write() as sql:
            await sql.execute(
                "INSERT INTO usage_daily (preset, day, uses)"
                " SELECT p.number, ?, j.value FROM json_each(?) j JOIN preset p ON p.id = j.key"
                " WHERE p.deleted_at IS NULL"
                " ON CONFLICT (preset, day) DO UPDATE SET uses = uses + excluded.uses",
                (day, pairs),
            )
            await sql.execute(
                "UPDATE preset SET uses = uses + j.value FROM json_each(?) j"
                " WHERE preset.id = j.key AND deleted_at IS NULL",
                (pairs,),
            )
            await sql.execute(_RESCORE, (json.dumps(list(uses)),))

    async def export(self, viewer: Viewer) -> dict[str, Any]:
        """Everything that is kept about the viewer, as JSON values."""
        who = (viewer.requester,)
        rows = self._database.rows
        owner = await self._database.row("SELECT handle, created_at FROM owner WHERE id = ?", who)
        presets = []
        for preset in await self._presets.mine(viewer):
            history = await self._presets.history(viewer, preset.id)
            presets.append(
                {
                    "id": preset.id,
                    "name": preset.reference,
                    "forked_from": preset.forked_from,
                    "uses": preset.uses,
                    "likes": preset.likes,
                    "created_at": preset.created_at,
                    "revisions": [
                        {
                            "rev": one.rev,
                            "sha256": one.sha256,
                            "note": one.note,
                            "created_at": one.created_at,
                            "body": one.body.model_dump(mode="json"),
                        }
                        for one in history
                    ],
                }
            )
        queries = {
            "likes": "SELECT p.id AS preset, k.liked_at FROM liked k"
            " JOIN preset p ON p.number = k.preset WHERE k.requester = ?",
            "reports": "SELECT p.id AS preset, r.rev, r.reason, r.made_at FROM report r"
            " JOIN preset p ON p.number = r.preset WHERE r.reporter = ?",
            "reports_about": "SELECT p.id AS preset, r.rev, r.reason, r.made_at FROM report r"
            " JOIN preset p ON p.number = r.preset WHERE p.owner = ?",
            "rules_about": "SELECT effect, reason, made_at FROM rule"
            " WHERE kind = 'owner' AND value = ?",
            "decisions": "SELECT action, what, rev, reason, at FROM moderation WHERE actor = ?",
            "rules": "SELECT effect, kind, value, reason, made_at FROM rule WHERE made_by = ?",
            "installed": "SELECT kind, value, installed_at FROM installed WHERE installed_by = ?",
            "loras": "SELECT sha256, name, added_at FROM lora WHERE added_by = ?",
        }
        kept = {name: [dict(row) for row in await rows(sql, who)] for name, sql in queries.items()}
        return {"owner": dict(owner) if owner else None, "presets": presets, **kept}

    async def erase(self, viewer: Viewer) -> None:
        """Delete the viewer's presets and likes and blank them wherever they decided something.

        Forks that others made stay theirs; short names stay held as after any deletion; the
        handle, kept only as a hash, is never given to anybody else.
        """
        who = viewer.requester
        async with self._database.write() as sql:
            liked = await fetch(
                sql,
                "SELECT p.id FROM liked k JOIN preset p ON p.number = k.preset"
                " WHERE k.requester = ?",
                (who,),
            )
            await sql.execute("DELETE FROM liked WHERE requester = ?", (who,))
            for row in liked:
                await _recount(sql, row["id"])
            for row in await fetch(sql, PRESETS_OF, (who,)):
                await delete_preset(sql, read_preset(row), self._clock())
            await _blank_owner(sql, who)
            await sql.execute("DELETE FROM report WHERE reporter = ?", (who,))
            for table, column in _NAMES:
                await sql.execute(
                    f"UPDATE {table} SET {column} = '' WHERE {column} = ?",  # noqa: S608
                    (who,),
                )


_NAMES: Final = (
    ("report", "settled_by"),
    ("moderation", "actor"),
    ("rule", "made_by"),
    ("installed", "installed_by"),
    ("lora", "added_by"),
)
"""Where somebody is named who decided something that goes on without them."""


async def _blank_owner(sql: Connection, who: str) -> None:
    nobody = f"erased-{uuid.uuid4().hex[:12]}"
    await sql.execute("UPDATE owner SET id = ?1, handle = ?1 WHERE id = ?2", (nobody, who))
    # Tombstones keep short names held, and nothing that the person wrote.
    await sql.execute(
        "UPDATE preset SET owner = ?, slug = 'erased-' || number WHERE owner = ?", (nobody, who)
    )
    place = "(SELECT number FROM place WHERE kind = 'person' AND id = ?)"
    await sql.execute(f"DELETE FROM alias WHERE place = {place}", (who,))  # noqa: S608
    await sql.execute("DELETE FROM place WHERE kind = 'person' AND id = ?", (who,))


async def _recount(sql: Connection, preset_id: str) -> int:
    rows = await fetch(
        sql,
        "UPDATE preset SET likes = (SELECT count(*) FROM liked WHERE preset = number)"
        " WHERE id = ? RETURNING likes",
        (preset_id,),
    )
    if not rows:
        raise UnknownPreset(preset_id)
    await sql.execute(_RESCORE, (json.dumps([preset_id]),))
    return int(rows[0]["likes"])
