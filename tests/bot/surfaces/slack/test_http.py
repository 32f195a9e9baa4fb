"""Both ways in: signed requests over HTTP, and sockets that come and go."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp

from bot.chat_slack import slack_desk
from bot.surfaces.slack.bot import SlackBot, SlackRefused, Tokens
from bot.surfaces.slack.http import MOST_BYTES, PATH, Signatures, create_router
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.fakes.slack import Fault, User

SECRET = SecretStr("8f742231b10e8888abcd99yyyzzz85a5")
STAMP = 1531420618
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
"""The example of “Verifying requests from Slack”."""


def signed(stamp: str = str(STAMP), signature: str = SIGNATURE) -> dict[str, str]:
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": signature}


def test_the_example_of_slacks_documentation_verifies() -> None:
    signatures = Signatures(SECRET, lambda: STAMP + 299.0)
    assert signatures.verify(BODY, signed())
    assert not signatures.verify(BODY + b" ", signed())
    assert not signatures.verify(BODY, signed(signature=SIGNATURE[:-1] + "4"))
    assert not signatures.verify(BODY, signed(stamp=str(STAMP + 1)))


@pytest.mark.parametrize("now", [STAMP + 301, STAMP - 301])
def test_the_same_example_is_refused_when_it_is_sent_again_later(now: int) -> None:
    assert not Signatures(SECRET, lambda: now).verify(BODY, signed())


@pytest.mark.parametrize(
    "headers",
    [{}, signed(stamp="now"), signed(stamp="1e9"), signed(signature="v0=\xe9"), signed(stamp="")],
)
@pytest.mark.parametrize("body", [BODY, b"\xff\xfe", b""])
def test_what_cannot_be_read_is_refused(headers: dict[str, str], body: bytes) -> None:
    assert not Signatures(SECRET, lambda: STAMP).verify(body, headers)


async def test_signed_requests_draw_and_others_are_refused_unread(tmp_path: Path) -> None:
    async with stage(tmp_path, http=True) as s:
        done = await s.drawn(s.ana)
        assert s.slack.sight(s.ben, done).open_pictures
        answer = await s.slack.click(s.ana, done, "Edit")
        assert await s.slack.options(s.ana, answer.modal, "preset", "") is not None

        assert json.loads((await s.slack.requests.verify_url()).text) == {
            "challenge": "3eZbrw1aBm2rZgRNFdxV"
        }
        body = b"command=%2Fimagine&text=a+cat&user_id=U1&team_id=T1&trigger_id=1"
        kind = "application/x-www-form-urlencoded"
        send = s.slack.requests.send
        assert (await send(body, kind, secret="another")).status == 401
        assert (await send(body, kind, age=400)).status == 401
        assert (await send(b"{" + b" " * MOST_BYTES)).status == 413
        assert (await send(b"\xff\xfe")).status == 401
        assert s.slack.requests.url is not None
        async with httpx.AsyncClient() as client:
            assert (await client.post(s.slack.requests.url, content=body)).status_code == 401
        assert len(await jobs(s)) == 1


async def test_a_retry_of_slack_is_acknowledged_and_draws_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, http=True) as s:
        await s.slack.mention(s.ana, s.general, "a cat")
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        [told] = [e for e in s.slack.delivery.sent if e.payload["event"]["type"] == "app_mention"]
        await s.slack.repeat(told)
        assert s.slack.requests.replies[-1].status == 200
        assert told.acks == 2
        assert len(await jobs(s)) == 1
        await s.until(await s.newest(s.ana))
        before = [message.ts for message in s.general.posted]
        async with s.app.database.write() as sql:  # as after a crash just before it was noted
            await sql.execute("DELETE FROM handled")
        await s.slack.repeat(told)
        assert told.acks == 3
        assert len(await jobs(s)) == 1
        assert [message.ts for message in s.general.posted] == before


@pytest.mark.parametrize("http", [False, True])
async def test_an_event_is_acknowledged_once_its_job_is_kept_or_time_is_short(
    tmp_path: Path, http: bool
) -> None:
    async with stage(tmp_path, http=http) as s:
        s.slack.api.faults.append(Fault("users.info", delay=0.2))
        await s.slack.mention(s.ana, s.general, "a cat")
        assert len(await jobs(s)) == 1
        with patch("bot.surfaces.slack.bot.EVENT_S", 0.05):
            s.slack.api.faults.append(Fault("users.info", delay=1.0))
            await s.slack.mention(s.ben, s.general, "a dog")
            assert not await jobs(s, s.ben)
        await s.slack.posted(s.general, lambda m: "dog" in str(m.blocks) and "Again" in m.buttons)
        assert not s.slack.delivery.late


async def test_before_slack_has_said_who_we_are_it_is_asked_to_come_again(tmp_path: Path) -> None:
    async with stage(tmp_path, http=True) as s:
        with patch.object(s.bot, "_identity", None):
            assert (await s.slack.requests.verify_url()).status == 503
        assert (await s.slack.requests.verify_url()).status == 200


async def test_without_a_signing_secret_nothing_is_taken_over_http() -> None:
    app = FastAPI()
    app.include_router(create_router(AsyncApp(signing_secret="", token="x"), None, lambda: True))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.post(PATH, content=BODY, headers=signed())).status_code == 404


async def test_sockets_that_are_to_leave_or_die_are_opened_again_and_lose_nothing(
    tmp_path: Path,
) -> None:
    with patch("bot.surfaces.slack.bot.PING_S", 0.2):
        async with stage(tmp_path) as s:
            await s.slack.sockets.ask_to_leave()
            await s.slack.until(lambda: s.slack.sockets.opened == 2)
            assert await s.drawn(s.ana)
            await s.slack.sockets.kill()
            await s.slack.mention(s.ana, s.general, "a dog")
            dogs = await s.slack.posted(
                s.general, lambda m: "dog" in str(m.blocks) and "Again" in m.buttons
            )
            assert s.slack.sight(s.ben, dogs).open_pictures
            assert len(await jobs(s)) == 2


async def test_what_else_the_environment_says_of_slack_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("BOT_TOKEN", "CLIENT_ID", "CLIENT_SECRET", "SIGNING_SECRET", "APP_TOKEN"):
        monkeypatch.setenv(f"SLACK_{name}", "of-another-app")
    async with stage(tmp_path) as s:
        assert await s.drawn(s.ana)
    assert os.environ["SLACK_CLIENT_ID"] == "of-another-app"
    assert not [record for record in caplog.records if record.name.startswith("slack_bolt")]


async def test_wrong_tokens_are_refused_with_the_page_that_has_the_right_ones(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        url, right = s.slack.api_url, SecretStr(s.slack.bot_token)
        desk = slack_desk(s.app, s.supervisor, s.bot)
        bot = SlackBot(Tokens(SecretStr("xoxb-no"), None, SECRET), tmp_path, api_url=url)
        with pytest.raises(SlackRefused, match=r"SLACK_BOT_TOKEN \(invalid_auth\).*OAuth & Perm"):
            await bot.start(desk)
        await bot.close()
        bot = SlackBot(Tokens(right, SecretStr("xapp-no")), tmp_path, api_url=url)
        await bot.start(desk)
        await s.slack.until(lambda: bot.trouble)
        assert "SLACK_APP_TOKEN (invalid_auth)" in str(bot.trouble)
        assert "Basic Information" in str(bot.trouble)
        assert "xapp-no" not in str(bot.trouble)
        await bot.close()


async def test_a_token_that_is_taken_away_is_said(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        assert s.bot.trouble is None
        s.slack.announce(s.slack.team, "tokens_revoked", {"type": "tokens_revoked", "tokens": {}})
        await s.slack.until(lambda: len(s.slack.api.made("auth.test")) == 2)
        assert s.bot.trouble is None
        s.slack.revoke()
        await s.slack.until(lambda: s.bot.trouble)
        assert "token_revoked" in str(s.bot.trouble)
        assert s.slack.bot_token not in str(s.bot.trouble)


async def jobs(s: Stage, user: User | None = None) -> list[object]:
    return list(await s.app.jobs.history("slack", (user or s.ana).id, before=None, limit=50))
