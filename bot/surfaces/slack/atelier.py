"""`/atelier` and what may follow it. A further subcommand is one line in the table."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bot.surfaces.ids import CustomId
from bot.surfaces.slack import defaults, privacy, settings_clicks
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.help import HANDLERS as TRIES
from bot.surfaces.slack.help import show_help
from bot.surfaces.slack.interaction import Interaction

VERB: Final = "atelier"
"""The verb of a button that does the same as the subcommand of its subject."""
HELP: Final = "help"


@dataclass(frozen=True, slots=True)
class Subcommand:
    """What answers it, and what it is about in a few words."""

    about: str
    answer: Callable[[Desk, Interaction], Awaitable[None]]


SUBCOMMANDS: Final[Mapping[str, Subcommand]] = MappingProxyType(
    {
        HELP: Subcommand("how to draw, what helps, and some to try", show_help),
        "defaults": Subcommand("what holds for you where you say nothing", defaults.show_defaults),
        "settings": Subcommand(
            "what Atelier does in this workspace, for who manages it", settings_clicks.show_settings
        ),
        "privacy": Subcommand(
            "what is kept about you: look, take it with you, erase it", privacy.show_privacy
        ),
    }
)
"""Each checks itself who may use it."""


async def atelier(desk: Desk, interaction: Interaction) -> None:
    """The command; alone it helps. What follows a subcommand is that one's own matter."""
    words = str(interaction.body.get("text") or "").lower().split()
    found = SUBCOMMANDS.get(words[0] if words else HELP)
    if found is None:
        await interaction.tell(usage())
    else:
        await found.answer(desk, interaction)


def usage() -> str:
    """All subcommands."""
    return "\n".join(f"• `/atelier {name}`: {one.about}" for name, one in SUBCOMMANDS.items())


async def _opened(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if (found := SUBCOMMANDS.get(custom_id.subject)) is not None:
        await found.answer(desk, interaction)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        VERB: _opened,
        **TRIES,
        **defaults.HANDLERS,
        **privacy.HANDLERS,
        **settings_clicks.HANDLERS,
    }
)
