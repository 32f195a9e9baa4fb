"""HTTP to a fal-compatible service: one POST a job, and reads that may be repeated.

A submit goes over a connection of its own: on one that was kept open, a request may be written
just as the other side closes it, and then nobody can say whether it was taken.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import httpx_sse

from backends.errors import OutcomeUnknown, Unreachable
from backends.fal.error_bodies import Sent, read_error
from backends.fal.errors import FalError, Redirected, RequestGone
from backends.fal.gateway import Gateway

MAX_BODY: Final = 192 * 2**20
"""Bytes of one answer: four pictures may come inside of it, in base64."""

_IN_A_THREAD: Final = 2**20
"""Bytes of JSON from which on parsing it would be felt."""

_CONNECT_TRIES: Final = 4
_BUSY_TRIES: Final = 6
_CANCEL_TRIES: Final = 3
_CANCEL_S: Final = 8.0
_TOTAL: Final = 4
"""An answer may take so many times what its next bytes may take."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the client is; all times are in seconds.

    `answer` is the longest silence of a reply, `submit` the same for a submit, where giving up
    costs more; `idle` that of a status stream, into which fal writes every 15 s. Pauses between
    polls grow from `poll` to `slowest_poll`. `pause` and `busy` bound what a submit waits between
    tries to connect, and in all for a service that says 429. `unknown` is how long an unknown
    status is waited out, `result` how long a finished request's result is asked for.
    """

    connect: float = 10.0
    answer: float = 30.0
    submit: float = 60.0
    idle: float = 40.0
    poll: float = 0.5
    slowest_poll: float = 5.0
    pause: float = 0.5
    busy: float = 60.0
    unknown: float = 60.0
    result: float = 240.0


class Passing(Exception):
    """A read failed for a reason that may pass."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered; `body` is the JSON, None where there is none."""

    status: int
    headers: httpx.Headers
    body: object

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body where it is an object, else nothing."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def passing(self) -> bool:
        """Whether a read may have another answer a little later."""
        return self.status in {408, 425, 429} or self.status >= 500

    @property
    def retry_after(self) -> float | None:
        """Seconds that the service asks us to wait."""
        text = self.headers.get("retry-after", "").strip()
        if text.isdecimal():
            return float(text[:6])
        try:
            return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
        except (TypeError, ValueError):
            return None


