"""Custom ids of buttons, menus and forms: `v1:<verb>[:<subject>[:<argument>]]`.

They have at most 100 characters (Discord's limit; Slack takes 255) and are all that a click brings
along, so they must be understood by every later version. What the subject is follows from the verb:
a job's id, a preset's, the page of a panel.
"""

import re
from dataclasses import dataclass
from typing import Final

MOST: Final = 100
TEMPLATE: Final = re.compile(
    r"v1:(?P<verb>[a-z_]+)(?::(?P<subject>[^:]+)(?::(?P<argument>.*))?)?", re.DOTALL
)
"""What every custom id of ours looks like."""

VARIATION: Final = "variation"
"""The verb of the menu that `vary` opens."""
EDITED: Final = "edited"
"""The verb of the form that `edit` opens."""


@dataclass(frozen=True, slots=True)
class CustomId:
    """What a click is about. An argument needs a subject before it."""

    verb: str
    subject: str = ""
    argument: str = ""

    def __str__(self) -> str:
        text = ":".join(filter(None, ("v1", self.verb, self.subject, self.argument)))
        if len(text) > MOST:
            raise ValueError(f"a custom id has at most {MOST} characters, not {len(text)}")
        return text


def read(text: str) -> CustomId | None:
    """A custom id of ours; None for what is none."""
    if (found := TEMPLATE.fullmatch(text)) is None:
        return None
    return CustomId(found["verb"], found["subject"] or "", found["argument"] or "")
