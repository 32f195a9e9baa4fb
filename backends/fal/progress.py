"""Turns a request's statuses into events: place in the queue, log lines, and steps.

fal tells no steps; models write them into their logs, as tqdm's bar or in words. A bar counts the
steps of one batch. Where bars follow each other, one a picture, they are counted together; where
they cannot be told apart from a second attempt, only what is further than before is told.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from backends.base import Event, GenerationRequest, Log, Queued, Started, Step

KNOWN: Final = frozenset({"IN_QUEUE", "IN_PROGRESS", "COMPLETED"})
"""fal's statuses; failures end as COMPLETED, too."""

_BAR: Final = re.compile(r"^\s*\d{1,3}%\|[^|]*\|\s*(\d{1,5})/(\d{1,5})\s*(?:\[|$)")
"""tqdm's bar, with its times or without, and without a name in front: with one, it counts files."""

_WORDS: Final = re.compile(r"\bstep\s*[:#]?\s*(\d{1,5})\s*(?:/|of)\s*(\d{1,5})\b", re.IGNORECASE)

_MOST_LINES: Final = 5000
_LONGEST_LINE: Final = 500
_HIGHEST_PLACE: Final = 10**6


class Progress:
    """What is known of one request so far."""

    def __init__(self, request: GenerationRequest) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()
        self._place: int | None = None
        self._started = False
        self._steps = _Steps(request.num_inference_steps, request.num_images)

    def read(self, status: Mapping[str, Any], *, cumulative: bool) -> list[Event]:
        """Events that a status adds. A poll's logs are `cumulative`, a stream's are only new."""
        events: list[Event] = []
        if status.get("status") == "IN_QUEUE":
            place = status.get("queue_position")
            if type(place) is int and 0 <= place <= _HIGHEST_PLACE and place != self._place:
                self._place = place
                events.append(Queued(place))
        else:
            self._place = None
        if status.get("status") == "IN_PROGRESS" and not self._started:
            self._started = True
            events.append(Started())
        for line in self._new_lines(status.get("logs"), cumulative=cumulative):
            events.append(Log(line[:_LONGEST_LINE]))
            if (step := self._steps.read(line)) is not None:
                events.append(step)
        return events

    def _new_lines(self, logs: object, *, cumulative: bool) -> list[str]:
        lines: list[str] = []
        now: Counter[tuple[str, str]] = Counter()
        for entry in logs if isinstance(logs, list) else []:
            message = entry.get("message") if isinstance(entry, dict) else None
            if not isinstance(message, str) or self._seen.total() >= _MOST_LINES:
                continue
            moment = str(entry.get("timestamp") or "")
            key = (moment, message)
            now[key] += 1
            # A line with its moment is the same line wherever it comes; one without may repeat.
            new = now[key] > self._seen[key] if cumulative or moment else True
            if new:
                self._seen[key] += 1
                lines.append(message)
        return lines


class _Steps:
    """Steps over all pictures, only ever rising."""

    def __init__(self, steps: int, pictures: int) -> None:
        self._steps = steps
        self._pictures = pictures
        self._bars = 0
        self._in_bar = 0
        self._told = 0

    def read(self, line: str) -> Step | None:
        """The step that a line tells, if it is further than those before."""
        found = [f for part in line.splitlines() if (f := _BAR.search(part) or _WORDS.search(part))]
        if not found:
            return None
        index, total = int(found[-1][1]), int(found[-1][2])
        if not 1 <= index <= total:
            return None
        if index < self._in_bar and total == self._steps and self._bars < self._pictures - 1:
            self._bars += 1
        self._in_bar = index
        if self._bars:
            index, total = index + self._bars * self._steps, self._pictures * self._steps
        if index <= self._told:
            return None
        self._told = index
        return Step(index, total)
