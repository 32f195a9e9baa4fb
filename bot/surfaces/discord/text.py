"""Text that people wrote, made safe to show in a message."""

import re
from typing import Final

from bot.surfaces.text import isolated
from bot.surfaces.text import plain as plain
from bot.surfaces.text import whole_lines as whole_lines

_MARKUP: Final = re.compile(r"([\\*_~`|<>\[\]#])")
_SPLIT_FENCE: Final = "`\u200b``"


def safe(text: str, most: int) -> str:
    """The same with Discord's markup shown as it was typed: no mention, no link in disguise.

    Text that runs from right to left is set apart, so that what stands around it stays in order.
    The answer has at most `2 * most + 2` characters.
    """
    return isolated(_MARKUP.sub(r"\\\1", plain(text, most)))


def code(command: str) -> str:
    """A block to copy a command from, exactly; three backticks would end it early."""
    return f"```\n{command.replace('```', _SPLIT_FENCE)}\n```"


def uncode(block: str) -> str:
    """What `code` has put into a block."""
    return block.removeprefix("```\n").removesuffix("\n```").replace(_SPLIT_FENCE, "```")
