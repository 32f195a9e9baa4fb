"""A double click is one click: a button that draws or posts must not do so twice."""

from collections import OrderedDict
from typing import Final

from bot.surfaces.slack.interaction import Interaction

APART_S: Final = 2.0
"""Two clicks on one button that are closer than this are one."""
VERBS: Final = frozenset({"again", "retry", "fetch", "share", "try"})
"""What does something anew each time; everything else bears to be repeated."""
MOST: Final = 1000


class Doubles:
    """Remembers who has just clicked what, by Slack's own clock."""

    def __init__(self) -> None:
        self._clicks: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def repeats(self, interaction: Interaction) -> bool:
        """Whether the same person has just clicked the same button of the same message."""
        action = interaction.action
        button = str(action.get("action_id") or "")
        where = str(interaction.message.get("ts") or interaction.view.get("id") or "")
        try:
            at = float(action.get("action_ts") or "")
        except ValueError:
            return False
        key = (interaction.user, button, where)
        before = self._clicks.get(key)
        self._clicks[key] = at
        self._clicks.move_to_end(key)
        if len(self._clicks) > MOST:
            self._clicks.popitem(last=False)
        return before is not None and abs(at - before) < APART_S
