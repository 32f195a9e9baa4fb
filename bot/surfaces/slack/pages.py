"""Something longer that one person reads or fills in, wherever they have asked for it."""

from typing import Final

import structlog
from slack_sdk.models.views import View

from bot.surfaces.slack.calls import CallFailed
from bot.surfaces.slack.cards import Blocks
from bot.surfaces.slack.interaction import Interaction

NOT_OPENED: Final = "Slack has not opened the window for it in time. Please try again."

log = structlog.get_logger()


async def show(
    interaction: Interaction, title: str, blocks: Blocks, *, replace: bool = False
) -> None:
    """Show blocks to who asked alone: as a window over the Home tab, in the place of the window
    that it was asked from, or, where there is none, as a private message.

    `title` has at most 24 characters. With `replace` it takes the place of the private message
    with the button.
    """
    if interaction.view:
        view = View(type="modal", title=title, close="Close", blocks=blocks)
        if await _put(interaction, view):
            return
    await interaction.show(blocks, title, replace=replace)


async def window(interaction: Interaction, view: View) -> None:
    """Open a window, or put it in the place of the one that it was asked from."""
    if not await _put(interaction, view):
        await interaction.tell(NOT_OPENED)


async def _put(interaction: Interaction, view: View) -> bool:
    """Whether the window is there now; the one that it was asked from may have been closed."""
    try:
        if interaction.view.get("type") != "modal":
            await interaction.open(view)
            return True
        if not interaction.acknowledged:
            await interaction.ack()
        await interaction.change(str(interaction.view.get("id") or ""), view)
    except CallFailed as error:
        log.info("window not opened", error=error.error)
        return False
    return True
