"""A job: one request with its requester, place, state, attempts and outcome.

queued   -> running | failed | cancelled
running  -> rendered | queued (again) | failed | cancelled
rendered -> delivered | undeliverable
failed, cancelled, delivered, undeliverable stay; they carry `reported_at` once people know.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue

from backends.base import GenerationRequest, OutputFormat, Verdict
from bot.jobs.limits import Limits
from bot.recipe import Recipe

Receipt = Mapping[str, JsonValue]
"""A surface's own note of the message it must update; opaque to everybody else."""


class JobState(enum.StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    RENDERED = "rendered"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    FAILED = "failed"
    CANCELLED = "cancelled"


_S = JobState
TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        _S.QUEUED: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELLED}),
        _S.RUNNING: frozenset({_S.RENDERED, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
        _S.RENDERED: frozenset({_S.DELIVERED, _S.UNDELIVERABLE}),
        _S.DELIVERED: frozenset(),
        _S.UNDELIVERABLE: frozenset(),
        _S.FAILED: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Value):
    """Where the request came from and the answer goes.

    `community` is a Discord server, a Slack workspace or `local`. `private` means that only the
    requester sees the answer. A place of unknown age rule is not age-restricted.
    """

    community: str = "local"
    channel: str | None = None
    age_restricted: bool = False
    private: bool = False


class StoredPicture(_Value):
    """A picture in the store: `key` finds its bytes, which carry the same `recipe`."""

    key: str
    format: OutputFormat
    width: int
    height: int
    seed: int
    verdict: Verdict
    score: float | None = None
    recipe: Recipe


class Result(_Value):
    """What came out of a job that rendered. `seconds` is the time on the backend."""

    pictures: tuple[StoredPicture, ...]
    prompt: str
    weights: str
    seconds: float
    timings: Mapping[str, float] = {}
    hint: str | None = None
    cost: float | None = None


class Fault(_Value):
    """Why a job ended without a picture: an error's class name and its sentence.

    `billed` says that it may cost its price all the same.
    """

    kind: str
    sentence: str
    billed: bool = False


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A job as it is submitted. `id` is a uuid4; submitting the same id twice changes nothing.

    `price` is the estimate in US dollars, 0 where drawing is free. `preset` names the presets that
    were used, with their revisions, and `asked` is the command that asks for the same again.
    """

    id: str
    surface: str
    requester: str
    place: Place
    request: GenerationRequest
    backend: str
    preset: str | None = None
    asked: str | None = None
    ping: bool = False
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the database has it. Times are seconds since 1970, UTC.

    `number` counts submissions on this instance, `limits` are those that held then. `attempt`
    fences writes: it grows with every start. `failures` counts the attempts that ended without an
    outcome: their worker died, or a service was out of reach. An `erased` job has lost its content.
    Where moderators have veiled or revealed its pictures, `moderated` is their verdict, and those
    in `result` say the same in place of the checker's.
    """

    id: str
    number: int
    surface: str
    requester: str
    place: Place
    request: GenerationRequest
    backend: str
    preset: str | None
    asked: str | None
    ping: bool
    price: float
    limits: Limits
    state: JobState
    attempt: int
    failures: int
    receipt: Receipt | None
    submitting: bool
    remote: Mapping[str, str] | None
    cancel_requested: bool
    result: Result | None
    fault: Fault | None
    deliveries: int
    erased: bool
    created_at: float
    started_at: float | None
    ended_at: float | None
    reported_at: float | None
    moderated: Verdict | None = None

    @property
    def reported(self) -> bool:
        return self.reported_at is not None
