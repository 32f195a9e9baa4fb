"""Repeated, reordered, lost and forged: what reaches the app besides the ordinary."""

import asyncio
import json

from aiohttp import web

from tests.fakes.slack import COMMAND, Channel, FakeSlack, User, signature
from tests.slack_fake.demo import Demo, http_mode, socket_mode


def commands(demo: Demo) -> list[str]:
    return [b["text"] for b in demo.bodies if b.get("command")]


async def test_everything_can_arrive_twice(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    slack.delivery.copies = 2
    answer = await slack.slash(ana, general, "/imagine", "--x")
    await slack.until(lambda: answer.envelope.acks == 2)
    assert commands(either) == ["--x", "--x"]
    assert answer.text == "I do not know that flag."


async def test_a_repetition_says_so(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    slack.subscriptions.add("message.channels")
    await slack.write(ana, general, "hello")
    (envelope,) = slack.delivery.sent
    await slack.repeat(envelope)
    await slack.until(lambda: envelope.acks == 2)
    first, second = either.bodies
    assert first["event_id"] == second["event_id"]


async def test_http_retries_carry_their_number(slack: FakeSlack, ana: User) -> None:
    heard: list[tuple[str | None, str | None]] = []

    async def hear(request: web.Request) -> web.Response:
        headers = request.headers
        heard.append((headers.get("X-Slack-Retry-Num"), headers.get("X-Slack-Retry-Reason")))
        return web.Response(status=500 if len(heard) < 3 else 200)

    app = web.Application()
    app.router.add_post("/slack/events", hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.requests.url = "http://{}:{}/slack/events".format(*runner.addresses[0][:2])
    task = asyncio.create_task(slack.dm(ana, "hello"))
    await slack.until(lambda: len(heard) == 2)
    slack.clock.move(61)
    await slack.until(lambda: len(heard) == 3)
    assert heard == [(None, None), ("1", "http_error"), ("2", "http_error")]
    await task
    await runner.cleanup()


async def test_what_was_held_back_arrives_backwards(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    slack.delivery.hold()
    acts = [
        asyncio.create_task(slack.slash(ana, general, "/imagine", text)) for text in ("--1", "--2")
    ]
    await slack.until(lambda: len(slack.delivery.sent) == 2)
    slack.delivery.release(backwards=True)
    assert not any([(await a).failed for a in acts])
    assert commands(app) == ["--2", "--1"]


async def test_a_socket_that_is_asked_to_leave_comes_back(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    await slack.sockets.ask_to_leave()
    await slack.until(lambda: slack.sockets.opened == 2 and len(slack.sockets.connected) == 1)
    assert not (await slack.slash(ana, general, "/imagine", "--x")).failed


async def test_an_event_that_a_dying_socket_took_along_is_told_to_the_next(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    app.gate.clear()
    writing = asyncio.create_task(slack.mention(ana, general, "a cat"))
    await slack.until(lambda: app.bodies)
    await slack.sockets.kill()
    await slack.until(lambda: len(app.bodies) == 2)
    assert app.bodies[0] == app.bodies[1]
    app.gate.set()
    await writing
    (envelope,) = slack.delivery.sent
    assert (envelope.attempts, envelope.retry_reason) == (1, "timeout")


async def test_commands_are_told_again_only_where_a_test_asks_for_it(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    await slack.sockets.kill(politely=True)
    assert (await slack.slash(ana, general, "/imagine", "--x")).failed
    slack.delivery.retried.add(COMMAND)
    await slack.sockets.until_connected()
    await slack.sockets.kill(politely=True)
    assert not (await slack.slash(ana, general, "/imagine", "--y")).failed
    assert commands(app) == ["--y"]


async def test_the_app_is_told_of_its_own_direct_messages_and_bolt_keeps_them_from_listeners(
    slack: FakeSlack, app: Demo, ana: User
) -> None:
    posted = await app.client.chat_postMessage(channel=ana.id, text="50 %")
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    await app.client.chat_update(text="100 %", **where)
    await app.client.chat_delete(**where)
    events = [e.payload["event"] for e in slack.delivery.sent]
    assert [e.get("subtype") for e in events] == [None, "message_changed", "message_deleted"]
    assert events[0]["bot_id"] == slack.team.bot_id
    assert events[1]["message"]["text"] == "100 %"
    await slack.until(lambda: all(e.acks for e in slack.delivery.sent))
    assert app.bodies == []


async def test_who_cannot_reach_the_app_reads_an_error_at_once(
    slack: FakeSlack, ana: User, general: Channel
) -> None:
    assert (await slack.slash(ana, general, "/imagine", "a cat")).failed
    slack.requests.url = "http://127.0.0.1:1/slack/events"
    assert (await slack.slash(ana, general, "/imagine", "a cat")).failed


async def test_two_sockets_share_what_happens(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    async with socket_mode(slack) as second:
        await slack.sockets.until_connected(2)
        for number in range(4):
            await slack.slash(ana, general, "/imagine", f"--{number}")
        assert sorted(map(len, (commands(app), commands(second)))) == [2, 2]


def test_slacks_documented_example_of_a_signature() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert signature("8f742231b10e8888abcd99yyyzzz85a5", body, 1531420618) == expected


async def test_forged_and_old_requests_are_turned_away_by_bolt(
    slack: FakeSlack, general: Channel
) -> None:
    async with http_mode(slack) as demo:
        body = json.dumps({"type": "event_callback", "event": {"type": "app_mention"}}).encode()
        forged = await slack.requests.send(body, secret="another")
        old = await slack.requests.send(body, age=400)
        assert (forged.status, old.status) == (401, 401)
        assert demo.bodies == []
        verified = await slack.requests.verify_url()
        assert (verified.status, json.loads(verified.text)["challenge"][:3]) == (200, "3eZ")
