"""What the drawing process tells the terminal: one small file a job, replaced as a whole.

`atelier imagine` hands its job to whichever process owns the data folder, its own included, and
reads here how the job goes. A file survives crashes and restarts of either side.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backends.base import Verdict
from bot.recipe import Recipe


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Waiting(_State):
    kind: Literal["waiting"] = "waiting"
    ahead: int
    eta: float | None = None


class Preparing(_State):
    kind: Literal["preparing"] = "preparing"
    what: str
    fraction: float | None = None


class Drawing(_State):
    kind: Literal["drawing"] = "drawing"
    step: int
    steps: int
    eta: float | None = None
    rate: float | None = None


class WrittenPicture(_State):
    """A picture on disk; `path` is None where the instance's rule withholds it."""

    path: Path | None
    verdict: Verdict
    score: float | None = None
    recipe: Recipe


class Done(_State):
    kind: Literal["done"] = "done"
    pictures: tuple[WrittenPicture, ...]
    seconds: float
    timings: dict[str, float]
    hint: str | None = None
    cost: float | None = None


class NotDone(_State):
    kind: Literal["not done"] = "not done"
    sentence: str
    cancelled: bool = False


State = Waiting | Preparing | Drawing | Done | NotDone

_STATES: TypeAdapter[State] = TypeAdapter(Annotated[State, Field(discriminator="kind")])


async def write(path: Path, state: State) -> None:
    """Replace the file; readers see the old state or the new one, never a part."""
    await asyncio.to_thread(_replace, path, state.model_dump_json().encode())


def read(path: Path) -> State | None:
    """The newest state, or None while there is none."""
    try:
        return _STATES.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
