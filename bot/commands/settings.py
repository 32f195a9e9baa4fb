"""What somebody who manages a community does with its settings, on whatever surface.

Everything is looked at as an `Overview` of one version and changed as of that version: what
somebody else has changed in the meantime is never overwritten. Refusals are `SettingsError`s, whose
texts are sentences for people.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bot.commands.settings_fields import LISTS, SETTINGS, Setting, labels
from bot.commands.settings_values import PLAIN, Mentions, in_words, read
from bot.communities import (
    INSTANCE,
    JOINED,
    Allowance,
    Change,
    CommunitySettings,
    Effective,
    SettingsConflict,
    SettingsDamaged,
    SettingsRefused,
    Source,
)
from bot.community_store import CommunityStore
from bot.community_store import Entry as Entry
from bot.jobs.job import Place
from bot.permissions import Requester, check_may_change
from bot.registry import Registry
from bot.viewers import viewer
from lora_registry.errors import RegistryError
from lora_registry.names import parse_composition

HERE: Final = "set here"
BY_OWNER: Final = "set by the owner of this Atelier"
BY_DEFAULT: Final = "default"
FOR_THE_ROLE: Final = "set for this role"
AS_EVERYBODY: Final = "as for everybody"


@dataclass(frozen=True, slots=True)
class Target:
    """What is set: a setting, or a role's own of it. Without a setting, all that a role has."""

    setting: Setting | None
    role: str | None = None

    def label(self, mentions: Mentions = PLAIN) -> str:
        """What people call it."""
        if self.role is None:
            return self.setting.label if self.setting is not None else ""
        what = self.setting.label if self.setting is not None else "Limits"
        return f"{what} of {mentions.role(self.role)}"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change, and what it is about in the eyes of who makes it."""

    change: Change
    targets: tuple[Target, ...]


def target(path: str) -> Target:
    """Read `max_steps`, `roles.ID.max_steps`, or `roles.ID` for all that a role has.

    Raises:
        SettingsRefused: there is no such setting; says what comes near.
    """
    match path.strip().split("."):
        case [name] if name in SETTINGS:
            return Target(SETTINGS[name])
        case ["roles", role] if role:
            return Target(None, role)
        case ["roles", role, name] if role and name in SETTINGS and SETTINGS[name].for_roles:
            return Target(SETTINGS[name], role)
    near = difflib.get_close_matches(path.rpartition(".")[2], SETTINGS, 1)
    better = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTINGS)}."
    raise SettingsRefused(f"There is no setting {path[:80]}; {better}")


@dataclass(frozen=True, slots=True)
class Overview:
    """The settings of a community as of one version: its own layer, and what holds with it."""

    community: str
    version: int
    own: CommunitySettings
    here: Effective[CommunitySettings]

    def value(self, which: Setting, role: str | None = None) -> Any:
        """What holds. For a role, everybody's where it has none of its own."""
        if role is not None and self.has(which, role):
            return getattr(self.roles[role], which.name)
        return getattr(self.here.settings, which.name)

    def has(self, which: Setting, role: str | None = None) -> bool:
        """Whether it is set here, or for a role."""
        if role is not None:
            allowance = self.roles.get(role)
            return allowance is not None and which.name in allowance.model_fields_set
        return which.name in self.own.model_fields_set

    @property
    def roles(self) -> Mapping[str, Allowance]:
        """The roles with limits of their own, as they hold."""
        return self.here.settings.roles

    def entries(self, which: Setting) -> frozenset[str]:
        """The entries of a list that are changed here: those that hold, but of a list to which
        the instance's owner adds, the community's own."""
        settings = self.own if which.name in JOINED else self.here.settings
        return frozenset(getattr(settings, which.name))

    def added_by_owner(self, which: Setting) -> int:
        """How many further entries of a list the instance's owner has added."""
        return len(frozenset(getattr(self.here.settings, which.name)) - self.entries(which))

    def source(self, which: Setting, role: str | None = None, mentions: Mentions = PLAIN) -> str:
        """Where a value comes from, in words."""
        if role is not None:
            return self._source_for_role(which, role)
        source = self.here.sources[which.name]
        if which.owner_only and source is Source.COMMUNITY:
            return BY_OWNER
        if which.kind in LISTS and source is Source.COMMUNITY and self.added_by_owner(which):
            return f"{HERE}, and {self.added_by_owner(which):,} by the owner of this Atelier"
        if self.has(which) and source is Source.INSTANCE:
            own = in_words(which, getattr(self.own, which.name), mentions)
            return f"{BY_OWNER}, and not to be loosened; here it is set to {own}"
        return {Source.COMMUNITY: HERE, Source.INSTANCE: BY_OWNER}.get(source, BY_DEFAULT)

    def _source_for_role(self, which: Setting, role: str) -> str:
        if not self.has(which, role):
            return AS_EVERYBODY
        own = self.own.roles.get(role)
        if own is None:
            return BY_OWNER
        if getattr(own, which.name) != self.value(which, role):
            said = in_words(which, getattr(own, which.name))
            return f"{BY_OWNER}, and not to be loosened; for the role it is set to {said}"
        return FOR_THE_ROLE


