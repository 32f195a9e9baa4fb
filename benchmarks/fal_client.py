"""fal's own Python client (async) and ours, following many jobs at one service.

    python -m benchmarks.fal_client [--jobs 500] [--seconds 20]

A service in a process of its own speaks fal's queue protocol over https. Its jobs end one after the
other, spread over ten seconds, after `--seconds` of work in which a step is logged every second.
Each client, in a process of its own too, submits all jobs at once and follows them to their
results, with logs, the way that its documentation shows. Counted are the HTTP requests that the
service saw, the time from a job's end until its client had the result, the processor time, and the
peak memory beyond what the imports take. The aims: at most a quarter of the requests, at most half
the delay, no more memory.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import fal_client
import trustme
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL import Image

from backends.base import Rendered, Submitted, parse_request
from backends.fal.backend import FalBackend
from backends.fal.gateway import Gateway
from lora_registry.fetch import FetchRules, GuardedFetcher

ENDPOINT: Final = "fal-ai/flux-lora"
SPREAD_S: Final = 10.0
KEEP_ALIVE_S: Final = 15.0


# --- The service ------------------------------------------------------------------------------


@dataclass
class Job:
    number: int
    started: float
    ends: float

    def lines(self) -> list[dict[str, Any]]:
        count = int(min(time.time(), self.ends) - self.started)
        return [
            {"message": f"step {n + 1}", "timestamp": str(n), "level": "INFO", "source": "USER"}
            for n in range(count)
        ]


@dataclass
class Service:
    """Jobs by their request id, and what was asked of them."""

    seconds: float
    count: int
    jobs: dict[str, Job] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def submit(self) -> str:
        number = len(self.jobs)
        now = time.time()
        ends = now + self.seconds + SPREAD_S * number / self.count
        self.jobs[request_id := f"r{number}"] = Job(number, now, ends)
        return request_id

    def status(self, request_id: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        job = self.jobs[request_id]
        done = time.time() >= job.ends
        return {
            "status": "COMPLETED" if done else "IN_PROGRESS",
            "request_id": request_id,
            "logs": lines,
            "metrics": {"inference_time": self.seconds} if done else {},
        }


def application(service: Service) -> FastAPI:
    app = FastAPI()
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "JPEG")
    data = f"data:image/jpeg;base64,{base64.b64encode(picture.getvalue()).decode()}"

    @app.middleware("http")
    async def count(request: Request, call_next: Any) -> Response:
        kind = request.url.path.rpartition("/")[2]
        kind = kind if kind in {"status", "stream", "cancel", "flux-lora"} else "result"
        if request.url.path != "/report":
            service.requests[kind] += 1
        answer: Response = await call_next(request)
        return answer

    @app.get("/report")
    async def report() -> dict[str, Any]:
        ends = {request_id: job.ends for request_id, job in service.jobs.items()}
        return {"requests": service.requests, "ends": ends}

    @app.post("/queue/{owner}/{name}")
    async def submit(owner: str, name: str, request: Request) -> dict[str, Any]:
        request_id = service.submit()
        base = str(
            request.url.replace(path=f"/queue/{owner}/{name}/requests/{request_id}", query="")
        )
        return {
            "status": "IN_QUEUE",
            "request_id": request_id,
            "queue_position": 0,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    @app.get("/queue/{owner}/{name}/requests/{request_id}/status")
    async def status(request_id: str) -> JSONResponse:
        now = service.status(request_id, service.jobs[request_id].lines())
        return JSONResponse(now, status_code=200 if now["status"] == "COMPLETED" else 202)

    @app.get("/queue/{owner}/{name}/requests/{request_id}/status/stream")
    async def stream(request_id: str) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            job, sent = service.jobs[request_id], 0
            while True:
                lines = job.lines()
                now = service.status(request_id, lines[sent:])
                yield f"data: {json.dumps(now)}\n\n"
                sent = len(lines)
                if now["status"] == "COMPLETED":
                    return
                next_line = job.started + sent + 1
                await asyncio.sleep(max(0.0, min(next_line, job.ends) - time.time()))

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.get("/queue/{owner}/{name}/requests/{request_id}")
    async def result(request_id: str) -> JSONResponse:
        body = {
            "images": [{"url": data, "width": 64, "height": 64, "content_type": "image/jpeg"}],
            "seed": service.jobs[request_id].number,
            "has_nsfw_concepts": [False],
            "prompt": "a cat",
            "timings": {},
        }
        return JSONResponse(body, headers={"x-fal-billable-units": "1"})

    return app


def serve(port: int, folder: Path, jobs: int, seconds: float) -> None:
    uvicorn.run(
        application(Service(seconds, jobs)),
        host="127.0.0.1",
        port=port,
        log_level="error",
        backlog=4096,
        ssl_certfile=folder / "chain.pem",
        ssl_keyfile=folder / "key.pem",
        timeout_keep_alive=60,
    )


# --- The clients ------------------------------------------------------------------------------

FIELDS: Final[dict[str, Any]] = {"prompt": "a cat", "image_size": "square", "output_format": "jpeg"}


async def official(_base: str, jobs: int) -> dict[str, float]:
    known: dict[str, float] = {}

    async def one() -> None:
        ids: list[str] = []
        await fal_client.subscribe_async(
            ENDPOINT,
            FIELDS,
            with_logs=True,
            on_enqueue=ids.append,
            on_queue_update=lambda status: None,
        )
        known[ids[0]] = time.time()

    await asyncio.gather(*(one() for _ in range(jobs)))
    return known


async def ours(base: str, jobs: int) -> dict[str, float]:
    known: dict[str, float] = {}
    gateway = Gateway(queue_url=f"{base}/queue", rest_url=base, key="benchmark")
    fetcher = GuardedFetcher(FetchRules(trusted_hosts=frozenset({"127.0.0.1"})))
    backend = FalBackend(gateway, fetcher, folder=Path(tempfile.gettempdir()), concurrency=jobs)
    request = parse_request({**FIELDS, "seed": 1})

    async def one() -> None:
        request_id = ""
        async with aclosing(backend.run(request, ())) as events:
            async for event in events:
                match event:
                    case Submitted(remote=remote):
                        request_id = remote["request_id"]
                    case Rendered():
                        known[request_id] = time.time()

    await asyncio.gather(*(one() for _ in range(jobs)))
    await backend.close()
    return known


def follow(name: str, base: str, jobs: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    known = asyncio.run({"official": official, "ours": ours}[name](base, jobs))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Both clients are imported in either process, so what is left is what their jobs need.
    memory = max(0.1, (after.ru_maxrss - before.ru_maxrss) / 1024)
    print(json.dumps({"known": known, "cpu": cpu, "memory": memory}))


# --- One run ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Requests a job; delays in milliseconds; processor seconds; peak memory in MiB."""

    requests: float
    delay: float
    worst: float
    cpu: float
    memory: float


