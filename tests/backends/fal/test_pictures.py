"""From fal's output to pictures, with their files on a real server."""

import asyncio
import base64
import io
import struct
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
import stamina
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from backends.base import GenerationRequest, Picture, Verdict, parse_request
from backends.fal import pictures
from backends.fal.errors import AnswerRefused
from backends.fal.pictures import PictureLost, read_pictures
from lora_registry.fetch import FetchRules, GuardedFetcher
from tests.backends.fal.stage import ON_STAGE, Stage, fixture, stage

__all__ = ["stage"]

pytestmark = ON_STAGE


def image(kind: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (220, 40, 40)).save(data, kind)
    return data.getvalue()


class Files:
    """A CDN: what it serves, how often it fails first, and what it was asked with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.content: dict[str, bytes] = {}
        self.failures: dict[str, list[int]] = {}
        self.asked: Counter[str] = Counter()
        self.credentials: list[str] = []
        self.redirects: dict[str, str] = {}
        self.at_once = 0
        self.together = asyncio.Event()

    async def serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.asked[name] += 1
        self.credentials += [key for key in request.headers if key in {"authorization", "cookie"}]
        self.at_once += 1
        if self.at_once == 4:
            self.together.set()
        if failing := self.failures.get(name):
            return Response(status_code=failing.pop(0))
        if name in self.redirects:
            return RedirectResponse(self.redirects[name])
        if name.startswith("together"):
            await self.together.wait()
        return Response(self.content[name], media_type="application/octet-stream")

    def put(self, name: str, data: bytes) -> dict[str, object]:
        self.content[name] = data
        return {"url": f"{self.url}/{name}", "width": 9999, "content_type": "image/gif"}


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def files(stage: Stage) -> Files:
    files = Files(stage.url)
    stage.app = Starlette(routes=[Route("/{name}", files.serve)])
    return files


@fixture()
async def fetcher() -> AsyncIterator[GuardedFetcher]:
    rules = FetchRules(trusted_hosts=frozenset({"127.0.0.1"}))
    async with GuardedFetcher(rules) as fetcher:
        yield fetcher


def request(**fields: object) -> GenerationRequest:
    return parse_request({"prompt": "a red circle", "seed": 7, **fields})


async def test_a_picture_is_what_its_bytes_are_and_not_what_is_said_about_it(
    files: Files, fetcher: GuardedFetcher
) -> None:
    data = image("PNG", (31, 57))
    body = {"images": [files.put("a.jpeg", data)], "seed": 5, "has_nsfw_concepts": [False]}
    assert await read_pictures(body, request(output_format="jpeg"), fetcher) == (
        Picture(data, "png", 31, 57, 5, Verdict.CLEAR),
    )
    assert not files.credentials


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_all_three_formats_are_read(files: Files, fetcher: GuardedFetcher, kind: str) -> None:
    body = {"images": [files.put("a", image(kind))]}
    [picture] = await read_pictures(body, request(), fetcher)
    assert picture.format == kind.lower()


async def test_a_picture_may_stand_in_the_answer_itself(fetcher: GuardedFetcher) -> None:
    data = image("WEBP")
    uri = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
    [picture] = await read_pictures({"images": [{"url": uri}]}, request(sync_mode=True), fetcher)
    assert (picture.data, picture.format) == (data, "webp")


async def test_several_pictures_are_fetched_at_once_and_keep_their_order(
    files: Files, fetcher: GuardedFetcher
) -> None:
    images = [files.put(f"together{n}", image(size=(10 + n, 10))) for n in range(4)]
    async with asyncio.timeout(10):
        read = await read_pictures({"images": images}, request(num_images=4), fetcher)
    assert [picture.width for picture in read] == [10, 11, 12, 13]


async def test_no_more_pictures_are_fetched_than_were_asked_for(
    files: Files, fetcher: GuardedFetcher
) -> None:
    images = [files.put(f"{n}", image()) for n in range(6)]
    assert len(await read_pictures({"images": images}, request(num_images=2), fetcher)) == 2
    assert set(files.asked) == {"0", "1"}


# --- Verdicts ---------------------------------------------------------------------------------

CLEAR, FLAGGED, UNCHECKED = Verdict.CLEAR, Verdict.FLAGGED, Verdict.UNCHECKED


@pytest.mark.parametrize(
    ("flags", "checker", "verdicts"),
    [
        ([True, False], True, [FLAGGED, CLEAR]),
        ([False, False, True], True, [CLEAR, CLEAR]),
        ([False], True, [UNCHECKED, UNCHECKED]),
        ([], True, [UNCHECKED, UNCHECKED]),
        (None, True, [UNCHECKED, UNCHECKED]),
        ("no", True, [UNCHECKED, UNCHECKED]),
        ({"0": False}, True, [UNCHECKED, UNCHECKED]),
        ([0, False], True, [UNCHECKED, CLEAR]),
        (["false", None], True, [UNCHECKED, UNCHECKED]),
        ([False, False], False, [UNCHECKED, UNCHECKED]),
        ([True, False], False, [UNCHECKED, UNCHECKED]),
    ],
)
async def test_only_a_flag_of_its_own_clears_a_picture(
    files: Files,
    fetcher: GuardedFetcher,
    flags: object,
    checker: bool,
    verdicts: list[Verdict],
) -> None:
    images = [files.put(name, image()) for name in "ab"]
    body = {"images": images, "has_nsfw_concepts": flags}
    asked = request(num_images=2, enable_safety_checker=checker)
    assert [p.verdict for p in await read_pictures(body, asked, fetcher)] == verdicts


async def test_a_lost_picture_takes_no_other_pictures_flag(
    files: Files, fetcher: GuardedFetcher
) -> None:
    images = [files.put(name, image()) for name in "abc"]
    files.content["a"] = b"nothing"
    body = {"images": images, "has_nsfw_concepts": [False, True, False], "seeds": [1, 2, 3]}
    read = await read_pictures(body, request(num_images=3), fetcher)
    assert [(p.seed, p.verdict) for p in read] == [(2, FLAGGED), (3, CLEAR)]


# --- Seeds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "seeds"),
    [
        ({"seed": 2**53 + 1}, [2**53 + 1] * 2),  # fal tells one for all
        ({"seed": 5, "seeds": [5, 6]}, [5, 6]),
        ({"seed": 5, "seeds": [5]}, [5, 5]),
        ({"seed": 5, "seeds": "56"}, [5, 5]),
        ({}, [7, 7]),
        ({"seed": None}, [7, 7]),
        ({"seed": -1}, [7, 7]),
        ({"seed": 2**64}, [7, 7]),
        ({"seed": True}, [7, 7]),
        ({"seed": "5"}, [7, 7]),
    ],
)
async def test_the_seed_is_the_services_or_else_the_requests(
    files: Files, fetcher: GuardedFetcher, told: dict[str, object], seeds: list[int]
) -> None:
    images = [files.put(name, image()) for name in "ab"]
    read = await read_pictures({"images": images, **told}, request(num_images=2), fetcher)
    assert [picture.seed for picture in read] == seeds


# --- What goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_what_may_pass_is_tried_again(
    files: Files, fetcher: GuardedFetcher, status: int
) -> None:
    files.failures["a"] = [status, status]
    assert await read_pictures({"images": [files.put("a", image())]}, request(), fetcher)
    assert files.asked["a"] == 3


async def test_trying_again_ends_and_says_where_the_picture_was(
    files: Files, fetcher: GuardedFetcher
) -> None:
    files.failures["a"] = [503] * 99
    with pytest.raises(PictureLost) as caught:
        await read_pictures({"images": [files.put("a", image())]}, request(), fetcher)
    assert files.asked["a"] == 3
    assert caught.value.host == "127.0.0.1"
    assert not caught.value.retryable
    assert str(caught.value) == (
        "The picture was made and may have been billed, but it could not be fetched from "
        "127.0.0.1: the server answered 503. Trying again draws, and pays for, a new one."
    )


async def test_what_cannot_pass_is_not_tried_again(files: Files, fetcher: GuardedFetcher) -> None:
    files.failures["a"] = [403] * 99
    with pytest.raises(PictureLost, match="the server answered 403"):
        await read_pictures({"images": [files.put("a", image())]}, request(), fetcher)
    assert files.asked["a"] == 1


async def test_a_server_that_is_not_there_is_a_lost_picture(fetcher: GuardedFetcher) -> None:
    with pytest.raises(PictureLost, match=r"127.0.0.1: the connection failed"):
        await read_pictures({"images": [{"url": "http://127.0.0.1:1/a"}]}, request(), fetcher)


async def test_a_server_that_never_answers_is_a_lost_picture(
    files: Files, fetcher: GuardedFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_GIVE_UP_S", 0.2)
    with pytest.raises(PictureLost, match=r"127.0.0.1: it was too slow"):
        await read_pictures({"images": [files.put("together", image())]}, request(), fetcher)
    files.together.set()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost/a.png", "localhost"),
        ("http://10.0.0.1/a.png", "10.0.0.1"),
        ("file:///etc/passwd", "an address without a host"),
        ("https://a:b/c.png", "an address that cannot be read"),
        ("", "an address without a host"),
    ],
)
async def test_an_address_that_may_not_be_fetched_is_refused_and_the_setting_is_named(
    fetcher: GuardedFetcher, url: str, host: str
) -> None:
    with pytest.raises(PictureLost, match="ATELIER_TRUSTED_HOSTS") as caught:
        await read_pictures({"images": [{"url": url}]}, request(), fetcher)
    assert caught.value.host == host


async def test_a_redirect_to_a_private_address_is_refused(
    files: Files, fetcher: GuardedFetcher
) -> None:
    body = {"images": [files.put("a", image())]}
    files.redirects["a"] = files.url.replace("127.0.0.1", "127.0.0.2") + "/b"
    with pytest.raises(PictureLost, match="may not be fetched from"):
        await read_pictures(body, request(), fetcher)
    assert files.asked == {"a": 1}


def bomb() -> bytes:
    """A PNG of a few bytes that claims to have 100 000×100 000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!doctype html><title>Sorry</title>",
        image("GIF"),
        image("BMP"),
        image("PNG")[:-60],
        image("JPEG", (400, 400))[:-500],
        image("WEBP", (400, 400))[:-200],
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 200,
        bomb(),
    ],
    ids=["empty", "page", "gif", "bmp", "half png", "half jpeg", "half webp", "noise", "bomb"],
)
async def test_what_is_no_whole_picture_is_not_delivered(
    files: Files, fetcher: GuardedFetcher, data: bytes
) -> None:
    with pytest.raises(PictureLost, match=r"127.0.0.1: what came is not a whole PNG"):
        await read_pictures({"images": [files.put("a", data)]}, request(), fetcher)


