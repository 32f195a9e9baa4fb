"""Lets bots live and die in a folder, and looks at what people were left with."""

import enum
import hashlib
import io
import os
import random
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from PIL import Image

from bot import wording
from bot.database import Database
from bot.jobs.job import Job, JobState
from bot.jobs.store import JobStore, migrations
from bot.jobs.supervisor import MOST_ATTEMPTS
from bot.storage import GRACE, PictureStore
from tests.fakes.surface import RecordingSurface
from tests.fakes.victim import Life, Sent

KILLED: Final = -signal.SIGKILL


class Victims:
    """Starts bots, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def __enter__(self) -> "Victims":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, life: Life) -> int:
        """Start a bot and return its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{life.model_dump_json()}\n")
        self._process.stdin.flush()
        return self._answer()

    def kill(self, pid: int, after: float) -> int:
        """Kill the bot after so many seconds, if it is not dead by then; returns its exit code."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], after)[0]:
            os.kill(pid, signal.SIGKILL)
        return self._answer()

    def live(self, life: Life) -> int:
        """Let a bot live to its end and return its exit code."""
        self.begin(life)
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


class End(enum.Enum):
    """How a job ended for the person who asked."""

    NOTHING = "it was never taken, and nobody was told that it was"
    DRAWN = "the picture"
    FAILED = "the backend's own sentence"
    GAVE_UP = "it was tried too often"
    UNKNOWN = "it may have been paid for, and was not repeated"
    CANCELLED = "cancelled"
    GONE = "nobody could be told; a picture is kept"


async def aftermath(folder: Path, sent: Collection[Sent]) -> dict[str, End]:
    """Check that nothing was lost, doubled or left behind in a folder whose bot is at rest."""
    database = await Database.open(folder / "jobs.db", migrations())
    try:
        store = JobStore(database)
        assert await store.unreported(["test"]) == []
        pictures = await PictureStore.in_folder(folder / "pictures")
        ends = {one.id: await _end(one, folder, store, pictures) for one in sent}
        await _nothing_is_left_but_what_jobs_name(folder, store, pictures)
        return ends
    finally:
        await database.close()


async def _end(sent: Sent, folder: Path, store: JobStore, pictures: PictureStore) -> End:
    surface = RecordingSurface(folder / "surface")
    job = await store.get(sent.id)
    payments = len(list((folder / "service").glob(f"paid-{sent.seed}-*")))
    assert payments <= 1, "paid for twice"
    if job is None:
        assert surface.calls("start", sent.id) == payments == 0
        return End.NOTHING
    assert job.failures <= MOST_ATTEMPTS
    message = surface.message(sent.id)
    if "gone" in sent.prompt:
        assert message == {"state": "started", "endings": 0}
        if job.state is JobState.UNDELIVERABLE:
            await _is_right(job, pictures)
        return End.GONE
    assert message["endings"] == 1, f"seen to end {message['endings']} times: {job}"
    match job.state, message["state"]:
        case JobState.DELIVERED, [*shown]:
            assert shown == [f"show {digest}" for digest in await _is_right(job, pictures)]
            assert payments == (sent.backend == "service")
            return End.DRAWN
        case JobState.CANCELLED, wording.CANCELLED:
            if job.remote is not None:
                assert (folder / "service" / f"cancelled-{job.remote['id']}").exists()
            return End.CANCELLED
        case JobState.FAILED, wording.OUTCOME_UNKNOWN:
            return End.UNKNOWN
        case JobState.FAILED, "The stub does not draw this.":
            return End.FAILED
        case JobState.FAILED, str(sentence) if sentence.startswith("This was tried "):
            return End.GAVE_UP
        case end:
            raise AssertionError(end)


async def _is_right(job: Job, pictures: PictureStore) -> list[str]:
    """Look at the pictures of a job, which follow from its seed; returns their hashes."""
    assert job.result is not None
    digests = []
    for seed, stored in zip(job.request.seeds, job.result.pictures, strict=True):
        data = await pictures.get(stored.key)
        with Image.open(io.BytesIO(data)) as image:
            assert image.getpixel((0, 0)) == (seed % 256, seed // 256 % 256, 0)
        assert stored.seed == stored.recipe.seed == seed
        digests.append(hashlib.sha256(data).hexdigest())
    return digests


async def _nothing_is_left_but_what_jobs_name(
    folder: Path, store: JobStore, pictures: PictureStore
) -> None:
    """Let an hour pass and sweep: every picture of a job stays, and nothing else does."""
    named = await store.picture_keys(0.0)
    for file in (folder / "pictures").rglob("*"):
        if file.is_file():
            past = file.stat().st_mtime - GRACE.total_seconds() - 1.0
            os.utime(file, (past, past))

    async def keep(keys: Collection[str]) -> Collection[str]:
        return named.intersection(keys)

    await pictures.sweep(keep)
    left = {
        str(file.relative_to(folder / "pictures"))
        for file in (folder / "pictures").rglob("*")
        if file.is_file()
    }
    assert left == named


# --- At random --------------------------------------------------------------------------------

_KINDS: Final[Mapping[tuple[str, str], frozenset[End]]] = {
    ("steps=2", "stub"): frozenset({End.DRAWN, End.GAVE_UP}),
    ("steps=3 pause=0.01", "stub"): frozenset({End.DRAWN, End.GAVE_UP}),
    ("steps=2 flaky=1", "stub"): frozenset({End.DRAWN, End.GAVE_UP}),
    ("steps=2 away=1", "stub"): frozenset({End.DRAWN, End.GAVE_UP}),
    ("steps=2 gone", "stub"): frozenset({End.GONE}),
    ("fail", "stub"): frozenset({End.FAILED, End.GAVE_UP}),
    ("hang", "stub"): frozenset({End.GAVE_UP}),
    ("steps=3 pause=0.01", "service"): frozenset({End.DRAWN, End.UNKNOWN, End.GAVE_UP}),
    ("steps=2 away=2", "service"): frozenset({End.DRAWN, End.UNKNOWN, End.GAVE_UP}),
    ("fail", "service"): frozenset({End.FAILED, End.UNKNOWN, End.GAVE_UP}),
    ("hang", "service"): frozenset({End.UNKNOWN, End.GAVE_UP}),
}
"""What may be asked for, and how it may end when nobody cancels it."""


class Rampage:
    """People ask and cancel, bots are killed; what is asked and when follows from the seed."""

    def __init__(self, victims: Victims, folder: Path, seed: int) -> None:
        self.sent: list[Sent] = []
        self._victims = victims
        self._folder = folder
        self._random = random.Random(seed)
        self._cancelled: set[str] = set()

    async def kill(self, kills: int) -> None:
        """Let so many bots die, one after the other, at a point or at a moment."""
        for _ in range(kills):
            at_a_point = self._random.random() < 0.5
            life = Life(
                folder=str(self._folder),
                submit=(*self._new(), *self._again()),
                cancel=self._some(0.1),
                kill=f"#{self._random.randint(1, 60)}" if at_a_point else "",
                stay=True,
            )
            pid = self._victims.begin(life)
            await self._cancel_from_outside()
            code = self._victims.kill(pid, 0.5 if at_a_point else self._random.uniform(0.0, 0.25))
            assert code == KILLED, (self._folder / "bot.log").read_text()

    async def rest(self) -> None:
        """Cancel what would never end, let a last bot finish everything, and check how it ended."""
        endless = [s.id for s in self.sent if s.prompt == "hang"]
        self._cancelled.update(endless)
        last = Life(folder=str(self._folder), interrupt=tuple(endless))
        assert self._victims.live(last) == 0, (self._folder / "bot.log").read_text()
        ends = await aftermath(self._folder, self.sent)
        for sent in self.sent:
            allowed = _KINDS[sent.prompt, sent.backend] | {End.NOTHING}
            if sent.id in self._cancelled:
                allowed |= {End.CANCELLED}
            assert ends[sent.id] in allowed, (sent, ends[sent.id])

    def _new(self) -> list[Sent]:
        found: list[Sent] = []
        for _ in range(self._random.randint(0, 3)):
            prompt, backend = self._random.choice(list(_KINDS))
            found.append(
                Sent(
                    id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                    prompt=prompt,
                    seed=10 * len(self.sent) + 10 * len(found),
                    images=self._random.choice([1, 1, 2]),
                    backend=backend,
                )
            )
        self.sent += found
        return found

    def _again(self) -> list[Sent]:
        """What a program sends once more, because it has not heard of it."""
        return [s for s in self.sent[-5:] if self._random.random() < 0.2]

    def _some(self, share: float) -> tuple[str, ...]:
        some = [s.id for s in self.sent[-10:] if self._random.random() < share]
        self._cancelled.update(some)
        return tuple(some)

    async def _cancel_from_outside(self) -> None:
        wanted = self._some(0.15)
        if not wanted:
            return
        database = await Database.open(self._folder / "jobs.db", migrations())
        try:
            for job_id in wanted:
                await JobStore(database).request_cancel(job_id)
        finally:
            await database.close()
