"""Values of settings, from what people write and into what people read."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from bot.commands.prompt import PromptError, parse_size
from bot.commands.settings_fields import Kind, Setting
from bot.communities import Allowance, Pause, SettingsRefused

_NONE: Final = frozenset({"none", "no limit", "off"})
_MENTION: Final = re.compile(r"<[@#!&]*(?:subteam\^)?([^<>|]+)(?:\|[^<>]*)?>")
"""How chats write people, roles and channels: `<@1>`, `<@&1>`, `<#1>`, `<@U1|ana>`."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """How a place shows people, roles and channels by their ids, and words that people wrote."""

    member: Callable[[str], str] = str
    role: Callable[[str], str] = str
    channel: Callable[[str], str] = str
    text: Callable[[str], str] = str


PLAIN: Final = Mentions()


# --- From what people write -------------------------------------------------------------------


def read(setting: Setting, text: str) -> object:
    """The value that somebody has typed. Whether it is in range, a change decides.

    Raises:
        SettingsRefused: it cannot be such a value.
    """
    text = text.strip()
    if setting.none and text.lower() in _NONE:
        return None
    match setting.kind:
        case Kind.NUMBER:
            return text.removeprefix("$").strip()
        case Kind.CHOICE:
            return _choice(setting, text)
        case Kind.CHOICES:
            return frozenset(_choice(setting, one) for one in _parts(text))
        case Kind.SIZE:
            return _size(setting, text)
        case Kind.CHANNEL:
            return ids(text)[0] if ids(text) else ""
        case Kind.MEMBERS | Kind.ROLES:
            return frozenset(() if text.lower() in _NONE else ids(text))
        case Kind.WORDS:
            return frozenset(() if text.lower() in {"", "none"} else phrases(text))
        case Kind.PAUSE:
            return {"reason": text}
        case Kind.ALLOWANCES:
            raise SettingsRefused(
                f"{setting.name} is set for one role and one limit at a time: "
                f"{setting.name}.ROLE.max_steps, say.",
                setting.name,
            )
        case Kind.TEXT:
            return text


def phrases(text: str) -> list[str]:
    """Words and phrases, one a line or with commas between."""
    return [one for one in map(str.strip, re.split(r"[\n,]", text)) if one]


def ids(text: str) -> list[str]:
    """Ids of people, roles or channels, mentioned or written, with spaces or commas between."""
    return _parts(_MENTION.sub(r" \1 ", text))


def _parts(text: str) -> list[str]:
    return re.split(r"[\s,]+", text.strip(" ,\n\t")) if text.strip(" ,\n\t") else []


def _choice(setting: Setting, text: str) -> str:
    """The choice of this name or wording; what is none is refused later, with what there is."""
    for value, words in setting.choices.items():
        if text.lower() in (str(value), words.lower()):
            return str(value)
    return text


def _size(setting: Setting, text: str) -> object:
    try:
        return parse_size(text)
    except PromptError as error:
        better = f" Did you mean {error.corrected}?" if error.corrected else ""
        sentence = str(error).removeprefix("--")
        raise SettingsRefused(f"{sentence}{better}", setting.name) from None


# --- Into what people read --------------------------------------------------------------------


def in_words(setting: Setting, value: Any, mentions: Mentions = PLAIN) -> str:
    """A value as people say it. Of a list only its length; blocked words are never among it."""
    if value is None:
        return setting.none
    match setting.kind:
        case Kind.NUMBER:
            return _number(setting, value)
        case Kind.CHOICE:
            return setting.choices.get(value, str(value))
        case Kind.CHOICES:
            return ", ".join(sorted(value))
        case Kind.CHANNEL:
            return mentions.channel(value)
        case Kind.MEMBERS | Kind.ROLES | Kind.WORDS | Kind.ALLOWANCES:
            return counted(len(value), setting.unit)
        case Kind.PAUSE:
            return _pause(value, mentions)
        case Kind.TEXT | Kind.SIZE:
            return mentions.text(str(value))


def counted(number: float, unit: str) -> str:
    """`1 job`, `2 jobs`, `no entries`."""
    if number == 1:
        return f"1 {unit}"
    many = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{number:,.10g} {many}" if number else f"no {many}"


def items(setting: Setting, value: Iterable[str]) -> tuple[str, ...]:
    """The entries of a list in the order in which they are shown."""
    return tuple(sorted(value, key=str.casefold if setting.kind is Kind.WORDS else _by_age))


def allowed(own: Allowance, fields: Iterable[Setting]) -> str:
    """What a role has of its own, in one line."""
    said = [
        f"{one.label.lower()}: {in_words(one, getattr(own, one.name))}"
        for one in fields
        if one.name in own.model_fields_set
    ]
    return "; ".join(said)


def _by_age(identity: str) -> tuple[int, str]:
    return len(identity), identity


def _number(setting: Setting, value: float) -> str:
    if setting.unit == "$":
        return f"${value:,.2f}".removesuffix(".00") + setting.per
    if not setting.unit:
        return f"{value:g}"
    return counted(value, setting.unit) + setting.per


def _pause(value: Pause, mentions: Mentions) -> str:
    return f"on, “{mentions.text(value.reason)}”" if value.reason else "on, without a reason"
