"""A backend that draws what its prompt tells it to, for tests of everything around it.

The prompt is a list of words: `steps=N` and `pause=SECONDS` set the pace, `fail` fails for good,
`flaky=N` fails N times and then draws (it counts in a folder, so processes share the count),
`flagged` and `unchecked` set the verdict, `hang` never ends, `die` kills the process that asked,
and with `slow=SECONDS` a paid request takes so long before and after the moment at which it has to
be paid.
"""

import asyncio
import io
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from backends.base import (
    Capabilities,
    Event,
    Failed,
    GenerationRequest,
    LoraFile,
    ModelSupport,
    Picture,
    Preparing,
    Rendered,
    Started,
    Step,
    Submitted,
    Submitting,
    Verdict,
)
from backends.errors import BackendError, WorkerLost

SUPPORT = ModelSupport(formats=frozenset({"jpeg", "png", "webp"}), sides=(16, 2048))


def picture(seed: int, verdict: Verdict = Verdict.CLEAR) -> Picture:
    """A picture whose colour follows from its seed."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (seed % 256, seed // 256 % 256, 0)).save(buffer, "PNG")
    return Picture(buffer.getvalue(), "png", 32, 32, seed, verdict, 0.01)


class StubBackend:
    """Local as a rule; with `paid=True` it behaves like a remote queue that charges a submit.

    The remote service lives in `folder`, as real ones live outside of the process: `paid-ID` is a
    request that was submitted, `cancelled-ID` one that was called off.
    """

    def __init__(
        self, folder: Path, *, name: str = "stub", slots: int = 2, paid: bool = False
    ) -> None:
        self.folder = folder
        self.paid = paid
        self.point: Callable[[str], None] = lambda name: None
        """Called with the name of every place where a test may kill the process."""
        self._name = name
        self.drawing = 0
        self.most_at_once = 0
        self._slots = slots
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            models={"flux-1": SUPPORT, "flux-2": SUPPORT},
            slots=self._slots,
            previews=True,
            resumable=self.paid,
        )

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def cancel(self, remote: Mapping[str, str]) -> None:
        self.point("cancel")
        (self.folder / f"cancelled-{remote['id']}").touch()
        self.point("cancelled")

    @property
    def submits(self) -> int:
        """How often somebody paid."""
        return len(list(self.folder.glob("paid-*")))

    @property
    def cancelled(self) -> list[str]:
        """The requests that were called off."""
        return sorted(path.name.partition("-")[2] for path in self.folder.glob("cancelled-*"))

    async def run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        *,
        remote: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        words = dict(word.partition("=")[::2] for word in request.prompt.split())
        pause = float(words.get("pause", 0))
        if self.paid and remote is None:
            yield Submitting()
            self.point("submit")
            await asyncio.sleep(float(words.get("slow", 0)))
            number = self.submits
            (self.folder / f"paid-{request.seed}-{number}").touch()
            await asyncio.sleep(float(words.get("slow", 0)))
            self.point("paid")
            remote = {"id": f"{request.seed}-{number}"}
            yield Submitted(remote)
        yield Preparing("loading", 0.5)
        yield Started()
        if "flaky" in words:
            count = self.folder / f"flaky-{request.seed}"
            tries = len(count.read_text()) if count.exists() else 0
            if tries < int(words["flaky"]):
                count.write_text("x" * (tries + 1))
                yield Failed(WorkerLost("The stub lost its worker."))
                return
        if "fail" in words:
            yield Failed(BackendError("The stub does not draw this."))
            return
        if "hang" in words:
            await asyncio.sleep(3600)
        total = int(words.get("steps", 2)) * request.num_images
        self.drawing += 1
        self.most_at_once = max(self.most_at_once, self.drawing)
        try:
            for index in range(1, total + 1):
                await asyncio.sleep(pause)
                yield Step(index, total)
                self.point("step")
                if "die" in words and index == total // 2:
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            self.drawing -= 1
        self.point("rendered")
        verdict = next((v for v in Verdict if v.value in words), Verdict.CLEAR)
        yield Rendered(
            tuple(picture(seed, verdict) for seed in request.seeds),
            request.prompt,
            "stub",
            {"draw": 0.1},
        )
