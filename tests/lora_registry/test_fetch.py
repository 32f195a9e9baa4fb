"""The guarded fetcher against a small hostile internet: real sockets, real TLS, forged names."""

import asyncio
import base64
import contextlib
import errno
import hashlib
import io
import re
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpcore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_registry import fetch
from lora_registry._fetch_errors import network_errors_told
from lora_registry._partfile import PartFile
from lora_registry.fetch import (
    AddressRefused,
    DiskFull,
    FetchError,
    FetchRules,
    GuardedFetcher,
    HashMismatch,
    NotFetched,
    NotSaved,
    TooLarge,
    TooSlow,
    Unreachable,
    decode_data_uri,
    remove_leftovers,
)
from tests.lora_registry.web import (
    PUBLIC,
    PUBLIC_6,
    Authority,
    Request,
    Resolver,
    Site,
    Wires,
    head,
    moved,
    page,
)

BODY = bytes(range(256)) * 20_000  # 5 MB: several blocks
SHA256 = hashlib.sha256(BODY).hexdigest()
URL = "https://files.example/lora.safetensors"
QUICK = FetchRules(min_free_bytes=0, connect_timeout=2, read_timeout=0.3, deadline=10)
NAMES: dict[str, list[list[str]]] = {
    "files.example": [[PUBLIC]],
    "cdn.example": [[PUBLIC]],
    "private.example": [["10.0.0.7"]],
    "mixed.example": [[PUBLIC, "127.0.0.1"]],
    "both.example": [[PUBLIC_6, PUBLIC]],
    "rebinding.example": [[PUBLIC], ["127.0.0.1"]],
    "nowhere.example": [[]],
}

HTTPCORE_ERRORS = [
    kind
    for kind in (getattr(httpcore, name, None) for name in httpcore.__all__)
    if isinstance(kind, type) and issubclass(kind, Exception)
]

MakeFetcher = Callable[..., GuardedFetcher]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def site(authority: Authority) -> AsyncIterator[Site]:
    """An https server whose certificate is for files, cdn, both and rebinding.example."""
    names = ("files.example", "cdn.example", "both.example", "rebinding.example", PUBLIC)
    async with Site().serving(authority.server(*names)) as site:
        yield site


@pytest.fixture
def resolver() -> Resolver:
    return Resolver(NAMES)


@pytest.fixture
def wires(site: Site) -> Wires:
    return Wires(lambda: site.port)


@pytest.fixture
async def make_fetcher(
    authority: Authority, resolver: Resolver, wires: Wires
) -> AsyncIterator[MakeFetcher]:
    """Builds fetchers that know the test's names, wires and authority."""
    async with contextlib.AsyncExitStack() as stack:
        made: list[GuardedFetcher] = []

        def make(rules: FetchRules = QUICK, **options: Any) -> GuardedFetcher:
            options = {
                "resolve": resolver,
                "network": wires,
                "ssl_context": authority.trusted(),
                **options,
            }
            fetcher = GuardedFetcher(rules, **options)
            stack.push_async_exit(fetcher)
            made.append(fetcher)
            return fetcher

        yield make


@pytest.fixture
def fetcher(make_fetcher: MakeFetcher) -> GuardedFetcher:
    return make_fetcher()


def chunked(*chunks: bytes, end: bool = True, pause: float = 0) -> Any:
    async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, {"Transfer-Encoding": "chunked"}))
        for chunk in chunks:
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
            await asyncio.sleep(pause)
        if end:
            writer.write(b"0\r\n\r\n")

    return answer


async def endless(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, {"Transfer-Encoding": "chunked"}))
    while True:
        writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await writer.drain()


async def stalling(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, {"Content-Length": str(len(BODY))}) + BODY[: 2 * 1024 * 1024])
    await writer.drain()
    await asyncio.sleep(30)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- A file arrives ----------------------------------------------------------------------------


