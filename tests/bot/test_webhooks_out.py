"""Outgoing webhooks against a real receiver: signed, repeated, remembered, and given up in time."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request, Response

from backends.base import parse_request
from bot.database import Database
from bot.http import HttpServer
from bot.jobs.job import Job, JobDraft, Place
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, migrations
from bot.webhook_key import WebhookKey
from bot.webhooks_out import RETRY_AFTER_S, BadTarget, Payload, Webhooks
from lora_registry.fetch import FetchRules, GuardedFetcher

TRUSTED = FetchRules(trusted_hosts=frozenset({"127.0.0.1"}))
BASE = "https://atelier.example"
DAY = 86_400.0


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Receiver:
    """Answers with the statuses in turn, the last one for ever."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    most_at_once: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _at_once: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/{path:path}")
        async def take(request: Request) -> Response:
            self.received.append((dict(request.headers), await request.body()))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            await self.gate.wait()
            self._at_once -= 1
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return Response(status_code=status, headers={"Location": "/elsewhere"})

        return app

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.received]


@dataclass
class World:
    database: Database
    jobs: JobStore
    receiver: Receiver
    key: WebhookKey
    clock: Clock
    make: Callable[[], Webhooks]
    payload: Payload = field(default_factory=lambda: Payload("OK", {"images": []}))
    broken: bool = False

    async def job(self, *, ended: bool = True) -> Job:
        job = await self.jobs.submit(
            JobDraft(
                id=str(uuid.uuid4()),
                surface="fal_api",
                requester="key-abc",
                place=Place(),
                request=parse_request({"prompt": "a cat", "seed": 1}),
                backend="stub",
            ),
            Limits(),
            {},
        )
        if ended:
            await self.end(job)
        return job

    async def end(self, job: Job) -> None:
        cancelled = await self.jobs.request_cancel(job.id)
        assert cancelled is not None
        await self.jobs.report(cancelled)

    async def row(self, job: Job) -> dict[str, Any]:
        row = await self.database.row("SELECT * FROM webhooks WHERE job = ?", (job.id,))
        return {} if row is None else dict(row)

    async def done(self, job: Job) -> None:
        async with asyncio.timeout(10):
            while (await self.row(job))["done_at"] is None:
                await asyncio.sleep(0.01)

    async def waits(self, job: Job, tries: int) -> float:
        """When the next attempt is due, once `tries` of them are over."""
        async with asyncio.timeout(10):
            while True:
                row = await self.row(job)
                pause = float(row["next_at"] - self.clock.now)
                if row["tries"] == tries and 0 < pause != 90:  # an attempt leases 90 s
                    return pause
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        database = await Database.open(tmp_path / "jobs.db", migrations())
        stack.push_async_callback(database.close)
        receiver = Receiver()
        receiver.gate.set()
        server = HttpServer(receiver.app(), host="127.0.0.1", port=0, grace=0.2)
        await server.start()
        stack.push_async_callback(server.stop)
        receiver.url = f"{server.url}/done?secret=1"
        jobs, key, clock = JobStore(database), WebhookKey.load(tmp_path), Clock()
        fetcher = await stack.enter_async_context(GuardedFetcher(TRUSTED))

        async def render(job: Job, base: str) -> Payload:
            if made.broken:
                raise RuntimeError("the pictures cannot be read")
            payload = made.payload
            if isinstance(payload.body, dict):
                return replace(payload, body={**payload.body, "link": f"{base}/{job.id}"})
            return payload

        def make() -> Webhooks:
            webhooks = Webhooks(
                database=database,
                jobs=jobs,
                fetcher=fetcher,
                key=key,
                render=render,
                poll_s=0.02,
                clock=clock,
            )
            stack.push_async_callback(webhooks.close)
            return webhooks

        made = World(database, jobs, receiver, key, clock, make)
        yield made


# --- Sending ----------------------------------------------------------------------------------


async def test_the_end_of_a_job_is_told_once_and_signed(world: World) -> None:
    webhooks = world.make()
    await webhooks.start()
    job = await world.job(ended=False)
    await webhooks.register(job.id, world.receiver.url, BASE)
    await world.end(job)
    await world.done(job)
    [(headers, body)] = world.receiver.received
    assert json.loads(body) == {
        "request_id": job.id,
        "gateway_request_id": job.id,
        "status": "OK",
        "payload": {"images": [], "link": f"{BASE}/{job.id}"},
    }
    assert headers["content-type"] == "application/json"
    signed = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    assert signed == [job.id, "key-abc", str(int(world.clock.now))]
    x = world.key.jwks["keys"][0]["x"]
    Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "==")).verify(
        bytes.fromhex(headers["x-fal-webhook-signature"]),
        "\n".join([*signed, hashlib.sha256(body).hexdigest()]).encode(),
    )


async def test_a_failure_is_told_with_its_body_and_a_line(world: World) -> None:
    world.payload = Payload("ERROR", {"detail": "Out of memory."}, "Invalid status code: 500")
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    await world.done(job)
    [body] = world.receiver.bodies()
    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 500")
    assert body["payload"]["detail"] == "Out of memory."


async def test_an_output_that_is_no_json_is_told_as_such(world: World) -> None:
    world.payload = Payload("OK", [float("nan")])
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    await world.done(job)
    [body] = world.receiver.bodies()
    assert body["payload"] is None
    assert body["payload_error"] == "The output cannot be written as JSON."


