"""LoRA files on their way to fal, over the wire to a real server with fal's storage routes."""

import asyncio
import datetime as dt
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import stamina
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from backends.base import LoraFile
from backends.errors import BackendError, LoraRejected, Unreachable
from backends.fal import storage, upload_book
from backends.fal.errors import AccessRefused, AnswerRefused, FalError, KeyRefused
from backends.fal.file_server import StorageMissing
from backends.fal.gateway import Gateway
from backends.fal.storage import LIFETIME_S, MARGIN_S, LoraUploads, UploadRefused, is_public
from backends.fal.upload_book import UploadBook
from tests.backends.fal.stage import ON_STAGE, Stage, fixture, stage

__all__ = ["stage"]

pytestmark = ON_STAGE

KEY = "id:the-owners-key"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    host: str
    authorization: str | None
    headers: dict[str, str]
    body: bytes


@dataclass
class Storage:
    """fal's REST address and file server in one; failures are taken from lists by path."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    failures: dict[str, list[int]] = field(default_factory=dict)
    token_says: dict[str, object] = field(default_factory=dict)
    access_host: str | None = None
    redirect: str | None = None
    tokens: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def answer(self, request: Request) -> Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request)
        finally:
            self.at_once -= 1

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.seen.append(
            Seen(
                request.method,
                path + (f"?{request.url.query}" if request.url.query else ""),
                request.url.hostname or "",
                request.headers.get("authorization"),
                dict(request.headers),
                await request.body(),
            )
        )
        if self.redirect:
            return RedirectResponse(self.redirect, 307)
        if failing := self.failures.get(path):
            return Response(b"no", failing.pop(0))
        if path == "/rest/storage/auth/token":
            self.tokens += 1
            ends = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=10)
            token = {
                "token": f"short-lived-{self.tokens}",
                "token_type": "Bearer",
                "base_url": f"{self.url}/cdn",
                "expires_at": ends.isoformat(),
            }
            return JSONResponse(token | self.token_says)
        await self.gate.wait()
        url = f"{self.access_host or self.url}/cdn/files/{len(self.seen)}.safetensors"
        if path == "/cdn/files/upload":
            return JSONResponse({"access_url": url})
        if path == "/cdn/files/upload/multipart":
            return JSONResponse({"access_url": url, "uploadId": "up-1"})
        return Response(headers={"ETag": f'"{path.rsplit("/", 1)[1]}"'})

    def calls(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def service(stage: Stage) -> Storage:
    service = Storage(stage.url)
    methods = ["GET", "POST", "PUT"]
    stage.app = Starlette(routes=[Route("/{rest:path}", service.answer, methods=methods)])
    return service


@fixture()
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(follow_redirects=True) as http:
        yield http


@pytest.fixture
def uploads(service: Storage, http: httpx.AsyncClient, tmp_path: Path) -> LoraUploads:
    return made(service, http, tmp_path)


def made(service: Storage, http: httpx.AsyncClient, folder: Path) -> LoraUploads:
    return LoraUploads(Gateway(service.url, f"{service.url}/rest/", KEY), http, folder / "fal")


def lora(folder: Path, data: bytes = b"weights" * 1000, url: str | None = None) -> LoraFile:
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"{sha256}.safetensors"
    path.write_bytes(data)
    return LoraFile("ghibli ✨", sha256, path, 1.0, url)


class Reports(list[tuple[str, float | None]]):
    def __call__(self, what: str, fraction: float | None) -> None:
        self.append((what, fraction))

    @property
    def fractions(self) -> list[float]:
        return [fraction for _, fraction in self if fraction is not None]


def silent(_what: str, _fraction: float | None) -> None:
    """A report that nobody reads."""


# --- Uploading --------------------------------------------------------------------------------


async def test_a_file_is_uploaded_whole_with_a_token_and_its_address_is_returned(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    reports = Reports()
    data = bytes(range(256)) * 10_000
    file = lora(tmp_path, data)

    assert await uploads.url_for(file, reports) == f"{service.url}/cdn/files/2.safetensors"

    asked, sent = service.seen
    assert asked.path == "/rest/storage/auth/token?storage_type=fal-cdn-v3"
    assert (asked.method, asked.authorization) == ("POST", f"Key {KEY}")
    assert (sent.method, sent.path) == ("POST", "/cdn/files/upload")
    assert sent.authorization == "Bearer short-lived-1"
    assert sent.body == data
    assert sent.headers["content-length"] == str(len(data))
    assert sent.headers["x-fal-file-name"] == f"{file.sha256[:16]}.safetensors"
    lifetime = {"expiration_duration_seconds": LIFETIME_S}
    assert json.loads(sent.headers["x-fal-object-lifecycle"]) == lifetime
    assert json.loads(sent.headers["x-fal-object-lifecycle-preference"]) == lifetime
    assert {what for what, _ in reports} == {"uploading the LoRA ghibli ✨"}
    assert reports[0][1] is None
    assert reports.fractions == sorted(reports.fractions)
    assert len(reports.fractions) == 3
    assert reports.fractions[-1] == 1.0


async def test_a_large_file_goes_in_parts_that_are_put_together_in_order(
    uploads: LoraUploads, service: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 1000)
    monkeypatch.setattr(storage, "PART", 300)
    data = b"".join(n.to_bytes(2) for n in range(1000))
    reports = Reports()
    service.gate.clear()
    uploading = asyncio.create_task(uploads.url_for(lora(tmp_path, data), reports))
    async with asyncio.timeout(10):
        while len(service.seen) < 2:
            await asyncio.sleep(0.01)
        service.gate.set()
        url = await uploading

    assert url == f"{service.url}/cdn/files/2.safetensors"
    created, *parts, completed = service.seen[1:]
    assert (created.method, created.path) == ("POST", "/cdn/files/upload/multipart")
    assert created.body == b""
    assert "x-fal-object-lifecycle" in created.headers
    at = "/cdn/files/2.safetensors/multipart/up-1"
    by_number = {int(part.path.removeprefix(f"{at}/")): part.body for part in parts}
    assert b"".join(by_number[number] for number in sorted(by_number)) == data
    assert sorted(by_number) == [1, 2, 3, 4, 5, 6, 7]
    assert {part.method for part in parts} == {"PUT"}
    assert {part.headers["accept-encoding"] for part in parts} == {"identity"}
    assert (completed.method, completed.path) == ("POST", f"{at}/complete")
    assert json.loads(completed.body) == {
        "parts": [{"partNumber": n, "etag": f'"{n}"'} for n in range(1, 8)]
    }
    assert {seen.authorization for seen in service.seen[1:]} == {"Bearer short-lived-1"}
    assert service.most_at_once <= 4
    assert reports.fractions == sorted(reports.fractions)
    assert reports.fractions[-1] == 1.0


async def test_a_part_that_fails_is_sent_again_and_the_others_are_not(
    uploads: LoraUploads, service: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 10)
    monkeypatch.setattr(storage, "PART", 10)
    part = "/cdn/files/2.safetensors/multipart/up-1/2"
    service.failures[part] = [503, 500]
    assert await uploads.url_for(lora(tmp_path, b"x" * 30), silent)
    assert service.calls().count(f"PUT {part}") == 3
    assert service.calls().count("POST /cdn/files/upload/multipart") == 1
    assert len(service.seen) == 1 + 1 + 3 + 2 + 1


async def test_a_part_that_never_gets_through_ends_the_upload(
    uploads: LoraUploads, service: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 10)
    monkeypatch.setattr(storage, "PART", 10)
    service.failures["/cdn/files/2.safetensors/multipart/up-1/2"] = [503] * 9
    with pytest.raises(
        Unreachable, match=r"ghibli ✨ could not be uploaded: 127.0.0.1 has trouble"
    ):
        await uploads.url_for(lora(tmp_path, b"x" * 30), silent)
    assert not any(path.endswith("/complete") for path in service.calls())


# --- Once -------------------------------------------------------------------------------------


async def test_a_file_is_uploaded_once_also_by_jobs_that_need_it_at_the_same_time(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    urls = await asyncio.gather(*(uploads.url_for(file, silent) for _ in range(10)))
    assert len(set(urls)) == 1
    assert len(service.seen) == 2
    assert [await uploads.url_for(file, silent)] == urls[:1]
    assert len(service.seen) == 2


async def test_different_files_go_at_the_same_time_and_share_a_token(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    service.gate.clear()
    uploading = [
        asyncio.create_task(uploads.url_for(lora(tmp_path, bytes([n])), silent)) for n in range(3)
    ]
    async with asyncio.timeout(10):
        while len(service.seen) < 4:
            await asyncio.sleep(0.01)
        service.gate.set()
        await asyncio.gather(*uploading)
    assert {seen.body for seen in service.seen[1:]} == {b"\0", b"\1", b"\2"}
    assert service.tokens == 1


async def test_another_upload_takes_over_when_the_first_is_cancelled(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    service.gate.clear()
    first = asyncio.create_task(uploads.url_for(file, silent))
    async with asyncio.timeout(10):
        while len(service.seen) < 2:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(uploads.url_for(file, silent))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        service.gate.set()
        assert await second
    assert service.calls().count("POST /cdn/files/upload") == 2


async def test_the_next_start_of_atelier_knows_what_was_uploaded(
    uploads: LoraUploads, service: Storage, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    url = await uploads.url_for(file, silent)
    assert await made(service, http, tmp_path).url_for(file, silent) == url
    assert len(service.seen) == 2


async def test_another_service_gets_its_own_upload(
    uploads: LoraUploads, service: Storage, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    await uploads.url_for(file, silent)
    elsewhere = Gateway(service.url, f"{service.url.replace('127.0.0.1', 'localhost')}/rest", KEY)
    service.token_says = {"base_url": elsewhere.rest_url.replace("/rest", "/cdn")}
    await LoraUploads(elsewhere, http, tmp_path / "fal").url_for(file, silent)
    assert service.calls().count("POST /cdn/files/upload") == 2


async def test_a_file_that_the_service_has_lost_is_uploaded_anew(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    first = await uploads.url_for(file, silent)
    await uploads.forget(file)
    assert await uploads.url_for(file, silent) != first


async def test_an_address_is_remembered_for_a_day_less_than_the_file_is_kept(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    url = await uploads.url_for(file, silent)
    ends = time.time() + LIFETIME_S - MARGIN_S
    path = tmp_path / "fal" / "uploads.json"
    find = (f"{service.url}/rest", file.sha256)
    assert await UploadBook(path, lambda: ends - 60).find(*find) == url
    assert await UploadBook(path, lambda: ends).find(*find) is None


# --- The book ---------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"uploads": {"a": 1}}', b"\xff\xfe"])
async def test_a_damaged_book_costs_an_upload_and_is_written_anew(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "uploads.json"
    path.write_bytes(damage)
    book = UploadBook(path)
    assert await book.find("s", "a") is None
    await book.keep("s", "a", "https://x/y", time.time() + 60)
    assert await UploadBook(path).find("s", "a") == "https://x/y"


async def test_the_book_keeps_the_newest_and_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_book, "MAX_ENTRIES", 3)
    book = UploadBook(tmp_path / "uploads.json", lambda: 0.0)
    for n in range(5):
        await book.keep("s", str(n), f"https://x/{n}", 100.0 + n)
    assert [await book.find("s", str(n)) for n in range(5)] == [
        None,
        None,
        "https://x/2",
        "https://x/3",
        "https://x/4",
    ]
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["uploads.json"]


async def test_entries_written_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    book = UploadBook(tmp_path / "uploads.json", lambda: 0.0)
    await asyncio.gather(*(book.keep("s", str(n), f"https://x/{n}", 9.0) for n in range(20)))
    assert all([await book.find("s", str(n)) for n in range(20)])


async def test_a_book_that_cannot_be_written_does_not_stop_a_job(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    (tmp_path / "fal").write_text("a file where the folder should be")
    assert await uploads.url_for(lora(tmp_path), silent)
    assert len(service.seen) == 2


# --- Public addresses -------------------------------------------------------------------------


async def test_a_public_address_is_used_as_it_is(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    url = "https://civitai.com/api/download/models/123?type=Model&format=SafeTensor"
    assert await uploads.url_for(lora(tmp_path, url=url), silent) == url
    assert not service.seen


@pytest.mark.parametrize(
    "url",
    [
        "https://civitai.com/api/download/models/123?token=abcdef",
        "https://civitai.com/api/download/models/123?type=Model&Token=abcdef",
        "https://x.org/a?api_key=1",
        "https://x.org/a?key=1",
        "https://x.org/a?access_token=1",
        "https://bucket.s3.amazonaws.com/a?X-Amz-Signature=1&X-Amz-Expires=60",
        "https://bucket.s3.amazonaws.com/a?AWSAccessKeyId=1&Signature=2",
        "https://account.blob.core.windows.net/a?sv=1&sig=2",
        "https://user:password@x.org/a",
        "https://user@x.org/a",
        "ftp://x.org/a",
        "https://x.org:no/a",
        "",
    ],
)
async def test_an_address_that_carries_a_token_is_not_given_away_the_file_is_uploaded(
    uploads: LoraUploads, service: Storage, tmp_path: Path, url: str
) -> None:
    assert not is_public(url)
    sent = await uploads.url_for(lora(tmp_path, url=url), silent)
    assert sent.startswith(service.url)


# --- Who sees the key -------------------------------------------------------------------------


async def test_the_key_goes_to_the_rest_address_only(
    uploads: LoraUploads, service: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 10)
    await uploads.url_for(lora(tmp_path), silent)
    saw_key = [seen.path for seen in service.seen if KEY in str(seen.headers)]
    assert saw_key == ["/rest/storage/auth/token?storage_type=fal-cdn-v3"]


@pytest.mark.parametrize("where", ["token", "upload"])
async def test_no_redirect_is_followed_with_the_key_or_the_token(
    uploads: LoraUploads, service: Storage, tmp_path: Path, where: str
) -> None:
    if where == "upload":
        await uploads.url_for(lora(tmp_path, b"1"), silent)
        service.seen.clear()
    service.redirect = service.url.replace("127.0.0.1", "localhost") + "/stolen"
    with pytest.raises(FalError, match="answered 307"):
        await uploads.url_for(lora(tmp_path, b"2"), silent)
    assert len(service.seen) == 1
    assert not any("stolen" in path for path in service.calls())


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.2/cdn",
        "http://evil.example/cdn",
        "https://user:pass@127.0.0.1/cdn",
        "https://x.example/?a=b",
    ],
)
async def test_a_file_server_that_is_not_encrypted_or_not_plain_gets_nothing(
    uploads: LoraUploads, service: Storage, tmp_path: Path, base: str
) -> None:
    service.token_says = {"base_url": base}
    with pytest.raises(AnswerRefused, match="FAL_REST_URL"):
        await uploads.url_for(lora(tmp_path), silent)
    assert len(service.seen) == 1


async def test_a_plain_file_server_beside_an_encrypted_rest_address_gets_nothing(
    service: Storage, tmp_path: Path
) -> None:
    """Only the scheme of the configured address decides: the answer comes from a transport."""
    ends = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "rest.example"
        token = {"token": "t", "token_type": "Bearer", "expires_at": ends}
        return httpx.Response(200, json=token | {"base_url": "http://rest.example/cdn"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        gateway = Gateway("https://queue.example", "https://rest.example", KEY)
        with pytest.raises(AnswerRefused, match="not encrypted"):
            await LoraUploads(gateway, http, tmp_path).url_for(lora(tmp_path), silent)


@pytest.mark.parametrize(
    "host",
    ["http://localhost:1", "https://evil.example", "https://127.0.0.1", "http://u@127.0.0.1"],
)
async def test_parts_go_to_no_other_server(
    uploads: LoraUploads,
    service: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 10)
    service.access_host = host
    with pytest.raises(AnswerRefused, match="does not get the upload's token"):
        await uploads.url_for(lora(tmp_path), silent)
    assert len(service.seen) == 2


class Far:
    """A service on several hosts; only a transport can answer for such names."""

    def __init__(self, access_url: str) -> None:
        self.access_url = access_url
        self.hosts: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.hosts.append(request.url.host)
        if request.url.host == "rest.fal.example":
            ends = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
            token = {"token": "t", "token_type": "Bearer", "expires_at": ends}
            return httpx.Response(200, json=token | {"base_url": "https://v3.media.example/"})
        if request.url.path == "/files/upload/multipart":
            return httpx.Response(200, json={"access_url": self.access_url, "uploadId": "1"})
        return httpx.Response(200, headers={"ETag": "e"})

    async def upload(self, folder: Path) -> str:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as http:
            gateway = Gateway("https://queue.fal.example", "https://rest.fal.example", KEY)
            uploads = LoraUploads(gateway, http, folder)
            return await uploads.url_for(lora(folder, b"x" * 11), silent)


async def test_parts_may_go_to_an_encrypted_sister_of_the_file_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 10)
    far = Far("https://v3b.media.example/files/a")
    assert await far.upload(tmp_path) == "https://v3b.media.example/files/a"
    assert far.hosts == ["rest.fal.example", "v3.media.example"] + ["v3b.media.example"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "http://v3b.media.example/a",
        "https://v3b.media.example:8443/a",
        "https://media.example/a",
        "https://v3b.media.example.evil.example/a",
        "https://a.b.media.example/a",
    ],
)
async def test_parts_go_to_nothing_that_only_looks_like_a_sister(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(storage, "WHOLE_UP_TO", 10)
    far = Far(url)
    with pytest.raises(AnswerRefused, match="does not get the upload's token"):
        await far.upload(tmp_path)
    assert far.hosts == ["rest.fal.example", "v3.media.example"]


# --- What goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (401, KeyRefused, "127.0.0.1 does not know the key.* FAL_KEY"),
        (403, AccessRefused, "may not do this"),
        (404, StorageMissing, "takes no files.* FAL_REST_URL .* public URLs"),
        (405, StorageMissing, "takes no files"),
        (418, AnswerRefused, "answered 418"),
    ],
)
async def test_what_the_rest_address_refuses_is_told_and_not_tried_again(
    uploads: LoraUploads,
    service: Storage,
    tmp_path: Path,
    status: int,
    error: type[FalError],
    sentence: str,
) -> None:
    service.failures["/rest/storage/auth/token"] = [status] * 9
    with pytest.raises(error, match=sentence) as caught:
        await uploads.url_for(lora(tmp_path), silent)
    assert caught.value.status == status
    assert not caught.value.retryable
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (413, "The LoRA ghibli ✨ could not be uploaded: it is too large for 127.0.0.1"),
        (400, "127.0.0.1 answered 400"),
        (404, "127.0.0.1 answered 404"),
    ],
)
async def test_what_the_file_server_refuses_is_told_and_not_tried_again(
    uploads: LoraUploads, service: Storage, tmp_path: Path, status: int, sentence: str
) -> None:
    service.failures["/cdn/files/upload"] = [status] * 9
    with pytest.raises(UploadRefused, match=sentence):
        await uploads.url_for(lora(tmp_path), silent)
    assert len(service.seen) == 2


@pytest.mark.parametrize("path", ["/rest/storage/auth/token", "/cdn/files/upload"])
async def test_trouble_that_passes_is_not_noticed(
    uploads: LoraUploads, service: Storage, tmp_path: Path, path: str
) -> None:
    service.failures[path] = [503, 429]
    data = b"weights" * 9
    assert await uploads.url_for(lora(tmp_path, data), silent)
    assert service.seen[-1].body == data


@pytest.mark.parametrize("path", ["/rest/storage/auth/token", "/cdn/files/upload"])
async def test_trouble_that_stays_ends_as_something_to_try_later(
    uploads: LoraUploads, service: Storage, tmp_path: Path, path: str
) -> None:
    service.failures[path] = [502] * 99
    with pytest.raises(Unreachable, match=r"127.0.0.1 has trouble of its own \(502\)") as caught:
        await uploads.url_for(lora(tmp_path), silent)
    assert caught.value.retryable
    assert len(service.failures[path]) == 99 - 3


async def test_a_service_that_is_not_there_is_something_to_try_later(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    uploads = LoraUploads(Gateway("http://127.0.0.1:1", "http://127.0.0.1:1", KEY), http, tmp_path)
    with pytest.raises(Unreachable, match=r"the connection to 127.0.0.1 failed"):
        await uploads.url_for(lora(tmp_path), silent)


async def test_a_token_that_has_ended_is_renewed(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    ended = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    service.token_says = {"expires_at": ended.replace(tzinfo=None).isoformat()}
    await uploads.url_for(lora(tmp_path, b"1"), silent)
    await uploads.url_for(lora(tmp_path, b"2"), silent)
    assert service.tokens == 2


async def test_a_token_that_is_refused_is_renewed(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    service.failures["/cdn/files/upload"] = [401]
    await uploads.url_for(lora(tmp_path), silent)
    assert [seen.authorization for seen in service.seen[1::2]] == [
        "Bearer short-lived-1",
        "Bearer short-lived-2",
    ]


@pytest.mark.parametrize(
    "says",
    [
        {"token": None},
        {"token": "two words"},
        {"token_type": "Bearer\r\nX-Evil: 1"},
        {"expires_at": "soon"},
        {"base_url": None},
        {"base_url": "https://a:b/"},
        {"base_url": "https:///cdn"},
        {"base_url": "ftp://127.0.0.1/"},
    ],
)
async def test_an_answer_that_is_no_token_is_refused_and_not_quoted(
    uploads: LoraUploads, service: Storage, tmp_path: Path, says: dict[str, object]
) -> None:
    service.token_says = says
    with pytest.raises(AnswerRefused, match="does not know") as caught:
        await uploads.url_for(lora(tmp_path), silent)
    assert "short-lived" not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("host", ["https://a:b", "https://", "file://", ""])
async def test_an_address_that_is_none_is_not_given_away(
    uploads: LoraUploads, service: Storage, tmp_path: Path, host: str
) -> None:
    service.access_host = f"{host}/"
    with pytest.raises(AnswerRefused, match="does not know"):
        await uploads.url_for(lora(tmp_path), silent)


async def test_an_answer_without_end_is_not_read_to_its_end(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    service.token_says = {"padding": "x" * 70_000}
    with pytest.raises(AnswerRefused, match="far too much"):
        await uploads.url_for(lora(tmp_path), silent)


async def test_a_file_that_is_gone_is_the_loras_fault(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    file.path.unlink()
    with pytest.raises(LoraRejected, match="its file cannot be read"):
        await uploads.url_for(file, silent)
    assert not service.seen


async def test_a_file_that_cannot_be_opened_is_the_loras_fault(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    file = lora(tmp_path)
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(LoraRejected, match="its file cannot be read"):
        await uploads.url_for(file, silent)


async def test_an_upload_has_a_deadline(
    uploads: LoraUploads, service: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_DEADLINE_S", 0.2)
    service.gate.clear()
    with pytest.raises(Unreachable, match="within 0 minutes"):
        await uploads.url_for(lora(tmp_path), silent)
    service.gate.set()


async def test_nothing_that_goes_wrong_shows_the_key_or_the_token(
    uploads: LoraUploads, service: Storage, tmp_path: Path
) -> None:
    for path in ("/rest/storage/auth/token", "/cdn/files/upload"):
        for status in (302, 400, 401, 403, 404, 413, 500):
            service.failures = {path: [status] * 9}
            with pytest.raises(BackendError) as caught:
                await uploads.url_for(lora(tmp_path), silent)
            shown = f"{caught.value} {caught.value!r} {caught.value.__dict__}"
            assert KEY not in shown
            assert "short-lived" not in shown
            assert str(caught.value).endswith(".")
