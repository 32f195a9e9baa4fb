"""Text on its way to Slack and back: markup that people wrote is shown as it was typed."""

import html
import re
from datetime import UTC, datetime
from typing import Final

from bot.surfaces.text import isolated, plain

_MARKUP: Final = re.compile(r"([*_~`])")
_WORD_JOINER: Final = "\u2060"
_REFERENCE: Final = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
_SPLIT_FENCE: Final = "`\u200b``"


def safe(text: str, most: int) -> str:
    """One line for mrkdwn, without formatting, mentions or links of its own.

    Slack has no escape for `*`, `_`, `~` and backticks; joiners of no width keep them from pairing.
    """
    line = html.escape(plain(text, most), quote=False)
    return isolated(_MARKUP.sub(rf"{_WORD_JOINER}\1{_WORD_JOINER}", line))


def bold(text: str, most: int) -> str:
    """The same in bold, unless it has markup of its own, which might end that early."""
    line = safe(text, most)
    return line if not line.strip() or _MARKUP.search(line) else f"*{line}*"


def code(command: str) -> str:
    """A block to copy a command from; three backticks would end it early."""
    return f"```{html.escape(command.replace('```', _SPLIT_FENCE), quote=False)}```"


def moment(seconds: float) -> str:
    """A time since 1970 that Slack shows in everybody's own words and time zone."""
    utc = datetime.fromtimestamp(seconds, UTC)
    return f"<!date^{int(seconds)}^{{date_short_pretty}} {{time}}|{utc:%Y-%m-%d %H:%M} UTC>"


def typed(text: str) -> str:
    """What a person typed, from what Slack made of it: references and links as plain words.

    `<@U1|ana>` is @ana, `<#C1|general>` #general, `<https://x.org|x.org>` the address, `<!here>`
    @here. Where Slack gives no name, the id stays. Entities are the characters they stand for.
    """
    return html.unescape(_REFERENCE.sub(_unwrapped, text))


def without_mention(text: str, user: str) -> str:
    """The same without the mention of `user`, usually the bot, wherever it stands first."""
    return re.sub(rf"^\s*<@{re.escape(user)}(?:\|[^<>]*)?>\s*[:,]?", "", text, count=1)


def _unwrapped(found: re.Match[str]) -> str:
    sign, target, label = found[1], found[2], found[3]
    if not sign:
        # `<lora:name:0.8>` is a command's own; an address wins over the text shown for it.
        is_address = "://" in target or target.startswith("mailto:")
        if not is_address:
            return found[0]
        return label or target[7:] if target.startswith("mailto:") else target
    if sign == "!":
        return f"@{label or target.partition('^')[0]}"
    return f"{sign}{label or target}"
