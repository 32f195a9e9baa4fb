"""Custom ids of buttons and menus: `v1:<verb>:<job id>[:<argument>]`, at most 100 characters.

They are all that a click brings along, so they must be understood by every later version.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

MOST: Final = 100
_JOB: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CUSTOM_ID: Final = re.compile(rf"v1:(?P<verb>[a-z_]+):(?P<job>{_JOB})(?::(?P<argument>.*))?")

BUTTONS: Final = ("cancel", "again", "edit", "vary", "recipe", "delete", "retry", "fetch")
"""Verbs of buttons. `fetch` shows a result that could not be delivered."""
VARIATION: Final = "variation"
"""The verb of the menu that `vary` opens."""
EDITED: Final = "edited"
"""The verb of the form that `edit` opens."""


def template(*verbs: str) -> re.Pattern[str]:
    """What the custom ids with these verbs look like."""
    return re.compile(rf"v1:(?P<verb>{'|'.join(verbs)}):(?P<job>{_JOB})(?::(?P<argument>.*))?")


@dataclass(frozen=True, slots=True)
class CustomId:
    """What a click is about."""

    verb: str
    job: str
    argument: str | None = None

    def __str__(self) -> str:
        text = ":".join(("v1", self.verb, self.job, *([self.argument] if self.argument else [])))
        if len(text) > MOST:
            raise ValueError(f"a custom id has at most {MOST} characters, not {len(text)}")
        return text


def read(text: str) -> CustomId | None:
    """A custom id of ours; None for what is none."""
    if (found := _CUSTOM_ID.fullmatch(text)) is None:
        return None
    return CustomId(found["verb"], found["job"], found["argument"])


def nonce(job_id: str, what: str = "result") -> str:
    """What makes Discord take a post about a job once only: 24 of at most 25 characters."""
    digest = hashlib.sha256(f"{what} {job_id}".encode()).digest()[:18]
    return base64.urlsafe_b64encode(digest).decode()
