"""A service that speaks fal's queue protocol on loopback, and misbehaves exactly as it is told.

Left alone it draws: a real picture whose colour follows from the seed, in the format asked for.
Tests replace single answers: `on_submit`, `on_status`, `on_stream`, `on_result`, `on_cancel` and
`on_file` are lists of what comes next; the last of `on_status` and `on_result` comes for ever.
"""

import asyncio
import contextlib
import enum
import io
import json
import tempfile
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from backends.base import NAMED_SIZES, ImageSize, LoraFile
from backends.fal.backend import FalBackend
from backends.fal.client import Pace
from backends.fal.gateway import Gateway
from lora_registry.fetch import FetchRules, GuardedFetcher

KEY = "id:secret"

QUICK = Pace(
    connect=5.0,
    answer=20.0,
    submit=20.0,
    idle=20.0,
    poll=0.02,
    slowest_poll=0.05,
    pause=0.01,
    busy=10.0,
    unknown=20.0,
    result=20.0,
)
"""A client's patience where everything is near."""


TOKEN = {"token": "short", "token_type": "Bearer", "expires_at": "2100-01-01T00:00:00Z"}
"""Of the storage, which takes every file."""


class Act(enum.Enum):
    """What a server may do in place of answering."""

    DROP = enum.auto()
    HANG = enum.auto()