# --- Changes, as of an overview ---------------------------------------------------------------


def written(now: Overview, to: Target, text: str) -> Edit:
    """What somebody has typed for a setting.

    Raises:
        SettingsRefused: it cannot be read.
    """
    if to.setting is None:
        raise SettingsRefused(f"Say which limit of the role is meant: roles.{to.role}.max_steps.")
    return valued(now, to.setting, read(to.setting, text), to.role)


def valued(now: Overview, which: Setting, value: object, role: str | None = None) -> Edit:
    """A value for a setting, or for a role's own of it; lists are replaced by it."""
    of = (Target(which, role),)
    if role is None:
        return Edit(Change({which.name: value}), of)
    roles = _of_roles(now)
    return Edit(Change({"roles": {**roles, role: {**roles.get(role, {}), which.name: value}}}), of)


def cleared(now: Overview, which: Iterable[Target]) -> Edit:
    """These settings come from the layer below; a role without any is no longer named.

    Raises:
        SettingsRefused: one of the roles has nothing of the kind.
    """
    targets = tuple(which)
    names, roles = set(), _of_roles(now)
    for one in targets:
        if one.role is None:
            names |= {one.setting.name} if one.setting is not None else set()
            continue
        if one.role not in roles:
            raise SettingsRefused(f"The role {one.role} has no limits of its own.", "roles")
        kept = {} if one.setting is None else roles[one.role]
        left = {name: v for name, v in kept.items() if one.setting and name != one.setting.name}
        roles = {name: v for name, v in roles.items() if name != one.role}
        if left:
            roles[one.role] = left
    about_roles = any(one.role is not None for one in targets)
    return Edit(Change({"roles": roles} if about_roles else {}, frozenset(names)), targets)


def extended(now: Overview, which: Setting, items: Iterable[str]) -> Edit:
    """A list with these entries added."""
    return valued(now, which, now.entries(which) | frozenset(items))


def reduced(now: Overview, which: Setting, items: Iterable[str]) -> Edit:
    """A list without these entries.

    Raises:
        SettingsRefused: none of them is on it.
    """
    gone = {one.casefold() for one in items}
    left = frozenset(one for one in now.entries(which) if one.casefold() not in gone)
    if left == now.entries(which):
        raise SettingsRefused(f"None of these is among the {which.label.lower()}.", which.name)
    return valued(now, which, left)


def together(now: Overview, steps: Iterable[Callable[[Overview], Edit]]) -> Edit:
    """Several changes as one; each is made as if those before it had been.

    Raises:
        SettingsRefused: one of them makes no sense.
    """
    values: dict[str, object] = {}
    gone: frozenset[str] = frozenset()
    targets: tuple[Target, ...] = ()
    for step in steps:
        edit = step(now)
        now = replace(now, own=edit.change.applied_to(now.own))
        values.update(edit.change.values)
        gone |= edit.change.cleared
        targets += edit.targets
    return Edit(Change(values, gone), targets)


# --- What is said of a change -----------------------------------------------------------------


