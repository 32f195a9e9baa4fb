"""What doctor says about fal, asked over the wire."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bot.checks import fal
from tests.bot.checks.conftest import Configure

KEY = "id:the-secret-of-the-doctor"


class Answers(BaseHTTPRequestHandler):
    """Answers everything in one way."""

    status, body = 404, '{"status": "NOT_FOUND"}'
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["authorization"]))
        self.send_response(self.status)
        self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[tuple[type[Answers], str]]:
    answers = type("TheseAnswers", (Answers,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answers, f"http://127.0.0.1:{server.server_address[1]}/queue"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "finding", "words"),
    [
        (404, '{"status": "NOT_FOUND"}', "ok", "takes the key"),
        (401, '{"detail": "No user found for Key ID and Secret"}', "broken", "FAL_KEY"),
        (
            403,
            '{"detail": "User is locked. Reason: Exhausted balance. Top up."}',
            "broken",
            "money",
        ),
        (302, "", "broken", "another address"),
        (503, "down", "warning", "trouble of its own (503)"),
    ],
)
def test_a_request_that_does_not_exist_tells_whether_the_key_is_good(
    site: tuple[type[Answers], str],
    configure: Configure,
    status: int,
    body: str,
    finding: str,
    words: str,
) -> None:
    answers, url = site
    answers.status, answers.body = status, body
    (found,) = fal.service(configure(fal_key=KEY, fal_queue_url=url))

    assert found.status == finding
    assert words in f"{found.what} {found.advice}"
    assert KEY not in f"{found.what} {found.advice}"
    nobody = "/queue/fal-ai/flux-lora/requests/00000000-0000-0000-0000-000000000000/status"
    assert answers.seen == [(nobody, f"Key {KEY}")]


def test_a_service_out_of_reach_is_named(configure: Configure) -> None:
    (found,) = fal.service(configure(fal_key=KEY, fal_queue_url="http://127.0.0.1:1/queue"))
    assert (found.status, found.what) == ("broken", "127.0.0.1 cannot be reached (ConnectError).")


def test_without_a_key_fal_is_only_missed_where_it_was_asked_for(configure: Configure) -> None:
    assert list(fal.service(configure())) == []
    (found,) = fal.service(configure(backend="fal"))
    assert (found.status, found.advice) == ("broken", "Set FAL_KEY in .env.")