@dataclass(frozen=True)
class Reply:
    """An answer: JSON, or bytes as they are."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request as it arrived: over which connection, and when on the loop's clock."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    connection: int
    at: float

    @property
    def key(self) -> str | None:
        return self.headers.get("authorization")


Status = dict[str, Any]


class FalService:
    """One origin. `names` is the base that its URLs have, where they do not name itself."""

    def __init__(self) -> None:
        self.url = ""
        self.names: str | None = None
        self.calls: list[Call] = []
        self.on_submit: list[Reply | Act] = []
        self.on_status: list[Reply | Act] = []
        self.on_stream: list[Status | str | Act] | None = None
        """The events of every stream, text being comments; without streams, `[]`."""
        self.on_result: list[Reply | Act] = []
        self.on_cancel: list[Reply | Act] = []
        self.on_file: list[Reply | Act] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._connections = 0

    # --- What a test asks -----------------------------------------------------------------------

    def made(self, method: str, end: str = "") -> list[Call]:
        """The calls of one method whose path ends so."""
        return [c for c in self.calls if c.method == method and c.path.endswith(end)]

    @property
    def submits(self) -> list[Call]:
        return [c for c in self.made("POST") if not c.path.startswith(("/storage", "/files"))]

    @property
    def job(self) -> dict[str, Any]:
        """The body of the only job."""
        (body,) = self.jobs.values()
        return body

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to be true."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    # --- What it does ---------------------------------------------------------------------------

    def envelope(self, request_id: str, status: str = "IN_QUEUE", **more: object) -> Status:
        """A status object with its three URLs, as fal writes it."""
        path = f"{self.names or self.url}/fal-ai/{self._app(request_id)}/requests/{request_id}"
        return {
            "status": status,
            "request_id": request_id,
            "response_url": path,
            "status_url": f"{path}/status",
            "cancel_url": f"{path}/cancel",
            "logs": None,
            "metrics": {},
            **more,
        }

    def _app(self, request_id: str) -> str:
        return "flux-2" if "flux-2" in request_id else "flux-lora"

    def statuses(self, request_id: str) -> list[Status | str | Act]:
        """The stream of a job that goes well, or of a slow one."""
        body = self.jobs[request_id]
        steps = body["num_inference_steps"]
        started: list[Status | str | Act] = [
            self.envelope(request_id, queue_position=0),
            ": keep-alive",
            self.envelope(request_id, "IN_PROGRESS", logs=[]),
        ]
        if "slow" in body["prompt"]:
            return [*started, Act.HANG]
        bars = [
            {
                "message": f"{i * 100 // steps:3}%|██  | {i}/{steps} [00:01<00:01]",
                "timestamp": str(i),
            }
            for i in range(1, steps + 1)
        ]
        steps_done: list[Status] = [
            self.envelope(request_id, "IN_PROGRESS", logs=[bar]) for bar in bars
        ]
        done = self.envelope(request_id, "COMPLETED", metrics={"inference_time": 1.5})
        return [*started, *steps_done, done]

    def output(self, request_id: str) -> dict[str, Any]:
        """What the model answers."""
        body = self.jobs[request_id]
        name = f"{body['seed']}.{body['output_format']}"
        count = body["num_images"]
        return {
            "images": [{"url": f"{self.url}/files/{request_id}/{i}/{name}"} for i in range(count)],
            "seed": body["seed"],
            "seeds": [body["seed"] + i for i in range(count)],
            "prompt": body["prompt"],
            "has_nsfw_concepts": [False] * count,
            "timings": {"inference": 1.25},
        }

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> Reply | Act | None:
        parts = call.path.strip("/").split("/")
        if call.path == "/storage/auth/token":
            return Reply(200, {**TOKEN, "base_url": self.url})
        if call.path == "/files/upload":
            uploads = len(self.made("POST", "/files/upload"))
            return Reply(200, {"access_url": f"{self.url}/files/{uploads}.safetensors"})
        if parts[0] == "files":
            return self._next(self.on_file) or Reply(200, self._picture(parts))
        if call.method == "POST":
            return self._submit(call, parts)
        request_id = parts[parts.index("requests") + 1]
        if call.method == "PUT":
            return self._next(self.on_cancel) or Reply(202, {"status": "CANCELLATION_REQUESTED"})
        if parts[-1] == "stream":
            return await self._stream(request_id, writer)
        if parts[-1] == "status":
            return self._next(self.on_status) or self._status(request_id)
        return self._next(self.on_result) or self._result(request_id)

    def _next(self, script: list[Reply | Act]) -> Reply | Act | None:
        if not script:
            return None
        lasting = script is self.on_status or script is self.on_result
        return script[0] if lasting and len(script) == 1 else script.pop(0)

    def _submit(self, call: Call, parts: list[str]) -> Reply | Act:
        said = self._next(self.on_submit)
        if said is Act.DROP or said is Act.HANG or isinstance(said, Reply):
            return said
        request_id = f"{parts[1]}-{len(self.jobs)}"
        self.jobs[request_id] = call.body
        return Reply(200, self.envelope(request_id, queue_position=0))

    def _status(self, request_id: str) -> Reply:
        if request_id not in self.jobs:
            return Reply(404, {"status": "NOT_FOUND"})
        if "slow" in self.jobs[request_id]["prompt"]:
            return Reply(202, self.envelope(request_id, "IN_PROGRESS", logs=[]))
        return Reply(200, self.envelope(request_id, "COMPLETED"))

    def _result(self, request_id: str) -> Reply:
        if request_id not in self.jobs:
            return Reply(404, {"detail": "Request not found"})
        for index, lora in enumerate(self.jobs[request_id]["loras"]):
            if "broken" in lora["path"]:
                return Reply(422, problem("file_download_error", "loras", index, "path"))
        return Reply(200, self.output(request_id), {"X-Fal-Billable-Units": "1"})

    def _picture(self, parts: list[str]) -> bytes:
        _, request_id, index, name = parts
        seed, kind = name.split(".")
        size = self.jobs[request_id]["image_size"]
        asked = NAMED_SIZES[size] if isinstance(size, str) else ImageSize(**size)
        return picture(int(seed) + int(index), kind, (asked.width, asked.height))

    async def _stream(self, request_id: str, writer: asyncio.StreamWriter) -> Reply | Act | None:
        if self.on_stream is None and request_id not in self.jobs:
            return Reply(404, {"status": "NOT_FOUND"})
        script = self.statuses(request_id) if self.on_stream is None else self.on_stream
        if not script:
            return Reply(404, {"detail": "Not Found"})
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for item in script:
            if isinstance(item, Act):
                await writer.drain()
                return item
            text = item if isinstance(item, str) else f"data: {json.dumps(item)}"
            writer.write(_chunk(f"{text}\n\n".encode()))
        writer.write(_chunk(b""))
        await writer.drain()
        return None

    # --- The wire -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["FalService"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            await self.close_connections()

    async def close_connections(self) -> None:
        """Break off whatever is under way."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._connections += 1
        connection = self._connections
        ended = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ended):
            while await self._one(reader, writer, connection):
                pass
        self._serving.discard(task)
        writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        sent = await reader.readexactly(int(headers.get("content-length", 0)))
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        now = asyncio.get_running_loop().time()
        is_json = headers.get("content-type") == "application/json"
        body = json.loads(sent) if is_json and sent else sent
        call = Call(method, url.path, query, headers, body, connection, now)
        self.calls.append(call)
        reply = await self._answer(call, writer)
        if reply is Act.HANG:
            await reader.read()
        if isinstance(reply, Act):
            return False
        if reply is not None:
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            fields = {"Content-Length": str(len(data)), **reply.headers}
            lines = [f"HTTP/1.1 {reply.status} Said", *(f"{k}: {v}" for k, v in fields.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + data)
            await writer.drain()
        return True


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def picture(seed: int, kind: str = "png", size: tuple[int, int] = (64, 48)) -> bytes:
    """A real picture whose colour follows from its seed."""
    data = io.BytesIO()
    Image.new("RGB", size, (seed % 256, seed // 256 % 256, 90)).save(data, kind)
    return data.getvalue()


def problem(kind: str, *loc: str | int, **more: object) -> dict[str, Any]:
    """A model's error body with one entry."""
    return {"detail": [{"loc": ["body", *loc], "msg": "It says so.", "type": kind, **more}]}


@contextlib.asynccontextmanager
async def fal_backend(
    service: FalService,
    folder: Path,
    *,
    pace: Pace = QUICK,
    gateway: Gateway | None = None,
    webhook_url: str | None = None,
) -> AsyncIterator[FalBackend]:
    """A backend that uses `service`, or `gateway`."""
    gateway = gateway or Gateway(service.url, service.url, KEY)
    rules = FetchRules(trusted_hosts=frozenset({gateway.host}))
    async with GuardedFetcher(rules) as fetcher:
        backend = FalBackend(gateway, fetcher, folder=folder, pace=pace, webhook_url=webhook_url)
        try:
            yield backend
        finally:
            await backend.close()


@contextlib.asynccontextmanager
async def fal_case() -> AsyncIterator[
    tuple[FalBackend, dict[str, object], dict[str, object], LoraFile]
]:
    """For the backends' contract: a backend, a quick request, a slow one, and a broken LoRA."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            FalService().serving() as service,
            fal_backend(service, Path(folder)) as backend,
        ):
            quick: dict[str, object] = {
                "prompt": "a red circle",
                "num_inference_steps": 4,
                "image_size": "square",
            }
            url = f"{service.url}/broken.safetensors"
            broken = LoraFile("ghibli", "00" * 32, Path("/nowhere.safetensors"), 1.0, url)
            yield backend, quick, quick | {"prompt": "slow"}, broken
