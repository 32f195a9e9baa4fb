"""What doctor says about Discord, asked over the wire."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.checks import discord
from bot.surfaces.discord.install import permissions
from tests.bot.checks.conftest import Configure

TOKEN = "MTIz.abc.the-token-of-the-doctor"
ALL = permissions().value


class Answers(BaseHTTPRequestHandler):
    """A Discord in which `servers` have the bot."""

    servers: list[dict[str, Any]]

    def do_GET(self) -> None:
        known = self.headers["authorization"] == f"Bot {TOKEN}"
        me = {"id": "42", "username": "atelier"}
        body = json.dumps(me if self.path == "/users/@me" else self.servers).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[tuple[type[Answers], str]]:
    answers = type("TheseAnswers", (Answers,), {"servers": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answers, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_permissions_that_a_server_does_not_give_are_named(
    site: tuple[type[Answers], str], configure: Configure
) -> None:
    answers, url = site
    answers.servers = [
        {"id": "1", "name": "Whole", "permissions": str(ALL)},
        {"id": "2", "name": "Bare", "permissions": str(ALL & ~(1 << 15))},
        {"id": "3", "name": "Ruled", "permissions": str(1 << 3)},
    ]
    known, bare = discord.application(configure(discord_token=TOKEN, discord_api_url=url))
    assert known.status == "ok"
    assert "it is in 3 servers" in known.what
    assert "client_id=42" in known.what
    assert (bare.status, bare.what) == (
        "warning",
        "In the server Bare the bot lacks: attach files.",
    )
    assert TOKEN not in f"{known} {bare}"


def test_a_bot_that_nobody_has_invited_gets_its_link(
    site: tuple[type[Answers], str], configure: Configure
) -> None:
    (alone,) = discord.application(configure(discord_token=TOKEN, discord_api_url=site[1]))
    assert alone.status == "warning"
    assert f"permissions={ALL}" in alone.advice


def test_a_wrong_token_and_a_silent_discord_are_told_apart(
    site: tuple[type[Answers], str], configure: Configure
) -> None:
    (wrong,) = discord.application(configure(discord_token="wrong", discord_api_url=site[1]))
    assert (wrong.status, wrong.what) == ("broken", "Discord does not accept DISCORD_TOKEN.")
    (away,) = discord.application(
        configure(discord_token=TOKEN, discord_api_url="http://127.0.0.1:1")
    )
    assert (away.status, away.what) == ("broken", "Discord cannot be asked (ConnectError).")


def test_without_a_token_there_is_nothing_to_say(configure: Configure) -> None:
    assert list(discord.application(configure())) == []
