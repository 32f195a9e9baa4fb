"""What a person sees in the terminal: a bar while it lasts, a few lines or JSON at the end."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from backends.base import Verdict
from bot.commands.prompt import Wish, render
from bot.recipe import Recipe
from bot.surfaces.terminal import spool

_VERDICTS: Final = {
    Verdict.FLAGGED: "[yellow]The safety checker flagged this picture{score}.[/]",
    Verdict.UNCHECKED: "[yellow]No safety checker has looked at this picture.[/]",
}


class Output(Console):
    """Standard output. That nobody reads it any more is no failure of the job."""

    def on_broken_pipe(self) -> None:
        """Let the rest go nowhere; what is still in Python's buffer, too."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ProgressBar:
    """The progress of one job on standard error; on something that is no terminal, nothing."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("Starting", total=None, detail="")

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._update(text, None, None, "")

    def show(self, state: spool.State) -> None:
        match state:
            case spool.Waiting(ahead=ahead, eta=eta):
                place = "Next" if ahead == 0 else f"In the queue, {ahead} ahead"
                self._update(place, None, None, _eta(eta))
            case spool.Preparing(what=what, fraction=fraction):
                done = None if fraction is None else round(fraction * 100)
                self._update(_sentence(what), done, None if done is None else 100, "")
            case spool.Drawing(step=step, steps=steps, eta=eta, rate=rate):
                speed = f" · {rate:.1f} steps/s" if rate else ""
                self._update("Drawing", step, steps, f"{step}/{steps}{speed}{_eta(eta, ' · ')}")
            case spool.Done() | spool.NotDone():
                pass

    def _update(self, text: str, done: int | None, total: int | None, detail: str) -> None:
        self._progress.update(
            self._task, description=escape(text), completed=done or 0, total=total, detail=detail
        )


def print_done(console: Console, done: spool.Done, notes: tuple[str, ...]) -> None:
    """A line a picture, then what is worth knowing, then how to get it again."""
    for picture in done.pictures:
        recipe = picture.recipe
        where = "withheld by the rule of this instance" if picture.path is None else picture.path
        console.print(f"[bold green]{escape(str(where))}[/]", soft_wrap=True, highlight=False)
        size = f"{recipe.width}×{recipe.height}"
        if recipe.requested is not None:
            size += f" (asked for {recipe.requested.width}×{recipe.requested.height})"
        facts = [size, f"seed {recipe.seed}", f"{recipe.steps} steps"]
        facts += [f"guidance {recipe.guidance:g}", recipe.model, escape(recipe.weights)]
        console.print(f"  {' · '.join(facts)}", soft_wrap=True, highlight=False)
        if (text := _VERDICTS.get(picture.verdict)) is not None:
            score = "" if picture.score is None else f" ({picture.score:.2f})"
            console.print(f"  {text.format(score=score)}", soft_wrap=True)
    cost = f" · ${done.cost:.3f}" if done.cost else ""
    console.print(f"  {done.seconds:.1f} s{cost}", highlight=False)
    for note in [*notes, *([done.hint] if done.hint else [])]:
        console.print(escape(note), soft_wrap=True, highlight=False)
    if done.pictures:
        again = command(done.pictures[0].recipe, len(done.pictures))
        console.print(f"[dim]Again: {escape(again)}[/]", soft_wrap=True, highlight=False)


def print_json(
    console: Console, job_id: str, end: spool.Done | spool.NotDone, notes: tuple[str, ...]
) -> None:
    """One object on one line; its keys are described in docs/command_line.md."""
    if isinstance(end, spool.Done):
        answer = {"state": "done", **end.model_dump(mode="json", exclude={"kind"})}
    else:
        answer = {"state": "cancelled" if end.cancelled else "failed", "error": end.sentence}
    print_object(console, {"id": job_id, **answer, "notes": list(notes)})


def print_object(console: Console, answer: Mapping[str, object]) -> None:
    line = json.dumps(answer, ensure_ascii=False)
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def command(recipe: Recipe, images: int = 1) -> str:
    """The exact command that draws these pictures again."""
    size = recipe.requested or recipe
    prompt = render(Wish(recipe.prompt)).removeprefix("/imagine ")
    words = ["atelier", "imagine", prompt, "--model", recipe.model]
    words += ["--size", f"{size.width}x{size.height}", "--steps", str(recipe.steps)]
    words += ["--guidance", f"{recipe.guidance:g}", "--seed", str(recipe.seed)]
    for lora in recipe.loras:
        words += ["--lora", f"{lora.name}:{lora.scale:g}"]
    if images > 1:
        words += ["--images", str(images)]
    return shlex.join(words)


def _eta(seconds: float | None, before: str = "") -> str:
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    return (
        f"{before}about {whole} s left" if whole < 90 else f"{before}about {whole // 60} min left"
    )


def _sentence(what: str) -> str:
    return what[:1].upper() + what[1:]
