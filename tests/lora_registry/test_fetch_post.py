"""Posting through the guarded fetcher: the same addresses, no redirects, no tokens, bounded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lora_registry.fetch import (
    AddressRefused,
    FetchRules,
    GuardedFetcher,
    TooSlow,
    Unreachable,
)
from tests.lora_registry.web import PUBLIC, Authority, Resolver, Wires

URL = "https://hooks.example/done?secret=1"
RULES = FetchRules(connect_timeout=2, read_timeout=2)


@dataclass
class Hook:
    """A server that keeps whole requests and answers with `answer`, if at all."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    received: list[bytes] = field(default_factory=list)
    port: int = 0
    silent: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = [
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            self.received.append(head + await reader.readexactly(length))
            while self.silent:
                await asyncio.sleep(0.05)
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@pytest.fixture
async def hook(tmp_path: Path, authority: Authority) -> AsyncIterator[Hook]:
    hook = Hook()
    server = await asyncio.start_server(
        hook.serve, "127.0.0.1", 0, ssl=authority.server("hooks.example")
    )
    hook.port = server.sockets[0].getsockname()[1]
    yield hook
    hook.silent = False
    server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def fetcher(hook: Hook, authority: Authority) -> AsyncIterator[GuardedFetcher]:
    async with GuardedFetcher(
        RULES,
        tokens={"https://hooks.example": "secret-token"},
        resolve=Resolver({"hooks.example": [[PUBLIC]], "inside.example": [["10.0.0.7"]]}),
        network=Wires(lambda: hook.port),
        ssl_context=authority.trusted(),
    ) as fetcher:
        yield fetcher


async def post(fetcher: GuardedFetcher, url: str = URL, within: float = 10) -> int:
    return await fetcher.post(url, b'{"a": 1}', {"X-Kind": "test"}, within=within)


async def test_the_body_and_the_headers_arrive_and_no_token_goes_along(
    fetcher: GuardedFetcher, hook: Hook
) -> None:
    assert await post(fetcher) == 200
    [request] = hook.received
    assert request.startswith(b"POST /done?secret=1 HTTP/1.1\r\nHost: hooks.example\r\n")
    assert request.endswith(b'\r\n\r\n{"a": 1}')
    assert b"\r\nX-Kind: test\r\n" in request
    assert b"secret-token" not in request


@pytest.mark.parametrize("status", [204, 301, 307, 404, 500])
async def test_any_status_is_given_back_and_a_redirect_is_not_followed(
    fetcher: GuardedFetcher, hook: Hook, status: int
) -> None:
    location = b"Location: https://hooks.example/elsewhere\r\n"
    hook.answer = b"HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n" % (status, location)
    assert await post(fetcher) == status
    assert len(hook.received) == 1


async def test_an_answer_without_end_is_not_read(fetcher: GuardedFetcher, hook: Hook) -> None:
    hook.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + bytes(1000)
    assert await post(fetcher) == 200


async def test_a_target_that_says_nothing_is_too_slow(fetcher: GuardedFetcher, hook: Hook) -> None:
    hook.silent = True
    with pytest.raises(TooSlow, match=r"^hooks\.example does not answer in time"):
        await post(fetcher, within=0.2)


async def test_a_target_that_hangs_up_is_unreachable(fetcher: GuardedFetcher, hook: Hook) -> None:
    hook.answer = b""
    with pytest.raises(Unreachable, match=r"hooks\.example"):
        await post(fetcher)


@pytest.mark.parametrize(
    "url",
    [
        "https://inside.example/done",
        "https://127.0.0.1/done",
        "http://hooks.example/done",
        "https://hooks.example:8443/done",
        "https://169.254.169.254/latest",
        "ftp://hooks.example/done",
        "hooks.example/done",
    ],
)
async def test_nothing_is_sent_where_nothing_may_be_fetched(
    fetcher: GuardedFetcher, hook: Hook, url: str
) -> None:
    with pytest.raises(AddressRefused):
        await post(fetcher, url)
    assert hook.received == []


async def test_an_address_is_checked_by_its_looks_without_asking_the_resolver(
    fetcher: GuardedFetcher,
) -> None:
    fetcher.check(URL)
    fetcher.check("https://inside.example/done")  # what it leads to shows only when it is dialled
    with pytest.raises(AddressRefused, match="private network"):
        fetcher.check("https://10.0.0.7/done?secret=1")
