"""`atelier imagine`: hand a job in, watch it, show its end.

Whoever owns the data folder draws: a running `atelier run`, another `atelier imagine`, or this
process itself when nobody else does. If the owner goes away meanwhile, this one takes over.
"""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

from rich.console import Console

from backends.base import Acceleration, ModelName, OutputFormat
from bot import wording
from bot.app import App, DataFolderLock, build_backends, build_supervisor, open_app
from bot.commands.imagine import Ask, Plan, Refused
from bot.commands.prompt import PromptError, Wish, parse, parse_loras, parse_size
from bot.database import DatabaseError
from bot.jobs.job import Place
from bot.jobs.store import QuotaExceeded
from bot.jobs.supervisor import Supervisor
from bot.log import configure
from bot.permissions import Requester
from bot.settings import Settings, SettingsError, load_settings
from bot.storage import StorageError
from bot.surfaces.terminal import spool
from bot.surfaces.terminal.surface import NAME, TerminalSurface, output_paths, receipt
from bot.surfaces.terminal.view import ProgressBar, print_done, print_json

OWNER: Final = Requester("owner", owner=True)
_SUFFIXES: Final[dict[str, OutputFormat]] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".webp": "webp",
}
_LOOK_EVERY_S: Final = 0.03
_ASK_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed behind `atelier imagine`."""

    prompt: str
    output: Path | None = None
    preset: str | None = None
    loras: tuple[str, ...] = ()
    size: str | None = None
    ar: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    images: int | None = None
    model: str | None = None
    speed: str | None = None
    expand: bool | None = None
    output_format: str | None = None
    as_json: bool = False


def run_imagine(options: Options) -> int:
    """Draw what the options say and return the exit code."""
    console = Console(stderr=True)
    try:
        settings = load_settings()
        configure("error", secrets=settings.secrets)
        wish = _wish(options)
        return asyncio.run(_imagine(settings, wish, options))
    except (SettingsError, PromptError, Refused) as error:
        return _refuse(console, error, 2, options)
    except QuotaExceeded as error:
        sentence = wording.quota(error.quota, error.limit, error.resets_at)
        return _refuse(console, Refused(sentence), 2, options)
    except (DatabaseError, StorageError, OSError) as error:
        return _refuse(console, error, 3, options)


def _refuse(console: Console, error: Exception, code: int, options: Options) -> int:
    if options.as_json:
        state = "refused" if code == 2 else "failed"
        print(json.dumps({"state": state, "error": str(error)}, ensure_ascii=False))
    else:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
    return code


# --- From options to a wish -------------------------------------------------------------------


def _wish(options: Options) -> Wish:
    """Merge the prompt's own flags with the options, which win.

    Raises:
        PromptError, Refused: says what is wrong with which option.
    """
    wish = parse(options.prompt)
    if options.size is not None and options.ar is not None:
        raise Refused("--size and --ar both say the size; give one of them.")
    named = options.size or options.ar
    chosen: dict[str, object | None] = {
        "preset": options.preset,
        "size": None if named is None else parse_size(named),
        "steps": options.steps,
        "guidance": options.guidance,
        "seed": options.seed,
        "images": options.images,
        "model": _one_of("--model", options.model, get_args(ModelName)),
        "speed": _one_of("--speed", options.speed, get_args(Acceleration)),
        "expand": options.expand,
        "format": _format(options),
    }
    typed = tuple(lora for text in options.loras for lora in parse_loras(text))
    given = {name: value for name, value in chosen.items() if value is not None}
    return replace(wish, loras=wish.loras + typed, **given)  # type: ignore[arg-type]


def _format(options: Options) -> OutputFormat | None:
    asked = _one_of("--format", options.output_format, get_args(OutputFormat))
    by_suffix = None
    if options.output is not None:
        by_suffix = _SUFFIXES.get(options.output.suffix.lower())
        if by_suffix is None:
            raise Refused(
                f"The file {options.output.name} ends in no known format; use "
                f"{', '.join(_SUFFIXES)}."
            )
        if asked is not None and asked != by_suffix:
            raise Refused(f"--format is {asked}, but the file is called {options.output.name}.")
    return by_suffix or asked  # type: ignore[return-value]


def _one_of(flag: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise Refused(f"{flag} is “{value}”; use {', '.join(choices)}.")
    return value


def _output(options: Options, plan: Plan) -> Path:
    """Where the pictures will go, checked before anything is drawn."""
    request = plan.draft.request
    suffix = "jpg" if request.output_format == "jpeg" else request.output_format
    output = (options.output or Path(f"atelier-{plan.draft.id[:8]}.{suffix}")).absolute()
    if not output.parent.is_dir():
        raise Refused(f"The folder {output.parent} does not exist; make it first.")
    for path in output_paths(output, request.num_images):
        if path.is_dir():
            raise Refused(f"{path} is a folder; name a file.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Refused(f"{path} cannot be written; choose another place with -o.")
    return output


# --- One job ----------------------------------------------------------------------------------


async def _imagine(settings: Settings, wish: Wish, options: Options) -> int:
    cancel = _cancel_on_signals()
    lock, backends = DataFolderLock(settings), build_backends(settings)
    async with AsyncExitStack() as stack:
        ours = lock.take()
        stack.callback(lock.release)
        if ours:  # the model loads while we look at the rest
            await backends.choose(wish.model or "flux-1").start()
        app = await stack.enter_async_context(open_app(settings, backends))
        plan = await app.imagine.plan(Ask(wish, OWNER, Place(private=True), NAME))
        output = _output(options, plan)
        job_id = plan.draft.id
        spool_file = settings.spool_dir / f"{job_id}.json"
        await app.jobs.submit(plan.draft, plan.limits)
        await app.jobs.save_receipt(job_id, receipt(spool_file, output))
        with ProgressBar(Console(stderr=True)) as bar:
            end = await _Watch(app, job_id, spool_file, lock, bar, cancel).until_the_end(
                stack, ours
            )
        await asyncio.to_thread(spool_file.unlink, missing_ok=True)
    return _show(end, plan, options)


def _cancel_on_signals() -> asyncio.Event:
    """The first signal cancels the job, the second ends the process."""
    cancel = asyncio.Event()

    def on_signal() -> None:
        if cancel.is_set():
            os._exit(130)
        cancel.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return cancel


@dataclass(slots=True)
class _Watch:
    """Follows one job, whoever draws it."""

    app: App
    job_id: str
    spool_file: Path
    lock: DataFolderLock
    bar: ProgressBar
    cancel: asyncio.Event
    supervisor: Supervisor | None = None

    async def until_the_end(self, stack: AsyncExitStack, ours: bool) -> spool.Done | spool.NotDone:
        if ours:
            await self._take_over(stack)
        loop = asyncio.get_running_loop()
        ask_at, cancelling = loop.time() + _ASK_EVERY_S, False
        while True:
            state = await asyncio.to_thread(spool.read, self.spool_file)
            if isinstance(state, spool.Done | spool.NotDone):
                return state
            if self.cancel.is_set() and not cancelling:
                cancelling = True
                self.bar.say("Cancelling …")
                await self._cancel()
            elif state is not None and not cancelling:
                self.bar.show(state)
            if loop.time() > ask_at:
                ask_at = loop.time() + _ASK_EVERY_S
                if (end := await self._ended_silently()) is not None:
                    return end
                if self.supervisor is None and self.lock.take():
                    await self._take_over(stack)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _take_over(self, stack: AsyncExitStack) -> None:
        """Draw here: nobody else works in this data folder."""
        self.supervisor = build_supervisor(self.app, [TerminalSurface()])
        stack.push_async_callback(self.supervisor.drain, 0.0)
        await self.supervisor.start()

    async def _cancel(self) -> None:
        if self.supervisor is not None:
            await self.supervisor.cancel(self.job_id)
        else:
            await self.app.jobs.request_cancel(self.job_id)

    async def _ended_silently(self) -> spool.NotDone | None:
        """The job's end where the drawing process could not write it into the spool."""
        job = await self.app.jobs.get(self.job_id)
        if job is not None and not job.reported:
            return None
        if isinstance(await asyncio.to_thread(spool.read, self.spool_file), spool.Done):
            return None  # written just now
        if job is None or job.fault is None:
            return spool.NotDone(sentence=wording.ENDED_SILENTLY)
        return spool.NotDone(sentence=job.fault.sentence)


def _show(end: spool.Done | spool.NotDone, plan: Plan, options: Options) -> int:
    if options.as_json:
        print_json(Console(), plan.draft.id, end, plan.notes)
    elif isinstance(end, spool.Done):
        print_done(Console(), end, plan.notes)
    else:
        style = "yellow" if end.cancelled else "red"
        console = Console(stderr=True)
        console.print(end.sentence, style=style, markup=False, highlight=False, soft_wrap=True)
    if isinstance(end, spool.Done):
        return 0
    return 130 if end.cancelled else 3
