"""Runs jobs from their submission to their report, and takes them up again after a crash.

    submit -> start at the surface -> wait -> prepare LoRAs -> backend -> store -> deliver

Every step that touches the outside is noted in the store first or is idempotent, so the process
may die between any two lines. A job's own task is never cancelled; what is cancelled is the
drawing inside it, and the task then notes why.
"""

import asyncio
import enum
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import stamina
import structlog

from backends import base as backend_events
from backends.base import Backend, LoraFile, LoraRef, ModelName, Rendered, Step, Verdict
from backends.errors import BackendError, OutcomeUnknown, WorkerLost
from bot import wording
from bot.database import DatabaseError
from bot.jobs.delivery import Delivery
from bot.jobs.estimates import Estimator
from bot.jobs.job import Fault, Job, JobDraft, JobState, Place
from bot.jobs.limits import Limits
from bot.jobs.metrics import Metrics
from bot.jobs.pump import ProgressPump
from bot.jobs.results import save
from bot.jobs.scheduler import FairQueue, Ticket, cost
from bot.jobs.store import JobStore
from bot.policy import Treatment
from bot.storage import PictureStore, StorageError
from bot.surfaces.base import Drawing, Preparing, Progress, Surface, SurfaceGone, Waiting

MOST_ATTEMPTS: Final = 3
MOST_TAKE_UPS: Final = 10
"""Deaths of Atelier that one paid job may see before it is suspected of causing them."""
START_TIMEOUT_S: Final = 30.0
DEADLINE_S: Final = 1800.0
SHOWN_POSITIONS: Final = 100
"""Whoever is further back in the queue is told once he comes nearer."""
_TICK_S: Final = 2.0
_WATCH_S: Final = 0.5
_AGAIN_S: Final = 1.0
_AFTER_TROUBLE_S: Final = 5.0
_CLOSING_S: Final = 15.0
_PAGE: Final = 200
_TRIES: Final = 6

log = structlog.get_logger()

Report = Callable[[str, float | None], None]


class LoraUnavailable(Exception):
    """A LoRA that a request names cannot be had; str() is a sentence for the requester."""


class LoraSource(Protocol):
    """Turns what a request names into a checked file."""

    async def prepare(
        self, ref: LoraRef, architecture: ModelName, report: Report, *, community: str
    ) -> LoraFile:
        """Get the file, reporting (what, fraction); it stays until the current task has ended.

        `community` is where it is to be used.

        Raises:
            LoraUnavailable: says which one, and why it is not there or does not fit.
        """
        ...


class Rules(Protocol):
    """What communities have set, as far as running jobs is concerned."""

    async def treatment(self, verdict: Verdict, place: Place) -> Treatment: ...


class NotStarted(Exception):
    """The surface could not show the job; it was cancelled and nothing will come of it.

    `sentence` is the surface's own for the requester, if it has one.
    """

    def __init__(self, detail: str, sentence: str | None = None) -> None:
        super().__init__(detail)
        self.sentence = sentence


class _Stop(enum.Enum):
    CANCEL = enum.auto()
    DRAIN = enum.auto()
    DEADLINE = enum.auto()


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What an attempt brought; `seconds` is the time from the backend's start."""

    rendered: Rendered
    files: tuple[LoraFile, ...]
    seconds: float


@dataclass(slots=True)
class _Running:
    """A job that is being drawn. `stop` says why the drawing was told to end.

    While a paid request is on its way, the drawing is not broken off: only with the id that it
    brings can the request be cancelled, or taken up instead of being paid for again.
    """

    job: Job
    drawing: asyncio.Task[_Drawn | BackendError | None]
    began: float
    stop: _Stop | None = None
    sending: bool = False

    def end(self, why: _Stop) -> None:
        if self.stop is None:
            self.stop = why
            if not self.sending:
                self.drawing.cancel()

    def sent(self) -> None:
        self.sending = False
        if self.stop is not None:
            self.drawing.cancel()


@dataclass(slots=True)
class _Lane:
    """One backend with its waiting jobs."""

    backend: Backend
    queue: FairQueue = field(default_factory=FairQueue)
    busy: int = 0
    loaded: frozenset[str] = frozenset()


