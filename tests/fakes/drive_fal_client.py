"""Drives fal's own Python client, unmodified, against our endpoint.

    python -m tests.fakes.drive_fal_client sync|async SCENARIO

in a process of its own, since the client reads where to go when it is imported: FAL_RUN_HOST and
FAL_QUEUE_RUN_HOST, always over https. For its uploads the addresses are set here. Prints what the
scenario saw as one line of JSON; asserting is left to tests/scenarios/test_fal_clients.py.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import fal_client
import fal_client.client
import httpx

BASE: Final = os.environ["ATELIER_URL"]
fal_client.client.REST_URL = BASE
fal_client.client.CDN_URL = BASE

FLUX_1: Final = "fal-ai/flux-lora"
FLUX_2: Final = "fal-ai/flux-2/lora"
QUICK: Final[dict[str, Any]] = {
    "prompt": "a large red circle on a blue background",
    "image_size": "square",
    "num_inference_steps": 4,
    "seed": 5,
}
SLOW: Final = QUICK | {"num_inference_steps": 50, "num_images": 4}
LONG: Final = QUICK | {"num_inference_steps": 40, "num_images": 2}
NOBODY: Final = "00000000-0000-4000-8000-000000000000"

Seen = dict[str, Any]


def told(status: fal_client.Status) -> Seen:
    return {"kind": type(status).__name__, **asdict(status)}


def failure(error: fal_client.FalClientHTTPError) -> Seen:
    return {
        "status": error.status_code,
        "message": error.message,
        "type": error.error_type,
        "headers": error.response_headers,
    }


# --- Synchronous ------------------------------------------------------------------------------


def wait(handle: Any, kind: type[fal_client.Status]) -> Seen:
    deadline = time.monotonic() + 60
    while not isinstance(status := handle.status(with_logs=True), kind):
        assert time.monotonic() < deadline, f"never {kind.__name__}"
        time.sleep(0.1)
    return told(status)


def attempt(call: Callable[[], Any]) -> Seen:
    try:
        return {"answer": call()}
    except fal_client.FalClientHTTPError as error:
        return failure(error)


def subscribe() -> Seen:
    updates: list[Seen] = []
    ids: list[str] = []
    result = fal_client.subscribe(
        FLUX_1,
        LONG,
        with_logs=True,
        on_enqueue=ids.append,
        on_queue_update=lambda status: updates.append(told(status)),
    )
    return {"updates": updates, "ids": ids, **result}


def queue() -> Seen:
    handle = fal_client.submit(FLUX_2, QUICK)
    events = [told(event) for event in handle.iter_events(with_logs=True)]
    again = fal_client.result(FLUX_2, handle.request_id)
    return {"request_id": handle.request_id, "events": events, "again": again, **handle.get()}


def run() -> Seen:
    return dict(fal_client.run(FLUX_1, QUICK))


def stream() -> Seen:
    return {"events": list(fal_client.stream(FLUX_1, QUICK | {"num_images": 3}))}


def cancel_queued() -> Seen:
    first, second = fal_client.submit(FLUX_1, SLOW), fal_client.submit(FLUX_1, SLOW)
    second.cancel()
    status = wait(second, fal_client.Completed)
    began = time.monotonic()
    error = attempt(second.get)
    first.cancel()
    return {"status": status, "error": error, "seconds": time.monotonic() - began}


def cancel_running() -> Seen:
    handle = fal_client.submit(FLUX_1, SLOW)
    wait(handle, fal_client.InProgress)
    handle.cancel()
    return {"status": wait(handle, fal_client.Completed), "error": attempt(handle.get)}


def errors() -> Seen:
    return {
        "steps": attempt(lambda: fal_client.submit(FLUX_1, QUICK | {"num_inference_steps": 99})),
        "prompt": attempt(lambda: fal_client.run(FLUX_1, {})),
        "app": attempt(lambda: fal_client.run("fal-ai/nothing", QUICK)),
        "request": attempt(lambda: told(fal_client.status(FLUX_1, NOBODY))),
        "key": attempt(lambda: fal_client.SyncClient(key="wrong:key").run(FLUX_1, QUICK)),
    }


def upload() -> Seen:
    path = Path(os.environ["ATELIER_LORA"])
    url = fal_client.upload_file(path)
    back = httpx.get(url).content
    result = fal_client.subscribe(FLUX_1, QUICK | {"loras": [{"path": url, "scale": 1}]})
    return {"url": url, "same": back == path.read_bytes(), **result}


def upload_in_parts() -> Seen:
    data = b"atelier " * (105 * 2**17)
    url = fal_client.upload(data, "application/octet-stream", file_name="big.bin")
    return {"url": url, "same": httpx.get(url, timeout=60).content == data}


def webhook() -> Seen:
    handle = fal_client.submit(FLUX_1, QUICK, webhook_url=os.environ["ATELIER_WEBHOOK"])
    return {"request_id": handle.request_id}


# --- Asynchronous -----------------------------------------------------------------------------


async def wait_async(handle: Any, kind: type[fal_client.Status]) -> Seen:
    async with asyncio.timeout(60):
        while not isinstance(status := await handle.status(with_logs=True), kind):
            await asyncio.sleep(0.1)
    return told(status)


async def attempt_async(call: Awaitable[Any]) -> Seen:
    try:
        return {"answer": await call}
    except fal_client.FalClientHTTPError as error:
        return failure(error)


async def subscribe_async() -> Seen:
    updates: list[Seen] = []
    ids: list[str] = []
    result = await fal_client.subscribe_async(
        FLUX_1,
        LONG,
        with_logs=True,
        on_enqueue=ids.append,
        on_queue_update=lambda status: updates.append(told(status)),
    )
    return {"updates": updates, "ids": ids, **result}


async def queue_async() -> Seen:
    handle = await fal_client.submit_async(FLUX_2, QUICK)
    events = [told(event) async for event in handle.iter_events(with_logs=True)]
    again = await fal_client.result_async(FLUX_2, handle.request_id)
    return {"request_id": handle.request_id, "events": events, "again": again, **await handle.get()}


async def run_async() -> Seen:
    return dict(await fal_client.run_async(FLUX_1, QUICK))


async def stream_async() -> Seen:
    events = fal_client.stream_async(FLUX_1, QUICK | {"num_images": 3})
    return {"events": [event async for event in events]}


async def cancel_queued_async() -> Seen:
    first = await fal_client.submit_async(FLUX_1, SLOW)
    second = await fal_client.submit_async(FLUX_1, SLOW)
    await second.cancel()
    status = await wait_async(second, fal_client.Completed)
    began = time.monotonic()
    error = await attempt_async(second.get())
    await first.cancel()
    return {"status": status, "error": error, "seconds": time.monotonic() - began}


async def cancel_running_async() -> Seen:
    handle = await fal_client.submit_async(FLUX_1, SLOW)
    await wait_async(handle, fal_client.InProgress)
    await handle.cancel()
    status = await wait_async(handle, fal_client.Completed)
    return {"status": status, "error": await attempt_async(handle.get())}


async def errors_async() -> Seen:
    bad = QUICK | {"num_inference_steps": 99}
    stranger = fal_client.AsyncClient(key="wrong:key")
    return {
        "steps": await attempt_async(fal_client.submit_async(FLUX_1, bad)),
        "prompt": await attempt_async(fal_client.run_async(FLUX_1, {})),
        "app": await attempt_async(fal_client.run_async("fal-ai/nothing", QUICK)),
        "request": await attempt_async(fal_client.status_async(FLUX_1, NOBODY)),
        "key": await attempt_async(stranger.run(FLUX_1, QUICK)),
    }


async def upload_async() -> Seen:
    path = Path(os.environ["ATELIER_LORA"])
    weights = await asyncio.to_thread(path.read_bytes)
    url = await fal_client.upload_file_async(path)
    async with httpx.AsyncClient() as client:
        back = (await client.get(url)).content
    request = QUICK | {"loras": [{"path": url, "scale": 1}]}
    result = await fal_client.subscribe_async(FLUX_1, request)
    return {"url": url, "same": back == weights, **result}


async def gone_async() -> Seen:
    """Leave before the picture is there, as whoever runs out of patience does."""
    try:
        await fal_client.subscribe_async(FLUX_1, SLOW, client_timeout=2)
    except fal_client.FalClientTimeoutError as error:
        handle = await fal_client.AsyncClient().get_handle(FLUX_1, str(error.request_id))
        return {"status": await wait_async(handle, fal_client.Completed)}
    return {}


def main(manner: str, scenario: str) -> Seen:
    if manner == "sync":
        return dict(globals()[scenario]())
    return dict(asyncio.run(globals()[f"{scenario}_async"]()))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), default=str))
