"""Settings of communities and members.

Every setting is declared here once, with its default and the sentence that says what it takes.
Values come in layers: what is declared, what the owner of this instance has set, what a community
has set, what a member has set for themself. A layer is a settings object of which only the fields
that were set count (`model_fields_set`); `effective` puts layers together.

What settings allow whom is decided in `bot.permissions`; `bot.community_store` keeps them.

    SettingsError             str(error) is a sentence for the person who changes settings
    ├── SettingsRefused       a value is wrong, or this person may not set it
    ├── SettingsConflict      somebody else has changed the settings in the meantime
    └── SettingsDamaged       what is stored cannot be read
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from backends.base import MODELS, NAMED_SIZES, ImageSize, ModelName
from backends.errors import shown
from bot.blocked_words import canonical
from bot.policy import FlaggedRule, stricter

INSTANCE: Final = "instance"
"""The name under which the instance's own layer is kept, beside those of communities."""


class SettingsError(Exception):
    """Base of the tree at the top of this file."""


class SettingsRefused(SettingsError):
    """Nothing was changed. `fields` are the settings at fault."""

    def __init__(self, sentence: str, *fields: str) -> None:
        super().__init__(sentence)
        self.fields = fields


class SettingsConflict(SettingsError):
    """Somebody else was faster; `changed_by` and `fields` say who changed what. Nothing is lost."""

    def __init__(self, changed_by: tuple[str, ...], fields: tuple[str, ...]) -> None:
        what = ", ".join(fields) or "everything"
        super().__init__(
            f"Somebody else has changed {what} since these settings were shown. "
            "Look at them again, then repeat your change."
        )
        self.changed_by = changed_by
        self.fields = fields


class SettingsDamaged(SettingsError):
    """The stored settings cannot be read. Until they are reset, nothing may be generated there."""


# --- Declared settings ------------------------------------------------------------------------


def _named_size(value: object) -> object:
    return NAMED_SIZES.get(value, value) if isinstance(value, str) else value


def _searchable(phrase: str) -> str:
    if not canonical(phrase):
        raise ValueError
    return phrase


