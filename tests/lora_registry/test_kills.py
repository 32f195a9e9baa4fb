"""Killed at any statement of a change, the registry opens with all of it or nothing."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from lora_registry.models import PresetBody
from lora_registry.permissions import PUBLIC
from tests.fakes.scale import memory_folder
from tests.lora_registry.victim import CHANGES, NEXT, Death
from tests.lora_registry.world import ANNA, INDEXES, STEPS, Registry, registry

KILLED: Final = -signal.SIGKILL
MOST_STATEMENTS: Final = 200


class Victim:
    """The process that dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lora_registry.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def live(self, folder: Path, change: str, at: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        death = Death(folder=folder, change=change, at=at)
        self._process.stdin.write(f"{death.model_dump_json()}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    victim = Victim()
    yield victim
    victim.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


async def everything(world: Registry) -> str:
    """All rows of all tables but the inner ones of the indexes, whose integrity is checked.

    Times and random ids are left out: nobody can foresee them.
    """
    async with world.database.write() as sql:
        for index in INDEXES:
            await sql.execute(f"INSERT INTO {index} ({index}) VALUES ('integrity-check')")
    assert [tuple(row) for row in await world.database.rows("PRAGMA foreign_key_check")] == []
    tables = await world.database.rows("SELECT name FROM pragma_table_list WHERE type = 'table'")
    state: dict[str, Any] = {}
    for table in sorted(row["name"] for row in tables if not row["name"].startswith("sqlite")):
        rows = await world.database.rows(f"SELECT * FROM {table}")
        kept = [
            {
                key: "erased" if str(row[key]).startswith("erased-") else row[key]
                for key in row.keys()  # noqa: SIM118
                if key != "id" and not key.endswith("_at")
            }
            for row in rows
        ]
        if table != "more":
            state[table] = sorted(kept, key=repr)
    return json.dumps(state, indent=1)


async def fill(folder: Path) -> str:
    """Anna's public preset, whose second revision waits for approval."""
    async with registry(folder) as world:
        made = await world.shared("dreamy", PUBLIC, tags=("soft",))
        await world.presets.edit(ANNA, made.preset.id, 1, PresetBody(title="two", tags=("hard",)))
        await world.moderation.publish(ANNA, made.preset.id, PUBLIC, 2)
        await world.people.like(ANNA, made.preset.id, 1)
        return await everything(world)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_there_whole_or_not_at_all(
    change: str, victim: Victim, folder: Path
) -> None:
    start = folder / "start"
    start.mkdir()
    before = await fill(start)
    states = []
    for at in range(1, MOST_STATEMENTS):
        here = folder / str(at)
        shutil.copytree(start, here)
        code = victim.live(here, change, at)
        async with registry(here) as world:
            states.append(await everything(world))
        shutil.rmtree(here)
        if code == 0:
            break
        assert code == KILLED
    else:
        pytest.fail("the change never ends")
    after = states.pop()
    assert after != before
    assert len(states) > 5
    # The last point is after the commit was asked for and before it was made.
    assert set(states) == {before}


def looked_at(file: Path) -> tuple[int, bool]:
    """The version of the file, and whether the step's table is there."""
    with closing(sqlite3.connect(file)) as raw:
        [version] = raw.execute("PRAGMA user_version").fetchone()
        [there] = raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone()
    return version, bool(there)


async def test_a_migration_is_there_whole_or_not_at_all(victim: Victim, folder: Path) -> None:
    start = folder / "start"
    start.mkdir()
    before = await fill(start)
    seen = set()
    for at in range(1, MOST_STATEMENTS):
        here = folder / str(at)
        shutil.copytree(start, here)
        code = victim.live(here, "migrate", at)
        seen.add(looked_at(here / "registry.db"))
        async with registry(here, (*STEPS, NEXT)) as world:
            assert await everything(world) == before
            rows = await world.database.rows("SELECT x, y FROM more")
            assert [tuple(row) for row in rows] == [(1, None)]
        shutil.rmtree(here)
        if code == 0:
            break
        assert code == KILLED
    else:
        pytest.fail("the migration never ends")
    assert seen == {(len(STEPS), False), (len(STEPS) + 1, True)}


async def test_the_first_migrations_are_there_whole_or_not_at_all(
    victim: Victim, folder: Path
) -> None:
    at, code = 0, KILLED
    while code == KILLED:
        at += 7
        here = folder / str(at)
        here.mkdir()
        code = victim.live(here, "migrate", at)
        async with registry(here, (*STEPS, NEXT)) as world:
            await world.shared("dreamy", PUBLIC)
            assert await world.found(ANNA) == ["dreamy"]
    assert code == 0
    assert at > 50
