"""What doctor says about Slack, asked over the wire."""

import asyncio
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from bot.checks import slack
from bot.checks.finding import Finding
from bot.surfaces.slack.manifest import manifest
from tests.bot.checks.conftest import Configure
from tests.fakes.slack import FakeSlack, Fault

SECRET = "the-signing-secret-of-the-doctor"


@pytest.fixture
async def workspace() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as fake:
        fake.install(manifest())
        yield fake


async def said(configure: Configure, fake: FakeSlack, **values: object) -> list[Finding]:
    """What is found where only these are set beside the address of the API."""
    settings = configure(slack_api_url=fake.api_url, **values)
    found = await asyncio.to_thread(lambda: list(slack.application(settings)))
    for secret in (fake.bot_token, fake.app_token, SECRET):
        assert secret not in str(found)
    return found


async def test_where_all_is_well_the_bot_is_named_and_socket_mode_works(
    workspace: FakeSlack, configure: Configure
) -> None:
    tokens = {"slack_bot_token": workspace.bot_token, "slack_app_token": workspace.app_token}
    who, how = await said(configure, workspace, **tokens)
    assert (who.status, who.what) == (
        "ok",
        "Slack knows the bot atelier in the workspace Home.",
    )
    assert (how.status, how.what[:18]) == ("ok", "Socket Mode works:")


async def test_missing_scopes_are_named_with_the_page_that_gives_them(
    workspace: FakeSlack, configure: Configure
) -> None:
    tokens = {"slack_bot_token": workspace.bot_token, "slack_app_token": workspace.app_token}
    workspace.team.scopes -= {"files:read", "mpim:history"}
    _, lacking, _ = await said(configure, workspace, **tokens)
    assert lacking.status == "warning"
    assert lacking.what == "The bot lacks these scopes: files:read, mpim:history."
    assert "page App Manifest" in lacking.advice
    workspace.team.scopes.discard("chat:write")
    _, lacking, _ = await said(configure, workspace, **tokens)
    assert lacking.status == "broken"


async def test_tokens_that_are_wrong_swapped_or_of_two_apps_are_told_apart(
    workspace: FakeSlack, configure: Configure
) -> None:
    bot, app = workspace.bot_token, workspace.app_token
    (wrong, _) = await said(configure, workspace, slack_bot_token="xoxb-no", slack_app_token=app)
    assert wrong.what == "Slack does not accept SLACK_BOT_TOKEN (invalid_auth)."
    assert "OAuth & Permissions" in wrong.advice
    workspace.team.token_error = "token_revoked"
    (revoked, _) = await said(configure, workspace, slack_bot_token=bot, slack_app_token=app)
    assert "(token_revoked)" in revoked.what
    workspace.team.token_error = None
    *_, swapped = await said(configure, workspace, slack_bot_token=bot, slack_app_token=bot)
    assert swapped.status == "broken"
    assert "SLACK_APP_TOKEN (not_allowed_token_type)" in swapped.what
    assert "connections:write" in swapped.advice
    other = "xapp-1-A0OTHER-1-x"
    _, two, refused = await said(configure, workspace, slack_bot_token=bot, slack_app_token=other)
    assert workspace.app_id in two.what
    assert "A0OTHER" in two.what
    assert "invalid_auth" in refused.what


async def test_without_socket_mode_the_way_of_the_events_is_looked_at(
    workspace: FakeSlack, configure: Configure
) -> None:
    bot = workspace.bot_token
    _, none = await said(configure, workspace, slack_bot_token=bot)
    assert none.status == "broken"
    assert "neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET" in none.what
    _, nowhere = await said(configure, workspace, slack_bot_token=bot, slack_signing_secret=SECRET)
    assert (nowhere.status, "ATELIER_PUBLIC_URL" in nowhere.advice) == ("warning", True)
    _, away = await said(configure, workspace, public_url="https://127.0.0.1:1")
    assert away.what == "https://127.0.0.1:1/slack/events does not answer from here (ConnectError)."


@pytest.mark.parametrize(("status", "verdict"), [(401, "ok"), (404, "warning")])
async def test_an_address_must_refuse_what_is_not_signed(
    workspace: FakeSlack, configure: Configure, status: int, verdict: str
) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    _, plain, reached = await said(
        configure,
        workspace,
        slack_bot_token=workspace.bot_token,
        slack_signing_secret=SECRET,
        public_url=f"http://127.0.0.1:{server.server_address[1]}",
    )
    server.shutdown()
    server.server_close()
    assert (plain.status, "https addresses only" in plain.what) == ("broken", True)
    assert reached.status == verdict


async def test_a_slack_that_is_away_and_tokens_that_miss_the_bots_are_said(
    workspace: FakeSlack, configure: Configure
) -> None:
    assert await said(configure, workspace) == []
    (alone,) = await said(configure, workspace, slack_app_token=workspace.app_token)
    assert alone.what == "SLACK_BOT_TOKEN is not set, so the bot is in no workspace."
    workspace.api.faults.append(Fault("auth.test", status=503))
    (away,) = await said(configure, workspace, slack_bot_token=workspace.bot_token)
    assert (away.status, away.what) == ("broken", "Slack cannot be asked (HTTPStatusError).")
