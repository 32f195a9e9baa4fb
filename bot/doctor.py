"""`atelier doctor`: looks at everything that Atelier needs, and says what to do about the rest.

Nothing is made, migrated or downloaded, and no setting's secret is shown. All checks run at once,
each in a thread that is left behind when it takes too long: a dead disk may hold it up for ever.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from rich.console import Console
from rich.text import Text

from bot.checks import discord, drawing, fal, folders, installation, slack
from bot.checks.finding import Finding, Status, broken, reason, warning

Check = Callable[[], Iterator[Finding]]

_PATIENCE_S: Final = 20.0
_MARKS: Final = {
    Status.OK: ("✓", "green"),
    Status.WARNING: ("!", "yellow"),
    Status.BROKEN: ("✗", "red"),
}


def examine() -> bool:
    """Print what was found, a line each; True when nothing is broken. Takes a few seconds."""
    console = Console()
    counts: Counter[Status] = Counter()
    with console.status("Looking at everything …"):
        for finding in findings():
            counts[finding.status] += 1
            _show(console, finding)
    console.print(_summary(counts), markup=False, highlight=False, soft_wrap=True)
    return not counts[Status.BROKEN]


def findings() -> Iterator[Finding]:
    """Everything there is to say about this installation, as it becomes known."""
    settings, about_settings = installation.read_settings()
    engine = Inquiry("what draws", partial(drawing.engine, settings), drawing.PROBE_S + _PATIENCE_S)
    if settings is None:
        yield from Inquiry("the versions", installation.versions)
        yield from about_settings
        yield from engine
        return
    about_folders = {
        "the data folder": folders.data_folder,
        "the database": folders.database,
        "the registry": folders.registry,
        "the pictures": folders.pictures,
        "the LoRA files": folders.loras,
    }
    inquiries = [
        *(Inquiry(about, partial(check, settings)) for about, check in about_folders.items()),
        Inquiry("the HTTP port", partial(installation.running, settings)),
        engine,
        Inquiry("fal", partial(fal.service, settings)),
        Inquiry("Discord", partial(discord.application, settings)),
        Inquiry("Slack", partial(slack.application, settings)),
        Inquiry("the models", partial(drawing.models, settings)),
    ]
    yield from Inquiry("the versions", installation.versions)
    yield from about_settings
    for inquiry in inquiries:
        yield from inquiry


class Inquiry:
    """A check in a thread of its own; its findings in order, until `patience` seconds are over."""

    def __init__(self, about: str, check: Check, patience: float = _PATIENCE_S) -> None:
        self._about = about
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self._answers: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()
        threading.Thread(target=self._ask, args=(check,), name=about, daemon=True).start()

    def __iter__(self) -> Iterator[Finding]:
        heard = False
        while True:
            try:
                finding = self._answers.get(timeout=max(0.0, self._deadline - time.monotonic()))
            except queue.Empty:
                yield self._late(heard=heard)
                return
            if finding is None:
                return
            heard = True
            yield finding

    def _ask(self, check: Check) -> None:
        try:
            for finding in check():
                self._answers.put(finding)
        except Exception as error:  # noqa: BLE001 - a doctor survives whatever the patient has
            why = reason(error) if isinstance(error, OSError) else type(error).__name__
            self._answers.put(
                broken(
                    f"{self._title} cannot be looked at ({why}).",
                    "See that every file and folder belongs to the user who runs Atelier.",
                )
            )
        self._answers.put(None)

    def _late(self, *, heard: bool) -> Finding:
        if heard:
            return warning(f"{self._title}: the rest took longer than {self._patience:.0f} s.")
        return broken(
            f"{self._title}: no answer within {self._patience:.0f} s.",
            "A disk or network folder may not answer; see that it does.",
        )

    @property
    def _title(self) -> str:
        return self._about[:1].upper() + self._about[1:]


def _show(console: Console, finding: Finding) -> None:
    mark, colour = _MARKS[finding.status]
    console.print(Text.assemble((mark, f"bold {colour}"), " ", finding.what), soft_wrap=True)
    if finding.advice:
        console.print(Text(f"    {finding.advice}"), soft_wrap=True)


def _summary(counts: Counter[Status]) -> str:
    wrong, doubtful = counts[Status.BROKEN], counts[Status.WARNING]
    if not wrong and not doubtful:
        return "Everything is in order."
    parts = []
    if wrong:
        parts.append(f"{wrong} {'thing is' if wrong == 1 else 'things are'} broken")
    if doubtful:
        parts.append(f"{doubtful} {'is' if doubtful == 1 else 'are'} worth a look")
    return f"{' and '.join(parts)}."
