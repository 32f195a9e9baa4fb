"""People's own defaults: what `/imagine` uses where they say nothing.

They hold in one community, or, asked for in direct messages, wherever no community is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from backends.base import MODELS, ModelName, parse_request
from backends.errors import BadRequest
from bot import wording
from bot.commands.imagine import Chooser, Refused
from bot.commands.prompt import NO_PRESET, PromptError, parse_size
from bot.communities import (
    Change,
    CommunitySettings,
    Effective,
    MemberSettings,
    SettingsRefused,
    Source,
    member_defaults,
)
from bot.community_store import CommunityStore
from bot.jobs.job import Place
from bot.permissions import ModelNotAllowed, OverAllowance, Requester, allowance, may
from bot.registry import Registry
from bot.viewers import viewer
from lora_registry.names import parse_composition

SOURCES: Final[Mapping[Source, str]] = MappingProxyType(
    {
        Source.DEFAULT: "default",
        Source.INSTANCE: "set for this whole Atelier",
        Source.COMMUNITY: "set for everybody here",
        Source.MEMBER: "yours",
    }
)
"""Where a value comes from, in words."""

_YES: Final = frozenset({"yes", "on", "true"})
_NO: Final = frozenset({"no", "off", "false"})
_NOTHING: Final = frozenset({NO_PRESET, "-"})
_DRAWN: Final = frozenset({"model", "size", "images"})
"""Defaults that a request could be refused for."""


@dataclass(frozen=True, slots=True)
class Line:
    """One default: its label, the value in words, where that comes from."""

    name: str
    label: str
    value: str
    source: Source


class MyDefaults:
    """Shows and changes the defaults of whoever asks."""

    def __init__(self, communities: CommunityStore, registry: Registry, backends: Chooser) -> None:
        self._communities = communities
        self._registry = registry
        self._backends = backends

    async def shown(self, place: Place, requester: Requester) -> Effective[MemberSettings]:
        """What holds for this person here.

        Raises:
            SettingsDamaged: it cannot be read; `clear` helps where it is their own.
        """
        here = await self._communities.effective(place.community)
        return member_defaults(here, await self._communities.member(place.community, requester.id))

    async def models(self, place: Place, requester: Requester) -> tuple[ModelName, ...]:
        """The models that this person may use here, as far as anything draws with them.

        Raises:
            SettingsDamaged
        """
        here = await self._communities.effective(place.community)
        allowed = allowance(here, requester).models
        return tuple(model for model in MODELS if model in allowed and self._draws(model))

    async def change(
        self, place: Place, requester: Requester, said: Mapping[str, str]
    ) -> Effective[MemberSettings]:
        """Set defaults from what somebody wrote. Nothing clears one, `none` sets it to nothing.

        Raises:
            SettingsRefused: a value is wrong, or everything asked for with it would be refused.
            RegistryError: the preset is not there or may not be used.
            SettingsDamaged: what is stored cannot be read; `clear` helps.
        """
        values = {name: _read(name, text.strip()) for name, text in said.items() if text.strip()}
        change = Change(values, frozenset(said.keys() - values.keys()))
        here = await self._communities.effective(place.community)
        own = await self._communities.member(place.community, requester.id)
        await self._check(here, change.applied_to(own), change, place, requester)
        changed = await self._communities.change_member(place.community, requester.id, change)
        return member_defaults(here, changed)

    async def clear(self, place: Place, requester: Requester) -> Effective[MemberSettings]:
        """Forget all that this person has set here, readable or not."""
        await self._communities.reset_member(place.community, requester.id)
        return await self.shown(place, requester)

    async def _check(
        self,
        here: Effective[CommunitySettings],
        member: MemberSettings,
        change: Change,
        place: Place,
        requester: Requester,
    ) -> None:
        """Refuse defaults with which nothing could be drawn."""
        if change.values.get("preset") is not None and member.preset is not None:
            who = viewer(here, requester, place)
            for part in parse_composition(member.preset):
                await self._registry.resolver.resolve(who, part.reference)
        if _DRAWN.isdisjoint(change.values):
            return
        mine = member_defaults(here, member).settings
        fields: dict[str, Any] = {
            "model": mine.model,
            "prompt": "x",
            "seed": 0,
            "num_images": mine.images,
        }
        if mine.size is not None:
            fields["image_size"] = mine.size
        names = tuple(sorted(_DRAWN.intersection(change.values)))
        try:
            request = parse_request(fields)
            backend = self._backends.choose(request.model)
        except BadRequest as error:
            raise SettingsRefused(wording.problems(error.problems), *names) from error
        except Refused as error:
            raise SettingsRefused(str(error), "model") from error
        if found := backend.capabilities.refusals(request):
            raise SettingsRefused(wording.problems(found), *names)
        refusal = may(here, requester, request)
        if isinstance(refusal, ModelNotAllowed | OverAllowance):
            raise SettingsRefused(wording.refusal(refusal), *names)

    def _draws(self, model: ModelName) -> bool:
        try:
            self._backends.choose(model)
        except Refused:
            return False
        return True


def lines(mine: Effective[MemberSettings]) -> tuple[Line, ...]:
    """Every default, in the order in which it is shown."""
    settings, usual = mine.settings, MODELS[mine.settings.model].model_fields["image_size"].default
    words = {
        "preset": ("Preset", settings.preset or "none"),
        "size": ("Size", str(settings.size or f"the model's own, {usual}")),
        "model": ("Model", settings.model),
        "images": ("Pictures at once", str(settings.images)),
        "private": ("Shown to", "you alone" if settings.private else "everybody in the channel"),
        "ping": ("When it is done", "you get a ping" if settings.ping else "no ping"),
    }
    return tuple(
        Line(name, label, value, mine.sources[name]) for name, (label, value) in words.items()
    )


def _read(name: str, text: str) -> Any:
    match name:
        case "preset" | "size" if text.lower() in _NOTHING:
            return None
        case "size":
            return _size(text)
        case "private" | "ping":
            return _switch(name, text)
    return text


def _size(text: str) -> object:
    try:
        return parse_size(text)
    except PromptError as error:
        better = f" Did you mean {error.corrected}?" if error.corrected else ""
        raise SettingsRefused(f"{str(error).removeprefix('--')}{better}", "size") from None


def _switch(name: str, text: str) -> bool:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise SettingsRefused(f"{name} is on or off, not “{text[:40]}”.", name)
