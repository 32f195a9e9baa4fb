"""The guarded fetcher: every URL that a person or a service gave goes through it.

Only https on port 443 and public addresses are reached, except for hosts that the owner trusts by
name. A host name is resolved once, every address it has is checked, and the checked address itself
is dialled while TLS still verifies the name, so that a later answer of the name server changes
nothing. It stands on httpcore's connection pool, which takes our network backend publicly and
knows no proxies, cookies, redirects or decompression; redirects are followed here, checked anew.

    FetchError              str(error) is a sentence for people, without tokens or query strings
    ├── AddressRefused      the address, or one it leads to, may not be fetched
    ├── Unreachable         no connection, no valid certificate, or the answer broke off
    ├── NotFetched          the server answered, but not with the file
    ├── TooLarge            more bytes than allowed
    ├── TooSlow             the server kept us waiting too long
    ├── HashMismatch        other bytes than expected
    └── NotSaved            the file cannot be written
        └── DiskFull        too little space is left for it
"""

import asyncio
import base64
import binascii
import contextlib
import re
import ssl
import urllib.parse
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpcore
import httpx

from lora_registry._fetch_errors import (
    AddressRefused,
    DiskFull,
    FetchError,
    HashMismatch,
    NotFetched,
    NotSaved,
    TooLarge,
    TooSlow,
    Unreachable,
    disk_errors_told,
    network_errors_told,
    readable_size,
)
from lora_registry._network import GuardedNetwork, Resolve, host_refusal, refused, system_resolve
from lora_registry._partfile import PartFile, remove_leftovers

__all__ = [
    "AddressRefused",
    "DiskFull",
    "Download",
    "FetchError",
    "FetchRules",
    "FileStart",
    "GuardedFetcher",
    "HashMismatch",
    "NotFetched",
    "NotSaved",
    "PartFile",
    "Progress",
    "Resolve",
    "TooLarge",
    "TooSlow",
    "Unreachable",
    "decode_data_uri",
    "disk_errors_told",
    "readable_size",
    "remove_leftovers",
    "system_resolve",
]

_MIB: Final = 1024 * 1024
_BLOCK: Final = _MIB
"""Bytes that are collected before a thread writes them."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be fetched, and how patiently. Sizes are in bytes, times in seconds.

    `min_speed` (bytes a second) is asked for over each `speed_window`; `deadline` ends any fetch.
    A download leaves `min_free_bytes` of the disk free. `trusted_hosts` are host names or literal
    addresses exactly as they stand in a URL: they may be private, on any port, over plain http.
    With `allowed_hosts`, every other host must be one of those names or a subdomain of one.
    """

    max_bytes: int = 2048 * _MIB
    min_free_bytes: int = 512 * _MIB
    min_speed: float = 32 * 1024
    speed_window: float = 20
    connect_timeout: float = 10
    read_timeout: float = 30
    deadline: float = 3600
    max_redirects: int = 3
    trusted_hosts: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] | None = None

    def trusts(self, host: str) -> bool:
        return host in {name.lower().strip("[]") for name in self.trusted_hosts}

    def allows(self, host: str) -> bool:
        return self.allowed_hosts is None or any(
            f".{host}".endswith(f".{name.lower()}") for name in self.allowed_hosts
        )


@dataclass(frozen=True, slots=True)
class Download:
    """A complete file named `<sha256><suffix>`; `url` is where it came from, query removed."""

    path: Path
    sha256: str
    size: int
    url: str


@dataclass(frozen=True, slots=True)
class FileStart:
    """The first bytes of a file, and its whole size where the server told it."""

    data: bytes
    total_size: int | None


Progress = Callable[[int, int | None], None]
"""Called on the event loop with the bytes saved so far and, where known, the bytes in all."""


