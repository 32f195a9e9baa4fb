"""The pictures of cards in docs/images: `python -m tests.scenarios.discord.pictures`.

The demo model draws, our bot answers, and SimCord shows the messages as members see them, in
Debian's Chromium.
"""

import asyncio
import io
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.async_api import Browser, async_playwright

from backends.base import Backend, Event, GenerationRequest, LoraFile, Step
from bot.app import Backends, build_backends
from bot.settings import Settings
from tests.scenarios.discord.seen import Card
from tests.scenarios.discord.simulated import Simulated, opened

IMAGES: Final = Path(__file__).parents[3] / "docs" / "images"
CHROMIUM: Final = "/usr/bin/chromium"
LARGEST: Final = 150_000
"""Bytes that a picture in the documentation may have."""
_HEIGHT: Final = 1400
_PAUSE_AT: Final = 19


class Pausing:
    """A backend that stops in the middle of a drawing while `go` is not set."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.go = asyncio.Event()
        self.go.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        *,
        remote: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        async for event in self._backend.run(request, loras, remote=remote):
            yield event
            if isinstance(event, Step) and event.index >= _PAUSE_AT:
                await self.go.wait()


class Camera:
    """Takes pictures of messages, for a folder."""

    def __init__(self, scene: Simulated, browser: Browser, folder: Path) -> None:
        self._scene = scene
        self._browser = browser
        self._folder = folder

    async def take(self, card: Card, name: str, width: int = 560) -> Path:
        """Save a message as who reads it sees it; `width` is that of their window in pixels."""
        async with self._scene.env.preview(
            card.channel, viewers=[card.reader], width=width, height=_HEIGHT
        ) as preview:
            # SimCord would start the Chromium that Playwright downloads.
            preview._capture_manager._browser = self._browser
            taken = await preview.screenshot(target=card.message)
            preview._capture_manager._browser = None
        assert taken.complete, taken.diagnostics
        assert taken.png is not None
        path = self._folder / f"discord-{name}.png"
        path.write_bytes(_small(taken.png))
        return path


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's browser."""
    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        await browser.close()


def _small(png: bytes) -> bytes:
    """The same in at most 256 colours, which these few surfaces and letters do not miss."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(256).save(out, "PNG", optimize=True)
    assert out.tell() <= LARGEST, out.tell()
    return out.getvalue()


async def take_all(folder: Path) -> None:
    """Take every picture; `folder` is for what Atelier keeps meanwhile."""
    settings = Settings(data_dir=folder / "data", lora_dir=folder / "loras", backend="demo")
    demo = Pausing(build_backends(settings).by_name["demo"])
    async with opened(Backends({"demo": demo}), settings) as scene, chromium() as browser:
        scene.env.backend.edit_bot_profile("Atelier")
        camera = Camera(scene, browser, IMAGES)
        star = "a large yellow star on a purple background"
        card = await scene.drawn(scene.ana, star, loras="glow:0.7", images=4, size="square", seed=7)
        await camera.take(card, "card")

        demo.go.clear()
        answer = await scene.ana.slash("imagine", prompt=star, size="square", seed=8)
        await answer.card.becomes(lambda c: f"step {_PAUSE_AT}/28" in c.text and c.pictures)
        await camera.take(answer.card, "progress")
        demo.go.set()
        await answer.card.finished()

        pepper = await scene.drawn(scene.ben, "a red chili pepper", seed=3)
        await camera.take(pepper, "spoiler")

        preset = await scene.ben.slash("preset show", preset="lantern")
        await camera.take(preset.card, "preset")

        panel = (await scene.mod.slash("settings")).card
        await camera.take(panel, "settings", width=720)
        reports = scene.home.create_text_channel("reports")
        await scene.mod.choose(panel, "Channels")
        await scene.mod.pick(panel, "report_channel", reports)
        form = await scene.ben.click(card, "Report")
        await form.fill(
            {"What is it?": "Something else", "What is wrong with it?": "Stars are mine."}
        )
        (report,) = scene.mod.at(reports).reads
        await camera.take(report, "report")


def main() -> None:
    """Take the pictures anew."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(take_all(Path(folder)))


if __name__ == "__main__":
    main()
