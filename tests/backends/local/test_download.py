"""Fetching models from a Hub on loopback: progress, what is reused, and what can go wrong."""

import errno
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants

from backends.base import Preparing
from backends.errors import ModelUnavailable
from backends.local import download
from backends.local.download import CLASSIFIER, PIPELINE, find_or_fetch
from backends.local.families import find_weights

MODEL = "painter/flux"
COMMIT = "c" * 40
WEIGHTS = b"w" * 3_000_000
INDEX = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}
FILES = {
    "model_index.json": json.dumps(INDEX).encode(),
    "transformer/config.json": b"{}",
    "transformer/diffusion_pytorch_model.safetensors": WEIGHTS,
    "flux1-dev.safetensors": b"a second copy of everything",
    "README.md": b"# FLUX",
}


@dataclass
class Hub:
    """What the fake Hub holds and says; `refusal` is a status and an X-Error-Code."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    refusal: tuple[int, str] | None = None
    only_files_refused: bool = False
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def answer(hub: Hub, path: str) -> Answer:
    path = unquote(urlsplit(path).path)
    is_file = "/resolve/" in path
    if hub.refusal and (is_file or not hub.only_files_refused):
        status, code = hub.refusal
        return Answer(status, {"X-Error-Code": code} if code else {}, b"{}")
    if path == f"/api/models/{MODEL}/revision/main":
        return as_json({"id": MODEL, "sha": COMMIT, "siblings": []})
    if path == f"/api/models/{MODEL}/tree/{COMMIT}":
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": etag(data)}
            for name, data in hub.files.items()
        ]
        return as_json(tree)
    name = path.removeprefix(f"/{MODEL}/resolve/{COMMIT}/")
    if is_file and name in hub.files:
        data = hub.files[name]
        return Answer(200, {"ETag": f'"{etag(data)}"', "X-Repo-Commit": COMMIT}, data)
    return Answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")


def as_json(value: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(f"{self.command} {unquote(self.path)}")
            if MODEL in self.path:
                state.tokens.add(self.headers.get("Authorization", "none"))
            status, headers, body = answer(state, self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the base class' name

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    # The real one only knows a missing model by its status 401 over https.
    pattern = re.compile("/api/models/|/resolve/")
    monkeypatch.setattr("huggingface_hub.utils._http.REPO_API_REGEX", pattern)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(download, "_PACE", 0)
    yield state
    server.shutdown()
    server.server_close()


def fetch(source: str = MODEL, token: str | None = None) -> tuple[Path, list[object]]:
    events: list[object] = []
    folder = find_or_fetch(source, PIPELINE, token, events.append, setting="ATELIER_LOCAL_MODEL")
    return folder, events


def refusal(source: str = MODEL, token: str | None = None) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        fetch(source, token)
    return str(caught.value)


def test_a_folder_is_used_as_it_is_without_asking_anybody(hub: Hub, tmp_path: Path) -> None:
    assert fetch(str(tmp_path)) == (tmp_path, [])
    assert not hub.requests


def test_a_model_is_downloaded_without_its_second_copy_and_with_progress(hub: Hub) -> None:
    folder, events = fetch(token="hf_secret")
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == {
        "model_index.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
    }
    assert (folder / "transformer/diffusion_pytorch_model.safetensors").read_bytes() == WEIGHTS
    assert events[0] == Preparing(f"looking up {MODEL}")
    progress = [event for event in events[1:] if isinstance(event, Preparing)]
    assert {event.what for event in progress} == {f"downloading {MODEL}"}
    fractions = [event.fraction for event in progress if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] <= 1
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_complete_copy_is_used_without_asking_again(hub: Hub) -> None:
    first, _ = fetch()
    hub.requests.clear()
    assert fetch() == (first, [])
    assert not hub.requests


def test_what_is_missing_from_an_incomplete_copy_is_downloaded(hub: Hub) -> None:
    folder, _ = fetch()
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.resolve().unlink()
    weights.unlink()
    hub.requests.clear()
    assert fetch()[0] == folder
    assert weights.read_bytes() == WEIGHTS
    gets = [request for request in hub.requests if request.startswith("GET") and "/res" in request]
    assert len(gets) == 1


def test_a_downloaded_model_is_found_without_the_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its default is read when the library is imported.
    lookup = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda source, name: lookup(source, name, cache_dir=constants.HF_HUB_CACHE),
    )
    assert find_weights(MODEL) is None
    folder, _ = fetch()
    hub.requests.clear()
    assert find_weights(MODEL) == folder
    assert not hub.requests


def test_a_checker_is_fetched_without_its_pickled_copy(hub: Hub) -> None:
    hub.files = {
        "config.json": b"{}",
        "preprocessor_config.json": b"{}",
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": b"pickle",
    }
    folder = find_or_fetch(MODEL, CLASSIFIER, None, lambda _: None, setting="ATELIER_SAFETY_MODEL")
    assert {file.name for file in folder.iterdir()} == hub.files.keys() - {"pytorch_model.bin"}


@pytest.mark.parametrize("only_files", [False, True])
@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_asks_for_its_licence(hub: Hub, status: int, only_files: bool) -> None:
    hub.refusal, hub.only_files_refused = (status, "GatedRepo"), only_files
    page = f"https://huggingface.co/{MODEL}"
    assert refusal() == (
        f"{MODEL} asks for its licence: accept it at {page} and set HF_TOKEN to a token of that "
        "account."
    )
    said = refusal(token="hf_secret")
    assert said.endswith("check that HF_TOKEN is a valid token of that account.")
    assert "hf_secret" not in said


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "RepoNotFound", "neither a folder here nor a model on Hugging Face. Correct"),
        (401, "", "nor a public model on Hugging Face. Correct the name; if the model is private"),
        (403, "", "refused painter/flux: open https://huggingface.co/painter/flux, ask for access"),
        (500, "", "status 500"),
    ],
)
def test_every_refusal_of_the_hub_says_what_to_do(
    hub: Hub, status: int, code: str, said: str
) -> None:
    hub.refusal = (status, code)
    assert said in refusal()


def test_a_hub_that_cannot_be_reached_is_said_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    said = refusal()
    assert "not on this machine and Hugging Face cannot be reached" in said
    assert not hub.requests


def test_being_offline_by_choice_is_said_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "unset HF_HUB_OFFLINE" in refusal()


@pytest.mark.parametrize("source", ["", "flux", "a/b/c", "../x", "https://example.com/x", "a/b..c"])
def test_what_is_no_folder_and_no_hub_id_is_never_asked_for(hub: Hub, source: str) -> None:
    assert "neither a folder" in refusal(source)
    assert not hub.requests


def test_too_small_a_disk_is_noticed_before_the_download(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files["transformer/diffusion_pytorch_model.safetensors"] = b"w" * 30_000_000
    usage = shutil_usage(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert "needs 0.0 GB and only 0.0 GB are free on the disk; make room" in refusal()
    assert not any(request.startswith("GET") and "/res" in request for request in hub.requests)


class shutil_usage(NamedTuple):  # noqa: N801 - stands for a tuple of the standard library
    free: int


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "The disk is full, so painter/flux could not be downloaded; make room"),
        (errno.EACCES, "its folder cannot be written; set HF_HOME"),
        (errno.EROFS, "its folder cannot be written; set HF_HOME"),
    ],
)
def test_a_disk_that_refuses_is_said_so(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    assert said in refusal()
