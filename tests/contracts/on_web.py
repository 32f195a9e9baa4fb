"""Surfaces' contract on the web: an open page that listens at the real server.

A page has no place that could be gone, and nothing is uploaded to it: it fetches. What breaks here
is its connection, and what is limited is how many pages may listen.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from PIL import Image

from bot.jobs.job import JobState
from bot.owner import OWNER
from bot.surfaces.web import surface
from tests.contracts.scene import Card, Run, State
from tests.fakes.site import INSTANCE, Site, site

_AGAIN_S = 0.05
_GOING_ON, _ENDED = frozenset({"queued", "running"}), frozenset({"done"})


class OnWeb:
    """One page, for as long as the scene lasts; it comes back whenever it loses the server."""

    community = INSTANCE
    requester = OWNER.id
    without_place = JobState.DELIVERED

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._site: Site | None = None
        self._jobs: dict[str, Any] = {}
        self._page: asyncio.Task[None] | None = None
        self.broken: frozenset[str] = frozenset()
        """The states of a job at whose sight the page loses its connection, once."""
        self._trouble = contextlib.ExitStack()

    @property
    def _there(self) -> Site:
        assert self._site is not None, "the bot does not run"
        return self._site

    @asynccontextmanager
    async def run(self, slots: int = 2) -> AsyncIterator[Run]:
        async with site(self._folder, slots=slots) as s:
            self._site, self._jobs = s, {}
            self._open()
            try:
                yield Run(
                    *(s.database, s.store, s.communities, s.pictures),
                    *(s.supervisor, s.surface, s.backend),
                )
            finally:
                await self._close()
                self._trouble.close()
                self._site = None

    async def ask(self, text: str) -> None:
        await self._there.imagine(text)

    async def cancel(self, card: Card) -> None:
        await self._there.client.post(f"/api/jobs/{card.name}/cancel")

    async def cards(self) -> list[Card]:
        jobs = sorted(self._jobs.values(), key=lambda job: int(job["number"]))
        return [await self._card(job) for job in jobs]

    async def handed_out(self) -> int:
        s, found = self._there, 0
        for job_id, job in self._jobs.items():
            for index in range(job["settings"]["images"]):
                found += await self._fetched(f"/files/{s.signer.link(job_id, index)}") is not None
        return found

    def break_upload(self, *, after: bool) -> None:
        self.broken = _ENDED if after else _GOING_ON

    def limit(self) -> None:
        self.broken = _ENDED
        self._trouble.enter_context(patch.object(surface, "MOST_PAGES", 0))

    async def later(self) -> None:
        await self._close()
        self._open()

    async def close_place(self) -> None:
        await self._close()

    # --- The page -------------------------------------------------------------------------------

    def _open(self) -> None:
        self._page = asyncio.create_task(self._listen())

    async def _close(self) -> None:
        if self._page is not None:
            self._page.cancel()
            await asyncio.gather(self._page, return_exceptions=True)
            self._page = None

    async def _listen(self) -> None:
        """What a browser's EventSource does."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                await self._look()
            await asyncio.sleep(_AGAIN_S)

    async def _look(self) -> None:
        """Read until the server, or the trouble that was ordered, ends it."""
        async with self._there.events() as events:
            async for name, data in events:
                if name == "refused":
                    self._trouble.close()
                    return
                if name == "hello":
                    self._jobs = {}
                for job in data["jobs"] if name == "hello" else [data]:
                    self._jobs[job["id"]] = job
                    if job["state"] in self.broken:
                        self.broken = frozenset()
                        return

    async def _fetched(self, url: str) -> bytes | None:
        answer = await self._there.client.get(url)
        return answer.content if answer.status_code == httpx.codes.OK else None

    async def _card(self, job: Any) -> Card:
        states: dict[str, State] = {
            "queued": "going on",
            "running": "going on",
            "done": "result",
            "failed": "no result",
            "cancelled": "no result",
        }
        shown = []
        for picture in job["pictures"]:
            if picture["url"] and (data := await self._fetched(picture["url"])):
                with Image.open(io.BytesIO(data)) as image:
                    assert image.size == (picture["width"], picture["height"])
                shown.append(picture)
        hidden = sum(picture["treatment"] == "spoiler" for picture in shown)
        words = "\n".join([job["prompt"], job["error"] or ""])
        return Card(job["id"], states[job["state"]], words, len(shown) - hidden, hidden)


@asynccontextmanager
async def on_web(folder: Path) -> AsyncIterator[OnWeb]:
    """The scene."""
    scene = OnWeb(folder)
    yield scene
    assert not scene.broken, "never met"
