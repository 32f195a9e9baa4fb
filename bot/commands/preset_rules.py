"""What a community, or the whole instance, allows of presets: policy, rules, installed ones."""

import contextlib
import re
from dataclasses import dataclass
from typing import Final, Literal

from bot.commands.curation import MOST_REASON, Done
from bot.registry import Registry
from lora_registry import curating
from lora_registry.curating import Installed, Policy
from lora_registry.errors import BadName, Refused, RegistryError
from lora_registry.models import Viewer
from lora_registry.names import parse_reference, parse_slug
from lora_registry.permissions import (
    PUBLIC,
    Action,
    Place,
    Publishing,
    Rule,
    RuleKind,
    Subject,
    may,
)
from lora_registry.tables import rules_for

Effect = Literal["allow", "deny"]

MOST_RULES: Final = 500
"""Rules of one place."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule with what people call that which it is about."""

    rule: Rule
    name: str


@dataclass(frozen=True, slots=True)
class NamedInstall:
    """What is installed, with what people call it."""

    installed: Installed
    name: str


@dataclass(frozen=True, slots=True)
class House:
    """Everything that holds at a place. `above` are the instance's rules, which hold there too, and
    `ceiling` the lower of both NSFW ceilings."""

    place: Place
    policy: Policy
    ceiling: int
    rules: tuple[NamedRule, ...]
    above: tuple[NamedRule, ...]
    installed: tuple[NamedInstall, ...]


async def house(registry: Registry, viewer: Viewer, place: Place) -> House:
    """What holds at a place, for who governs it.

    Raises:
        Refused: the viewer does not.
    """
    rows = registry.database.rows
    rules = await rules_for(rows, viewer, place)
    decision = may(viewer, Action.GOVERN, Subject("", "", place), rules)
    if not decision.allowed:
        raise Refused(decision.reason)
    chosen = await curating.installed(rows, place.id) if place != PUBLIC else ()
    names = await curating.called(
        rows, {*(one.value for one in rules.rules), *(one.value for one in chosen)}
    )
    said = [NamedRule(r, _name(r.kind, r.value, names.get(r.value))) for r in rules.rules]
    return House(
        place=place,
        policy=await curating.policy(rows, place),
        ceiling=rules.ceiling,
        rules=tuple(one for one in said if one.rule.place == place),
        above=tuple(one for one in said if one.rule.place != place),
        installed=tuple(
            NamedInstall(one, _name(one.kind, one.value, names.get(one.value))) for one in chosen
        ),
    )


async def set_policy(
    registry: Registry,
    viewer: Viewer,
    place: Place,
    publishing: Publishing | None = None,
    nsfw_ceiling: int | None = None,
) -> Done:
    """Set who publishes at a place, its NSFW ceiling, or both; None leaves it.

    Raises:
        Refused: the viewer may not, or there is no such level.
    """
    now = await curating.policy(registry.database.rows, place)
    chosen = now.publishing if publishing is None else publishing
    ceiling = now.nsfw_ceiling if nsfw_ceiling is None else nsfw_ceiling
    await registry.moderation.set_policy(viewer, place, chosen, ceiling)
    what = f"{PUBLISHING[chosen]}; NSFW up to level {ceiling}"
    return Done(f"Now: {what}.", f"set who publishes presets: {what}")


async def add_rule(
    registry: Registry,
    viewer: Viewer,
    place: Place,
    effect: Effect,
    kind: RuleKind,
    text: str,
    reason: str = "",
) -> Done:
    """Allow or deny what a text names: a preset, `@owner`, a LoRA's name or hash, a tag.

    Raises:
        Refused: the viewer may not, or the rule would do nothing there.
        BadName, UnknownPreset, UnknownLora: the text names nothing.
    """
    current = await house(registry, viewer, place)
    if effect == "allow" and kind == "lora" and place != PUBLIC:
        raise Refused("Only the operator of this Atelier allows a LoRA; here one can be denied.")
    if len(current.rules) >= MOST_RULES:
        raise Refused(f"There are {MOST_RULES} rules here, which is the most; take one back first.")
    value, name = await _meant(registry, viewer, place, kind, text)
    why = " ".join(reason.split())[:MOST_REASON]
    await registry.moderation.add_rule(viewer, Rule(effect, kind, value, place, why))
    because = f": {why}" if why else ""
    return Done(f"{DOES[effect]} now: {name}.", f"{DOES[effect].lower()} {name}{because}")