async def test_a_download_is_complete_hashed_and_named_by_its_hash(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(BODY)
    seen: list[tuple[int, int | None]] = []
    got = await fetcher.download(
        f"{URL}?key=secret#there",
        tmp_path / "new" / "folder",
        suffix=".safetensors",
        expected_sha256=SHA256.upper(),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert (got.sha256, got.size) == (SHA256, len(BODY))
    assert got.path == tmp_path / "new" / "folder" / f"{SHA256}.safetensors"
    assert got.path.read_bytes() == BODY
    assert got.url == URL
    assert files_in(got.path.parent) == [got.path.name]
    assert seen == sorted(seen)
    assert len(seen) >= 4
    assert seen[-1] == (len(BODY), len(BODY))


async def test_a_file_without_a_length_or_without_bytes_arrives_too(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/chunked"] = chunked(b"abc", b"def")
    site.pages["/empty"] = page(b"")
    got = await fetcher.download("https://files.example/chunked", tmp_path)
    assert got.path.read_bytes() == b"abcdef"
    got = await fetcher.download("https://files.example/empty", tmp_path)
    assert got.size == 0


async def test_two_downloads_of_one_file_at_once_do_not_disturb_each_other(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(BODY)
    one, two = await asyncio.gather(*(fetcher.download(URL, tmp_path) for _ in range(2)))
    assert one == two
    assert files_in(tmp_path) == [SHA256]


async def test_a_small_answer_is_read_into_memory(fetcher: GuardedFetcher, site: Site) -> None:
    site.pages["/lora.safetensors"] = page(b"{}")
    assert await fetcher.read(URL, 2) == b"{}"
    with pytest.raises(TooLarge):
        await fetcher.read(URL, 1)


async def test_the_start_of_a_file_is_read_by_range(fetcher: GuardedFetcher, site: Site) -> None:
    site.pages["/lora.safetensors"] = page(
        BODY[:1000], status=206, headers={"Content-Range": f"bytes 0-999/{len(BODY)}"}
    )
    start = await fetcher.read_start(URL, 1000)
    assert start.data == BODY[:1000]
    assert start.total_size == len(BODY)
    assert site.requests[0].headers["range"] == "bytes=0-999"


async def test_reading_the_start_stops_where_the_server_ignores_the_range(
    fetcher: GuardedFetcher, site: Site
) -> None:
    site.pages["/endless"] = endless
    start = await fetcher.read_start("https://files.example/endless", 100_000)
    assert start.data == bytes(100_000)
    assert start.total_size is None
    site.pages["/lora.safetensors"] = page(BODY)
    assert (await fetcher.read_start(URL, 10)).total_size == len(BODY)


@pytest.mark.parametrize("answered", ["bytes 5-14/100", "", "items 0-9/100"])
async def test_another_part_than_was_asked_for_is_refused(
    fetcher: GuardedFetcher, site: Site, answered: str
) -> None:
    site.pages["/lora.safetensors"] = page(
        b"0123456789", status=206, headers={"Content-Range": answered}
    )
    with pytest.raises(NotFetched, match="another part"):
        await fetcher.read_start(URL, 10)


async def test_a_part_in_place_of_the_whole_file_is_refused(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(
        b"abc", status=206, headers={"Content-Range": "bytes 0-2/9"}
    )
    with pytest.raises(NotFetched):
        await fetcher.download(URL, tmp_path)


# --- Where a URL may lead ----------------------------------------------------------------------

REFUSED_URLS = [
    "http://files.example/x",
    "ftp://files.example/x",
    "file:///etc/passwd",
    "gopher://files.example/_x",
    "data:text/plain,x",
    "javascript:alert(1)",
    "//files.example/x",
    "files.example/x",
    "https://",
    "https:///x",
    "https://user:password@files.example/x",
    "https://user@files.example/x",
    "https://files.example\\@evil.example/",
    "https://files.example:8443/x",
    "https://files.example:80/x",
    "https://files.example:0/x",
    "https://files.example:99999/x",
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.1.2.3/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://192.168.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001::1]/",
    "https://[fec0::1]/",
    "https://[fe80::1%25lo]/",
    "https://[fd00:ec2::254]/",
    "https://%31%32%37.0.0.1/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
    "https://metadata.google.internal/",
    "https://private.example/x",
    "https://mixed.example/x",
]


@pytest.mark.parametrize("url", REFUSED_URLS)
async def test_a_url_that_may_lead_inside_is_refused_and_nothing_is_dialled(
    fetcher: GuardedFetcher, wires: Wires, site: Site, url: str
) -> None:
    with pytest.raises(AddressRefused) as refused:
        await fetcher.read(url, 10)
    assert wires.dialled == []
    assert site.requests == []
    assert "password" not in str(refused.value)


RELATIVE = {"//files.example/x", "files.example/x", "https://", "https:///x"}
"""Refused from a person, but in a redirect they mean the same site."""


@pytest.mark.parametrize("url", [url for url in REFUSED_URLS if url not in RELATIVE])
async def test_a_redirect_is_checked_like_any_url(
    fetcher: GuardedFetcher, wires: Wires, site: Site, url: str
) -> None:
    site.pages["/lora.safetensors"] = moved(url.encode().decode("latin-1"))
    with pytest.raises(AddressRefused):
        await fetcher.read(URL, 10)
    assert wires.dialled == [(PUBLIC, 443)]
    assert len(site.requests) == 1


async def test_the_checked_address_itself_is_dialled_and_the_name_is_asked_for_once(
    fetcher: GuardedFetcher, resolver: Resolver, wires: Wires, site: Site
) -> None:
    site.pages["/x"] = page(b"first")
    assert await fetcher.read("https://rebinding.example/x", 10) == b"first"
    assert resolver.asked == ["rebinding.example"]
    assert wires.dialled == [(PUBLIC, 443)]


async def test_a_name_that_turns_private_between_two_connections_is_refused(
    fetcher: GuardedFetcher, wires: Wires, site: Site
) -> None:
    site.pages["/x"] = moved("https://files.example/y")
    site.pages["/y"] = moved("https://rebinding.example/z")
    with pytest.raises(AddressRefused):
        await fetcher.read("https://rebinding.example/x", 10)
    assert wires.dialled == [(PUBLIC, 443), (PUBLIC, 443)]


async def test_the_next_address_is_tried_when_the_first_is_dead(
    fetcher: GuardedFetcher, wires: Wires, site: Site
) -> None:
    wires.dead.add(PUBLIC_6)
    site.pages["/x"] = page(b"ok")
    assert await fetcher.read("https://both.example/x", 10) == b"ok"
    assert wires.dialled == [(PUBLIC_6, 443), (PUBLIC, 443)]


@pytest.mark.parametrize("name", ["unknown.example", "nowhere.example"])
async def test_a_name_without_an_address_is_unreachable(fetcher: GuardedFetcher, name: str) -> None:
    with pytest.raises(Unreachable, match=name):
        await fetcher.read(f"https://{name}/x", 10)


async def test_a_name_server_that_never_answers_is_too_slow(
    make_fetcher: MakeFetcher, wires: Wires
) -> None:
    async def silent(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(30)
        return [PUBLIC]

    rules = FetchRules(connect_timeout=0.1, read_timeout=0.1)
    with pytest.raises(TooSlow):
        await make_fetcher(rules, resolve=silent).read(URL, 10)
    assert wires.dialled == []


async def test_a_dead_site_is_unreachable(fetcher: GuardedFetcher, wires: Wires) -> None:
    wires.dead.add(PUBLIC)
    with pytest.raises(Unreachable, match=r"files\.example cannot be reached"):
        await fetcher.read(URL, 10)


async def test_the_systems_own_resolver_finds_loopback_and_that_is_refused(
    make_fetcher: MakeFetcher, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def forged(host: str, *args: Any, **kwargs: Any) -> Any:
        return await real("localhost" if host == "evil.example" else host, *args, **kwargs)

    monkeypatch.setattr(loop, "getaddrinfo", forged)
    fetcher = make_fetcher(resolve=fetch.system_resolve)
    with pytest.raises(AddressRefused, match="this machine"):
        await fetcher.read("https://evil.example/", 10)
    assert wires.dialled == []


async def test_a_public_literal_address_needs_a_certificate_for_itself(
    make_fetcher: MakeFetcher, site: Site
) -> None:
    site.pages["/x"] = page(b"ok")
    fetcher = make_fetcher(resolve=Resolver({PUBLIC: [[PUBLIC]], "93.184.216.35": [[PUBLIC]]}))
    assert await fetcher.read(f"https://{PUBLIC}/x", 10) == b"ok"
    with pytest.raises(Unreachable, match="certificate"):
        await fetcher.read("https://93.184.216.35/x", 10)


async def test_only_listed_sites_and_their_subdomains_are_fetched_from(
    make_fetcher: MakeFetcher, site: Site, wires: Wires
) -> None:
    site.pages["/x"] = page(b"ok")
    site.pages["/away"] = moved("https://files.example/x")
    fetcher = make_fetcher(
        FetchRules(min_free_bytes=0, allowed_hosts=frozenset({"cdn.Example", "rebinding.example"}))
    )
    assert await fetcher.read("https://cdn.example/x", 10) == b"ok"
    with pytest.raises(AddressRefused, match=r"only from cdn\.Example, rebinding\.example"):
        await fetcher.read("https://cdn.example/away", 10)
    with pytest.raises(AddressRefused):
        await fetcher.read("https://notcdn.example/x", 10)
    with pytest.raises(Unreachable):
        await fetcher.read("https://deep.cdn.example/x", 10)
    assert [r.headers["host"] for r in site.requests] == ["cdn.example", "cdn.example"]
    assert len(wires.dialled) == 2


# --- Trusted hosts -----------------------------------------------------------------------------


async def test_a_trusted_host_may_be_private_on_any_port_and_without_tls(
    resolver: Resolver,
) -> None:
    async with Site({"/x": page(b"inside")}).serving() as inside:
        for host in ("127.0.0.1", "localhost"):
            rules = FetchRules(trusted_hosts=frozenset({host.upper()}))
            async with GuardedFetcher(rules) as fetcher:
                assert await fetcher.read(f"http://{host}:{inside.port}/x", 10) == b"inside"


async def test_trust_in_one_host_opens_no_other(site: Site) -> None:
    async with Site({"/x": page(b"inside")}).serving() as inside:
        rules = FetchRules(trusted_hosts=frozenset({"127.0.0.1"}))
        async with GuardedFetcher(rules) as fetcher:
            for host in ("localhost", "127.0.0.2", "2130706433", "[::ffff:127.0.0.1]", "127.1"):
                with pytest.raises(AddressRefused):
                    await fetcher.read(f"http://{host}:{inside.port}/x", 10)
        assert inside.requests == []


@pytest.mark.parametrize("port", [0, 65536, 99999999999])
async def test_a_port_that_does_not_exist_is_refused_even_on_a_trusted_host(port: int) -> None:
    rules = FetchRules(trusted_hosts=frozenset({"127.0.0.1"}))
    async with GuardedFetcher(rules) as fetcher:
        with pytest.raises(AddressRefused):
            await fetcher.read(f"http://127.0.0.1:{port}/x", 10)


# --- TLS ---------------------------------------------------------------------------------------


async def test_a_certificate_for_another_name_is_refused(
    make_fetcher: MakeFetcher, site: Site
) -> None:
    fetcher = make_fetcher(resolve=Resolver({"other.example": [[PUBLIC]]}))
    with pytest.raises(Unreachable, match=r"other\.example has no valid certificate"):
        await fetcher.read("https://other.example/x", 10)
    assert site.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path
) -> None:
    fetcher = make_fetcher(ssl_context=Authority(tmp_path).trusted())
    with pytest.raises(Unreachable, match="certificate"):
        await fetcher.read(URL, 10)
    assert site.requests == []


async def test_by_default_the_public_authorities_are_asked(
    resolver: Resolver, wires: Wires
) -> None:
    async with GuardedFetcher(QUICK, resolve=resolver, network=wires) as fetcher:
        with pytest.raises(Unreachable, match="certificate"):
            await fetcher.read(URL, 10)


async def test_a_site_that_speaks_no_tls_is_unreachable(resolver: Resolver) -> None:
    async with Site({"/lora.safetensors": page(b"plain")}).serving() as plain:
        wires = Wires(lambda: plain.port)
        async with GuardedFetcher(QUICK, resolve=resolver, network=wires) as fetcher:
            with pytest.raises(FetchError):
                await fetcher.read(URL, 10)
        assert plain.requests == []


# --- Redirects, tokens, what is sent -----------------------------------------------------------


async def test_redirects_are_followed_also_relative_ones(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/a"] = moved("/b?x=1", 301)
    site.pages["/b"] = moved("https://cdn.example/c?signature=s3cret", 307)
    site.pages["/c"] = page(BODY)
    got = await fetcher.download("https://files.example/a", tmp_path)
    assert got.sha256 == SHA256
    assert got.url == "https://cdn.example/c"
    assert [r.path for r in site.requests] == ["/a", "/b?x=1", "/c?signature=s3cret"]
    assert [r.headers["host"] for r in site.requests] == [
        "files.example",
        "files.example",
        "cdn.example",
    ]


async def test_a_redirect_loop_ends_after_three(fetcher: GuardedFetcher, site: Site) -> None:
    site.pages["/lora.safetensors"] = moved(URL)
    with pytest.raises(NotFetched, match="more than 3 times") as failed:
        await fetcher.read(URL, 10)
    assert failed.value.status == 302
    assert len(site.requests) == 4


async def test_a_token_goes_to_its_own_origin_and_no_further(
    make_fetcher: MakeFetcher, site: Site
) -> None:
    site.pages["/a"] = moved("/b")
    site.pages["/b"] = moved("https://cdn.example/c")
    site.pages["/c"] = moved("https://files.example/d")
    site.pages["/d"] = page(b"ok")
    fetcher = make_fetcher(tokens={"https://files.example": "hf_token"})
    assert await fetcher.read("https://files.example/a", 10) == b"ok"
    assert [r.headers.get("authorization") for r in site.requests] == [
        "Bearer hf_token",
        "Bearer hf_token",
        None,
        "Bearer hf_token",
    ]


async def test_a_token_is_bound_to_scheme_and_port() -> None:
    async with Site({"/x": page(b"ok")}).serving() as one, Site({"/x": page(b"")}).serving() as two:
        rules = FetchRules(trusted_hosts=frozenset({"127.0.0.1"}))
        tokens = {f"http://127.0.0.1:{one.port}": "one", "https://127.0.0.1": "tls"}
        async with GuardedFetcher(rules, tokens=tokens) as fetcher:
            for site in (one, two):
                await fetcher.read(f"http://127.0.0.1:{site.port}/x", 10)
        assert one.requests[0].headers["authorization"] == "Bearer one"
        assert "authorization" not in two.requests[0].headers


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "tökén"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match=r"https://files\.example") as refused:
        GuardedFetcher(QUICK, tokens={"https://files.example": token})
    assert not token or token not in str(refused.value)


async def test_cookies_proxies_and_netrc_play_no_part(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine files.example login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    site.pages["/a"] = page(status=302, headers={"Location": "/b", "Set-Cookie": "id=1"})
    site.pages["/b"] = page(b"ok")
    assert await make_fetcher().read("https://files.example/a", 10) == b"ok"
    assert set(site.requests[1].headers) == {"host", "accept", "accept-encoding", "user-agent"}


async def test_compressed_content_is_neither_asked_for_nor_taken(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(
        b"\x1f\x8b\x08\x00bomb", headers={"Content-Encoding": "gzip"}
    )
    with pytest.raises(NotFetched, match="compresses"):
        await fetcher.download(URL, tmp_path)
    assert site.requests[0].headers["accept-encoding"] == "identity"
    assert files_in(tmp_path) == []


# --- Too large, too slow, broken ---------------------------------------------------------------


async def test_a_promised_size_above_the_limit_is_refused_before_any_byte(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(headers={"Content-Length": str(10**15)})
    with pytest.raises(TooLarge, match=r"at most 2\.0 GB"):
        await fetcher.download(URL, tmp_path)
    assert files_in(tmp_path) == []


async def test_an_endless_body_is_cut_at_the_limit(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/endless"] = endless
    with pytest.raises(TooLarge) as refused:
        await fetcher.download("https://files.example/endless", tmp_path, max_bytes=3_000_000)
    assert refused.value.limit == 3_000_000
    assert files_in(tmp_path) == []


async def test_a_callers_limit_cannot_raise_the_rules_own(
    make_fetcher: MakeFetcher, site: Site
) -> None:
    site.pages["/lora.safetensors"] = page(b"123456")
    fetcher = make_fetcher(FetchRules(max_bytes=5))
    with pytest.raises(TooLarge) as refused:
        await fetcher.read(URL, 100)
    assert refused.value.limit == 5


async def test_a_body_shorter_than_promised_is_refused(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/short"] = page(BODY, headers={"Content-Length": str(len(BODY) + 1)})
    site.pages["/unended"] = chunked(BODY, end=False)
    for path in ("short", "unended"):
        with pytest.raises(Unreachable, match="broke off"):
            await fetcher.download(f"https://files.example/{path}", tmp_path)
    assert files_in(tmp_path) == []


async def test_bytes_beyond_the_promised_ones_are_not_read(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(b"promised and more", headers={"Content-Length": "8"})
    got = await fetcher.download(URL, tmp_path)
    assert got.path.read_bytes() == b"promised"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "-1"},
        {"Content-Length": "9" * 5000},
        {"Content-Length": "1, 2"},
        {"Transfer-Encoding": "gzip"},
        {"X": "y" * 200_000},
        {"Bad name": "x"},
    ],
)
async def test_a_head_that_is_not_http_is_refused(
    fetcher: GuardedFetcher, site: Site, headers: dict[str, str]
) -> None:
    site.pages["/lora.safetensors"] = page(b"x", headers=headers)
    with pytest.raises(FetchError):
        await fetcher.read(URL, 10)


async def test_a_site_that_never_answers_is_too_slow(fetcher: GuardedFetcher, site: Site) -> None:
    async def silent(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    site.pages["/lora.safetensors"] = silent
    with pytest.raises(TooSlow, match="does not answer in time"):
        await fetcher.read(URL, 10)


async def test_a_head_that_trickles_in_is_too_slow(make_fetcher: MakeFetcher, site: Site) -> None:
    async def trickle(_request: Request, writer: asyncio.StreamWriter) -> None:
        for byte in head(200, {"X": "y" * 1000}):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    site.pages["/lora.safetensors"] = trickle
    rules = FetchRules(connect_timeout=0.3, read_timeout=0.3)
    async with asyncio.timeout(5):
        with pytest.raises(TooSlow):
            await make_fetcher(rules).read(URL, 10)


async def test_a_body_that_stalls_is_too_slow(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = stalling
    with pytest.raises(TooSlow):
        await fetcher.download(URL, tmp_path)
    assert files_in(tmp_path) == []


async def test_a_body_that_trickles_in_below_the_minimum_speed_is_too_slow(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = chunked(*[b"x" * 10] * 200, pause=0.02)
    rules = FetchRules(min_free_bytes=0, min_speed=10_000, speed_window=0.2)
    async with asyncio.timeout(3):
        with pytest.raises(TooSlow, match=r"only \d+ bytes a second"):
            await make_fetcher(rules).download(URL, tmp_path)
    assert files_in(tmp_path) == []


async def test_a_slow_start_does_not_count_against_a_body_that_is_fast_enough(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = chunked(*[b"x" * 10_000] * 20, pause=0.02)
    rules = FetchRules(min_free_bytes=0, min_speed=10_000, speed_window=0.1)
    assert (await make_fetcher(rules).download(URL, tmp_path)).size == 200_000


async def test_the_deadline_ends_a_fetch_that_is_never_idle(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = chunked(*[b"x"] * 1000, pause=0.02)
    rules = FetchRules(min_free_bytes=0, deadline=0.4)
    async with asyncio.timeout(3):
        with pytest.raises(TooSlow):
            await make_fetcher(rules).download(URL, tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "permission"),
        (403, "permission"),
        (404, "nothing at this address"),
        (429, "too many requests"),
        (503, "trouble of its own"),
        (204, "direct download link"),
        (304, "direct download link"),
        (418, "direct download link"),
    ],
)
async def test_an_answer_without_the_file_says_what_to_do(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path, status: int, words: str
) -> None:
    site.pages["/lora.safetensors"] = page(status=status, headers={"Retry-After": "17"})
    with pytest.raises(NotFetched, match=words) as failed:
        await fetcher.download(f"{URL}?token=s3cret", tmp_path)
    assert (failed.value.status, failed.value.retry_after) == (status, 17)
    assert "s3cret" not in str(failed.value)
    assert files_in(tmp_path) == []


async def test_a_wait_that_is_no_number_of_seconds_is_ignored(
    fetcher: GuardedFetcher, site: Site
) -> None:
    site.pages["/lora.safetensors"] = page(
        status=429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    )
    with pytest.raises(NotFetched) as failed:
        await fetcher.read(URL, 10)
    assert failed.value.retry_after is None


async def test_a_redirect_that_says_not_where_to_is_no_file(
    fetcher: GuardedFetcher, site: Site
) -> None:
    site.pages["/lora.safetensors"] = page(status=302)
    with pytest.raises(NotFetched):
        await fetcher.read(URL, 10)


# --- On disk -----------------------------------------------------------------------------------


async def test_a_file_with_another_hash_is_not_kept(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(BODY)
    with pytest.raises(HashMismatch, match=SHA256[:12]) as failed:
        await fetcher.download(URL, tmp_path, expected_sha256="0" * 64)
    assert (failed.value.expected, failed.value.actual) == ("0" * 64, SHA256)
    assert files_in(tmp_path) == []


async def test_an_expected_hash_that_is_none_is_refused_before_anything_is_asked(
    fetcher: GuardedFetcher, wires: Wires, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        await fetcher.download(URL, tmp_path, expected_sha256="abc")
    assert wires.dialled == []


async def test_a_disk_without_the_space_to_spare_is_full_before_any_byte_is_written(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(BODY)
    with pytest.raises(DiskFull, match="too full"):
        await make_fetcher(FetchRules(min_free_bytes=2**60)).download(URL, tmp_path)
    assert files_in(tmp_path) == []


def test_a_file_that_cannot_fit_is_refused_before_it_is_created(tmp_path: Path) -> None:
    part = PartFile(tmp_path, 0)
    with pytest.raises(OSError, match="No space left"):
        part.open(2**60)
    assert files_in(tmp_path) == []


async def test_a_disk_that_fills_up_midway_leaves_nothing(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.FileIO):
        """A real file with room for one block."""

        def write(self, data: Any, /) -> int:
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda self, mode, **_: FullDisk(self, mode.rstrip("b")))
    site.pages["/lora.safetensors"] = page(BODY)
    with pytest.raises(DiskFull):
        await fetcher.download(URL, tmp_path)
    assert files_in(tmp_path) == []


async def test_a_folder_that_cannot_be_written_to_is_said_without_its_path(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    site.pages["/lora.safetensors"] = page(BODY)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotSaved) as failed:
        await fetcher.download(URL, tmp_path / "file" / "folder")
    assert not isinstance(failed.value, DiskFull)
    assert str(tmp_path) not in str(failed.value)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_download_leaves_nothing(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path, times: int
) -> None:
    site.pages["/lora.safetensors"] = stalling
    begun = asyncio.Event()
    task = asyncio.create_task(fetcher.download(URL, tmp_path, on_progress=lambda *_: begun.set()))
    await begun.wait()
    assert any(name.endswith(".part") for name in files_in(tmp_path))
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(lambda: files_in(tmp_path) == [])


async def test_a_cancellation_during_a_slow_write_waits_for_it_and_then_tidies_up(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()

    class SlowDisk(io.FileIO):
        def write(self, data: Any, /) -> int:
            writing.set()
            go_on.wait(5)
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda self, mode, **_: SlowDisk(self, mode.rstrip("b")))
    site.pages["/lora.safetensors"] = page(BODY)
    task = asyncio.create_task(fetcher.download(URL, tmp_path))
    await asyncio.to_thread(writing.wait, 5)
    task.cancel()
    await asyncio.sleep(0.1)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("pause", [0, 0.001, 0.003, 0.01, 0.02, 0.04, 0.08])
async def test_a_download_cancelled_at_any_moment_leaves_nothing_half_done(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path, pause: float
) -> None:
    site.pages["/lora.safetensors"] = page(BODY)
    task = asyncio.create_task(fetcher.download(URL, tmp_path))
    await asyncio.sleep(pause)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert set(files_in(tmp_path)) <= {SHA256}


async def test_a_failing_progress_callback_leaves_nothing(
    fetcher: GuardedFetcher, site: Site, tmp_path: Path
) -> None:
    def fail(_done: int, _total: int | None) -> None:
        raise RuntimeError("the listener failed")

    site.pages["/lora.safetensors"] = page(BODY)
    with pytest.raises(RuntimeError, match="the listener failed"):
        await fetcher.download(URL, tmp_path, on_progress=fail)
    assert files_in(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    part = PartFile(tmp_path, 0)
    part.open(0)
    part.write(b"half")
    (tmp_path / SHA256).write_bytes(b"whole")
    (tmp_path / "notes.part").write_bytes(b"not ours")
    assert remove_leftovers(tmp_path) == 1
    assert files_in(tmp_path) == [SHA256, "notes.part"]
    assert remove_leftovers(tmp_path / "nowhere") == 0


# --- Words -------------------------------------------------------------------------------------


async def test_no_message_holds_a_token_a_query_or_a_fragment(
    make_fetcher: MakeFetcher, site: Site, tmp_path: Path
) -> None:
    fetcher = make_fetcher(tokens={"https://files.example": "hf_s3cret"})
    site.pages["/loop"] = moved("/loop?again=s3cret")
    site.pages["/short"] = page(b"x", headers={"Content-Length": "2"})
    site.pages["/inside"] = moved("http://10.0.0.1/?s3cret")
    site.pages["/down"] = moved("http://files.example/?s3cret")
    site.pages["/gone"] = page(status=404)
    for path in ("loop", "short", "inside", "down", "gone"):
        with pytest.raises(FetchError) as failed:
            await fetcher.download(f"https://files.example/{path}?q=s3cret#s3cret", tmp_path)
        message = str(failed.value)
        assert "s3cret" not in message
        assert re.fullmatch(r"[^\n]{20,240}\.", message), message


async def test_a_name_in_other_letters_is_shown_in_ascii(fetcher: GuardedFetcher) -> None:
    with pytest.raises(Unreachable, match="xn--"):
        await fetcher.read("https://аррӏе.example/", 10)


@pytest.mark.parametrize(
    "kind",
    [
        *HTTPCORE_ERRORS,
        ConnectionResetError,
        ssl.SSLError,
        TimeoutError,
        OSError,
    ],
)
def test_whatever_the_network_raises_is_told_in_our_own_words(kind: type[Exception]) -> None:
    with pytest.raises(FetchError, match=r"^files\.example "), network_errors_told("files.example"):
        raise kind("internal detail")


def test_the_drawn_error_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^    ([│├└─ ]*)(\w+) {2,}\S", fetch.__doc__ or "", re.MULTILINE)
    real: list[type[FetchError]] = [
        FetchError,
        *FetchError.__subclasses__(),
        *NotSaved.__subclasses__(),
    ]
    assert [name for _, name in drawn] == [kind.__name__ for kind in real]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.builds("https://{}".format, st.text(max_size=60)),
        st.builds("https://{}:{}/".format, st.text("[]:%.@\\/0x1", max_size=20), st.integers()),
    )
)
def test_no_text_in_place_of_a_url_raises_anything_but_our_own_error(text: str) -> None:
    async def attempt() -> None:
        resolver = Resolver({})
        async with GuardedFetcher(QUICK, resolve=resolver, ssl_context=CONTEXT) as fetcher:
            with pytest.raises(FetchError):
                await fetcher.read(text, 10)

    asyncio.run(attempt())


CONTEXT = ssl.create_default_context()


# --- Data URIs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "data"),
    [
        ("data:,hello%20there", b"hello there"),
        ("data:;base64,aGVsbG8=", b"hello"),
        ("DATA:application/octet-stream;BASE64,AP8%3D", b"\x00\xff"),
        ("data:text/plain;charset=utf-8,a,b", b"a,b"),
        ("data:,", b""),
    ],
)
def test_a_data_uri_is_decoded(uri: str, data: bytes) -> None:
    assert decode_data_uri(uri, 100) == data


@pytest.mark.parametrize(
    "uri",
    ["", "data:", "data:text/plain", "https://files.example/", "data:;base64,a", "data:;base64,@@"],
)
def test_what_is_no_data_uri_is_refused(uri: str) -> None:
    with pytest.raises(AddressRefused):
        decode_data_uri(uri, 100)


@given(st.binary(max_size=200), st.integers(0, 200), st.booleans())
def test_a_data_uri_gives_its_bytes_or_is_too_large(data: bytes, limit: int, plain: bool) -> None:
    uri = (
        "data:," + "".join(f"%{byte:02x}" for byte in data)
        if plain
        else "data:;base64," + base64.b64encode(data).decode()
    )
    if len(data) <= limit:
        assert decode_data_uri(uri, limit) == data
    else:
        with pytest.raises(TooLarge):
            decode_data_uri(uri, limit)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)
