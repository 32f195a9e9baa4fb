"""Private answers with more than words."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.surfaces.ids import CustomId
from bot.surfaces.slack.cards import Blocks, rendered, section
from bot.surfaces.slack.desk import Desk
from bot.surfaces.slack.interaction import Interaction
from lora_registry.models import Viewer

_IN_A_ROW: Final = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as it is sent; notifications and screen readers say `text`."""

    blocks: Blocks
    text: str

    async def answer(self, interaction: Interaction, *, replace: bool = False) -> None:
        """Say it to who asked, with `replace` in the place of the message with the click."""
        await interaction.show(self.blocks, self.text, replace=replace)


def shown(text: str, *blocks: Block) -> Shown:
    """A paragraph, safe to show, with blocks below it."""
    return Shown(rendered([section(text), *blocks]), text[:200])


def press(
    verb: str, label: str, subject: str = "", argument: str = "", style: str | None = None
) -> ButtonElement:
    """A button; `argument` says which revision, and what else there is to say."""
    custom_id = str(CustomId(verb, subject, argument))
    return ButtonElement(text=label, action_id=custom_id, style=style)


def rows(buttons: Sequence[ButtonElement]) -> Iterator[ActionsBlock]:
    """Buttons in rows that fit on a screen."""
    for start in range(0, len(buttons), _IN_A_ROW):
        yield ActionsBlock(elements=list(buttons[start : start + _IN_A_ROW]))


async def answered(
    desk: Desk,
    interaction: Interaction,
    find: Callable[[Viewer], Awaitable[Shown]],
    *,
    replace: bool = False,
) -> None:
    """Answer privately, with `replace` in the place of the message with the click.

    Raises:
        RegistryError, SettingsError: says why not.
    """

    async def found() -> Shown:
        return await find(await desk.viewer(interaction))

    answer = await interaction.bounded(asyncio.create_task(found()))
    await answer.answer(interaction, replace=replace)