def confirmation(edit: Edit, after: Overview, mentions: Mentions = PLAIN) -> str:
    """What has come of a change, in a line."""
    said = []
    for one in edit.targets:
        if one.setting is None:
            said.append(f"{one.label(mentions)}: {AS_EVERYBODY}")
            continue
        value = in_words(one.setting, after.value(one.setting, one.role), mentions)
        source = after.source(one.setting, one.role, mentions)
        said.append(f"{one.label(mentions)}: {value} ({source})")
    return f"Saved. {'; '.join(said)}."


def conflict(error: SettingsConflict, me: str, mentions: Mentions = PLAIN) -> str:
    """Why a change was not made, where somebody was faster, to person `me`."""
    others = [mentions.member(one) for one in error.changed_by if one != me]
    who = f"{' and '.join(others)} {'has' if len(others) == 1 else 'have'}"
    what = labels(error.fields) or "everything"
    return (
        f"Nothing was saved: {who if others else 'you have, elsewhere,'} changed {what} since this "
        "was shown. Here it is as of now; repeat your change if you still want it."
    )


def noted(edit: Edit, who: str, mentions: Mentions = PLAIN) -> str:
    """The line for the community's log: who has changed which settings, and no value of them."""
    what = ", ".join(one.label(mentions) for one in edit.targets)
    return f"{who} has changed settings: {what}."


def _of_roles(now: Overview) -> dict[str, dict[str, object]]:
    """The roles that a change begins with: the own ones, where none are set those that hold."""
    roles = now.own.roles if "roles" in now.own.model_fields_set else now.roles
    return {role: one.model_dump(exclude_unset=True) for role, one in roles.items()}


# --- In the store -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Administration:
    """Looks at settings and changes them. `communities` keeps them, `registry` knows presets."""

    communities: CommunityStore
    registry: Registry

    async def overview(self, community: str, by: Requester) -> Overview:
        """The settings of a community (or `INSTANCE`), for who may change them.

        Raises:
            SettingsRefused: `by` may not.
            SettingsDamaged: they cannot be read; says which command helps.
        """
        check_may_change(community, (), by)
        # The layer first: what is changed between the two reads makes a conflict, not a surprise.
        try:
            record = await self.communities.load(community)
        except SettingsDamaged as error:
            raise _with_remedy(error, community) from None
        try:
            here = await self.communities.effective(community)
        except SettingsDamaged as error:
            raise _with_remedy(error, INSTANCE) from None
        return Overview(community, record.version, record.layer, here)

    async def change(self, now: Overview, edit: Edit, *, base: int, by: Requester) -> Overview:
        """Change what was shown at version `base`; the overview afterwards.

        Raises:
            SettingsRefused: a value is wrong, or `by` may not set it.
            SettingsConflict: somebody else has changed the settings since `base`.
            SettingsDamaged: what is stored cannot be read.
        """
        check_may_change(now.community, edit.change.fields, by)
        preset = edit.change.values.get("preset")
        if isinstance(preset, str):
            await self._check_preset(now, preset)
        await self.communities.change(now.community, edit.change, base=base, by=by)
        return await self.overview(now.community, by)

    async def history(self, community: str, by: Requester) -> tuple[Entry, ...]:
        """The last 20 changes, the latest first.

        Raises:
            SettingsRefused: `by` may not see them.
        """
        check_may_change(community, (), by)
        return await self.communities.history(community)

    async def reset(self, community: str, by: Requester) -> None:
        """Clear everything that is set, readable or not.

        Raises:
            SettingsRefused: `by` is not the owner of this Atelier.
        """
        await self.communities.reset(community, by=by)

    async def _check_preset(self, now: Overview, text: str) -> None:
        """Refuse a default that not everybody could draw with."""
        anybody = viewer(now.here, Requester(""), Place(community=now.community))
        try:
            for part in parse_composition(text):
                await self.registry.resolver.resolve(anybody, part.reference)
        except RegistryError as error:
            raise SettingsRefused(
                f"{error} A default must be a preset that everybody here may use.", "preset"
            ) from None


def _with_remedy(error: SettingsDamaged, community: str) -> SettingsDamaged:
    where = "" if community == INSTANCE else f" --community {community}"
    return SettingsDamaged(f"{error} The command is “atelier settings reset{where}”.")