# Sorted, so that equal settings are stored as equal bytes.
_SORTED: Final = PlainSerializer(sorted, return_type=list[str])

Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Ids = Annotated[frozenset[Id], Field(max_length=10_000), _SORTED]
Phrase = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_searchable),
]
Size = Annotated[ImageSize, BeforeValidator(_named_size)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]
Weight = Annotated[float, Field(ge=0.1, le=10, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Allowance(_Settings):
    """What one person may ask for and have at once. None is no limit beyond the model's own."""

    models: Annotated[frozenset[ModelName], _SORTED] = Field(
        frozenset(MODELS), min_length=1, description=f"one or more of {', '.join(MODELS)}"
    )
    # 4.2 million pixels just hold 2048x2048.
    max_megapixels: float | None = Field(
        4.2,
        gt=0,
        le=200,
        allow_inf_nan=False,
        description="up to 200 megapixels a picture, or none for no limit",
    )
    max_steps: int | None = Field(
        None, ge=1, le=50, description="1 to 50 steps, or none for no limit"
    )
    max_images: int | None = Field(
        None, ge=1, le=4, description="1 to 4 pictures at once, or none for no limit"
    )
    requester_queued: Count | None = Field(
        5, description="the number of jobs of one person that may wait, or none for no limit"
    )
    requester_running: AtLeastOne | None = Field(
        1,
        description="the number of jobs of one person that may run, at least 1, or none for no "
        "limit",
    )
    requester_per_day: Count | None = Field(
        None, description="the number of jobs one person may ask for a day, or none for no limit"
    )
    requester_weight: Weight = Field(
        1.0, description="0.1 to 10, a person's share of the community's turns"
    )


class Defaults(_Settings):
    """What is used where a request does not say."""

    preset: Id | None = Field(None, description="a preset's name, or none")
    size: Size | None = Field(
        None, description="a size by name, width and height, or none for the model's own"
    )
    model: ModelName = Field("flux-1", description=f"one of {', '.join(MODELS)}")


class Pause(_Settings):
    """Nobody may generate; `reason` is told to who tries."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)] = ""


class CommunitySettings(Defaults, Allowance):
    """Everything that a community decides. What `Allowance` declares is everyone's."""

    roles: Mapping[Id, Allowance] = Field(
        default_factory=dict,
        max_length=100,
        description="role ids with what they allow beyond everyone's; only what is set counts",
    )
    community_queued: Count | None = Field(
        200, description="the number of its jobs that may wait, or none for no limit"
    )
    community_running: AtLeastOne | None = Field(
        None, description="the number of its jobs that may run, at least 1, or none for no limit"
    )
    community_per_day: Count | None = Field(
        None, description="the number of jobs it may ask for a day, or none for no limit"
    )
    community_weight: Weight = Field(
        1.0, description="0.1 to 10, the community's share of the instance's turns"
    )
    daily_budget: float | None = Field(
        5.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="0 to 1000000 US dollars a day, or none for no limit",
    )
    blocked_words: Annotated[frozenset[Phrase], _SORTED] = Field(
        frozenset(),
        max_length=5000,
        repr=False,
        description="up to 5000 words or phrases of up to 100 characters, each with a letter, "
        "digit or symbol",
    )
    blocked_members: Ids = Field(frozenset(), description="up to 10000 ids of members")
    paused: Pause | None = Field(
        None, description="a pause with a reason of up to 300 characters, or none"
    )
    flagged: FlaggedRule = Field(
        FlaggedRule.SPOILER, description=f"one of {', '.join(FlaggedRule)}"
    )
    moderator_roles: Ids = Field(frozenset(), description="up to 10000 ids of roles")
    moderators: Ids = Field(frozenset(), description="up to 10000 ids of members")
    log_channel: Id | None = Field(None, description="a channel's id, or none")
    report_channel: Id | None = Field(None, description="a channel's id, or none")


class MemberSettings(Defaults):
    """A member's own defaults."""

    images: int = Field(1, ge=1, le=4, description="1 to 4 pictures at once")
    private: bool = Field(False, description="true or false")
    ping: bool = Field(False, description="true or false; true asks for a ping when a job is done")


S = TypeVar("S", CommunitySettings, MemberSettings)


@dataclass(frozen=True, slots=True)
class Change:
    """Settings to set and settings to clear, by name. A cleared one comes from the layer below."""

    values: Mapping[str, object] = field(default_factory=dict)
    cleared: frozenset[str] = frozenset()

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(sorted({*self.values, *self.cleared}))

    def applied_to(self, layer: S) -> S:
        """The layer after this change.

        Raises:
            SettingsRefused: names every setting that is unknown or wrong, and what it takes.
        """
        kept = {
            name: value
            for name, value in layer.model_dump(exclude_unset=True).items()
            if name not in self.cleared
        }
        if unknown := self.cleared - set(type(layer).model_fields):
            raise SettingsRefused(_no_such_setting(unknown), *sorted(unknown))
        try:
            return type(layer).model_validate({**kept, **self.values})
        except ValidationError as error:
            raise _refused(type(layer), error) from None


def _refused(kind: type[BaseModel], error: ValidationError) -> SettingsRefused:
    sentences: dict[str, str] = {}
    for problem in error.errors():
        name, *inner = (str(part) for part in problem["loc"])
        label, info = name, kind.model_fields.get(name)
        if name == "roles" and len(inner) > 1:
            label, info = f"{inner[1]} of role {inner[0]}", Allowance.model_fields.get(inner[1])
        if info is None:
            sentences.setdefault(label, _no_such_setting([label]))
        else:
            value = shown(problem["input"])
            sentences.setdefault(label, f"{label} cannot take {value}; use {info.description}.")
    names = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors())
    return SettingsRefused(" ".join(sentences.values()), *names)


def _no_such_setting(names: Iterable[str]) -> str:
    return f"There is no setting {', '.join(sorted(names))}; leave it out."


# --- Layers -----------------------------------------------------------------------------------


class Source(enum.StrEnum):
    """Which layer a value comes from."""

    DEFAULT = "default"
    INSTANCE = "instance"
    COMMUNITY = "community"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Effective(Generic[S]):
    """Settings as they hold, and the layer that each of them comes from."""

    settings: S
    sources: Mapping[str, Source]


def _lower(one: float | None, other: float | None) -> float | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


_BOUNDS: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        # A community whose models the instance has since taken away is left with the instance's.
        "models": lambda instance, own: (instance & own) or instance,
        "max_megapixels": _lower,
        "max_steps": _lower,
        "max_images": _lower,
        "requester_queued": _lower,
        "requester_running": _lower,
        "requester_per_day": _lower,
        "community_queued": _lower,
        "community_running": _lower,
        "community_per_day": _lower,
        "daily_budget": _lower,
        "blocked_words": frozenset.union,
        "blocked_members": frozenset.union,
        "paused": lambda instance, own: instance or own,
        "flagged": stricter,
    }
)
"""Where the instance's owner has set a value, a community may only be stricter."""

