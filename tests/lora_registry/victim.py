"""A registry to be killed: one change, dead by SIGKILL before a given statement of it.

    python -m tests.lora_registry.victim

reads one `Death` a line and writes the exit code of the process that lived it. Each is a fork of a
process that has imported already.
"""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiosqlite
from pydantic import BaseModel

from bot.database import Migration
from lora_registry.models import PresetBody
from lora_registry.permissions import PUBLIC
from tests.lora_registry.world import ANNA, BOB, OPERATOR, STEPS, Registry, registry

NEXT: Final = Migration(
    len(STEPS) + 1,
    "more",
    "CREATE TABLE more (x);\nINSERT INTO more VALUES (1);\nALTER TABLE more ADD y;\n",
)
"""A step that a later version might bring."""


class Death(BaseModel):
    """What is done in a folder, and the statement before which the process dies."""

    folder: Path
    change: str
    at: int


async def _id(world: Registry) -> str:
    return (await world.presets.mine(ANNA))[0].id


async def _create(world: Registry) -> None:
    await world.presets.create(BOB, "cloudy", PresetBody(tags=("cloud",)))


async def _edit(world: Registry) -> None:
    await world.presets.edit(ANNA, await _id(world), 2, PresetBody(title="three"))


async def _rename(world: Registry) -> None:
    await world.presets.rename(ANNA, await _id(world), "cloudy")


async def _approve(world: Registry) -> None:
    await world.moderation.approve(OPERATOR, await _id(world), PUBLIC, 2)


async def _withdraw(world: Registry) -> None:
    await world.moderation.withdraw(ANNA, await _id(world), PUBLIC)


async def _delete(world: Registry) -> None:
    await world.presets.delete(ANNA, await _id(world))


async def _erase(world: Registry) -> None:
    await world.people.erase(ANNA)


CHANGES: Final[dict[str, Callable[[Registry], Awaitable[None]]]] = {
    "create": _create,
    "edit": _edit,
    "rename": _rename,
    "approve": _approve,
    "withdraw": _withdraw,
    "delete": _delete,
    "erase": _erase,
}


def _die_before(statement: int) -> None:
    """Count what is executed from now on, whoever asks for it."""
    count = 0
    for name in ("execute", "executemany", "execute_fetchall", "commit"):
        real = getattr(aiosqlite.Connection, name)

        def counted(self: object, *args: Any, _real: Any = real, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            return _real(self, *args, **named)

        setattr(aiosqlite.Connection, name, counted)


async def _live(death: Death) -> None:
    if death.change == "migrate":
        _die_before(death.at)
        async with registry(death.folder, (*STEPS, NEXT)):
            return
    async with registry(death.folder) as world:
        _die_before(death.at)
        await CHANGES[death.change](world)


def main() -> None:
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            code = 1
            try:
                asyncio.run(_live(Death.model_validate_json(line)))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
