"""fal's own clients, unmodified, against `atelier run` with the demo model over TLS.

Python: `fal-client`, synchronous and asynchronous. JavaScript: `@fal-ai/client` and the older
`@fal-ai/serverless-client`, which `make test` installs where there is npm.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from PIL import Image

from backends.local.families import DEMO_LORAS
from tests.fakes.command_line import PATIENCE_S, CommandLine, Service, until
from tests.fakes.looking import BLUE, RED, colour, near, striped

KEY: Final = "key-of-the-vendor-clients"
ROOT: Final = Path(__file__).parents[2]
NODE: Final = ROOT / "tests" / "node"
LORA: Final = DEMO_LORAS / "stripes.safetensors"

pytestmark = pytest.mark.timeout(300)

Seen = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint, and the clients that talk with it."""

    service: Service
    authority: Path
    webhook: str
    deliveries: list[tuple[dict[str, str], bytes]]

    def python(self, manner: str, scenario: str) -> Seen:
        host = self.service.url.removeprefix("https://")
        command = [sys.executable, "-m", "tests.fakes.drive_fal_client", manner, scenario]
        return self._drive(
            command,
            FAL_KEY=KEY,
            FAL_RUN_HOST=f"{host}/run",
            FAL_QUEUE_RUN_HOST=f"{host}/queue",
            SSL_CERT_FILE=str(self.authority),
        )

    def node(self, client: str, scenario: str) -> Seen:
        command = ["node", str(installed() / "drive.mjs"), client, scenario]
        seen = self._drive(command, NODE_EXTRA_CA_CERTS=str(self.authority))
        assert "broke" not in seen, seen
        return seen

    def _drive(self, command: list[str], **env: str) -> Seen:
        shared = {
            "ATELIER_URL": self.service.url,
            "ATELIER_KEY": KEY,
            "ATELIER_LORA": str(LORA),
            "ATELIER_WEBHOOK": self.webhook,
        }
        answer: Seen = json.loads(self.run(command, None, **shared, **env).splitlines()[-1])
        return answer

    def run(self, command: list[str], cwd: Path | None = None, **env: str) -> str:
        """Run a program to its end; Node's connections stay on this machine, as Python's do."""
        guard = f"--import={(NODE / 'loopback_only.mjs').as_uri()}"
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"NODE_OPTIONS": guard} | env,
            text=True,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def get(self, url: str) -> httpx.Response:
        trusting = ssl.create_default_context(cafile=str(self.authority))
        return httpx.get(url, verify=trusting, timeout=30)

    def picture(self, image: Seen) -> Image.Image:
        """Decode a picture of an answer and check what the answer says of it."""
        answer = self.get(image["url"])
        assert answer.status_code == 200
        assert answer.headers["content-type"] == image["content_type"]
        assert len(answer.content) == image["file_size"]
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.size == (image["width"], image["height"])
        assert picture.get_format_mimetype() == image["content_type"]
        return picture.convert("RGB")


def installed() -> Path:
    """The folder of the JavaScript clients."""
    if not (NODE / "node_modules").is_dir():
        pytest.skip("The npm packages are not installed (`make test` does it where npm is).")
    return NODE