async def test_more_pixels_than_can_be_held_are_not_decoded(
    files: Files, fetcher: GuardedFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 99)
    with pytest.raises(PictureLost, match="claims to have 10×10 pixels"):
        await read_pictures({"images": [files.put("a", image(size=(10, 10)))]}, request(), fetcher)


async def test_more_bytes_than_allowed_are_not_read(
    files: Files, fetcher: GuardedFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 2**20)
    big = files.put("a", b"x" * (2**20 + 1))
    inline = {"url": f"data:,{'x' * (2**20 + 1)}"}
    for wanted in (big, inline):
        with pytest.raises(PictureLost, match="more than 1 MB"):
            await read_pictures({"images": [wanted]}, request(), fetcher)


@pytest.mark.parametrize("uri", ["data:image/png;base64,_", "data:image/png;base64", "data:"])
async def test_a_damaged_picture_in_the_answer_is_lost(fetcher: GuardedFetcher, uri: str) -> None:
    with pytest.raises(PictureLost, match="from the answer itself: it is damaged"):
        await read_pictures({"images": [{"url": uri}]}, request(), fetcher)


async def test_pictures_that_could_be_fetched_are_delivered_without_the_others(
    files: Files, fetcher: GuardedFetcher
) -> None:
    images = [files.put(name, image()) for name in "abcd"]
    files.failures["b"] = [500] * 99
    images[2] = {"url": "data:damaged"}
    read = await read_pictures({"images": images}, request(num_images=4), fetcher)
    assert len(read) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": []},
        {"images": None},
        {"images": "https://x/a.png"},
        {"images": [{}]},
        {"images": [{"url": None}]},
        {"detail": "secret prompt"},
    ],
)
async def test_a_result_without_pictures_is_an_error_that_quotes_nothing(
    fetcher: GuardedFetcher, body: dict[str, object]
) -> None:
    with pytest.raises(AnswerRefused, match="without a picture") as caught:
        await read_pictures(body, request(), fetcher)
    assert not caught.value.retryable
    assert "secret" not in str(caught.value)