class Supervisor:
    """Owns the jobs of the surfaces it was given. One per data folder at a time."""

    def __init__(
        self,
        *,
        store: JobStore,
        pictures: PictureStore,
        backends: Mapping[str, Backend],
        surfaces: Mapping[str, Surface],
        loras: LoraSource,
        rules: Rules,
        metrics: Metrics | None = None,
        deadline: float = DEADLINE_S,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._surfaces = surfaces
        self._loras = loras
        self._rules = rules
        self._metrics = metrics or Metrics()
        self._deadline = deadline
        self._lanes = {name: _Lane(backend) for name, backend in backends.items()}
        self._delivery = Delivery(store, pictures, surfaces, rules.treatment)
        self._estimator = Estimator()
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, _Running] = {}
        self._running_by: Counter[tuple[str, str]] = Counter()
        self._pumps: dict[str, ProgressPump] = {}
        self._taking: dict[str, asyncio.Task[Job]] = {}
        self._work: set[asyncio.Task[object]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._draining = False
        self._ours: set[int] = set()  # submitted here, and newer than `_newest`
        self._newest = 0  # of what was looked at for jobs that others have submitted
        self._version = -1

    # --- From outside -------------------------------------------------------------------------

    async def start(self) -> None:
        """Continue what an earlier process left, then keep going in the background."""
        for sample in await self._store.samples():
            self._estimator.learn(sample.backend, sample.request, sample.seconds)
        await self._catch_up()
        for name, loop in (
            ("dispatch", self._dispatch),
            ("watch", self._watch),
            ("tick", self._tick),
        ):
            self._loops.append(asyncio.create_task(self._keep_going(loop), name=name))

    async def submit(self, draft: JobDraft, limits: Limits) -> Job:
        """Take a job and show it at its surface. The same id again is the same job.

        A caller who stops waiting does not stop the job.

        Raises:
            QuotaExceeded: nothing happened.
            NotStarted: the surface could not show it; the job is cancelled.
        """
        taking = self._taking.get(draft.id) or self._take(draft.id, self._submit(draft, limits))
        return await asyncio.shield(taking)

    async def cancel(self, job_id: str) -> Job | None:
        """End a job as soon as possible; its surface is told. None when there is no such job."""
        job = await self._store.request_cancel(job_id)
        if job is not None:
            await self._heed(job)
        return job

    def waiting(self, job_id: str) -> Waiting | None:
        """Where a waiting job stands."""
        return self.standing().get(job_id)

    def standing(self) -> Mapping[str, Waiting]:
        """Where the first waiting jobs stand, by id: at most `SHOWN_POSITIONS` of each backend."""
        return dict(self._positions())

    @property
    def idle(self) -> bool:
        """Nothing waits, runs or is being delivered."""
        return not (self._waiting or self._work or any(lane.busy for lane in self._lanes.values()))

    async def drain(self, grace: float) -> None:
        """Stop in stages: take nothing new, let drawings end, requeue the rest, deliver.

        After `grace` seconds local jobs go back to the queue and remote ones are left to be taken
        up by their id; what cannot be delivered in a few more seconds is delivered next time.
        """
        self._draining = True
        self._wake.set()
        for loop in self._loops:
            if loop.get_name() == "dispatch":  # a job that it has begun must get its task
                await asyncio.wait({loop}, timeout=_CLOSING_S)
            loop.cancel()
        if self._running:
            await asyncio.wait([r.drawing for r in self._running.values()], timeout=grace)
        for running in self._running.values():
            running.end(_Stop.DRAIN)
        try:
            async with asyncio.timeout(_CLOSING_S):
                while self._work:
                    await asyncio.wait(self._work)
        except TimeoutError:
            log.warning("stopping with work left; the next start takes it up", jobs=len(self._work))
        leftover = [*self._loops, *self._work]
        for task in leftover:
            task.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)
        await asyncio.gather(*(pump.close() for pump in self._pumps.values()))

    # --- Taking jobs in -----------------------------------------------------------------------

    def _take(self, job_id: str, work: Coroutine[None, None, Job]) -> asyncio.Task[Job]:
        """Bring a job to its message, in one task however often it is submitted meanwhile."""

        def done(task: asyncio.Task[Job]) -> None:
            del self._taking[job_id]
            self._work.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.info("not taken", job=job_id, error=repr(error))

        self._taking[job_id] = task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(done)
        return task

    async def _submit(self, draft: JobDraft, limits: Limits) -> Job:
        job = await self._store.submit(draft, limits)
        self._metrics.submitted(job)
        if job.receipt is None and job.state is JobState.QUEUED:
            self._ours.add(job.number)
            job = await self._announce(job)
        return job

    async def _catch_up(self) -> None:
        """Continue the jobs that others have left or submitted since the last time.

        Page by page, so that thousands do not keep everybody else waiting.
        """
        newest_of_ours = max(self._ours, default=0)
        while page := await self._store.unreported(self._surfaces, after=self._newest, limit=_PAGE):
            for job in page:
                if job.number not in self._ours and job.id not in self._taking:
                    await self._continue(job)
                self._newest = job.number
        self._newest = max(self._newest, newest_of_ours)
        self._ours = {number for number in self._ours if number > self._newest}

    async def _continue(self, job: Job) -> None:
        """Take up a job as an earlier process, certainly dead, left it."""
        match job.state:
            case _ if job.receipt is None:  # it may have been shown, also if it was cancelled since
                self._take(job.id, self._announce(job, tries=_TRIES))
            case JobState.QUEUED:
                await self._enqueue(job)
            case JobState.RUNNING:
                if (fenced := await self._store.take_up(job)) is not None:
                    await self._take_up(fenced)
            case _:
                self._spawn(self._deliver(job))

    async def _take_up(self, job: Job) -> None:
        lane = self._lanes.get(job.backend)
        if job.cancel_requested:
            if job.remote is not None and lane is not None:
                await self._cancel_remotely(lane.backend, job)
            await self._end(await self._store.cancel(job))
        elif job.remote is not None and lane is not None and job.attempt > MOST_TAKE_UPS:
            await self._cancel_remotely(lane.backend, job)
            gave_up = wording.gave_up(MOST_TAKE_UPS, wording.STOPPED_WITH_ATELIER)
            await self._fail(job, BackendError(gave_up), kind=WorkerLost.__name__, billed=True)
        elif job.remote is not None and lane is not None:
            self._occupy(job, lane)
            self._spawn(self._work_on(job, lane))
        elif job.submitting:
            await self._fail(job, OutcomeUnknown(wording.OUTCOME_UNKNOWN))
        else:
            self._spawn(self._again(job, WorkerLost(wording.STOPPED_WITH_ATELIER)))

    async def _announce(self, job: Job, tries: int = 1) -> Job:
        try:
            async for attempt in _patiently(_may_pass, tries):
                with attempt:
                    async with asyncio.timeout(START_TIMEOUT_S):
                        receipt = await self._surfaces[job.surface].start(job)
        except Exception as error:
            log.warning("not started", job=job.id, surface=job.surface, error=repr(error))
            if (cancelled := await self._store.request_cancel(job.id)) is not None:
                await self._store.report(cancelled)
            sentence = error.sentence if isinstance(error, SurfaceGone) else None
            raise NotStarted(f"{job.surface} could not show the job", sentence) from error
        job = await self._store.save_receipt(job.id, receipt)
        await self._line_up(job)
        return job

    async def _line_up(self, job: Job) -> None:
        """Let a job wait for its turn, or tell people that it was cancelled meanwhile."""
        if job.state is JobState.QUEUED:
            await self._enqueue(job)
        elif job.state is JobState.CANCELLED and not job.reported:
            self._spawn(self._deliver(job))

    async def _enqueue(self, job: Job) -> None:
        lane = self._lanes.get(job.backend)
        if lane is None:
            fault = Fault(kind="BackendGone", sentence=wording.BACKEND_GONE)
            await self._end(await self._store.fail(job, fault))
            return
        self._waiting[job.id] = job
        lane.queue.add(
            Ticket(
                job_id=job.id,
                number=job.number,
                community=job.place.community,
                requester=job.requester,
                cost=cost(job.request),
                needs=frozenset({job.request.model, *(lora.path for lora in job.request.loras)}),
                requester_weight=job.limits.requester_weight,
                community_weight=job.limits.community_weight,
            )
        )
        self._wake.set()
        self._moved.set()

    async def _heed(self, job: Job) -> None:
        """Act on a job that somebody wants to end."""
        if (running := self._running.get(job.id)) is not None:
            running.end(_Stop.CANCEL)
        elif job.state is JobState.CANCELLED and self._leave_queue(job.id):
            self._spawn(self._deliver(job))

    def _leave_queue(self, job_id: str) -> bool:
        """Stop waiting; False when the job was not waiting."""
        job = self._waiting.pop(job_id, None)
        if job is not None:
            self._lanes[job.backend].queue.remove(job_id)
            self._moved.set()
        return job is not None

    # --- The loops ----------------------------------------------------------------------------

    async def _keep_going(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do `step` again and again until draining; trouble is logged and waited out."""
        while not self._draining:
            try:
                await step()
            except Exception as error:
                log.exception("stumbled", step=step.__name__, error=str(error))
                await asyncio.sleep(_AFTER_TROUBLE_S * random.uniform(0.5, 1.0))  # noqa: S311

    async def _dispatch(self) -> None:
        """Give free backends their next jobs."""
        await self._wake.wait()
        self._wake.clear()
        for lane in self._lanes.values():
            while lane.busy < lane.backend.capabilities.slots and not self._draining:
                ticket = lane.queue.take(time.monotonic(), lane.loaded, self._may_run)
                if ticket is None:
                    break
                await self._begin(ticket, lane)

    async def _begin(self, ticket: Ticket, lane: _Lane) -> None:
        job = self._waiting.pop(ticket.job_id)
        self._moved.set()
        self._occupy(job, lane)
        try:
            begun = await self._store.begin(job.id)
        except DatabaseError:
            self._release(job, lane)
            self._waiting[job.id] = job
            lane.queue.add(ticket)
            raise
        if begun is not None:
            lane.loaded = ticket.needs
            self._spawn(self._work_on(begun, lane))
            return
        try:  # another process has cancelled it, and leaves it to us to tell people
            if (now := await self._store.get(job.id)) is not None:
                await self._line_up(now)
        finally:
            self._release(job, lane)

    def _occupy(self, job: Job, lane: _Lane) -> None:
        lane.busy += 1
        self._running_by[job.place.community, job.requester] += 1
        self._running_by[job.place.community, ""] += 1

    def _release(self, job: Job, lane: _Lane) -> None:
        lane.busy -= 1
        for key in ((job.place.community, job.requester), (job.place.community, "")):
            self._running_by[key] -= 1
            if not self._running_by[key]:
                del self._running_by[key]
        self._wake.set()
        self._moved.set()

    def _may_run(self, ticket: Ticket) -> bool:
        limits = self._waiting[ticket.job_id].limits
        mine = self._running_by[ticket.community, ticket.requester]
        ours = self._running_by[ticket.community, ""]
        return (limits.requester_running is None or mine < limits.requester_running) and (
            limits.community_running is None or ours < limits.community_running
        )

    async def _watch(self) -> None:
        """See what other processes have submitted or cancelled (`atelier imagine` beside us)."""
        await asyncio.sleep(_WATCH_S)
        if (version := await self._store.version()) == self._version:
            return
        await self._catch_up()
        for job_id in await self._store.cancel_requests():
            if (wanted := await self._store.get(job_id)) is not None:
                await self._heed(wanted)
        self._version = version

    async def _tick(self) -> None:
        """Tell waiting jobs where they stand, whenever the queue has moved."""
        await self._moved.wait()
        self._moved.clear()
        for job_id, state in self._positions():
            self._show(self._waiting[job_id], state)
        await asyncio.sleep(_TICK_S)

    def _positions(self) -> list[tuple[str, Waiting]]:
        now, found = time.monotonic(), []
        for name, lane in self._lanes.items():
            slots = lane.backend.capabilities.slots
            ahead, seconds, known = lane.busy, 0.0, True
            for running in self._running.values():
                if running.job.backend == name:
                    total = self._estimator.seconds(name, running.job.request)
                    known = known and total is not None
                    seconds += max(0.0, (total or 0.0) - (now - running.began)) / slots
            for place, ticket in enumerate(lane.queue.order()):
                if place == SHOWN_POSITIONS:
                    break
                own = self._estimator.seconds(name, self._waiting[ticket.job_id].request)
                known = known and own is not None
                eta = seconds + own if known and own is not None else None
                found.append((ticket.job_id, Waiting(ahead, eta)))
                ahead += 1
                seconds += (own or 0.0) / slots
        return found

    # --- Working on one job -------------------------------------------------------------------

    async def _work_on(self, job: Job, lane: _Lane) -> None:
        """One attempt, from its start to what is noted about it. The lane is occupied."""
        drawing = asyncio.create_task(self._draw(job, lane.backend), name=f"draw {job.id}")
        running = self._running[job.id] = _Running(job, drawing, time.monotonic())
        self._metrics.started(job)
        try:
            if job.cancel_requested:
                running.end(_Stop.CANCEL)
            ended, _ = await asyncio.wait({drawing}, timeout=self._deadline)
            if not ended:
                running.end(_Stop.DEADLINE)
                drawing.cancel()
                await asyncio.wait({drawing})
        finally:
            drawing.cancel()
            del self._running[job.id]
            self._release(job, lane)
        await self._conclude(running, lane.backend)

    async def _draw(self, job: Job, backend: Backend) -> _Drawn | BackendError | None:
        """Prepare the LoRAs and follow the backend's stream. None when a new attempt has begun."""

        def report(what: str, fraction: float | None) -> None:
            self._show(job, Preparing(what, fraction))

        running = self._running[job.id]
        files = await self._prepare(job, backend, report)
        unchecked = await self._rules.treatment(Verdict.UNCHECKED, job.place)
        began = time.monotonic()
        async with aclosing(backend.run(job.request, files, remote=job.remote)) as events:
            async for event in events:
                match event:
                    case backend_events.Submitting():
                        if (noted := await self._store.submitting(job)) is None:
                            return None
                        running.job, running.sending = noted, True
                    case backend_events.Submitted(remote=remote):
                        await self._note_remote(running, remote)
                        running.sent()
                    case backend_events.Queued(position=position):
                        self._show(job, Waiting(position))
                    case backend_events.Preparing(what=what, fraction=fraction):
                        report(what, fraction)
                    case backend_events.Started():
                        began = time.monotonic()
                    case backend_events.Step():
                        self._show(job, _drawing(event, time.monotonic() - began, unchecked))
                    case backend_events.Log(line=line):
                        log.debug("backend", job=job.id, line=line)
                    case Rendered():
                        return _Drawn(event, files, time.monotonic() - began)
                    case backend_events.Failed(error=error):
                        return error
                    case backend_events.Cancelled():
                        return BackendError(wording.CANCELLED_ELSEWHERE)
        return BackendError(wording.BACKEND_SILENT)

    async def _prepare(self, job: Job, backend: Backend, report: Report) -> tuple[LoraFile, ...]:
        if not job.request.loras:
            return ()
        architecture = backend.capabilities.architecture(job.request.model)
        community = job.place.community
        return tuple(
            [
                await self._loras.prepare(ref, architecture, report, community=community)
                for ref in job.request.loras
            ]
        )

    async def _note_remote(self, running: _Running, remote: Mapping[str, str]) -> None:
        """Keep the id of a paid request. It exists, so trouble here must not end the stream."""
        job = running.job = replace(running.job, remote=remote)
        try:
            async for attempt in _patiently(DatabaseError):
                with attempt:
                    await self._store.submitted(job, remote)
        except DatabaseError as error:
            log.error("remote request not noted", job=job.id, error=str(error))

    async def _conclude(self, running: _Running, backend: Backend) -> None:
        """Note how an attempt ended and see to what follows."""
        job = running.job
        if running.drawing.cancelled() or running.stop is _Stop.CANCEL:
            await self._stopped(running, backend)
            return
        try:
            drawn = running.drawing.result()
        except LoraUnavailable as error:
            await self._fail(job, BackendError(str(error)), kind=LoraUnavailable.__name__)
            return
        except Exception:
            log.exception("attempt broke", job=job.id, attempt=job.attempt)
            drawn = BackendError(wording.INTERNAL)
        match drawn:
            case _Drawn():
                await self._keep(job, drawn)
            case BackendError(retryable=True):
                await self._again(job, drawn)
            case BackendError():
                await self._fail(job, drawn)
            case None:
                log.info("attempt superseded", job=job.id, attempt=job.attempt)

    async def _stopped(self, running: _Running, backend: Backend) -> None:
        job = running.job
        match running.stop:
            case _Stop.CANCEL:
                await self._cancel_remotely(backend, job)
                await self._end(await self._persist(lambda: self._store.cancel(job)))
            case _Stop.DEADLINE:
                await self._cancel_remotely(backend, job)
                error = BackendError(wording.took_too_long(self._deadline / 60))
                await self._fail(job, error, billed=job.remote is not None)
            case _Stop.DRAIN | None:
                if job.remote is None and not job.submitting:
                    await self._requeue(job, failed=False)

    async def _keep(self, job: Job, drawn: _Drawn) -> None:
        """Store the pictures, then the result that names them."""
        try:
            async for attempt in _patiently(StorageError):
                with attempt:
                    result = await save(
                        job, drawn.rendered, drawn.files, self._pictures, drawn.seconds
                    )
        except StorageError as error:
            unsaved = BackendError(wording.not_saved(error))
            await self._fail(job, unsaved, billed=job.remote is not None)
            return
        self._estimator.learn(job.backend, job.request, drawn.seconds)
        await self._end(await self._persist(lambda: self._store.render(job, result)))

    async def _again(self, job: Job, error: BackendError) -> None:
        """Let a job run once more after a pause, or give up after `MOST_ATTEMPTS`."""
        failures = job.failures + 1
        if failures >= MOST_ATTEMPTS:
            gave_up = wording.gave_up(failures, wording.error(error))
            await self._fail(job, BackendError(gave_up), kind=type(error).__name__)
            return
        if not await self._requeue(job, failed=True) or self._draining:
            return
        await asyncio.sleep(_AGAIN_S * failures * random.uniform(0.2, 1.0))  # noqa: S311 - jitter
        again = await self._store.get(job.id)
        if again is not None and not self._draining:
            await self._line_up(again)

    async def _requeue(self, job: Job, *, failed: bool) -> bool:
        """Send a job back to the queue, unless somebody wants its end; whether it is there now."""
        again = await self._persist(lambda: self._store.requeue(job, failed=failed))
        if again is not None and again.state is JobState.CANCELLED:
            await self._end(again)
            return False
        return again is not None

    async def _fail(
        self, job: Job, error: BackendError, kind: str | None = None, *, billed: bool = False
    ) -> None:
        fault = Fault(
            kind=kind or type(error).__name__,
            sentence=wording.error(error),
            billed=billed or error.billed,
        )
        log.info("job failed", job=job.id, kind=fault.kind)
        await self._end(await self._persist(lambda: self._store.fail(job, fault)))

    async def _end(self, ended: Job | None) -> None:
        """Tell people, if this attempt was still the one that counts."""
        if ended is not None:
            self._metrics.ended(ended)
            self._spawn(self._deliver(ended))

    async def _persist(self, write: Callable[[], Awaitable[Job | None]]) -> Job | None:
        """Write an outcome, through a disk that is full for a while.

        When it fails for good, the job is still `running` in the database and the next start
        takes it up.
        """
        async for attempt in _patiently(DatabaseError):
            with attempt:
                return await write()
        return None

    async def _cancel_remotely(self, backend: Backend, job: Job) -> None:
        if job.remote is None:
            return
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await backend.cancel(job.remote)
        except Exception as error:  # noqa: BLE001 - the job is over for us either way
            log.warning("not cancelled remotely", job=job.id, error=repr(error))

    async def _deliver(self, job: Job) -> None:
        if (pump := self._pumps.pop(job.id, None)) is not None:
            await pump.close()
        began = time.monotonic()
        await self._delivery.deliver(job)
        self._metrics.reported(job, time.monotonic() - began)

    # --- Small things -------------------------------------------------------------------------

    def _show(self, job: Job, state: Progress) -> None:
        if job.receipt is None:
            return
        pump = self._pumps.get(job.id)
        if pump is None:
            pump = ProgressPump(self._surfaces[job.surface], job, job.receipt)
            self._pumps[job.id] = pump
        pump.show(state)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work on a job broke off; the next start takes it up", exc_info=error)


def _drawing(step: Step, elapsed: float, treatment: Treatment) -> Drawing:
    rate = step.index / elapsed if elapsed > 0 else None
    return Drawing(
        step=step.index,
        steps=step.total,
        eta=(step.total - step.index) / rate if rate else None,
        rate=rate,
        preview=None if treatment is Treatment.WITHHOLD else step.preview,
        preview_treatment=treatment,
    )


def _may_pass(error: Exception) -> bool:
    """Whether a surface that raised this may show the job another time."""
    return isinstance(error, Exception) and not isinstance(error, SurfaceGone)


def _patiently(
    error: type[Exception] | Callable[[Exception], bool], tries: int = _TRIES
) -> AsyncIterator[stamina.Attempt]:
    return stamina.retry_context(
        on=error, attempts=tries, timeout=60.0, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
    )
