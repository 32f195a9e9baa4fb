"""Keeps what communities and members have set, and who changed it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiosqlite
from pydantic import ValidationError

from bot.communities import (
    INSTANCE,
    Change,
    CommunitySettings,
    Effective,
    MemberSettings,
    S,
    SettingsConflict,
    SettingsDamaged,
    SettingsRefused,
    contradiction,
    effective,
)
from bot.database import Database, Row
from bot.permissions import Requester, check_may_change

_REMEMBERED: Final = 1024
"""Communities whose settings are kept in memory, a few kilobytes each."""

_LAYERS: Final = """
SELECT community, version, document FROM community_settings WHERE community IN (?, ?)
"""
_SAVE: Final = """
INSERT INTO community_settings (community, version, document) VALUES (?, ?, ?)
ON CONFLICT (community) DO UPDATE SET version = excluded.version, document = excluded.document
"""
_NOTE: Final = """
INSERT INTO community_changes (community, version, changed_by, changed_at, fields)
VALUES (?, ?, ?, ?, ?)
"""
# A limit of -1 is none.
_HISTORY: Final = """
SELECT version, changed_by, changed_at, fields FROM community_changes
WHERE community = ? AND version > ? ORDER BY version DESC LIMIT ?
"""
_MEMBER: Final = "SELECT document FROM member_settings WHERE community = ? AND member = ?"
_SAVE_MEMBER: Final = """
INSERT INTO member_settings (community, member, document) VALUES (?, ?, ?)
ON CONFLICT (community, member) DO UPDATE SET document = excluded.document
"""
_ABOUT: Final = {
    "defaults": "SELECT community, document FROM member_settings WHERE member = ?",
    "changed_settings": "SELECT community, changed_at, fields FROM community_changes"
    " WHERE changed_by = ? ORDER BY changed_at",
    "moderates": "SELECT community FROM community_settings,"
    " json_each(iif(json_valid(document), document, '{}'), '$.moderators') AS one"
    " WHERE one.value = ?",
    "blocked": "SELECT community FROM community_settings,"
    " json_each(iif(json_valid(document), document, '{}'), '$.blocked_members') AS one"
    " WHERE one.value = ?",
}
_JSON: Final = frozenset({"document", "fields"})
_FORGET_PERSON: Final = (
    "DELETE FROM member_settings WHERE member = ?",
    "UPDATE community_changes SET changed_by = '' WHERE changed_by = ?",
)
_FORGET_MEMBER: Final = "DELETE FROM member_settings WHERE community = ? AND member = ?"


@dataclass(frozen=True, slots=True)
class Record:
    """A community's own layer as it is stored. `version` is 0 until something is saved."""

    community: str
    version: int
    layer: CommunitySettings


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit trail; `at` is seconds since 1970. No fields: everything was reset."""

    version: int
    by: str
    at: float
    fields: tuple[str, ...]


class CommunityStore:
    """Settings in the jobs' database. Every read sees what any process has saved before it."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, tuple[tuple[int, int], Effective[CommunitySettings]]] = {}

    async def effective(self, community: str) -> Effective[CommunitySettings]:
        """The settings that hold in a community, whether or not it ever set any.

        Raises:
            SettingsDamaged: its row or the instance's cannot be read.
        """
        stored = _by_community(await self._database.rows(_LAYERS, (INSTANCE, community)))
        versions = _version(stored, INSTANCE), _version(stored, community)
        if (known := self._known.get(community)) and known[0] == versions:
            return known[1]
        merged = effective(_layer(stored, INSTANCE), _layer(stored, community))
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[community] = versions, merged
        return merged

    async def load(self, community: str) -> Record:
        """What the community (or `INSTANCE`) itself has set, with the version a change names.

        Raises:
            SettingsDamaged: the row cannot be read.
        """
        stored = _by_community(await self._database.rows(_LAYERS, (community, community)))
        return Record(community, _version(stored, community), _layer(stored, community))

    async def change(self, community: str, change: Change, *, base: int, by: Requester) -> Record:
        """Change the layer of a community (or `INSTANCE`) as it was shown at version `base`.

        Raises:
            SettingsRefused: a value is wrong, contradicts another, or `by` may not set it.
            SettingsConflict: the settings have another version by now; nothing was changed.
            SettingsDamaged: what is stored cannot be read; `reset` helps.
        """
        check_may_change(community, change.fields, by)
        async with self._database.write() as connection:
            rows = await connection.execute_fetchall(_LAYERS, (INSTANCE, community))
            stored = _by_community(rows)
            if _version(stored, community) != base:
                raise await _conflict(connection, community, base)
            layer = change.applied_to(_layer(stored, community))
            above = CommunitySettings() if community == INSTANCE else _layer(stored, INSTANCE)
            refused = contradiction(effective(above, layer).settings)
            # One that the instance has caused must not stop a community from pausing.
            if refused and not set(refused.fields).isdisjoint(change.fields):
                raise refused
            return await self._save(connection, community, base + 1, layer, change.fields, by)

    async def reset(self, community: str, *, by: Requester) -> Record:
        """Clear everything that a community has set, readable or not. For the owner alone.

        Raises:
            SettingsRefused: `by` is somebody else.
        """
        if not by.owner:
            raise SettingsRefused("Only the owner of this Atelier resets a community's settings.")
        async with self._database.write() as connection:
            rows = await connection.execute_fetchall(_LAYERS, (community, community))
            version = _version(_by_community(rows), community) + 1
            return await self._save(connection, community, version, CommunitySettings(), (), by)

    async def history(self, community: str, limit: int = 20) -> tuple[Entry, ...]:
        """Who changed which settings, the latest first."""
        rows = await self._database.rows(_HISTORY, (community, -1, limit))
        return tuple(_entry(row) for row in rows)

    async def member(self, community: str, member: str) -> MemberSettings:
        """A member's own layer; nothing is set in it until they set something.

        Raises:
            SettingsDamaged: the row cannot be read; `reset_member` helps.
        """
        return _member(await self._database.row(_MEMBER, (community, member)))

    async def change_member(self, community: str, member: str, change: Change) -> MemberSettings:
        """Change a member's own layer. Nobody else does, so there is no version to name.

        Raises:
            SettingsRefused: a value is wrong.
            SettingsDamaged: the row cannot be read; `reset_member` helps.
        """
        async with self._database.write() as connection:
            cursor = await connection.execute(_MEMBER, (community, member))
            layer = change.applied_to(_member(await cursor.fetchone()))
            document = layer.model_dump_json(exclude_unset=True)
            await connection.execute(_SAVE_MEMBER, (community, member, document))
            return layer

    async def reset_member(self, community: str, member: str) -> None:
        """Forget a member's own layer, readable or not."""
        async with self._database.write() as connection:
            await connection.execute(_FORGET_MEMBER, (community, member))

    async def about(self, person: str) -> dict[str, list[dict[str, Any]]]:
        """Everything that is kept about a person in every community, as JSON values."""
        return {
            name: [_plain(row) for row in await self._database.rows(query, (person,))]
            for name, query in _ABOUT.items()
        }

    async def forget(self, person: str) -> None:
        """Delete a person's own layers everywhere and their name from the audit trail.

        Whom a community has made a moderator or blocked is its own to say; that stays.
        """
        async with self._database.write() as connection:
            for statement in _FORGET_PERSON:
                await connection.execute(statement, (person,))

    async def _save(
        self,
        connection: aiosqlite.Connection,
        community: str,
        version: int,
        layer: CommunitySettings,
        fields: tuple[str, ...],
        by: Requester,
    ) -> Record:
        document = layer.model_dump_json(exclude_unset=True)
        await connection.execute(_SAVE, (community, version, document))
        note = (community, version, by.id, self._clock(), json.dumps(fields))
        await connection.execute(_NOTE, note)
        return Record(community, version, layer)


