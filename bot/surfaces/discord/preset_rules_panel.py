"""The panel of `/preset rules`: all that holds in a server, with what changes it."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from discord import SelectOption
from discord.ui import ActionRow, Item, LayoutView, Select, TextDisplay

from bot.commands.preset_rules import PUBLISHING, House, NamedRule
from bot.surfaces.discord import cards
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.preset_card import press
from bot.surfaces.discord.text import plain, safe, whole_lines
from bot.surfaces.preset_words import LEVELS

PER_PAGE: Final = 20
"""Rules that are shown at once; a menu has room for 25."""
_INSTALLED: Final = 20
_VALUE: Final = 100
_LABEL: Final = 100


def panel(found: House, page: int = 0, said: str = "") -> LayoutView:
    """All that holds in a server, with what changes it; `page` counts from 0."""
    pages = max(1, -(-len(found.rules) // PER_PAGE))
    page = min(max(page, 0), pages - 1)
    rules = found.rules[page * PER_PAGE :][:PER_PAGE]
    chosen = found.installed[:_INSTALLED]
    items: list[Item[Any]] = []
    if said:
        items.append(TextDisplay(f"**{safe(said, 300)}**"))
    items += [
        TextDisplay(f"**Presets in this server**\n{_policy(found)}"),
        _publishing(found),
        _ceiling(found),
        TextDisplay(_listed(found, rules, page, pages)),
    ]
    if rules:
        items.append(_menu("rules_drop", str(page), "Take a rule back", map(_option, rules)))
    if chosen:
        names = (f"- {safe(one.name, 100)}" for one in chosen)
        items.append(TextDisplay(whole_lines(("**Installed**", *names), 700)))
        options = (
            SelectOption(label=plain(one.name, _LABEL), value=one.installed.value[:_VALUE])
            for one in chosen
        )
        items.append(_menu("rules_uninstall", str(page), "Install no longer", options))
    buttons = [
        press("rules_add", "Add a rule", str(page)),
        press("rules_install", "Install", str(page)),
    ]
    if page > 0:
        buttons.append(press("rules", "Earlier rules", str(page - 1)))
    if page < pages - 1:
        buttons.append(press("rules", "Later rules", str(page + 1)))
    return cards.layout(*items, ActionRow(*buttons))


def _policy(found: House) -> str:
    lower = found.ceiling < found.policy.nsfw_ceiling
    above = f" (this Atelier allows up to {found.ceiling})" if lower else ""
    level = found.policy.nsfw_ceiling
    return (
        f"{PUBLISHING[found.policy.publishing].capitalize()}. NSFW up to level {level}, "
        f"{LEVELS[level]}{above}."
    )


def _publishing(found: House) -> ActionRow[LayoutView]:
    options = (
        SelectOption(label=said.capitalize(), value=way, default=way == found.policy.publishing)
        for way, said in PUBLISHING.items()
    )
    return _menu("rules_publishing", "", "Who may publish", options)


def _ceiling(found: House) -> ActionRow[LayoutView]:
    options = (
        SelectOption(
            label=f"NSFW up to level {level}: {said}",
            value=str(level),
            default=level == found.policy.nsfw_ceiling,
        )
        for level, said in enumerate(LEVELS)
    )
    return _menu("rules_ceiling", "", "The highest NSFW level", options)


def _listed(found: House, rules: Sequence[NamedRule], page: int, pages: int) -> str:
    which = f", page {page + 1} of {pages}" if pages > 1 else ""
    lines = [f"**Rules**{which}", *(f"- {_line(one)}" for one in rules)]
    if not rules:
        lines.append("None. Denying always wins; allowing spares the wait for approval.")
    if found.above:
        lines.append(f"-# {len(found.above)} rules of this Atelier hold here, too:")
        lines += [f"-# {_line(one)}" for one in found.above[:5]]
    return whole_lines(lines, 1900)


def _line(one: NamedRule) -> str:
    why = f": {safe(one.rule.reason, 60)}" if one.rule.reason else ""
    return f"{one.rule.effect} {safe(one.name, 100)}{why}"


def _option(one: NamedRule) -> SelectOption:
    rule = one.rule
    return SelectOption(
        label=plain(f"{rule.effect} {one.name}", _LABEL),
        value=f"{rule.effect}:{rule.kind}:{rule.value}"[:_VALUE],
        description=plain(rule.reason, _LABEL) or None,
    )


def _menu(
    verb: str, subject: str, placeholder: str, options: Iterable[SelectOption]
) -> ActionRow[LayoutView]:
    menu: Select[LayoutView] = Select(
        custom_id=str(CustomId(verb, subject)), placeholder=placeholder, options=list(options)
    )
    return ActionRow(menu)