LIMITS: Final = frozenset(name for name, combine in _BOUNDS.items() if combine is _lower)
"""The settings that are a number or None for no limit."""

JOINED: Final = frozenset(name for name, how in _BOUNDS.items() if how is frozenset.union)
"""The lists to which the instance's owner adds."""


def effective(
    instance: CommunitySettings, community: CommunitySettings
) -> Effective[CommunitySettings]:
    """Put the declared defaults, the instance's layer and a community's layer together.

    The nearer layer wins. Safety, capacity and money are bounds instead: where the instance's
    owner has set one, the community can tighten but not loosen it, for its roles neither.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in CommunitySettings.model_fields:
        above, own = getattr(instance, name), getattr(community, name)
        if name not in community.model_fields_set:
            values[name] = above
            known = name in instance.model_fields_set
            sources[name] = Source.INSTANCE if known else Source.DEFAULT
            continue
        values[name] = own
        if name in instance.model_fields_set and name in _BOUNDS:
            values[name] = _BOUNDS[name](above, own)
        bounded = values[name] != own and values[name] == above
        sources[name] = Source.INSTANCE if bounded else Source.COMMUNITY
    if "roles" in community.model_fields_set:
        values["roles"] = {
            role: _bounded(allowance, instance) for role, allowance in community.roles.items()
        }
    return Effective(CommunitySettings.model_construct(**values), MappingProxyType(sources))


def _bounded(allowance: Allowance, instance: CommunitySettings) -> Allowance:
    names = allowance.model_fields_set & instance.model_fields_set & set(_BOUNDS)
    bounded = {
        name: _BOUNDS[name](getattr(instance, name), getattr(allowance, name)) for name in names
    }
    return allowance.model_copy(update=bounded)


def member_defaults(
    here: Effective[CommunitySettings], member: MemberSettings
) -> Effective[MemberSettings]:
    """Put a community's defaults and a member's own layer together; the member's win."""
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in MemberSettings.model_fields:
        if name in member.model_fields_set:
            values[name], sources[name] = getattr(member, name), Source.MEMBER
        elif name in CommunitySettings.model_fields:
            values[name], sources[name] = getattr(here.settings, name), here.sources[name]
        else:
            values[name], sources[name] = getattr(member, name), Source.DEFAULT
    return Effective(MemberSettings.model_construct(**values), MappingProxyType(sources))


def contradiction(settings: CommunitySettings) -> SettingsRefused | None:
    """Defaults that everyone would be refused for using."""
    if settings.model not in settings.models:
        return SettingsRefused(
            f"model is {settings.model}, which not everyone may use here; "
            f"make it {' or '.join(sorted(settings.models))}, or add it to models.",
            "model",
            "models",
        )
    limit = settings.max_megapixels
    if settings.size and limit is not None and settings.size.pixels > limit * 1e6:
        return SettingsRefused(
            f"size is {settings.size}, which is more than max_megapixels ({limit:g}); "
            "make it smaller, or raise max_megapixels.",
            "size",
            "max_megapixels",
        )
    return None
