"""`atelier imagine`: hand a job in, watch it, show its end.

Whoever owns the data folder draws: a running `atelier run`, another `atelier imagine`, or this
process itself when nobody else does. If the owner goes away meanwhile, this one takes over. An
owner stays until the jobs of other terminals are drawn too, those of dead ones included.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from bot import wording
from bot.app import App, DataFolderLock, build_backends, build_supervisor, open_app
from bot.commands.imagine import Ask, Plan, Refused
from bot.commands.prompt import PromptError, Wish
from bot.database import DatabaseError
from bot.jobs.job import Job, JobState, Place
from bot.jobs.store import QuotaExceeded
from bot.jobs.supervisor import Supervisor
from bot.log import configure
from bot.owner import OWNER
from bot.settings import Settings, SettingsError, load_settings
from bot.signals import stop_on_signals
from bot.storage import StorageError
from bot.surfaces.terminal import spool
from bot.surfaces.terminal.options import Options, output_file, wish
from bot.surfaces.terminal.surface import NAME, TerminalSurface, receipt
from bot.surfaces.terminal.view import (
    Output,
    ProgressBar,
    print_done,
    print_json,
    print_object,
)

_LOOK_EVERY_S: Final = 0.03
_ASK_EVERY_S: Final = 1.0
_STALLED_S: Final = 10.0


def run_imagine(options: Options) -> int:
    """Draw what the options say and return the exit code."""
    try:
        settings = load_settings()
        _log(settings)
        return asyncio.run(_imagine(settings, wish(options), options))
    except (SettingsError, PromptError, Refused) as error:
        return _refuse(str(error), 2, options)
    except QuotaExceeded as error:
        return _refuse(wording.quota(error.quota, error.limit, error.resets_at), 2, options)
    except (DatabaseError, StorageError) as error:
        return _refuse(str(error), 3, options)
    except OSError as error:
        return _refuse(wording.unusable(error), 3, options)


def _log(settings: Settings) -> None:
    """A person gets sentences, and the log only where ATELIER_LOG_LEVEL asks for it."""
    asked = "log_level" in settings.model_fields_set
    configure(settings.log_level if asked else "critical", secrets=settings.secrets)


def _refuse(sentence: str, code: int, options: Options) -> int:
    if options.as_json:
        state = "refused" if code == 2 else "failed"
        return _printed(lambda out: print_object(out, {"state": state, "error": sentence}), code)
    _complain(sentence, "red")
    return code


def _printed(answer: Callable[[Console], None], code: int) -> int:
    try:
        answer(Output())
    except OSError as error:
        _complain(wording.no_answer(error), "red")
        return 3
    return code


def _complain(sentence: str, style: str) -> None:
    Console(stderr=True).print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)


async def _imagine(settings: Settings, wanted: Wish, options: Options) -> int:
    stop = stop_on_signals()
    lock, backends = DataFolderLock(settings), build_backends(settings)
    async with AsyncExitStack() as stack:
        ours = lock.take()
        stack.callback(lock.release)
        if ours:  # the model loads while we look at the rest
            await backends.choose(wanted.model or "flux-1").start()
        app = await stack.enter_async_context(open_app(settings, backends))
        plan = await app.imagine.plan(Ask(wanted, OWNER, Place(private=True), NAME))
        output = output_file(options, plan.draft.request, plan.draft.id)
        await asyncio.to_thread(settings.spool_dir.mkdir, parents=True, exist_ok=True)
        spool_file = settings.spool_dir / f"{plan.draft.id}.json"
        await app.jobs.submit(plan.draft, plan.limits, receipt(spool_file, output))
        watch = _Watch(app, plan.draft.id, spool_file, lock, stop, stack)
        if ours:
            await watch.take_over()
        with ProgressBar() as bar:
            end = await watch.until_the_end(bar)
        await asyncio.to_thread(spool_file.unlink, missing_ok=True)
        code = _show(end, plan, options)
        await watch.until_nobody_waits()
    return code


@dataclass(slots=True)
class _Watch:
    """Follows one job, whoever draws it."""

    app: App
    job_id: str
    spool_file: Path
    lock: DataFolderLock
    stop: asyncio.Event
    stack: AsyncExitStack
    supervisor: Supervisor | None = None
    stalled_since: float | None = None

    async def take_over(self) -> None:
        """Draw here: nobody else works in this data folder."""
        self.supervisor = build_supervisor(self.app, [TerminalSurface()])
        self.stack.push_async_callback(self.supervisor.drain, 0.0)
        await self.supervisor.start()

    async def until_the_end(self, bar: ProgressBar) -> spool.Done | spool.NotDone:
        loop = asyncio.get_running_loop()
        ask_at, cancelling = loop.time() + _ASK_EVERY_S, False
        while True:
            state = await asyncio.to_thread(spool.read, self.spool_file)
            if isinstance(state, spool.Done | spool.NotDone):
                return state
            if self.stop.is_set() and not cancelling:
                cancelling = True
                bar.say("Cancelling …")
                await self._cancel()
            elif state is not None and not cancelling:
                bar.show(state)
            if loop.time() > ask_at:
                ask_at = loop.time() + _ASK_EVERY_S
                if (end := await self._ended_silently()) is not None:
                    return end
                if self.supervisor is None and self.lock.take():
                    await self.take_over()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def until_nobody_waits(self) -> None:
        """Draw what other terminals have handed in, unless told to stop."""
        if self.supervisor is None or self.stop.is_set() or self.stalled_since is not None:
            return
        with ProgressBar() as bar:
            while others := await self._unfinished():
                bar.say(f"Drawing for {others} more, Ctrl-C leaves it to them")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), _ASK_EVERY_S)
                if self.stop.is_set() or self.supervisor.idle:
                    return

    async def _unfinished(self) -> int:
        jobs = await self.app.jobs.unreported([NAME])
        return sum(job.state in {JobState.QUEUED, JobState.RUNNING} for job in jobs)

    async def _cancel(self) -> None:
        if self.supervisor is not None:
            await self.supervisor.cancel(self.job_id)
        else:
            await self.app.jobs.request_cancel(self.job_id)

    async def _ended_silently(self) -> spool.Done | spool.NotDone | None:
        """The job's end where the drawing process could not write it into the spool."""
        job = await self.app.jobs.get(self.job_id)
        if job is not None and not job.reported:
            stalled = await self._stalled(job)
            return spool.NotDone(sentence=wording.BROKEN_OFF) if stalled else None
        written = await asyncio.to_thread(spool.read, self.spool_file)
        if isinstance(written, spool.Done | spool.NotDone):
            return written  # just now
        if job is not None and job.state is JobState.CANCELLED:
            return spool.NotDone(sentence=wording.CANCELLED, cancelled=True)
        if job is None or job.fault is None:
            return spool.NotDone(sentence=wording.ENDED_SILENTLY)
        return spool.NotDone(sentence=job.fault.sentence)

    async def _stalled(self, job: Job) -> bool:
        """Nothing has come of the job for a while, though it is for us to draw it.

        The supervisor waits for better times; a person wants to know.
        """
        if self.supervisor is None:
            return False
        states = {other.state for other in await self.app.jobs.unreported([NAME])}
        moving = not self.supervisor.idle and not job.deliveries
        if moving and not (job.state is JobState.QUEUED and JobState.RUNNING not in states):
            self.stalled_since = None
            return False
        now = asyncio.get_running_loop().time()
        self.stalled_since = self.stalled_since or now
        return now > self.stalled_since + _STALLED_S


def _show(end: spool.Done | spool.NotDone, plan: Plan, options: Options) -> int:
    code = 0 if isinstance(end, spool.Done) else 130 if end.cancelled else 3
    if options.as_json:
        return _printed(lambda out: print_json(out, plan.draft.id, end, plan.notes), code)
    if isinstance(end, spool.Done):
        done = end
        return _printed(lambda out: print_done(out, done, plan.notes), code)
    _complain(end.sentence, "yellow" if end.cancelled else "red")
    return code
