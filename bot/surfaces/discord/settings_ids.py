"""Custom ids of the settings panel.

`v1:settings:<page>[-<item>]:<action>:<setting>:<version>:<offset>`. They carry all that a click
needs, the version of the settings that was shown among it, so that a panel goes on working after a
restart and nobody overwrites what they have not seen.
"""

from dataclasses import dataclass, replace
from typing import Final

from bot.surfaces.discord.ids import CustomId

VERB: Final = "settings"
LIST: Final = "list"
"""The page of one list; its item is the setting's name."""
ROLE: Final = "role"
"""The page of one role's limits; its item is the role's id."""
HISTORY: Final = "history"
FIRST: Final = "moderation"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the panel, and what is done there. `offset` is the first entry of a list shown."""

    page: str = FIRST
    item: str = ""
    action: str = "show"
    setting: str = ""
    version: int = 0
    offset: int = 0

    def __str__(self) -> str:
        subject = f"{self.page}-{self.item}" if self.item else self.page
        argument = f"{self.action}:{self.setting}:{self.version}:{self.offset}"
        return str(CustomId(VERB, subject, argument))

    def to(self, action: str, setting: str = "") -> str:
        """The custom id of an action here."""
        return str(replace(self, action=action, setting=setting))


def read(custom_id: CustomId) -> Spot:
    """What a custom id says; one that is not understood any more opens the first page."""
    page, _, item = custom_id.subject.partition("-")
    match custom_id.argument.split(":"):
        case [action, setting, version, offset] if version.isdecimal() and offset.isdecimal():
            return Spot(page, item, action, setting, int(version), int(offset))
    return Spot()
