"""The settings of a community as people meet them: pages, labels, what each one does.

What a setting takes and what it is without anybody's doing is declared in `bot.communities`; every
setting there has its place on exactly one page here.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from backends.base import MODELS
from bot.communities import Allowance, CommunitySettings
from bot.policy import FlaggedRule


class Kind(enum.Enum):
    """What a setting holds, and so how it is asked for."""

    CHOICE = enum.auto()
    CHOICES = enum.auto()
    NUMBER = enum.auto()
    TEXT = enum.auto()
    SIZE = enum.auto()
    CHANNEL = enum.auto()
    MEMBERS = enum.auto()
    ROLES = enum.auto()
    WORDS = enum.auto()
    PAUSE = enum.auto()
    ALLOWANCES = enum.auto()


LISTS: Final = frozenset({Kind.MEMBERS, Kind.ROLES, Kind.WORDS})
"""Sets of any length, which are added to and taken from."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    `none` is what its None is called, empty where it takes none. `unit` follows a number (`job`
    becomes “3 jobs”), `per` follows that. `owner_only`: the instance's owner alone sets it.
    """

    name: str
    label: str
    about: str
    kind: Kind
    choices: Mapping[str, str] = field(default_factory=dict)
    none: str = ""
    unit: str = ""
    per: str = ""
    owner_only: bool = False

    @property
    def takes(self) -> str:
        """What it takes, as a part of a sentence."""
        return CommunitySettings.model_fields[self.name].description or ""

    @property
    def for_roles(self) -> bool:
        """Whether a role can have one of its own."""
        return self.name in Allowance.model_fields


@dataclass(frozen=True, slots=True)
class Page:
    """Settings that are looked at together."""

    key: str
    label: str
    about: str
    settings: tuple[Setting, ...]


FLAGGED_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        FlaggedRule.SPOILER: "behind a spoiler, everywhere",
        FlaggedRule.SPOILER_AGE_RESTRICTED: (
            "behind a spoiler in age-restricted channels, withheld elsewhere"
        ),
        FlaggedRule.PRIVATE: "behind a spoiler for who asked alone, withheld elsewhere",
        FlaggedRule.WITHHOLD: "withheld everywhere: a sentence stands in their place",
    }
)

_MODELS: Final[Mapping[str, str]] = MappingProxyType({name: name for name in MODELS})
_NO_LIMIT: Final = "no limit"


def _limit(name: str, label: str, about: str, unit: str, per: str = "") -> Setting:
    return Setting(name, label, about, Kind.NUMBER, none=_NO_LIMIT, unit=unit, per=per)


PAGES: Final = (
    Page(
        "moderation",
        "Moderation",
        "Flagged pictures, what is not drawn, and who looks after it.",
        (
            Setting(
                "flagged",
                "Flagged pictures",
                "Pictures that the checker flags, and those that nothing could check.",
                Kind.CHOICE,
                choices=FLAGGED_RULES,
            ),
            Setting(
                "blocked_words",
                "Blocked words",
                "A prompt that holds one of them, as a whole word, is refused.",
                Kind.WORDS,
                unit="entry",
            ),
            Setting(
                "blocked_members",
                "Blocked members",
                "They cannot draw here.",
                Kind.MEMBERS,
                unit="member",
            ),
            Setting(
                "moderators",
                "Moderators",
                "They may delete, veil and reveal the pictures of others, as those may who manage "
                "this community.",
                Kind.MEMBERS,
                unit="member",
            ),
            Setting(
                "moderator_roles",
                "Moderator roles",
                "Whoever has one of these roles is a moderator.",
                Kind.ROLES,
                unit="role",
            ),
            Setting(
                "paused",
                "Pause",
                "While it is paused nobody can draw here, and who tries is told the reason.",
                Kind.PAUSE,
                none="off",
            ),
        ),
    ),
    Page(
        "channels",
        "Channels",
        "Where reports and the log go.",
        (
            Setting(
                "report_channel",
                "Reports",
                "The channel in which moderators are told what members report.",
                Kind.CHANNEL,
                none="none",
            ),
            Setting(
                "log_channel",
                "Log",
                "The channel in which it is written down who changed settings and what moderators "
                "did.",
                Kind.CHANNEL,
                none="none",
            ),
        ),
    ),
    Page(
        "pictures",
        "Pictures",
        "What one request may ask for. Roles may get more.",
        (
            Setting(
                "models", "Models", "The models that may be used.", Kind.CHOICES, choices=_MODELS
            ),
            _limit(
                "max_megapixels",
                "Largest size",
                "In millions of pixels a picture: 2048x2048 has 4.2.",
                "megapixel",
            ),
            _limit("max_steps", "Most steps", "More take longer, and at fal cost more.", "step"),
            _limit(
                "max_images",
                "Most pictures at once",
                "How many one request may ask for.",
                "picture",
            ),
        ),
    ),
    Page(
        "people",
        "Each person",
        "What one person may have at once. Roles may get more.",
        (
            _limit(
                "requester_queued", "Jobs waiting", "How many jobs of one person may wait.", "job"
            ),
            _limit(
                "requester_running",
                "Jobs running",
                "How many jobs of one person are drawn at once.",
                "job",
            ),
            _limit(
                "requester_per_day",
                "Jobs a day",
                "How many jobs one person may ask for a day (UTC).",
                "job",
                " a day",
            ),
            Setting(
                "requester_weight",
                "Weight",
                "A person with 2 gets twice as many turns as one with 1 while both wait.",
                Kind.NUMBER,
            ),
        ),
    ),
    Page(
        "community",
        "Everybody together",
        "What the whole community may have at once, and what it may spend.",
        (
            _limit(
                "community_queued",
                "Jobs waiting together",
                "How many jobs of everybody together may wait.",
                "job",
            ),
            _limit(
                "community_running",
                "Jobs running together",
                "How many jobs of everybody together are drawn at once.",
                "job",
            ),
            _limit(
                "community_per_day",
                "Jobs a day together",
                "How many jobs everybody together may ask for a day (UTC).",
                "job",
                " a day",
            ),
            Setting(
                "daily_budget",
                "Daily budget",
                "What may be spent a day (UTC) on drawing that costs money.",
                Kind.NUMBER,
                none=_NO_LIMIT,
                unit="$",
                per=" a day",
            ),
            Setting(
                "community_weight",
                "Weight of the community",
                "Its share of turns among all communities; only the owner of this Atelier sets it.",
                Kind.NUMBER,
                owner_only=True,
            ),
        ),
    ),
    Page(
        "defaults",
        "Defaults",
        "What is used where a request does not say. Members may have their own.",
        (
            Setting("model", "Model", "The model that draws.", Kind.CHOICE, choices=_MODELS),
            Setting("size", "Size", "Size of a picture.", Kind.SIZE, none="the model's own"),
            Setting("preset", "Preset", "One that everybody here may use.", Kind.TEXT, none="none"),
        ),
    ),
    Page(
        "roles",
        "Roles",
        "Roles that may do more than everybody. Of everybody's limit and those of all of a "
        "person's roles, the most generous one holds.",
        (
            Setting(
                "roles",
                "Roles with limits of their own",
                "For each role, what it may beyond everybody.",
                Kind.ALLOWANCES,
                unit="role",
            ),
        ),
    ),
)

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {setting.name: setting for page in PAGES for setting in page.settings}
)

FOR_ROLES: Final = tuple(setting for setting in SETTINGS.values() if setting.for_roles)
"""The settings that a role can have of its own."""


def page(key: str) -> Page | None:
    """The page with this key."""
    return next((one for one in PAGES if one.key == key), None)


def page_of(name: str) -> Page:
    """The page on which a setting stands."""
    return next(one for one in PAGES if any(name == setting.name for setting in one.settings))


def labels(names: Iterable[str]) -> str:
    """Settings as people call them; a name that is no more is said as it was written."""
    return ", ".join(SETTINGS[name].label if name in SETTINGS else name for name in names)


def spoken(sentence: str) -> str:
    """A sentence with settings as people call them, for places where nobody types their names."""
    return _NAMES.sub(lambda name: f"“{SETTINGS[name[0]].label}”", sentence)


# Names of one word are English words as well, and can stay.
_NAMES: Final = re.compile(rf"\b({'|'.join(name for name in SETTINGS if '_' in name)})\b")