def measure(name: str, folder: Path, port: int, jobs: int, seconds: float) -> Figures:
    env = os.environ | {
        "SSL_CERT_FILE": str(folder / "authority.pem"),
        "FAL_KEY": "benchmark",
        "FAL_RUN_HOST": f"127.0.0.1:{port}/run",
        "FAL_QUEUE_RUN_HOST": f"127.0.0.1:{port}/queue",
    }
    base = f"https://127.0.0.1:{port}"
    this = [sys.executable, "-m", "benchmarks.fal_client"]
    shape = ["--jobs", str(jobs), "--seconds", str(seconds)]
    service = subprocess.Popen([*this, "--serve", str(port), "--folder", str(folder), *shape])
    try:
        _wait_for(base, folder)
        told = subprocess.run(
            [*this, "--follow", name, "--base", base, *shape],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        )
        report = _read(f"{base}/report", folder)
    finally:
        service.terminate()
        service.wait()
    seen = json.loads(told.stdout)
    delays = [(seen["known"][i] - end) * 1000 for i, end in report["ends"].items()]
    return Figures(
        requests=sum(report["requests"].values()) / jobs,
        delay=statistics.median(delays),
        worst=statistics.quantiles(delays, n=20)[-1],
        cpu=seen["cpu"],
        memory=seen["memory"],
    )


def _read(url: str, folder: Path) -> Any:
    trusting = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    with urllib.request.urlopen(url, context=trusting, timeout=30) as answer:
        return json.load(answer)


def _wait_for(base: str, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            _read(f"{base}/report", folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    for role in ("--serve", "--follow", "--base", "--folder"):
        parser.add_argument(role, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(int(given.serve), Path(given.folder), given.jobs, given.seconds)
        return
    if given.follow:
        follow(given.follow, given.base, given.jobs)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / "authority.pem")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        for part in issued.cert_chain_pems:
            part.write_to_path(folder / "chain.pem", append=True)
        found = {
            client: measure(client, folder, 18470 + index, given.jobs, given.seconds)
            for index, client in enumerate(("official", "ours"))
        }
    print(f"{given.jobs} jobs at once, each {given.seconds:g} s of work")
    print(f"{'':30} {'requests':>9} {'delay':>9} {'95 %':>9} {'CPU':>7} {'memory':>9}")
    for client, label in (("official", "fal_client (baseline)"), ("ours", "backends.fal")):
        one = found[client]
        print(
            f"{label:30} {one.requests:7.1f}/j {one.delay:6.0f} ms {one.worst:6.0f} ms"
            f" {one.cpu:5.1f} s {one.memory:5.0f} MiB"
        )
    base, own = found["official"], found["ours"]
    delays = f"{own.delay / base.delay:8.2f}x {own.worst / base.worst:8.2f}x"
    use = f"{own.cpu / base.cpu:6.2f}x {own.memory / base.memory:8.2f}x"
    print(f"{'ratio':30} {own.requests / base.requests:8.2f}x {delays} {use}")


if __name__ == "__main__":
    main()