class GuardedFetcher:
    """Fetches under `rules`; an async context manager, safe for any number of tasks at once.

    `tokens` maps an origin (`https://huggingface.co`) to the bearer token that goes to that origin
    and nowhere else. `resolve`, `network` and `ssl_context` stand in for the system's resolver,
    sockets and certificate authorities.

    Raises:
        ValueError: a token has characters that no header can carry.
    """

    def __init__(
        self,
        rules: FetchRules,
        *,
        tokens: Mapping[str, str] | None = None,
        resolve: Resolve = system_resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._tokens = {}
        for origin, token in (tokens or {}).items():
            if not re.fullmatch(r"[!-~]+", token):
                raise ValueError(f"The token for {origin} is empty or has spaces or line breaks.")
            self._tokens[_origin(httpx.URL(origin))] = token
        guarded = GuardedNetwork(rules.trusts, resolve, network or httpcore.AnyIOBackend())
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),
            max_connections=None,  # callers bound their fetches; waiting here would look slow
            max_keepalive_connections=0,  # an idle one may have died, or its name moved on
            network_backend=guarded,
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)

    def check(self, url: str) -> None:
        """Look at a URL without asking anybody: scheme, host, port.

        What its name leads to is checked when it is used.

        Raises:
            AddressRefused: it may not be fetched.
        """
        self._permitted(url)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, within: float
    ) -> int:
        """Send `body` to `url` and return the HTTP status, all `within` so many seconds.

        Redirects are not followed, no token goes along, and the answer's body is not read.

        Raises:
            FetchError: there was no answer.
        """
        target = self._permitted(url)
        lines = {**headers, "Content-Length": str(len(body))}
        with network_errors_told(_host(target)):
            async with (
                asyncio.timeout(within),
                self._request(target, "POST", lines, body) as response,
            ):
                return response.status

    async def download(
        self,
        url: str,
        folder: Path,
        *,
        suffix: str = "",
        expected_sha256: str | None = None,
        max_bytes: int | None = None,
        on_progress: Progress | None = None,
    ) -> Download:
        """Save what is at `url` as `folder/<sha256><suffix>`, complete and synced to disk.

        Any failure or cancellation leaves nothing half-done in `folder`.

        Raises:
            FetchError: see the tree above.
            ValueError: `expected_sha256` is not 64 hexadecimal digits.
        """
        expected = expected_sha256.lower() if expected_sha256 else None
        if expected and not re.fullmatch(r"[0-9a-f]{64}", expected):
            raise ValueError(f"expected_sha256 is {expected[:80]!r}; use 64 hexadecimal digits.")
        part = PartFile(folder, self._rules.min_free_bytes)
        try:
            async with self._answer(url, max_bytes) as answer:
                await self._save(answer, part, on_progress)
            _check_hash(expected, part.sha256)
            with disk_errors_told():
                path = await asyncio.to_thread(part.keep, suffix)
        except BaseException:
            # Shielded: a second cancellation must not stop the tidying.
            await asyncio.shield(asyncio.to_thread(part.discard))
            raise
        source = f"{answer.url.scheme}://{answer.url.netloc.decode('ascii')}{_path(answer.url)}"
        return Download(path, part.sha256, part.size, source)

    async def read(self, url: str, max_bytes: int) -> bytes:
        """Read what is at `url` into memory, at most `max_bytes` of it.

        Raises:
            FetchError: see the tree above; TooLarge when there is more.
        """
        data = bytearray()
        async with self._answer(url, max_bytes) as answer:
            async for chunk in answer.stream:
                answer.meter.count(chunk)
                data += chunk
        return bytes(data)

    async def read_start(self, url: str, length: int) -> FileStart:
        """Read only the first `length` bytes of what is at `url`, fewer where it is shorter.

        Where the server ignores the range, reading stops after the wanted bytes.

        Raises:
            FetchError: see the tree above; the size of the whole file is not limited.
        """
        data = bytearray()
        async with self._answer(url, first=length) as answer:
            async for chunk in answer.stream:
                answer.meter.count(chunk)
                data += chunk
                if len(data) >= length:
                    break
        return FileStart(bytes(data[:length]), answer.total_size)

    @contextlib.asynccontextmanager
    async def _answer(
        self, url: str, max_bytes: int | None = None, *, first: int | None = None
    ) -> AsyncIterator["_Answer"]:
        """Ask for `url`, follow its redirects and yield the answer that has the file."""
        rules = self._rules
        limit = rules.max_bytes if max_bytes is None else min(max_bytes, rules.max_bytes)
        until = asyncio.get_running_loop().time() + rules.deadline
        target = self._permitted(url)
        for _ in range(rules.max_redirects + 1):
            with network_errors_told(_host(target)):
                async with (
                    asyncio.timeout_at(until),
                    self._request(target, "GET", self._asking(target, first)) as response,
                ):
                    location = _header(response, "location")
                    if response.status in _REDIRECTS and location is not None:
                        target = self._permitted(location, base=target)
                        continue
                    answer = _Answer(target, response, _Meter(rules, limit, _host(target)))
                    answer.check(ranged=first is not None)
                    if first is None and (answer.length or 0) > limit:
                        raise TooLarge(limit)
                    yield answer
                    return
        raise NotFetched(
            f"{_shown(target)} was not fetched: the address redirects more than "
            f"{rules.max_redirects} times. Use the one where the file is.",
            response.status,
        )

    def _asking(self, url: httpx.URL, first: int | None) -> dict[str, str]:
        """Headers of a request for a file, or for its `first` bytes."""
        headers = {"Accept-Encoding": "identity"}
        if token := self._tokens.get(_origin(url)):
            headers["Authorization"] = f"Bearer {token}"
        if first is not None:
            headers["Range"] = f"bytes=0-{first - 1}"
        return headers

    @contextlib.asynccontextmanager
    async def _request(
        self, url: httpx.URL, method: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator[httpcore.Response]:
        rules = self._rules
        usual = {"Host": url.netloc.decode("ascii"), "Accept": "*/*", "User-Agent": "atelier"}
        patience = {"connect": rules.connect_timeout, "read": rules.read_timeout}
        request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=[*usual.items(), *headers.items()],
            content=body or None,
            extensions={"timeout": {**patience, "write": rules.read_timeout}},
        )
        # The read timeout starts anew with every byte; this one covers look-up and head together.
        async with asyncio.timeout(rules.connect_timeout + rules.read_timeout):
            response = await self._pool.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def _save(self, answer: "_Answer", part: PartFile, on_progress: Progress | None) -> None:
        async def flush(block: bytearray) -> None:
            with disk_errors_told():
                await asyncio.to_thread(part.write, block)
            if on_progress:
                on_progress(part.size, answer.length)

        with disk_errors_told():
            await asyncio.to_thread(part.open, answer.length or 0)
        block = bytearray()
        async for chunk in answer.stream:
            answer.meter.count(chunk)
            block += chunk
            if len(block) >= _BLOCK:
                await flush(block)
                block = bytearray()
        await flush(block)

    def _permitted(self, text: str, *, base: httpx.URL | None = None) -> httpx.URL:
        """Check a URL by its looks; what its name resolves to is checked when it is dialled."""
        try:
            url = base.join(text) if base else httpx.URL(text)
            url = url.copy_with(fragment=None, host=url.host.removesuffix("."))
        except httpx.InvalidURL:
            raise AddressRefused(
                "This is not a complete web address; use one that starts with https://."
            ) from None
        host = _host(url)
        if url.scheme not in {"http", "https"} or not host:
            raise AddressRefused("Only web addresses can be fetched; use one with https://.")
        if url.userinfo:
            reason = "it has a user name in it. Leave that out"
        elif self._rules.trusts(host):
            if url.port is None or 0 < url.port < 65536:
                return url
            reason = f"there is no port {url.port}"
        elif why := host_refusal(host):
            raise refused(host, why)
        elif url.scheme != "https":
            reason = "it is not encrypted. Use https:// in place of http://"
        elif url.port is not None:
            reason = f"only the usual port 443 may be used, not {url.port}"
        elif not self._rules.allows(host):
            allowed = ", ".join(sorted(self._rules.allowed_hosts or ()))
            reason = f"files are fetched only from {allowed}"
        else:
            return url
        raise AddressRefused(f"{_shown(url)} was refused: {reason}.")


