import asyncio
import contextlib
import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import errors
from backends.base import LoraFile, Picture, Preparing, Rendered, Started, Step, Verdict
from backends.errors import BackendError, BadRequest, LoraRejected, ModelUnavailable, Problem
from backends.local.messages import (
    MAX_BLOB,
    MAX_HEADER,
    Cancel,
    Frame,
    Heartbeat,
    Loaded,
    MessageError,
    Refused,
    Render,
    RendererSpec,
    Setup,
    Stopped,
    encode,
    read,
    receive,
)
from tests.fakes.local import ask

PICTURE = Picture(b"\x00\xff" * 9, "png", 640, 480, 2**63 - 1, Verdict.FLAGGED, 0.9)

BODIES = [
    Setup(RendererSpec("a.b:C", {"model": "x", "rates": [1, 2.5, None]}), 1.0),
    Render(ask("un chat “noir” 🐈‍⬛\n", image_size="square", loras=[{"path": "ghibli"}]), ()),
    Render(
        ask(model="flux-2", seed=None),
        (LoraFile("ghibli", "ab" * 32, Path("/loras/\udcff g.safetensors"), -0.8),),
    ),
    Cancel(),
    Heartbeat(),
    Loaded(),
    Preparing("loading the model", 0.25),
    Preparing("loading the model"),
    Started(),
    Step(3, 28),
    Step(3, 28, b"\xff\xd8 preview"),
    Step(3, 28, b""),
    Rendered((PICTURE, PICTURE), "a cat", "flux", {"draw": 1.5}, "a hint", 0.0),
    Rendered((), "a cat", "flux"),
    Stopped(),
    Refused("OutOfMemory", "It does not fit.", fatal=True),
]

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, BackendError)
]


def written(frame: Frame) -> bytes:
    return b"".join(encode(frame))


def framed(header: object, rest: bytes = b"") -> io.BytesIO:
    text = json.dumps(header).encode()
    return io.BytesIO(struct.pack(">I", len(text)) + text + rest)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
async def test_what_is_read_is_what_was_written(body: object) -> None:
    frame = Frame(5, body)  # type: ignore[arg-type] # one of Body each
    stream = asyncio.StreamReader()
    stream.feed_data(written(frame) * 2)
    stream.feed_eof()

    assert read(io.BytesIO(written(frame))) == frame
    assert [await receive(stream), await receive(stream)] == [frame, frame]
    assert await receive(stream) is None


def test_pictures_are_sent_without_being_copied() -> None:
    picture = Picture(bytes(10_000_000), "png", 2048, 2048, 1, Verdict.CLEAR)

    pieces = encode(Frame(1, Rendered((picture,) * 4, "a cat", "flux")))

    assert all(piece is picture.data for piece in pieces[1:])
    assert len(pieces[0]) < 1000


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_trip(kind: type[BackendError]) -> None:
    problem = Problem("loras.0.scale", 9, "use -4 to 4", "less_than_equal", {"le": 4})
    error = (
        BadRequest(problem, problem)
        if kind is BadRequest
        else LoraRejected("ghibli", "it is broken.")
        if kind is LoraRejected
        else kind("Something is wrong.")
    )

    frame = read(io.BytesIO(written(Frame(1, Refused.because(error, fatal=False)))))

    assert frame is not None
    assert isinstance(frame.body, Refused)
    rebuilt = frame.body.error()
    assert type(rebuilt) is kind
    assert str(rebuilt) == str(error)
    assert vars(rebuilt) == vars(error)


def test_an_error_class_of_a_renderers_own_arrives_as_its_nearest_base() -> None:
    class LicenceMissing(ModelUnavailable):
        pass

    rebuilt = Refused.because(LicenceMissing("Accept it first."), fatal=False).error()

    assert type(rebuilt) is ModelUnavailable
    assert str(rebuilt) == "Accept it first."


def test_an_unknown_error_class_is_refused() -> None:
    with pytest.raises(MessageError):
        Refused("SystemExit", "bye", fatal=False).error()


@pytest.mark.parametrize(
    "stream",
    [
        io.BytesIO(struct.pack(">I", MAX_HEADER + 1)),
        framed({"kind": "Loaded", "job": 0, "body": {}, "blobs": [MAX_BLOB + 1]}),
        framed({"kind": "Loaded", "job": 0, "body": {}, "blobs": [0] * 5}),
        framed({"kind": "Loaded", "job": 0, "body": {}, "blobs": [1]}, b"x"),
        framed({"kind": "Loaded", "job": -1, "body": {}, "blobs": []}),
        framed({"kind": "Failed", "job": 0, "body": {}, "blobs": []}),
        framed({"kind": "Step", "job": 0, "body": {"index": "x", "total": 2}, "blobs": []}),
        framed({"kind": "Step", "job": 0, "body": {"index": 1, "total": 2, "preview": ""}} | {}),
        framed(
            {
                "kind": "Rendered",
                "job": 0,
                "body": {"pictures": [], "prompt": "", "weights": ""},
                "blobs": [1],
            },
            b"x",
        ),
        framed(
            {
                "kind": "Render",
                "job": 1,
                "body": {"request": '{"model": "flux-1"}', "loras": []},
                "blobs": [],
            }
        ),
        framed([]),
        io.BytesIO(struct.pack(">I", 100_000) + b"[" * 100_000),
        io.BytesIO(struct.pack(">I", 3) + b"\xff\xff\xff"),
    ],
)
def test_what_is_no_frame_is_refused(stream: io.BytesIO) -> None:
    with pytest.raises(MessageError):
        read(stream)


def test_a_frame_cut_short_means_that_the_other_side_is_gone() -> None:
    whole = written(Frame(1, Step(1, 2, b"preview")))

    assert all(read(io.BytesIO(whole[:length])) is None for length in range(len(whole)))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_own_error(data: bytes) -> None:
    for text in (data, struct.pack(">I", len(data)) + data):
        with contextlib.suppress(MessageError):
            read(io.BytesIO(text))


def test_settings_without_a_json_form_are_refused() -> None:
    with pytest.raises(MessageError):
        encode(Frame(0, Setup(RendererSpec("a:B", {"x": object()}), 1.0)))