class _Receiver(BaseHTTPRequestHandler):
    """Takes webhooks; the first one of each request fails, so that it comes again."""

    deliveries: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request_id = headers["x-fal-webhook-request-id"]
        first = all(h["x-fal-webhook-request-id"] != request_id for h, _ in self.deliveries)
        self.deliveries.append((headers, body))
        self.send_response(500 if first else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    home = tmp_path_factory.mktemp("endpoint")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(home / "authority.pem")
    issued.private_key_pem.write_to_path(home / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(home / "chain.pem", append=True)
    receiver = type("Receiver", (_Receiver,), {"deliveries": []})
    hooks = ThreadingHTTPServer(("127.0.0.1", 0), receiver)
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    command = CommandLine(
        home,
        ATELIER_BACKEND="demo",
        ATELIER_TLS_CERT=str(home / "chain.pem"),
        ATELIER_TLS_KEY=str(home / "key.pem"),
        ATELIER_API_KEYS=KEY,
        ATELIER_TRUSTED_HOSTS="127.0.0.1",
    )
    with command.running() as service:
        yield Endpoint(
            service,
            home / "authority.pem",
            f"http://127.0.0.1:{hooks.server_address[1]}/hook",
            receiver.deliveries,  # type: ignore[attr-defined]
        )
        assert "Traceback" not in service.log
        assert KEY not in service.log
    command.clean_up()
    hooks.shutdown()
    hooks.server_close()


def check(endpoint: Endpoint, answer: Seen, count: int = 1) -> None:
    """The answer is fal's, and its pictures are a red circle on a blue background."""
    assert answer["seed"] == 5
    assert answer["prompt"] == "a large red circle on a blue background"
    assert answer["has_nsfw_concepts"] == [False] * count
    assert len(answer["images"]) == count
    for image in answer["images"]:
        picture = endpoint.picture(image)
        assert near(colour(picture, 0.5, 0.5), RED)
        assert near(colour(picture, 0.01, 0.01), BLUE)


def lines(logs: list[Seen]) -> list[str]:
    return [entry["message"] for entry in logs]


python = pytest.mark.parametrize("manner", ["sync", "async"])
clients = pytest.mark.parametrize("client", ["client", "serverless-client"])


# --- Python -----------------------------------------------------------------------------------


@python
def test_python_subscribes_with_logs(endpoint: Endpoint, manner: str) -> None:
    seen = endpoint.python(manner, "subscribe")

    check(endpoint, seen, 2)
    kinds = [update["kind"] for update in seen["updates"]]
    assert kinds[-1] == "Completed"
    assert set(kinds) <= {"Queued", "InProgress", "Completed"}
    assert "InProgress" in kinds
    assert len(seen["ids"]) == 1
    final = seen["updates"][-1]
    assert final["error"] is None
    assert final["metrics"]["inference_time"] > 0
    assert "80/80" in lines(final["logs"])[-1]
    assert all(entry["level"] and entry["timestamp"] for entry in final["logs"])


@python
def test_python_submits_watches_and_reads_the_result_twice(endpoint: Endpoint, manner: str) -> None:
    seen = endpoint.python(manner, "queue")

    check(endpoint, seen)
    assert seen["events"][-1]["kind"] == "Completed"
    assert seen["again"]["images"][0]["file_name"] == seen["images"][0]["file_name"]
    assert seen["images"][0]["content_type"] == "image/png"


@python
def test_python_runs_without_the_queue(endpoint: Endpoint, manner: str) -> None:
    check(endpoint, endpoint.python(manner, "run"))


@python
def test_python_streams_one_picture_however_many_it_asks_for(
    endpoint: Endpoint, manner: str
) -> None:
    events = endpoint.python(manner, "stream")["events"]
    check(endpoint, events[-1], 1)


@python
@pytest.mark.parametrize("when", ["cancel_queued", "cancel_running"])
def test_python_cancels(endpoint: Endpoint, manner: str, when: str) -> None:
    seen = endpoint.python(manner, when)

    assert seen["status"]["kind"] == "Completed"
    assert seen["status"]["error_type"] == "client_cancelled"
    assert seen["error"]["status"] >= 400
    assert seen["error"]["type"] == "client_cancelled"
    assert seen.get("seconds", 0) < 5, "the client has tried again and again"


@python
def test_python_is_told_what_is_wrong(endpoint: Endpoint, manner: str) -> None:
    seen = endpoint.python(manner, "errors")

    steps = seen["steps"]
    assert steps["status"] == 422
    (detail,) = steps["message"]
    assert detail["loc"] == ["body", "num_inference_steps"]
    assert detail["type"] == "less_than_equal"
    assert detail["input"] == 99
    assert detail["ctx"] == {"le": 50}
    (missing,) = seen["prompt"]["message"]
    assert (missing["loc"], missing["type"]) == (["body", "prompt"], "missing")
    assert seen["app"]["status"] == 404
    assert "fal-ai/flux-lora" in seen["app"]["message"]
    assert seen["request"]["status"] == 404
    assert seen["key"]["status"] == 401
    for error in seen.values():
        assert error["headers"]["x-fal-request-id"]


@python
def test_python_uploads_a_lora_and_draws_with_it(endpoint: Endpoint, manner: str) -> None:
    seen = endpoint.python(manner, "upload")

    assert seen["same"]
    assert seen["url"].startswith(endpoint.service.url)
    assert striped(endpoint.picture(seen["images"][0]))


def test_python_uploads_a_large_file_in_parts(endpoint: Endpoint) -> None:
    assert endpoint.python("sync", "upload_in_parts")["same"]


def test_python_that_runs_out_of_patience_leaves_no_job_behind(endpoint: Endpoint) -> None:
    assert endpoint.python("async", "gone")["status"]["error_type"] == "client_cancelled"


# --- JavaScript -------------------------------------------------------------------------------


@pytest.mark.node
@clients
@pytest.mark.parametrize("scenario", ["subscribe", "subscribe-flux-2", "subscribe-streaming"])
def test_javascript_subscribes_with_logs(endpoint: Endpoint, client: str, scenario: str) -> None:
    seen = endpoint.node(client, scenario)

    check(endpoint, seen, 2)
    statuses = [update["status"] for update in seen["updates"]]
    assert statuses[-1] == "COMPLETED"
    assert "IN_PROGRESS" in statuses
    told = lines(seen["updates"][-1]["logs"])
    assert "80/80" in told[-1]
    assert len(told) == len(set(told)), "a line came twice"
    assert client == "serverless-client" or seen["requestId"]


@pytest.mark.node
@clients
def test_javascript_submits_and_reads_the_result(endpoint: Endpoint, client: str) -> None:
    seen = endpoint.node(client, "queue")

    check(endpoint, seen)
    assert seen["submitted"]["status"] == "IN_QUEUE"
    assert seen["submitted"]["response_url"].startswith(f"{endpoint.service.url}/queue/fal-ai/")
    assert seen["status"]["metrics"]["inference_time"] > 0


@pytest.mark.node
@clients
def test_javascript_follows_the_stream_of_statuses(endpoint: Endpoint, client: str) -> None:
    seen = endpoint.node(client, "stream-status")

    assert seen["last"]["status"] == "COMPLETED"
    told = [line for event in seen["seen"] for line in lines(event.get("logs") or [])]
    assert "200/200" in told[-1]
    assert len(told) == len(set(told)), "a line came twice"


@pytest.mark.node
@clients
def test_javascript_runs_and_streams(endpoint: Endpoint, client: str) -> None:
    check(endpoint, endpoint.node(client, "run"))
    seen = endpoint.node(client, "stream")
    check(endpoint, seen["events"][-1])
    check(endpoint, seen["last"])


@pytest.mark.node
@clients
@pytest.mark.parametrize("when", ["cancel-queued", "cancel-running"])
def test_javascript_cancels(endpoint: Endpoint, client: str, when: str) -> None:
    seen = endpoint.node(client, when)

    assert seen["status"]["error_type"] == "client_cancelled"
    assert seen["error"]["status"] >= 400
    assert seen.get("seconds", 0) < 5, "the client has tried again and again"


@pytest.mark.node
@clients
def test_javascript_is_told_what_is_wrong(endpoint: Endpoint, client: str) -> None:
    seen = endpoint.node(client, "errors")

    assert seen["steps"]["name"] == "ValidationError"
    (detail,) = seen["steps"]["body"]["detail"]
    assert (detail["loc"], detail["type"]) == (["body", "num_inference_steps"], "less_than_equal")
    assert seen["prompt"]["body"]["detail"][0]["type"] == "missing"
    assert (seen["app"]["status"], seen["request"]["status"]) == (404, 404)


@pytest.mark.node
@clients
@pytest.mark.parametrize("scenario", ["upload", "upload-of-itself"])
def test_javascript_uploads_a_lora_and_draws_with_it(
    endpoint: Endpoint, client: str, scenario: str
) -> None:
    seen = endpoint.node(client, scenario)

    assert seen.get("same", True)
    assert striped(endpoint.picture(seen["images"][0]))


@pytest.mark.node
def test_javascript_uploads_a_large_file_in_parts(endpoint: Endpoint) -> None:
    assert endpoint.node("client", "upload-in-parts")["same"]


# --- What the documentation shows ---------------------------------------------------------------


def examples(language: str) -> list[str]:
    """The pieces of code in docs/self-hosted-fal.md."""
    page = (ROOT / "docs" / "self-hosted-fal.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def test_the_python_of_the_documentation_works(endpoint: Endpoint, tmp_path: Path) -> None:
    draws, uploads = examples("python")
    shutil.copy(LORA, tmp_path / "style.safetensors")
    host = endpoint.service.url.removeprefix("https://")
    code = f"{draws}\n{uploads}\nprint(url)\n".replace("gpu.example:8470", host)
    done = endpoint.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        FAL_KEY=KEY,
        FAL_RUN_HOST=f"{host}/run",
        FAL_QUEUE_RUN_HOST=f"{host}/queue",
        SSL_CERT_FILE=str(endpoint.authority),
    )
    *told, picture, upload = done.splitlines()
    assert any(line.startswith("Completed(") for line in told)
    assert endpoint.get(picture).headers["content-type"] == "image/jpeg"
    assert endpoint.get(upload).content == LORA.read_bytes()


@pytest.mark.node
def test_the_javascript_of_the_documentation_works(endpoint: Endpoint) -> None:
    (code,) = examples("js")
    host = endpoint.service.url.removeprefix("https://")
    done = endpoint.run(
        ["node", "--input-type=module", "--eval", code.replace("gpu.example:8470", host)],
        cwd=installed(),
        FAL_KEY=KEY,
        NODE_EXTRA_CA_CERTS=str(endpoint.authority),
    )
    *told, picture = done.splitlines()
    assert told[-1] == "COMPLETED"
    assert endpoint.get(picture).headers["content-type"] == "image/jpeg"


# --- Webhooks ---------------------------------------------------------------------------------


def of(deliveries: list[tuple[dict[str, str], bytes]], request_id: str) -> list[Any]:
    return [d for d in deliveries if d[0]["x-fal-webhook-request-id"] == request_id]


@pytest.mark.parametrize("language", ["python", pytest.param("node", marks=pytest.mark.node)])
def test_a_webhook_is_signed_and_comes_again_until_it_is_taken(
    endpoint: Endpoint, language: str
) -> None:
    if language == "python":
        request_id = endpoint.python("sync", "webhook")["request_id"]
    else:
        request_id = endpoint.node("client", "webhook")["requestId"]
    until(lambda: len(of(endpoint.deliveries, request_id)) == 2, "the second delivery")

    keys = endpoint.get(f"{endpoint.service.url}/.well-known/jwks.json").json()["keys"]
    for headers, body in of(endpoint.deliveries, request_id):
        signed = (
            headers["x-fal-webhook-request-id"],
            headers["x-fal-webhook-user-id"],
            headers["x-fal-webhook-timestamp"],
            hashlib.sha256(body).hexdigest(),
        )
        signature = bytes.fromhex(headers["x-fal-webhook-signature"])
        public = base64.urlsafe_b64decode(keys[0]["x"] + "=")
        Ed25519PublicKey.from_public_bytes(public).verify(signature, "\n".join(signed).encode())
        told = json.loads(body)
        assert (told["request_id"], told["status"]) == (request_id, "OK")
        check(endpoint, told["payload"])
