"""Follows a request until its result is there.

    status stream ──(any trouble)──> polling of the status ──> the result
                                        │  (there is no status)   ^
                                        └──> polling of the result ┘

A stream that has failed once is not opened again: polling always works. Where a service has no
status (404, 405, or a page for people), the result tells it: a status envelope or "still in
progress" is pending, a body with `images` is the end.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from backends.base import Event, Started
from backends.errors import shown
from backends.fal.client import Answer, FalClient, Passing
from backends.fal.error_bodies import Sent, is_fals, read_error
from backends.fal.errors import AnswerRefused, FalError, Redirected, RequestGone
from backends.fal.progress import KNOWN, Progress
from backends.fal.remote import RemoteRequest
from backends.fal.tasks import Inbox, in_background

log = logging.getLogger(__name__)

_MOST_REFUSALS: Final = 3
"""Answers in a row that say no for good (401, 403, 404, a redirect) before they are believed; also
results in a row that are pending where there was no status, before the status is given up."""

_GROWTH: Final = 1.5
_LONGEST_WAIT_S: Final = 60.0


class Watch:
    """One request on its way; `answer` is its result once `events` has ended."""

    def __init__(
        self, client: FalClient, request: RemoteRequest, progress: Progress, sent: Sent
    ) -> None:
        self.answer: Answer | None = None
        self._client = client
        self._request = request
        self._progress = progress
        self._sent = sent
        self._inbox: Inbox[Mapping[str, Any]] = Inbox()
        self._completed: Mapping[str, Any] | None = None
        self._statusless = 0
        self._refusals = 0
        self._until: float | None = None
        self._unknown_since: float | None = None
        self._pause = client.pace.poll
        self._retry_after = 0.0

    def wake(self) -> None:
        """Ask the service at once, whatever is being waited for."""
        self._inbox.push(None)

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens to the request, until its result, which may be an error, is there.

        Raises:
            FalError: it never will be.
        """
        async with in_background(self._listen()):
            while (status := await self._inbox.get()) is not None:
                for event in self._take(status, cumulative=False):
                    yield event
                if self._completed is not None or self._unknown_since is not None:
                    break
        self._inbox = Inbox()  # what the stream left unread is in every poll
        while self.answer is None:
            completed = self._completed
            for event in await self._look():
                yield event
            if self.answer is None and completed is self._completed:
                await self._rest()

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by stage, as the status told them."""
        metrics = (self._completed or {}).get("metrics")
        return metrics if isinstance(metrics, dict) else {}

    @property
    def failure(self) -> FalError | None:
        """The error that the status told, for a result that does not tell a better one."""
        ended = self._completed or {}
        if not (ended.get("error") or ended.get("error_type")):
            return None
        return read_error(None, {}, {"detail": ended.get("error"), **ended}, self._sent)

    async def _listen(self) -> None:
        try:
            async with aclosing(self._client.statuses(self._request.stream_url)) as statuses:
                async for status in statuses:
                    self._inbox.push(status)
        except Passing as error:
            log.debug("request %s is polled: %r", self._request.request_id, error.__cause__)
        finally:
            self._inbox.push(None)

    def _take(self, status: Mapping[str, Any], *, cumulative: bool) -> list[Event]:
        name = status.get("status")
        now = asyncio.get_running_loop().time()
        if name not in KNOWN:
            self._unknown_since = self._unknown_since or now
            if now - self._unknown_since >= self._client.pace.unknown:
                raise AnswerRefused(
                    f"{self._client.gateway.host} says that the request's status is {shown(name)}, "
                    "which Atelier does not know. It may have been billed."
                )
            return []
        self._unknown_since = None
        self._refusals = 0
        events = self._progress.read(status, cumulative=cumulative)
        if any(isinstance(event, Started) for event in events):
            self._pause = self._client.pace.poll
        if name == "COMPLETED":
            self._completed = status
            self._until = now + self._client.pace.result
        return events

    async def _look(self) -> list[Event]:
        """Ask once how things stand."""
        try:
            if self._completed is None and self._statusless < _MOST_REFUSALS:
                answer = await self._client.get(self._request.status_url, logs="1")
                if answer.ok and isinstance(answer.fields.get("status"), str):
                    self._statusless = 0
                    return self._take(answer.fields, cumulative=True)
                if answer.passing:
                    self._wait_out(answer)
                    return []
                if answer.status in {401, 403}:
                    self._refused(self._client.error(answer))
                    return []
            return await self._look_at_result()
        except Passing:
            self._wait_out()
        except Redirected as error:
            self._refused(error)
        return []

    async def _look_at_result(self) -> list[Event]:
        answer = await self._client.get(self._request.response_url)
        fields = answer.fields
        if answer.ok and "images" not in fields and isinstance(fields.get("status"), str):
            if self._completed is None:
                self._statusless += 1
                events = self._take(fields, cumulative=True)
                if self._completed is None:
                    return events
            if fields["status"] in KNOWN - {"COMPLETED"}:
                self._wait_out(answer)
                return []
        elif answer.ok and not fields:
            if self._completed is None:
                host = self._client.gateway.host
                self._refused(AnswerRefused(f"{host} answers with something that is no JSON."))
            self._wait_out(answer)
            return []
        elif _pending(answer):
            self._statusless += 1
            self._refusals = 0
            self._wait_out(answer)
            return []
        elif answer.status in {401, 403}:
            self._refused(self._client.error(answer, self._sent))
            return []
        elif answer.status in {404, 405}:
            self._refused(self.failure or self._gone())
            return []
        elif answer.status == 429 or (answer.passing and not is_fals(answer.headers, answer.body)):
            self._wait_out(answer)
            return []
        self.answer = answer
        return []

    def _refused(self, error: FalError) -> None:
        """Believe a definite no when it comes again and again."""
        self._refusals += 1
        if self._refusals >= _MOST_REFUSALS:
            raise error

    def _wait_out(self, answer: Answer | None = None) -> None:
        """Let trouble pass; where only the result is missing, not for ever."""
        self._retry_after = (answer.retry_after or 0.0) if answer is not None else 0.0
        if self._until is not None and asyncio.get_running_loop().time() >= self._until:
            raise self.failure or AnswerRefused(
                f"The picture is finished, but {self._client.gateway.host} does not hand it out. "
                f"It may have been billed; its request id is {self._request.request_id}."
            )

    def _gone(self) -> RequestGone:
        host = self._client.gateway.host
        return RequestGone(
            f"{host} does not know this request any more (404). It may have been billed. Results "
            "are kept for minutes or an hour only; try again for a new picture.",
            status=404,
            request_id=self._request.request_id,
        )

    async def _rest(self) -> None:
        pause = max(self._client.jittered(self._pause), min(self._retry_after, _LONGEST_WAIT_S))
        self._pause = min(self._pause * _GROWTH, self._client.pace.slowest_poll)
        self._retry_after = 0.0
        await self._inbox.nap(pause)


def _pending(answer: Answer) -> bool:
    """fal's way to say that a result was asked for too early."""
    detail = answer.fields.get("detail")
    return answer.status == 400 and isinstance(detail, str) and "in progress" in detail.lower()