async def _conflict(
    connection: aiosqlite.Connection, community: str, base: int
) -> SettingsConflict:
    rows = await connection.execute_fetchall(_HISTORY, (community, base, -1))
    entries = [_entry(row) for row in rows]
    return SettingsConflict(
        changed_by=tuple(dict.fromkeys(entry.by for entry in entries)),
        fields=tuple(sorted({name for entry in entries for name in entry.fields})),
    )


def _entry(row: Row) -> Entry:
    fields = tuple(json.loads(row["fields"]))
    return Entry(row["version"], row["changed_by"], row["changed_at"], fields)


def _plain(row: Row) -> dict[str, Any]:
    """A row with its JSON columns read; what cannot be read is given as it is stored."""
    values: dict[str, Any] = dict(row)
    for name in _JSON.intersection(values):
        with contextlib.suppress(ValueError):
            values[name] = json.loads(values[name])
    return values


def _by_community(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["community"]: row for row in rows}


def _version(stored: Mapping[str, Row], community: str) -> int:
    return int(stored[community]["version"]) if community in stored else 0


def _layer(stored: Mapping[str, Row], community: str) -> CommunitySettings:
    if community not in stored:
        return CommunitySettings()
    return _read(
        CommunitySettings,
        stored[community]["document"],
        f"The settings stored for {community}",
        "The owner of this Atelier can reset them, or restore a backup of its database.",
    )


def _member(row: Row | None) -> MemberSettings:
    if row is None:
        return MemberSettings()
    return _read(MemberSettings, row["document"], "Your stored defaults", "Reset them to go on.")


def _read(kind: type[S], document: str, what: str, remedy: str) -> S:
    try:
        return kind.model_validate_json(document)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:
            reason = "they are no JSON object"
        elif name in kind.model_fields:
            reason = f"{name} holds what it does not take"
        else:
            reason = f"{name} is no setting that this version of Atelier knows"
        raise SettingsDamaged(f"{what} cannot be read: {reason}. {remedy}") from None
