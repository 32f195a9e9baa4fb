"""The fal backend: submits once, follows what was submitted, and brings its pictures home."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from backends.base import (
    Cancelled,
    Capabilities,
    Event,
    Failed,
    GenerationRequest,
    LoraFile,
    Preparing,
    Rendered,
    Submitted,
    Submitting,
)
from backends.errors import BackendError, BadRequest, OutcomeUnknown, Problem
from backends.fal import prices
from backends.fal.client import Answer, FalClient, Pace
from backends.fal.endpoints import ENDPOINTS, runner_hint
from backends.fal.error_bodies import Sent
from backends.fal.errors import (
    AnswerRefused,
    EndedElsewhere,
    FalError,
    LoraNotFetched,
    RequestGone,
)
from backends.fal.gateway import Gateway
from backends.fal.pictures import PictureLost, read_pictures
from backends.fal.progress import Progress
from backends.fal.remote import RemoteRequest
from backends.fal.storage import LoraUploads
from backends.fal.tasks import Inbox, in_background
from backends.fal.watch import Watch
from lora_registry.fetch import GuardedFetcher

_DRAWN_PERHAPS: Final = (AnswerRefused, PictureLost, RequestGone)
"""After these, nobody knows that the service has not drawn, and billed it."""

_MAX_CHOSEN_SEED: Final = 2**32 - 1
_LONGEST_PROMPT: Final = 20_000


class FalBackend:
    """Draws in the queue of the service behind `gateway`.

    `fetcher` fetches the pictures: without credentials, trusting the gateway's host. `folder`
    keeps what was uploaded. `webhook_url` is told when a request ends; polling is the net beneath.
    An object belongs to one event loop.
    """

    def __init__(
        self,
        gateway: Gateway,
        fetcher: GuardedFetcher,
        *,
        folder: Path,
        concurrency: int = 4,
        webhook_url: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._gateway = gateway
        self._fetcher = fetcher
        self._webhook_url = webhook_url
        self._client = FalClient(gateway, pace or Pace())
        self._uploads = LoraUploads(gateway, self._client.http, folder)
        self._watches: dict[str, Watch] = {}
        self._closed = False
        self._capabilities = Capabilities(
            models={model: endpoint.support for model, endpoint in ENDPOINTS.items()},
            slots=concurrency,
            resumable=True,
        )

    @property
    def name(self) -> str:
        return "fal"

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def start(self) -> None:
        """There is nothing to get ready."""

    async def close(self) -> None:
        """End every connection. Requests in the queue go on; streams must have been closed."""
        self._closed = True
        await self._client.close()

    def notified(self, request_id: str) -> bool:
        """Look at once after a request that is said to have ended; False where nobody waits."""
        if (watch := self._watches.get(request_id)) is None:
            return False
        watch.wake()
        return True

    async def cancel(self, remote: Mapping[str, str]) -> None:
        """Ask the service to drop a request; see `Backend.cancel`.

        Raises:
            FalError: the service did not take it.
        """
        await self._client.cancel(RemoteRequest.noted(self._gateway, remote).cancel_url)

    async def run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        *,
        remote: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Draw; see `Backend.run`. Nothing that closes the stream cancels the remote request."""
        paid = remote is not None
        try:
            async with aclosing(self._run(request, loras, remote)) as events:
                async for event in events:
                    paid = paid or isinstance(event, Submitted)
                    yield event
        except EndedElsewhere:
            yield Cancelled()
        except BackendError as error:
            error.billed = error.billed or (paid and isinstance(error, _DRAWN_PERHAPS))
            # A retry would pay again for what exists already.
            yield Failed(FalError(str(error)) if paid and error.retryable else error)

    async def _run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        remote: Mapping[str, str] | None,
    ) -> AsyncGenerator[Event, None]:
        if self._closed:
            raise FalError("Atelier is stopping, so this was not drawn.")
        urls = [file.public_url or "" for file in loras]
        if remote is not None:
            ours = RemoteRequest.noted(self._gateway, remote)
        else:
            self._check(request, loras)
            if request.seed is None:
                seed = random.randint(0, _MAX_CHOSEN_SEED)  # noqa: S311 - no secret
                request = request.model_copy(update={"seed": seed})
            async with aclosing(self._addresses(loras, urls)) as preparing:
                async for step in preparing:
                    yield step
            yield Submitting()
            ours = await self._submit(request, loras, urls)
            yield Submitted(ours.as_remote())
        sent = self._sent(request, loras, urls)
        watch = Watch(self._client, ours, Progress(request), sent)
        self._watches[ours.request_id] = watch
        try:
            async with aclosing(watch.events()) as events:
                async for event in events:
                    yield event
        finally:
            if self._watches.get(ours.request_id) is watch:
                del self._watches[ours.request_id]
        try:
            yield await self._rendered(request, loras, ours, watch, sent)
        except LoraNotFetched as error:
            for file in loras:
                if error.name in {None, file.name}:
                    await self._uploads.forget(file)
            raise

    def _check(self, request: GenerationRequest, loras: Sequence[LoraFile]) -> None:
        """Refuse what the endpoint cannot honour, before anything is sent.

        Raises:
            BadRequest: names what it is.
        """
        problems = list(self._capabilities.refusals(request))
        if request.max_loras is not None and len(loras) > request.max_loras:
            allowed = f"{request.model} takes at most {request.max_loras} LoRAs"
            problems.append(Problem("loras", len(loras), allowed, "too_long"))
        if problems:
            raise BadRequest(*problems)

    async def _addresses(
        self, loras: Sequence[LoraFile], urls: list[str]
    ) -> AsyncGenerator[Preparing, None]:
        """Find out where the service gets each LoRA, uploading what it cannot get elsewhere."""
        inbox: Inbox[Preparing] = Inbox()

        def report(what: str, fraction: float | None) -> None:
            inbox.push(Preparing(what, fraction))

        async def find() -> None:
            try:
                for index, file in enumerate(loras):
                    urls[index] = await self._uploads.url_for(file, report)
            finally:
                inbox.push(None)

        async with in_background(find()) as finding:
            while (event := await inbox.get()) is not None:
                yield event
            await finding

    async def _submit(
        self, request: GenerationRequest, loras: Sequence[LoraFile], urls: Sequence[str]
    ) -> RemoteRequest:
        endpoint = ENDPOINTS[request.model]
        answer = await self._client.submit(
            endpoint.id,
            endpoint.body(request, list(zip(loras, urls, strict=True))),
            runner_hint(loras),
            self._sent(request, loras, urls),
            self._webhook_url,
        )
        try:
            return RemoteRequest.submitted(self._gateway, endpoint.id, answer)
        except AnswerRefused as error:
            raise OutcomeUnknown(
                f"{error} The paid request may have been taken and billed. It was not sent again; "
                "try again if you want to."
            ) from None

    async def _rendered(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        ours: RemoteRequest,
        watch: Watch,
        sent: Sent,
    ) -> Rendered:
        answer = watch.answer
        assert answer is not None  # noqa: S101 - its events have ended
        if not answer.ok:
            raise self._client.error(answer, sent)
        if "images" not in answer.fields and (failure := watch.failure) is not None:
            raise failure
        pictures = await read_pictures(answer.fields, request, self._fetcher)
        prompt = answer.fields.get("prompt")
        usable = isinstance(prompt, str) and 0 < len(prompt) <= _LONGEST_PROMPT
        return Rendered(
            pictures=pictures,
            prompt=prompt if usable and isinstance(prompt, str) else request.prompt,
            weights=f"{ours.endpoint}@fal",
            timings=_timings(watch.timings, answer.fields.get("timings")),
            cost=await self._cost(request, loras, answer),
        )

    def _sent(
        self, request: GenerationRequest, loras: Sequence[LoraFile], urls: Sequence[str]
    ) -> Sent:
        names = [(file.name, url) for file, url in zip(loras, urls, strict=True)]
        return Sent(request.prompt, names, self._gateway.key)

    async def _cost(
        self, request: GenerationRequest, loras: Sequence[LoraFile], answer: Answer
    ) -> float | None:
        size = await asyncio.to_thread(_size, [file.path for file in loras])
        return prices.cost(request, _billable_units(answer), size)


def _billable_units(answer: Answer) -> float | None:
    try:
        return float(answer.headers["x-fal-billable-units"])
    except (KeyError, ValueError):
        return None


def _timings(*sources: Any) -> dict[str, float]:
    """Seconds by stage, of whatever of the sources is that."""
    return {
        str(name)[:40]: float(value)
        for source in sources
        if isinstance(source, dict)
        for name, value in list(source.items())[:20]
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _size(paths: Sequence[Path]) -> int:
    """Bytes of the files that are there."""
    return sum(path.stat().st_size for path in paths if path.is_file())
