"""`/atelier help`: short, with what helps most and something to try at once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.commands.prompt import Wish
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, forms, pages
from bot.surfaces.slack.answers import press
from bot.surfaces.slack.desk import Desk, Handler, draw
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import safe

TRY: Final = "try"
"""The verb of a button that draws at once: `draw` with a prompt, or `preset` with its name."""
WRITE: Final = "write"
"""The verb of a button that opens an empty form."""

HELP: Final = """\
*Draw:* `/imagine a lighthouse in a storm, oil painting`, or `/imagine` alone for a form. In a \
thread, mention me with the same words; in a direct message just write them.
*With a look:* `--preset dreamy`, or LoRAs with their weights: `--lora ghibli:0.8 --lora ink`
*More:* `--size landscape_4_3`, `--images 4`, `--seed 7`, `--private` for a direct message
*Yours:* `/queue` shows what waits, is being drawn, or could not be shown, and `/queue cancel` \
ends it; `/atelier defaults` is what you need not say each time; `/atelier privacy` is what is \
kept about you
*Looks:* `/preset list`, `/preset search`, `/preset show`"""
BELOW: Final = """\
*Below a picture:* _Again_ draws it with a new seed, _Edit_ lets you change it, _Vary_ turns one \
LoRA or the guidance a little up or down, _Recipe_ gives the exact command, _Save as preset_ keeps \
its look, _Delete_ takes it away, _Report_ tells the moderators."""
TIPS: Final = """\
*What helps*
• Say what is to be seen, then where, then how it is drawn or lit; sentences, not keywords.
• There is no negative prompt: say what you want instead of what you do not.
• Text that is to appear goes into quotes.
• Keep the seed while you compare words, LoRAs or guidance; change one thing at a time.
• 28 steps are enough; 12 to 16 do for a draft. Three strong LoRAs spoil each other."""
_TITLE: Final = "Help"
_DRAW: Final = "draw"
_PRESET: Final = "preset"


async def show_help(desk: Desk, interaction: Interaction) -> None:
    """The subcommand."""
    blocks = [
        *(cards.section(text) for text in (HELP, BELOW, TIPS, "*Try one:*")),
        *(cards.section(safe(one, 100), try_prompt(one)) for one in desk.examples),
        ActionsBlock(elements=[press(WRITE, "Write my own")]),
    ]
    await pages.show(interaction, _TITLE, cards.rendered(blocks))


def try_prompt(prompt: str) -> ButtonElement:
    """Draws this prompt, of at most `bot.commands.trying.LONGEST` characters."""
    return press(TRY, "Draw this", _DRAW, prompt)


def try_preset(name: str) -> ButtonElement:
    """Draws an example with the preset of this name, `@handle/name` at the longest."""
    return press(TRY, "Try it", _PRESET, name)


async def _tried(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    wish = Wish(custom_id.argument)
    if custom_id.subject == _PRESET:
        wish = Wish(desk.examples[0], preset=custom_id.argument)
    await draw(desk, interaction, wish)


async def _write(desk: Desk, interaction: Interaction, _: CustomId) -> None:
    form = forms.form(CustomId(forms.IMAGINED), Wish(""), interaction)
    await pages.window(interaction, form)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({TRY: _tried, WRITE: _write})
