"""Upload storage over the wire, the way fal's clients use it."""

import asyncio
import datetime as dt
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from bot.database import Database
from bot.http import HttpServer
from bot.jobs.store import migrations
from bot.multipart import MultipartUploads
from bot.signing import Signer
from bot.surfaces.fal_api.access import Access
from bot.surfaces.fal_api.errors import ApiError
from bot.surfaces.fal_api.uploads import TOKEN_S, create_router
from bot.uploads import Uploads
from tests.fakes.fal_site import FLUX_1, fal_site
from tests.lora_registry.loras import factors, flux1, flux2, only, write

MIB = 2**20
BODY = bytes(range(256)) * 8_000
ANN = {"Authorization": "Key ann-key"}
BOB = {"Authorization": "Key bob-key"}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Storage:
    url: str
    client: httpx.AsyncClient
    uploads: Uploads
    clock: Clock

    async def token(self, who: dict[str, str] = ANN) -> dict[str, str]:
        answer = await self.client.post("/storage/auth/token", headers=who, json={})
        body = answer.json()
        return {"Authorization": f"{body['token_type']} {body['token']}"}

    async def initiate(self, name: str, which: str = "", **headers: str) -> Any:
        answer = await self.client.post(
            f"/storage/upload/initiate{which}?storage_type=fal-cdn-v3",
            headers=ANN | headers,
            json={"content_type": "application/octet-stream", "file_name": name},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    clock = Clock()
    uploads = Uploads(
        database,
        tmp_path / "uploads",
        max_bytes=3 * MIB,
        quota=5 * MIB,
        min_free_bytes=0,
        clock=clock,
    )
    app = FastAPI()

    @app.exception_handler(ApiError)
    async def refused(_request: Request, error: ApiError) -> Response:
        return JSONResponse(dict(error.answer.body), error.answer.status)

    access = Access(["ann-key", "bob-key"])
    app.include_router(
        create_router(uploads, MultipartUploads(uploads), Signer("s" * 32, clock), access.check)
    )
    server = HttpServer(app, host="127.0.0.1", port=0, grace=0.2)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield Storage(server.url, client, uploads, clock)
    await server.stop()
    await database.close()


# --- With a token -----------------------------------------------------------------------------


async def test_a_file_uploaded_with_a_token_is_read_at_its_url_by_anybody(
    storage: Storage,
) -> None:
    headers = await storage.token() | {"X-Fal-File-Name": "my lora.safetensors"}
    answer = await storage.client.post("/files/upload", headers=headers, content=BODY)
    url = answer.json()["access_url"]
    assert url.startswith(f"{storage.url}/files/uploads/")
    assert url.endswith("/my_lora.safetensors")
    assert (await storage.client.get(url)).content == BODY


async def test_a_token_says_where_to_upload_and_until_when(storage: Storage) -> None:
    answer = await storage.client.post("/storage/auth/token?storage_type=fal-cdn-v3", headers=ANN)
    body = answer.json()
    assert body["base_url"] == storage.url
    left = dt.datetime.fromisoformat(body["expires_at"]) - dt.datetime.now(dt.UTC)
    assert TOKEN_S - 60 < left.total_seconds() <= TOKEN_S


@pytest.mark.parametrize(
    "headers", [{}, ANN, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer"}]
)
async def test_without_its_token_nothing_is_uploaded(
    storage: Storage, headers: dict[str, str]
) -> None:
    for path in ("/files/upload", "/files/upload/multipart"):
        answer = await storage.client.post(path, headers=headers, content=BODY)
        assert answer.status_code == 401
        assert set(answer.json()) == {"detail"}


async def test_a_token_ends_after_an_hour(storage: Storage) -> None:
    headers = await storage.token()
    storage.clock.now += TOKEN_S
    answer = await storage.client.post("/files/upload", headers=headers, content=BODY)
    assert answer.status_code == 401
    assert "Begin the upload again" in answer.json()["detail"]


async def test_only_whoever_has_a_key_is_given_a_token_or_a_url(storage: Storage) -> None:
    for path in (
        "/storage/auth/token",
        "/storage/upload/initiate",
        "/storage/upload/initiate-multipart",
    ):
        answer = await storage.client.post(path, headers={"Authorization": "Key no"}, json={})
        assert answer.status_code == 401


# --- With a URL -------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?storage_type=gcs", "?storage_type=fal-cdn-v3"])
async def test_a_file_is_put_to_the_url_that_was_given_without_any_key(
    storage: Storage, query: str
) -> None:
    answer = await storage.client.post(
        f"/storage/upload/initiate{query}",
        headers=ANN,
        json={"content_type": "image/png", "file_name": "a.png"},
    )
    given = answer.json()
    assert (await storage.client.get(given["file_url"])).status_code == 404
    for _ in range(2):  # clients repeat a PUT whose answer was lost
        put = await storage.client.put(given["upload_url"], content=BODY)
        assert put.status_code == 200
    assert (await storage.client.get(given["file_url"])).content == BODY


async def test_a_url_for_one_file_takes_no_other(storage: Storage) -> None:
    first, second = [await storage.initiate(name) for name in ("a.bin", "b.bin")]
    query = first["upload_url"].partition("?")[2]
    for target in (f"{second['file_url']}?{query}", f"{second['file_url']}?ticket=x"):
        assert (await storage.client.put(target, content=BODY)).status_code in {401, 403}
    assert (await storage.client.get(second["file_url"])).status_code == 404
    assert (await storage.client.put(first["file_url"], content=BODY)).status_code == 422


async def test_the_lifetime_that_a_client_wants_is_heeded(storage: Storage) -> None:
    wanted = json.dumps({"expiration_duration_seconds": 60})
    given = await storage.initiate("a.bin", **{"X-Fal-Object-Lifecycle": wanted})
    await storage.client.put(given["upload_url"], content=BODY)
    assert (await storage.client.get(given["file_url"])).status_code == 200
    storage.clock.now += 61
    gone = await storage.client.get(given["file_url"])
    assert gone.status_code == 404
    assert "expired" in gone.json()["detail"]


@pytest.mark.parametrize("wanted", ["soon", "[]", '{"expiration_duration_seconds": "x"}'])
async def test_a_lifetime_that_is_none_is_refused(storage: Storage, wanted: str) -> None:
    answer = await storage.client.post(
        "/storage/upload/initiate",
        headers=ANN | {"X-Fal-Object-Lifecycle-Preference": wanted},
        json={"file_name": "a.bin"},
    )
    assert answer.status_code == 400


# --- In parts ---------------------------------------------------------------------------------


async def test_pythons_parts_become_a_file(storage: Storage) -> None:
    token = await storage.token()
    headers = token | {"X-Fal-File-Name": "big.safetensors"}
    begun = (await storage.client.post("/files/upload/multipart", headers=headers)).json()
    target = f"{begun['access_url']}/multipart/{begun['uploadId']}"
    halves = {1: BODY[:MIB], 2: BODY[MIB:]}
    sent = await asyncio.gather(
        *(
            storage.client.put(f"{target}/{number}", headers=token, content=halves[number])
            for number in (2, 1)
        )
    )
    parts = [
        {"partNumber": n, "etag": a.headers["etag"]} for n, a in zip((2, 1), sent, strict=True)
    ]
    done = await storage.client.post(f"{target}/complete", headers=token, json={"parts": parts})
    assert done.status_code == 200, done.text
    assert (await storage.client.get(begun["access_url"])).content == BODY


async def test_javascripts_parts_become_a_file_without_any_key(storage: Storage) -> None:
    given = await storage.initiate("big.safetensors", "-multipart")
    path, _, query = given["upload_url"].partition("?")
    parts = []
    for number, half in ((1, BODY[:MIB]), (2, BODY[MIB:])):
        answer = await storage.client.put(f"{path}/{number}?{query}", content=half)
        parts.append({key: answer.json()[key] for key in ("partNumber", "etag")})
    done = await storage.client.post(f"{path}/complete?{query}", json={"parts": parts})
    assert done.status_code == 200, done.text
    assert (await storage.client.get(given["file_url"])).content == BODY


async def test_nobody_adds_to_the_upload_of_somebody_else(storage: Storage) -> None:
    begun = (
        await storage.client.post("/files/upload/multipart", headers=await storage.token())
    ).json()
    other = await storage.initiate("big.safetensors", "-multipart")
    target = f"{begun['access_url']}/multipart/{begun['uploadId']}"
    query = other["upload_url"].partition("?")[2]
    strangers: list[tuple[str, dict[str, str], int]] = [
        (f"{target}/1", await storage.token(BOB), 404),
        (f"{target}/1", {}, 401),
        (f"{target}/1?{query}", {}, 403),
    ]
    for url, headers, status in strangers:
        answer = await storage.client.put(url, headers=headers, content=BODY)
        assert answer.status_code == status


# --- Limits -----------------------------------------------------------------------------------


async def test_what_is_too_much_is_refused_with_a_sentence(storage: Storage) -> None:
    headers = await storage.token()
    large = await storage.client.post("/files/upload", headers=headers, content=bytes(4 * MIB))
    assert large.status_code == 413
    assert large.json()["detail"].startswith("The file is too large: at most 3 MB")
    for byte in (b"a", b"b"):
        answer = await storage.client.post("/files/upload", headers=headers, content=byte * 2 * MIB)
        assert answer.status_code == 200
    full = await storage.client.post("/files/upload", headers=headers, content=b"c" * 2 * MIB)
    assert full.status_code == 403
    assert "5 MB that you may have here" in full.json()["detail"]
    bob = await storage.token(BOB)
    assert (await storage.client.post("/files/upload", headers=bob, content=BODY)).is_success


async def test_what_a_client_says_about_a_file_is_short_and_has_its_form(
    storage: Storage,
) -> None:
    long = json.dumps({"file_name": "a.bin", "more": "x" * 5 * MIB})
    for path in ("/storage/upload/initiate", "/storage/upload/initiate-multipart"):
        for body, status in ((b"no json", 422), (b'{"file_name": 3}', 422), (long, 413)):
            answer = await storage.client.post(path, headers=ANN, content=body)
            assert answer.status_code == status


async def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(storage: Storage) -> None:
    token = await storage.token()
    port = int(storage.url.rpartition(":")[2])
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /files/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n"
        b"Authorization: " + token["Authorization"].encode() + b"\r\n\r\n" + bytes(1_500_000)
    )
    await writer.drain()
    folder = storage.uploads.folder
    await until(lambda: any(folder.glob(".*.part")))
    writer.close()
    await until(lambda: not any(folder.iterdir()))


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


# --- Reading ----------------------------------------------------------------------------------


async def test_what_somebody_uploaded_is_only_ever_downloaded_never_shown(
    storage: Storage,
) -> None:
    given = await storage.initiate("page.html")
    script = b"<script>alert(1)</script>"
    await storage.client.put(
        given["upload_url"], content=script, headers={"Content-Type": "text/html"}
    )
    answer = await storage.client.get(given["file_url"])
    assert answer.content == script
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_a_file_is_read_by_range_and_asked_for_by_head(storage: Storage) -> None:
    given = await storage.initiate("a.bin")
    await storage.client.put(given["upload_url"], content=BODY)
    part = await storage.client.get(given["file_url"], headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, BODY[:10])
    head = await storage.client.head(given["file_url"])
    assert int(head.headers["content-length"]) == len(BODY)


async def test_urls_name_the_host_under_which_we_were_called(storage: Storage) -> None:
    headers = ANN | {"Host": "atelier.example:9999"}
    answer = await storage.client.post("/storage/upload/initiate", headers=headers, json={})
    assert answer.json()["file_url"].startswith("http://atelier.example:9999/files/uploads/")


async def test_the_stored_file_is_the_one_that_was_sent(storage: Storage) -> None:
    given = await storage.initiate("a.bin")
    await storage.client.put(given["upload_url"], content=BODY)
    found = await storage.uploads.find(given["file_url"])
    assert found is not None
    assert found.sha256 == hashlib.sha256(BODY).hexdigest()


# --- Drawing with it --------------------------------------------------------------------------


async def test_an_uploaded_lora_is_drawn_with_and_one_for_another_model_refused_at_once(
    tmp_path: Path,
) -> None:
    async with fal_site(tmp_path) as site:
        urls = []
        for name, layers in (("mine", flux1()), ("other", flux2())):
            tensors = factors(only(layers, "transformer_blocks.0.attn.to_q"), rank=4)
            body = write(tmp_path / name, tensors).read_bytes()
            given = (
                await site.client.post(
                    "/storage/upload/initiate", json={"file_name": f"{name}.safetensors"}
                )
            ).json()
            assert (await site.nobody.put(given["upload_url"], content=body)).status_code == 200
            urls.append(given["file_url"])
        submitted = await site.submit("steps=1", loras=[{"path": urls[0]}])
        assert (await site.result(submitted)).status_code == 200
        refused = await site.client.post(
            FLUX_1, json={"prompt": "steps=1", "loras": [{"path": urls[1]}]}
        )
        assert refused.status_code == 422
        assert "The LoRA other is for FLUX.2 [dev]" in refused.text