class FalClient:
    """Speaks the queue protocol with one gateway. The key goes to its origin and nowhere else."""

    def __init__(self, gateway: Gateway, pace: Pace) -> None:
        self.gateway = gateway
        self.pace = pace
        verify = httpx.create_ssl_context()  # honours SSL_CERT_FILE
        self.http = _client(_Transport(verify=verify, limits=httpx.Limits(max_connections=None)))
        """Without the key, and following no redirect."""
        fresh = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._posts = _client(_Transport(verify=verify, limits=fresh))

    async def close(self) -> None:
        await self.http.aclose()
        await self._posts.aclose()

    async def submit(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        sent: Sent,
        webhook_url: str | None,
    ) -> Mapping[str, Any]:
        """Post a request, once. Posted again is only what the service certainly did not take.

        Raises:
            Unreachable: nothing was taken.
            OutcomeUnknown: it may have been taken.
            FalError: it was refused.
        """
        host = self.gateway.host
        query = {} if webhook_url is None else {"fal_webhook": webhook_url}
        request = self._posts.build_request(
            "POST",
            self.gateway.call(self.gateway.submit_url(endpoint), **query),
            json=body,
            headers={**self.gateway.headers(), **headers},
            timeout=httpx.Timeout(self.pace.submit, connect=self.pace.connect),
        )
        try:
            answer = await self._post(request)
        except (httpx.HTTPError, TimeoutError):
            raise _unknown(f"The connection to {host} broke off") from None
        if answer.status == 408 or answer.status >= 500:
            raise _unknown(f"{host} had trouble of its own ({answer.status})")
        if answer.ok and not answer.fields:
            raise _unknown(f"{host} gave an answer that cannot be read")
        if answer.ok:
            return answer.fields
        if answer.status in {404, 405}:
            raise RequestGone(
                f"{host} does not know {endpoint} ({answer.status}); the owner should check"
                " FAL_QUEUE_URL.",
                status=answer.status,
            )
        raise self.error(answer, sent)

    async def get(self, url: str, **query: str) -> Answer:
        """Read one of this gateway's URLs; its answer may be an error.

        Raises:
            Passing: there was none.
            Redirected: it leads elsewhere.
        """
        return await self._call("GET", url, self.pace.answer, **query)

    async def statuses(self, url: str) -> AsyncGenerator[Mapping[str, Any], None]:
        """Follow a status stream until it ends.

        Raises:
            Passing: it broke off, fell silent, or is none.
        """
        timeout = httpx.Timeout(self.pace.idle, connect=self.pace.connect)
        target, headers = self.gateway.call(url, logs="1"), self.gateway.headers()
        try:
            async with httpx_sse.aconnect_sse(
                self.http, "GET", str(target), headers=headers, timeout=timeout
            ) as source:
                if source.response.status_code != 200:
                    raise Passing
                async with aclosing(source.aiter_sse()) as events:
                    async for event in events:
                        status = json.loads(event.data)
                        if not isinstance(status, dict):
                            raise Passing
                        yield status
        except (httpx.HTTPError, httpx_sse.SSEError, ValueError) as error:
            raise Passing from error

    async def cancel(self, url: str) -> None:
        """Ask for a request's end. One that has ended, or is not known, is no error.

        Raises:
            FalError: the service did not take it.
        """
        for tries_left in reversed(range(_CANCEL_TRIES)):
            try:
                answer = await self._call("PUT", url, _CANCEL_S)
            except Passing:
                answer = None
            if answer is not None and (answer.ok or answer.status in {400, 404}):
                return
            if answer is not None and not answer.passing:
                raise self.error(answer)
            if tries_left:
                await asyncio.sleep(self.jittered(self.pace.pause))
        raise FalError(f"{self.gateway.host} did not answer when asked to cancel a request.")

    def error(self, answer: Answer, sent: Sent | None = None) -> FalError:
        """What an answer means that is an error."""
        sent = sent or Sent(key=self.gateway.key)
        return read_error(answer.status, answer.headers, answer.body, sent)

    @staticmethod
    def jittered(seconds: float) -> float:
        """So long, give or take a quarter."""
        return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    async def _post(self, request: httpx.Request) -> Answer:
        """Send until it was taken, refused or may have been either; 429 is none of these."""
        host = self.gateway.host
        until = asyncio.get_running_loop().time() + self.pace.busy
        unconnected = busy = 0
        while True:
            pause = self.pace.pause * 2 ** (unconnected + busy)
            try:
                async with asyncio.timeout(self.pace.connect + self.pace.submit * _TOTAL):
                    answer = await self._read(await self._posts.send(request))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                unconnected += 1
                if unconnected == _CONNECT_TRIES:
                    raise Unreachable(
                        f"{host} cannot be reached. Nothing was sent or paid for."
                    ) from None
            else:
                if answer.status != 429:
                    return answer
                busy += 1
                pause = max(pause, answer.retry_after or 0.0)
                if busy == _BUSY_TRIES or asyncio.get_running_loop().time() + pause > until:
                    raise Unreachable(
                        f"{host} takes no more requests for now (429). Nothing was drawn or paid "
                        "for."
                    )
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))  # noqa: S311 - jitter

    async def _call(self, method: str, url: str, patience: float, **query: str) -> Answer:
        timeout = httpx.Timeout(patience, connect=min(patience, self.pace.connect))
        try:
            async with asyncio.timeout(patience * _TOTAL):
                return await self._read(
                    await self.http.request(
                        method,
                        self.gateway.call(url, **query),
                        headers=self.gateway.headers(),
                        timeout=timeout,
                    )
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise Passing from error

    async def _read(self, response: httpx.Response) -> Answer:
        if response.is_redirect or 300 <= response.status_code < 400:
            raise Redirected(
                f"{self.gateway.host} sends Atelier on to {_destination(response)}, which does not "
                "get the key. The owner should check FAL_QUEUE_URL.",
                status=response.status_code,
            )
        if len(response.content) > _IN_A_THREAD:
            body = await asyncio.to_thread(_json, response.content)
        else:
            body = _json(response.content)
        return Answer(response.status_code, response.headers, body)


def _client(transport: httpx.AsyncHTTPTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,  # no proxy and no .netrc gets between us and the key's only host
        follow_redirects=False,
        headers={
            "User-Agent": "atelier",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        },
    )


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's own, with a bound on what an answer may hold."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - it is async
        response.stream = _Bounded(response.stream)
        return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BODY:
                raise httpx.ReadError(f"an answer has more than {MAX_BODY} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _destination(response: httpx.Response) -> str:
    try:
        target = response.url.join(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return "an address that cannot be read"
    return target.netloc.decode("ascii", "replace")


def _unknown(what: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{what} after this paid request was sent, so nobody knows whether it was taken. It may "
        "have been billed. It was not sent again; try again if you want to."
    )