class _Meter:
    """Counts what arrives and stops what is too much or too slow."""

    def __init__(self, rules: FetchRules, limit: int, host: str) -> None:
        self._rules, self._limit, self._host = rules, limit, host
        self._total = self._recent = 0
        self._since = asyncio.get_running_loop().time()

    def count(self, chunk: bytes) -> None:
        self._total += len(chunk)
        if self._total > self._limit:
            raise TooLarge(self._limit)
        self._recent += len(chunk)
        passed = asyncio.get_running_loop().time() - self._since
        if passed >= self._rules.speed_window:
            if self._recent < self._rules.min_speed * passed:
                speed = readable_size(self._recent / passed)
                raise TooSlow(
                    f"{self._host} sends only {speed} a second. Try again later or use another "
                    "source."
                )
            self._since += passed
            self._recent = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    """The head of an answer, with its body still to come."""

    url: httpx.URL
    response: httpcore.Response
    meter: _Meter

    @property
    def stream(self) -> AsyncIterable[bytes]:
        stream = self.response.stream
        assert isinstance(stream, AsyncIterable)  # noqa: S101 -- an async pool gives no other
        return stream

    @property
    def length(self) -> int | None:
        """The size of the body where the server told it; h11 checked that it is one number."""
        length = _header(self.response, "content-length")
        return None if length is None else int(length)

    @property
    def total_size(self) -> int | None:
        """The size of the whole file, also where only a part was sent."""
        if self.response.status != 206:
            return self.length
        size = (_header(self.response, "content-range") or "").rpartition("/")[2]
        return int(size) if re.fullmatch(r"\d{1,18}", size) else None

    def check(self, *, ranged: bool) -> None:
        """Refuse what is not the file, or not as it was asked for."""
        status, retry_after = self.response.status, None
        part = (_header(self.response, "content-range") or "").lower()
        if status not in ({200, 206} if ranged else {200}):
            problem = _meaning(status)
            wait = _header(self.response, "retry-after") or ""
            retry_after = int(wait) if re.fullmatch(r"\d{1,6}", wait) else None
        elif (_header(self.response, "content-encoding") or "identity").lower() != "identity":
            problem = "the server compresses it unasked. Use a direct download link."
        elif status == 206 and not part.startswith("bytes 0-"):
            problem = "the server sends another part of it than asked. Use another source."
        else:
            return
        raise NotFetched(f"{_shown(self.url)} was not fetched: {problem}", status, retry_after)


