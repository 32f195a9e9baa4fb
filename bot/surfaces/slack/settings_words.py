"""Settings in Slack's words: what its rules for flagged pictures are called, and user groups."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from bot.commands.settings_fields import SETTINGS, Setting
from bot.commands.settings_values import Mentions
from bot.policy import FlaggedRule
from bot.surfaces.slack.text import safe
from bot.surfaces.text import plain

SLACKS_RULE: Final = (
    "Slack's acceptable-use policy forbids sexually explicit material. A closed block hides such a "
    "picture, but it is on Slack all the same; where members may draw such things, withhold them."
)
RULES: Final = (FlaggedRule.SPOILER, FlaggedRule.PRIVATE, FlaggedRule.WITHHOLD)
"""Those that make sense on Slack."""
_FLAGGED: Final[Mapping[str, str]] = MappingProxyType(
    {
        FlaggedRule.SPOILER: "collapse: in a closed block that members open",
        FlaggedRule.PRIVATE: "dm: a card here, the picture to who asked, in a closed block",
        FlaggedRule.WITHHOLD: "withhold: not uploaded, a sentence in its place",
        FlaggedRule.SPOILER_AGE_RESTRICTED: (
            "withheld: this rule shows them in age-restricted places only"
        ),
    }
)
_ABOUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "moderators": (
            "They may delete, hide and reveal the pictures of others, as those may who own or "
            "administer this workspace."
        ),
        "moderator_roles": "Whoever is in one of these user groups is a moderator.",
    }
)
_ROLE: Final = re.compile(r"\b([Rr])ole(s?)\b")


def words(text: str) -> str:
    """A sentence of ours with user groups in place of roles."""
    return _ROLE.sub(lambda role: f"{'User' if role[1] == 'R' else 'user'} group{role[2]}", text)


def _in_slacks_words(setting: Setting) -> Setting:
    return replace(
        setting,
        label=words(setting.label),
        about=words(_ABOUT.get(setting.name, setting.about)),
        choices=_FLAGGED if setting.name == "flagged" else setting.choices,
        unit=words(setting.unit),
    )


HERE: Final[Mapping[str, Setting]] = MappingProxyType(
    {name: _in_slacks_words(setting) for name, setting in SETTINGS.items()}
)
"""Every setting as it is called here."""


SEEN: Final = Mentions(
    member=lambda one: f"<@{one}>" if one.isalnum() else safe(one, 100),
    role=lambda one: f"<!subteam^{one}>" if one.isalnum() else safe(one, 100),
    channel=lambda one: f"<#{one}>" if one.isalnum() else safe(one, 100),
    text=lambda text: safe(text, 300),
)
"""In forms, where a mention shows a name and calls nobody."""

LOGGED: Final = Mentions(
    member=lambda one: safe(one, 100),
    role=lambda one: f"user group {safe(one, 100)}",
    channel=lambda one: safe(one, 100),
    text=lambda text: safe(text, 300),
)
"""In messages: nobody is called."""

WRITTEN: Final = Mentions(
    member=lambda one: plain(one, 100),
    role=lambda one: plain(one, 100),
    channel=lambda one: plain(one, 100),
    text=lambda text: plain(text, 300),
)
"""Where Slack takes no markup."""