async def test_nothing_is_told_before_the_job_has_ended(world: World) -> None:
    webhooks = world.make()
    waiting, ended = await world.job(ended=False), await world.job()
    for job in (waiting, ended):
        await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    await world.done(ended)
    assert [body["request_id"] for body in world.receiver.bodies()] == [ended.id]
    assert (await world.row(waiting))["tries"] == 0


async def test_only_so_many_are_sent_at_once(world: World) -> None:
    world.receiver.gate.clear()
    webhooks = world.make()
    jobs = [await world.job() for _ in range(12)]
    for job in jobs:
        await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    async with asyncio.timeout(10):
        while len(world.receiver.received) < 8:
            await asyncio.sleep(0.01)
    world.receiver.gate.set()
    for job in jobs:
        await world.done(job)
    assert world.receiver.most_at_once == 8
    assert len({body["request_id"] for body in world.receiver.bodies()}) == 12


# --- Trying again -----------------------------------------------------------------------------


async def test_what_was_not_taken_is_sent_again_later_and_later_for_two_hours(
    world: World,
) -> None:
    world.receiver.statuses = [500, 429, 404]
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    for tries, pause in enumerate(RETRY_AFTER_S, start=1):
        waits = await world.waits(job, tries)
        assert 0.8 * pause <= waits <= 1.2 * pause
        world.clock.now += waits
    await world.done(job)
    assert len(world.receiver.received) == 1 + len(RETRY_AFTER_S)
    assert 7_000 < sum(RETRY_AFTER_S) < 7_400


async def test_a_receiver_that_was_down_for_a_moment_is_told_in_the_end(world: World) -> None:
    world.receiver.statuses = [503, 200]
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    world.clock.now += await world.waits(job, 1)
    await world.done(job)
    first, second = world.receiver.bodies()
    assert first == second


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_target_that_has_moved_is_given_up(world: World, status: int) -> None:
    world.receiver.statuses = [status]
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    await world.done(job)
    assert len(world.receiver.received) == 1


async def test_a_restart_goes_on_where_the_last_process_stopped(world: World) -> None:
    world.receiver.statuses = [500, 200]
    before, job = world.make(), await world.job()
    await before.register(job.id, world.receiver.url, BASE)
    await before.start()
    waits = await world.waits(job, 1)
    await before.close()
    world.clock.now += waits
    await world.make().start()
    await world.done(job)
    assert len(world.receiver.received) == 2


async def test_what_was_on_its_way_when_the_process_died_is_sent_again(world: World) -> None:
    world.receiver.gate.clear()
    before, job = world.make(), await world.job()
    await before.register(job.id, world.receiver.url, BASE)
    await before.start()
    async with asyncio.timeout(10):
        while not world.receiver.received:
            await asyncio.sleep(0.01)
    await before.close()
    world.receiver.gate.set()
    world.clock.now += 91
    await world.make().start()
    await world.done(job)
    assert len(world.receiver.received) == 2


async def test_an_output_that_cannot_be_read_now_is_tried_again_later(world: World) -> None:
    world.broken = True
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.start()
    async with asyncio.timeout(10):
        while (await world.row(job))["tries"] < 1:
            await asyncio.sleep(0.01)
    world.broken = False
    world.clock.now += 91
    await world.done(job)
    assert len(world.receiver.received) == 1


# --- Targets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/done",
        "https://10.0.0.1/done",
        "https://localhost/done",
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "nonsense",
        "",
        f"https://hooks.example/{'x' * 2000}",
    ],
)
async def test_a_bad_target_is_refused_before_the_job_is_taken(world: World, url: str) -> None:
    webhooks, job = world.make(), await world.job()
    with pytest.raises(BadTarget):
        await webhooks.register(job.id, url, BASE)
    assert await world.row(job) == {}


async def test_a_job_that_was_not_taken_leaves_nothing_and_one_that_was_keeps_its_webhook(
    world: World,
) -> None:
    webhooks, taken, refused = world.make(), await world.job(), str(uuid.uuid4())
    for job_id in (taken.id, refused):
        await webhooks.register(job_id, world.receiver.url, BASE)
        await webhooks.forget(job_id)
    [row] = await world.database.rows("SELECT job FROM webhooks")
    assert row["job"] == taken.id


async def test_submitting_the_same_job_again_changes_no_target(world: World) -> None:
    webhooks, job = world.make(), await world.job()
    await webhooks.register(job.id, world.receiver.url, BASE)
    await webhooks.register(job.id, "https://elsewhere.example/", BASE)
    assert (await world.row(job))["url"] == world.receiver.url


async def test_what_is_over_or_belongs_to_no_job_is_swept_after_a_day(world: World) -> None:
    webhooks, job, waiting = world.make(), await world.job(), await world.job(ended=False)
    orphan = str(uuid.uuid4())
    for job_id in (job.id, waiting.id, orphan):
        await webhooks.register(job_id, world.receiver.url, BASE)
    await webhooks.start()
    await world.done(job)
    await webhooks.sweep()
    assert len(await world.database.rows("SELECT * FROM webhooks")) == 3
    world.clock.now += DAY + 1
    await webhooks.sweep()
    assert [row["job"] for row in await world.database.rows("SELECT * FROM webhooks")] == [
        waiting.id
    ]
