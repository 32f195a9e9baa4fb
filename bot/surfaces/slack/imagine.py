"""`/imagine`, and the same words to the bot by mention or in a direct message."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bot.commands.prompt import Wish, parse
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import forms
from bot.surfaces.slack.desk import Desk, Handler, draw
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import typed, without_mention

COMMAND: Final = "/imagine "
USAGE: Final = (
    "Say what to draw: `@me a lighthouse in a storm --size landscape_4_3`. "
    "`/atelier help` tells more."
)


async def imagine(desk: Desk, interaction: Interaction) -> None:
    """The command; alone it opens a form. What is wrong with it is answered privately.

    Raises:
        PromptError: str() says what, with the corrected command.
        CallFailed: the form did not open.
    """
    words = typed(str(interaction.body.get("text") or "")).strip().removeprefix(COMMAND)
    if words:
        await draw(desk, interaction, parse(words))
    else:
        await interaction.open(forms.form(CustomId(forms.IMAGINED), Wish(""), interaction))


async def mentioned(desk: Desk, interaction: Interaction) -> None:
    """Somebody wrote to the bot, in a channel, a thread or a direct message.

    Raises:
        PromptError: as for the command.
    """
    text = without_mention(str(interaction.event.get("text") or ""), desk.me())
    words = typed(text).strip().removeprefix(COMMAND)
    if words:
        await draw(desk, interaction, parse(words))
    else:
        await interaction.tell(USAGE)


async def _imagined(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    await draw(desk, interaction, forms.wish_of_form(Wish(""), interaction.fields))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({forms.IMAGINED: _imagined})