async def drop_rule(
    registry: Registry, viewer: Viewer, place: Place, effect: Effect, kind: RuleKind, text: str
) -> Done:
    """Take a rule back; `text` is its value, or what it was added with.

    Raises:
        Refused: the viewer may not, or there is no such rule.
    """
    current = await house(registry, viewer, place)
    values = {text}
    with contextlib.suppress(RegistryError):  # it may be gone; its value still names the rule
        values.add((await _meant(registry, viewer, place, kind, text))[0])
    called = _name(kind, text, text)
    for one in current.rules:
        same = one.rule.value in values or one.name == called
        if (one.rule.effect, one.rule.kind) == (effect, kind) and same:
            await registry.moderation.drop_rule(viewer, one.rule)
            done = DOES[effect].lower()
            return Done(f"No longer {done}: {one.name}.", f"no longer {done}: {one.name}")
    raise Refused("There is no such rule here; look at those that there are.")


async def install(registry: Registry, viewer: Viewer, text: str, *, installed: bool = True) -> Done:
    """Let a public preset, or all of `@owner`, come first in the viewer's community, or no more.

    Raises:
        Refused, BadName, UnknownPreset: says why not.
    """
    place = Place.community(viewer.community)
    kind: RuleKind = "owner" if _is_owner(text) else "preset"
    current = await house(registry, viewer, place)
    known = {one.installed.value: one.name for one in current.installed}
    if text in known:
        value, name = text, known[text]
    else:
        value, name = await _meant(registry, viewer, place, kind, text)
    await registry.moderation.install(viewer, value, installed=installed)
    if installed:
        return Done(
            f"Installed: {name}; its names come before other public ones.", f"installed {name}"
        )
    return Done(f"No longer installed: {name}.", f"uninstalled {name}")


# --- Words ------------------------------------------------------------------------------------

PUBLISHING: Final = {
    Publishing.OPEN: "everybody publishes at once",
    Publishing.REVIEWED: "everybody publishes once a curator approves",
    Publishing.CLOSED: "only curators publish",
}
DOES: Final = {"allow": "Allowed", "deny": "Denied"}
KINDS: Final[dict[RuleKind, str]] = {
    "preset": "A preset",
    "owner": "All presets of a person",
    "lora": "Every preset with a LoRA",
    "tag": "Every preset with a tag",
}


def _name(kind: RuleKind, value: str, name: str | None) -> str:
    match kind:
        case "preset":
            return f"the preset {name or f'{value[:8]} (deleted)'}"
        case "owner":
            return f"everything of {name or 'somebody who is gone'}"
        case "lora":
            return f"the LoRA {name or value[:12]}"
        case "tag":
            return f"the tag {value}"


# --- Steps ------------------------------------------------------------------------------------


def _is_owner(text: str) -> bool:
    return text.strip().startswith("@") and "/" not in text


async def _meant(
    registry: Registry, viewer: Viewer, place: Place, kind: RuleKind, text: str
) -> tuple[str, str]:
    """The id, hash or tag that a text means, and what people call it.

    Raises:
        RegistryError: it means nothing.
    """
    text = text.strip()
    rows = registry.database.rows
    match kind:
        case "preset":
            value = await _preset(registry, viewer, place, text)
        case "owner":
            handle = parse_slug(text.removeprefix("@"), reserved=True)
            value = await curating.owner_called(rows, handle)
        case "lora" if _SHA256.fullmatch(text.lower()):
            value = text.lower()
        case "lora":
            value = (await registry.loras.find(text)).sha256
        case "tag":
            value = parse_slug(text, reserved=True)
    names = await curating.called(rows, [value])
    return value, _name(kind, value, names.get(value))


async def _preset(registry: Registry, viewer: Viewer, place: Place, text: str) -> str:
    wanted = parse_reference(text)
    if wanted.rev is not None or wanted.digest is not None:
        raise BadName(f"A rule is about the whole preset; write {wanted.name} without “@…”.")
    try:
        return (await registry.resolver.resolve(viewer, wanted)).revision.preset.id
    except RegistryError:
        for where in (place, PUBLIC):
            with contextlib.suppress(RegistryError):
                return await curating.named(registry.database.rows, viewer, where, wanted)
        raise