def decode_data_uri(uri: str, max_bytes: int) -> bytes:
    """Decode a `data:` URI (RFC 2397) of at most `max_bytes` bytes.

    Raises:
        AddressRefused: it is not one, or is damaged.
        TooLarge: it holds more.
    """
    head, comma, payload = uri.partition(",")
    if head[:5].lower() != "data:" or not comma:
        raise AddressRefused("This is not a data URI; use data:[type][;base64],content.")
    # Before anything is decoded: four characters of base64 hold three bytes, %2B holds one.
    if len(payload) > 4 * max_bytes + 4:
        raise TooLarge(max_bytes)
    data = urllib.parse.unquote_to_bytes(payload)
    if head.lower().endswith(";base64"):
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise AddressRefused("The data URI is damaged: its base64 does not decode.") from None
    if len(data) > max_bytes:
        raise TooLarge(max_bytes)
    return data


def _check_hash(expected: str | None, actual: str) -> None:
    if expected and expected != actual:
        raise HashMismatch(expected, actual)


def _header(response: httpcore.Response, name: str) -> str | None:
    wanted = name.encode("ascii")
    values = (value for key, value in response.headers if key.lower() == wanted)
    return next((value.decode("utf-8", "replace").strip() for value in values), None)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _host(url: httpx.URL) -> str:
    """The host in ASCII: a name that only looks like another one does not get far."""
    return url.raw_host.decode("ascii")


def _path(url: httpx.URL) -> str:
    return url.raw_path.partition(b"?")[0].decode("ascii")


def _shown(url: httpx.URL) -> str:
    """Write a URL for people: host and path, in ASCII, without user, query and fragment."""
    text = f"{_host(url)}{_path(url)}"
    return text if len(text) <= 120 else f"{text[:119]}…"


def _meaning(status: int) -> str:
    match status:
        case 401 | 403:
            return (
                f"the site asks for permission ({status}). Accept its terms there, or have the "
                "owner set its token."
            )
        case 404 | 410:
            return f"there is nothing at this address ({status}). Check it for typos."
        case 429:
            return "the site has had too many requests (429). Try again later."
        case _ if status >= 500:
            return f"the site has trouble of its own ({status}). Try again later."
        case _:
            return f"the site answers {status} in place of it. Use a direct download link."
