"""The file server behind a fal-compatible service: its token, and requests that carry it.

The REST address exchanges the key for a token and names the server that takes it. The key goes to
the configured REST address only; the token, which lives for minutes, only to the named server or an
encrypted sister of it. Nothing here is paid for, so what may pass is tried again.
"""

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import httpx
import stamina
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from backends.fal.error_bodies import read_error
from backends.fal.errors import AnswerRefused, FalError, KeyRefused
from backends.fal.gateway import Gateway

_TRIES: Final = 4
_TRYING_S: Final = 600.0
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_TOKEN_MARGIN: Final = dt.timedelta(seconds=60)
_MAX_ANSWER: Final = 64 * 1024
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

_Model = TypeVar("_Model", bound=BaseModel)

Body = bytes | Callable[[], AsyncGenerator[bytes, None]]
"""What is sent; a stream is made anew for each try."""


def _address(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("no address of the web")
    return text


Address = Annotated[str, Field(max_length=2000, pattern=r"^[!-~]+$"), AfterValidator(_address)]
"""A URL in a server's answer."""


class StorageMissing(FalError):
    """The service takes no files."""


class StorageTrouble(Exception):
    """Trouble that may pass, but did not while it was waited for; says which host has which."""


@dataclass(frozen=True, slots=True)
class StorageAnswer:
    """What the server at `host` answered, whatever its status."""

    host: str
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def fields(self) -> Mapping[str, object]:
        """The body where it is a JSON object, else nothing."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def read(self, model: type[_Model]) -> _Model:
        """The body as JSON.

        Raises:
            AnswerRefused: it is none, or misses what `model` needs.
        """
        try:
            return model.model_validate_json(self.body)
        except ValidationError:
            raise AnswerRefused(
                f"{self.host} answered an upload in a form that Atelier does not know. Check "
                "FAL_REST_URL.",
                status=self.status,
            ) from None


class _Token(BaseModel):
    token: Annotated[str, Field(pattern=r"^[!-~]+$", repr=False)]
    token_type: Annotated[str, Field(pattern=r"^[A-Za-z]+$")]
    base_url: Address
    expires_at: dt.datetime

    @property
    def fresh(self) -> bool:
        ends = self.expires_at
        ends = ends if ends.tzinfo else ends.replace(tzinfo=dt.UTC)
        return dt.datetime.now(dt.UTC) < ends - _TOKEN_MARGIN


class FileServer:
    """Speaks to the file server of the service behind `gateway`; safe for many tasks at once."""

    def __init__(self, gateway: Gateway, http: httpx.AsyncClient) -> None:
        self._gateway = gateway
        self._http = http
        self._token: _Token | None = None
        self._renewing = asyncio.Lock()

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body = b""
    ) -> StorageAnswer:
        """Send to `target`, a path on the file server or a URL that it has named.

        Raises:
            FalError: there is no token to be had, or `target` is not that server's.
            StorageTrouble: after several tries there still was no answer, or only server trouble.
        """
        async for attempt in stamina.retry_context(
            on=StorageTrouble,
            attempts=_TRIES,
            timeout=_TRYING_S,
            wait_initial=0.5,
            wait_max=10.0,
            wait_jitter=1.0,
        ):
            with attempt:
                token = await self._current_token()
                base = httpx.URL(token.base_url)
                url = httpx.URL(f"{base}{target}" if target.startswith("/") else target)
                if not _is_near(url, base):
                    raise AnswerRefused(
                        f"{base.host} wants the upload sent to {url.host}, which does not get the "
                        "upload's token. Use a LoRA with a public URL."
                    )
                sent = {**headers, "Authorization": f"{token.token_type} {token.token}"}
                answer = await self._ask(method, url, sent, body)
                if answer.status == httpx.codes.UNAUTHORIZED:
                    if token is self._token:
                        self._token = None
                    raise StorageTrouble(f"{base.host} does not take the upload's token any more")
                return answer
        raise AssertionError  # the last attempt returns or raises

    async def _current_token(self) -> _Token:
        async with self._renewing:
            if self._token is None or not self._token.fresh:
                self._token = await self._new_token()
            return self._token

    async def _new_token(self) -> _Token:
        rest = httpx.URL(self._gateway.rest_url)
        url = httpx.URL(f"{rest}/storage/auth/token", params={"storage_type": "fal-cdn-v3"})
        headers = {"Content-Type": "application/json", **self._gateway.headers()}
        answer = await self._ask("POST", url, headers, b"{}")
        match answer.status:
            case 200 | 201:
                token = answer.read(_Token)
            case 401:
                raise KeyRefused(
                    f"{rest.host} does not know the key, so no LoRA can be uploaded. Correct "
                    "FAL_KEY, or FAL_REST_URL if the key is another service's.",
                    status=401,
                )
            case 402 | 403:
                raise read_error(answer.status, answer.headers, answer.fields)
            case 404 | 405 | 501:
                raise StorageMissing(
                    f"{rest.host} takes no files, so no LoRA can be uploaded. Set FAL_REST_URL to "
                    "the service's address for files, or use LoRAs with public URLs.",
                    status=answer.status,
                )
            case status:
                raise AnswerRefused(
                    f"{rest.host} answered {status} when asked for storage. Check FAL_REST_URL.",
                    status=status,
                )
        base = httpx.URL(token.base_url)
        plain_is_fine = rest.scheme == "http" and base.host == rest.host
        if base.userinfo or base.query or not (base.scheme == "https" or plain_is_fine):
            raise AnswerRefused(
                f"{rest.host} names a file server that cannot be trusted with an upload: its "
                "address is not encrypted, or not plain. Check FAL_REST_URL."
            )
        return token.model_copy(update={"base_url": token.base_url.rstrip("/")})

    async def _ask(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Body
    ) -> StorageAnswer:
        """Ask once.

        Raises:
            StorageTrouble: no answer, or server trouble.
        """
        data = bytearray()
        try:
            async with (
                _content(body) as content,
                self._http.stream(
                    method,
                    url,
                    # A proxy that compresses an answer may take away the ETag that a part needs.
                    headers={"Accept-Encoding": "identity", **headers},
                    content=content,
                    follow_redirects=False,
                    timeout=_TIMEOUT,
                ) as response,
            ):
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > _MAX_ANSWER:
                        raise AnswerRefused(f"{url.host} answered an upload with far too much.")
        except httpx.TimeoutException:
            raise StorageTrouble(f"{url.host} did not answer in time") from None
        except httpx.HTTPError:
            raise StorageTrouble(f"the connection to {url.host} failed") from None
        if response.status_code in _PASSING:
            raise StorageTrouble(f"{url.host} has trouble of its own ({response.status_code})")
        return StorageAnswer(url.host, response.status_code, response.headers, bytes(data))


@contextlib.asynccontextmanager
async def _content(body: Body) -> AsyncIterator[bytes | AsyncGenerator[bytes, None]]:
    if isinstance(body, bytes):
        yield body
        return
    async with contextlib.aclosing(body()) as stream:
        yield stream


def _is_near(url: httpx.URL, base: httpx.URL) -> bool:
    """Whether a URL is the file server's: its own origin, or an encrypted sister of its host.

    fal's own clients send parts, and the token with them, wherever `access_url` leads.
    """
    if url.userinfo:
        return False
    if (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port):
        return True
    domain = base.host.partition(".")[2]
    sister = "." in domain and not domain.replace(".", "").isdigit()
    plain = url.scheme == "https" and url.port is None
    return plain and sister and url.host.partition(".")[2] == domain
