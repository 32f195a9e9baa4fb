"""`/help`: short, with what helps most."""

from typing import Any, Final

import discord
from discord import app_commands

from bot.surfaces.discord.answers import Answer

HELP: Final = """\
**Draw:** `/imagine prompt:a lighthouse in a storm, oil painting`
**With a look:** fill in `preset`, or name LoRAs with their weights: `ghibli:0.8, ink`
**Yours:** `/queue` shows what waits, is being drawn, or could not be shown; `/cancel` ends it
**Looks:** `/preset list`, `/preset search`, `/preset show`

**Below a picture:** *Again* draws it with a new seed, *Edit* lets you change it, *Vary* turns one \
LoRA or the guidance a little up or down, *Recipe* gives the exact command, *Delete* takes it away.

**What helps**
- Say what is to be seen, then where, then how it is drawn or lit; sentences, not keywords.
- There is no negative prompt: say what you want instead of what you do not.
- Text that is to appear goes into quotes.
- Keep the seed while you compare words, LoRAs or guidance; change one thing at a time.
- 28 steps are enough; 12 to 16 do for a draft. Three strong LoRAs spoil each other.\
"""


def help_command() -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""

    @app_commands.command(name="help", description="How to draw, and what helps")
    async def show_help(interaction: discord.Interaction[Any]) -> None:
        await Answer(interaction, private=True).tell(HELP)

    return show_help
