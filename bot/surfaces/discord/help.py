"""`/help`: short, with what helps most and something to try at once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import discord
from discord import ButtonStyle, TextStyle, app_commands
from discord.ui import ActionRow, Button, Item, Label, LayoutView, Modal, Section, TextInput

from bot.commands import presets
from bot.commands.fields import wish as wish_of_fields
from bot.commands.prompt import Wish
from bot.surfaces.discord import cards, form
from bot.surfaces.discord.answers import Answer, tell
from bot.surfaces.discord.desk import Desk, Handler, Interaction, draw
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.presets import NONE_YET, listed
from bot.surfaces.discord.text import safe

HELP: Final = """\
**Draw:** `/imagine prompt:a lighthouse in a storm, oil painting`
**With a look:** fill in `preset`, or name LoRAs with their weights: `ghibli:0.8, ink`
**Yours:** `/queue` shows what waits, is being drawn, or could not be shown; `/cancel` ends it; \
`/defaults` is what you need not say each time; `/privacy` is what is kept about you
**Looks:** `/preset list`, `/preset search`, `/preset show`

**Below a picture:** *Again* draws it with a new seed, *Edit* lets you change it, *Vary* turns one \
LoRA or the guidance a little up or down, *Recipe* gives the exact command, *Save as preset* keeps \
its look, *Delete* takes it away, *Report* tells the moderators.

**What helps**
- Say what is to be seen, then where, then how it is drawn or lit; sentences, not keywords.
- There is no negative prompt: say what you want instead of what you do not.
- Text that is to appear goes into quotes.
- Keep the seed while you compare words, LoRAs or guidance; change one thing at a time.
- 28 steps are enough; 12 to 16 do for a draft. Three strong LoRAs spoil each other.

**Try one:**\
"""
_TRY: Final = "try"
_WRITE: Final = "try_write"
_WRITTEN: Final = "try_written"
_PRESETS: Final = "try_presets"
_PROMPT: Final = "prompt"
_LONGEST: Final = 4000


def help_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(name="help", description="How to draw, what helps, and some to try")
    async def show_help(interaction: discord.Interaction[Any]) -> None:
        await Answer(interaction, private=True).show(_help(desk.examples), private=True)

    return show_help


def _help(examples: tuple[str, ...]) -> LayoutView:
    tries: list[Item[Any]] = [
        Section(safe(prompt, 100), accessory=_button("Draw this", _TRY, "draw", prompt))
        for prompt in examples
    ]
    more = ActionRow(_button("Write my own", _WRITE), _button("Presets", _PRESETS))
    return cards.note(HELP, *tries, more)


async def _draw(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await draw(desk, interaction, Wish(custom_id.argument))


async def _write(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    modal = Modal(title="Draw a picture", custom_id=str(CustomId(_WRITTEN)))
    field: TextInput[Any] = TextInput(
        custom_id=_PROMPT,
        style=TextStyle.paragraph,
        placeholder=desk.examples[0],
        max_length=_LONGEST,
    )
    about = "What is to be seen, then where, then how it is drawn or lit"
    modal.add_item(Label(text="Prompt", description=about, component=field))
    modal.stop()  # the library need not keep it
    await interaction.response.send_modal(modal)


async def _written(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    wish = wish_of_fields(form.values(interaction.data or {})[_PROMPT])
    await draw(desk, interaction, wish)


async def _presets(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    found = await presets.list_presets(desk.registry, await desk.viewer(interaction))
    await tell(interaction, listed(found) or NONE_YET)


def _button(label: str, verb: str, subject: str = "", argument: str = "") -> Button[LayoutView]:
    custom_id = str(CustomId(verb, subject, argument))
    return Button(label=label, style=ButtonStyle.secondary, custom_id=custom_id)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {_TRY: _draw, _WRITE: _write, _WRITTEN: _written, _PRESETS: _presets}
)
