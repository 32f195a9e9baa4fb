"""What the bot and the drawing process say to each other, and how it is written down.

A frame is the length of its header (4 bytes, big-endian), the header (JSON: kind, job, body, sizes
of the blobs) and the blobs, one after the other. Pictures and previews are blobs; everything else
is in the body. Job 0 is the loading of the model, each request counts one up.

Nothing is unpickled: a frame can only become one of the classes in `Body`.
"""

import asyncio
import dataclasses
import functools
import json
import struct
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final, NamedTuple, get_args

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter

from backends.base import (
    GenerationRequest,
    LoraFile,
    Preparing,
    Rendered,
    Started,
    Step,
    load_request,
)
from backends.errors import (
    BackendError,
    BadRequest,
    LoraRejected,
    ModelUnavailable,
    OutcomeUnknown,
    OutOfMemory,
    Problem,
    Unreachable,
    WorkerLost,
)

MAX_HEADER: Final = 4 * 2**20
MAX_BLOB: Final = 256 * 2**20
MAX_BLOBS: Final = 4
"""As many as a request has pictures."""

_PREFIX: Final = struct.Struct(">I")


class MessageError(Exception):
    """Bytes that are no frame, or an object that cannot become one."""


# --- To the drawing process -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RendererSpec:
    """Which renderer to build: `module:Class`, called with `settings` (JSON values) alone.

    This is configuration and trusted as such; nothing that a person typed may end up in `target`.
    """

    target: str
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message: build and load this, and give a sign of life every `heartbeat` seconds."""

    spec: RendererSpec
    heartbeat: float


@dataclass(frozen=True, slots=True)
class Render:
    """Draw. Sent only when the process has nothing else to do."""

    request: Annotated[
        GenerationRequest,
        PlainSerializer(lambda request: request.model_dump_json(), return_type=str),
        PlainValidator(load_request),
    ]
    loras: tuple[LoraFile, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Drop the frame's job and every earlier one."""


# --- From the drawing process -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The process is alive and has nothing else to say."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is in memory."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job was dropped because `Cancel` said so."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The job failed. With `fatal` the process ends itself, so that it starts afresh."""

    kind: str
    text: str
    fatal: bool
    name: str | None = None
    problems: tuple[Problem, ...] = ()

    @classmethod
    def because(cls, error: BackendError, *, fatal: bool) -> "Refused":
        """Take an error apart. A class that is not in the table travels as its nearest base."""
        kind = next(base.__name__ for base in type(error).__mro__ if base in _ERRORS.values())
        match error:
            case BadRequest():
                return cls(kind, "", fatal, problems=error.problems)
            case LoraRejected():
                reason = str(error).removeprefix(str(LoraRejected(error.name, "")))
                return cls(kind, reason, fatal, name=error.name)
            case _:
                return cls(kind, str(error), fatal)

    def error(self) -> BackendError:
        """Put the error together again.

        Raises:
            MessageError: there is no such error.
        """
        error = _ERRORS.get(self.kind)
        if error is None:
            raise MessageError("unknown error")
        if error is BadRequest:
            return BadRequest(*self.problems)
        if error is LoraRejected:
            return LoraRejected(self.name or "", self.text)
        return error(self.text)


_ERRORS: Final[Mapping[str, type[BackendError]]] = {
    error.__name__: error
    for error in (
        BackendError,
        BadRequest,
        LoraRejected,
        ModelUnavailable,
        OutOfMemory,
        WorkerLost,
        Unreachable,
        OutcomeUnknown,
    )
}

Progress = Preparing | Started | Step
Body = Setup | Render | Cancel | Heartbeat | Loaded | Progress | Rendered | Stopped | Refused

_KINDS: Final[Mapping[str, type[Body]]] = {body.__name__: body for body in get_args(Body)}


class Frame(NamedTuple):
    """A message and the job that it is about."""

    job: int
    body: Body


# --- Bytes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Header:
    kind: str
    job: Annotated[int, Field(ge=0)]
    body: dict[str, object]
    blobs: Annotated[list[Annotated[int, Field(ge=0, le=MAX_BLOB)]], Field(max_length=MAX_BLOBS)]


_HEADER: Final = TypeAdapter(_Header)


@functools.cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    """Build a class' reader and writer when it is first needed; either side needs only half."""
    return TypeAdapter(_KINDS[kind])


def encode(frame: Frame) -> tuple[bytes, ...]:
    """Write a frame as pieces to be sent one after the other, the blobs not copied.

    Raises:
        MessageError: a value in it has no JSON form.
    """
    body, blobs = _without_blobs(frame.body)
    kind = type(body).__name__
    try:
        fields = _adapter(kind).dump_python(body, mode="json")
    except ValueError as error:
        raise MessageError(f"{kind} cannot be written as JSON") from error
    sizes = [len(blob) for blob in blobs]
    header = json.dumps({"kind": kind, "job": frame.job, "body": fields, "blobs": sizes}).encode()
    return (_PREFIX.pack(len(header)) + header, *blobs)


def decoding() -> Generator[int, bytes, Frame]:
    """Read a frame without any I/O: yields how many bytes it wants, returns the frame.

    Raises:
        MessageError: the bytes are no frame, or sizes are beyond the caps.
    """
    (length,) = _PREFIX.unpack((yield _PREFIX.size))
    if length > MAX_HEADER:
        raise MessageError(f"a header of {length} bytes")
    text = yield length
    try:
        header = _HEADER.validate_python(json.loads(text))
        body: Body = _adapter(header.kind).validate_python(header.body)
    except (ValueError, KeyError, RecursionError) as error:
        raise MessageError("a header that is not one of ours") from error
    blobs = []
    for size in header.blobs:
        blobs.append((yield size))  # noqa: PERF401 - a comprehension cannot yield
    return Frame(header.job, _with_blobs(body, blobs))


def read(stream: BinaryIO) -> Frame | None:
    """Wait for the next frame; None when the other side is gone."""
    frame = decoding()
    wanted = next(frame)
    try:
        while len(data := stream.read(wanted)) == wanted:
            wanted = frame.send(data)
    except StopIteration as end:
        return Frame(*end.value)
    return None


async def receive(stream: asyncio.StreamReader) -> Frame | None:
    """Wait for the next frame; None when the other side is gone."""
    frame = decoding()
    wanted = next(frame)
    try:
        while True:
            wanted = frame.send(await stream.readexactly(wanted))
    except StopIteration as end:
        return Frame(*end.value)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _without_blobs(body: Body) -> tuple[Body, tuple[bytes, ...]]:
    match body:
        case Step(preview=bytes() as preview):
            return dataclasses.replace(body, preview=b""), (preview,)
        case Rendered(pictures=pictures):
            empty = tuple(dataclasses.replace(picture, data=b"") for picture in pictures)
            return dataclasses.replace(body, pictures=empty), tuple(p.data for p in pictures)
        case _:
            return body, ()


def _with_blobs(body: Body, blobs: list[bytes]) -> Body:
    try:
        match body:
            case Step(preview=bytes()):
                (preview,) = blobs
                return dataclasses.replace(body, preview=preview)
            case Rendered(pictures=empty):
                pairs = zip(empty, blobs, strict=True)
                pictures = tuple(dataclasses.replace(picture, data=data) for picture, data in pairs)
                return dataclasses.replace(body, pictures=pictures)
            case _:
                () = blobs
                return body
    except ValueError as error:
        raise MessageError("blobs that do not belong to the message") from error
