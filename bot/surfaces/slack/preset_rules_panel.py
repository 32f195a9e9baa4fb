"""The panel of `/preset rules`: all that holds in a workspace, with what changes it."""

from collections.abc import Iterable, Sequence
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, Option, StaticSelectElement

from bot.commands.preset_rules import PUBLISHING, House, NamedRule
from bot.surfaces.ids import CustomId
from bot.surfaces.preset_words import LEVELS
from bot.surfaces.slack import cards, forms
from bot.surfaces.slack.answers import Shown, press, shown
from bot.surfaces.slack.text import bold, safe
from bot.surfaces.text import plain, whole_lines

PER_PAGE: Final = 20
"""Rules that are shown at once."""
_INSTALLED: Final = 20
_PARAGRAPH: Final = 2900


def panel(found: House, page: int = 0, said: str = "") -> Shown:
    """All that holds in a workspace, with what changes it; `page` counts from 0."""
    pages = max(1, -(-len(found.rules) // PER_PAGE))
    page = min(max(page, 0), pages - 1)
    rules = found.rules[page * PER_PAGE :][:PER_PAGE]
    chosen = found.installed[:_INSTALLED]
    blocks: list[Block] = [
        ActionsBlock(elements=[_publishing(found), _ceiling(found)]),
        cards.section(_listed(rules, page, pages)),
    ]
    if found.above:
        lines = [f"{len(found.above)} rules of this Atelier hold here, too:"]
        lines += [_line(one) for one in found.above[:5]]
        blocks.append(cards.small([whole_lines(lines, _PARAGRAPH)]))
    if rules:
        blocks.append(_menu("rules_drop", page, "Take a rule back", map(_option, rules)))
    if chosen:
        names = (f"• {safe(one.name, 100)}" for one in chosen)
        blocks.append(cards.section(whole_lines(("*Installed*", *names), _PARAGRAPH)))
        options = (
            Option(text=plain(one.name, forms.LABEL), value=one.installed.value[: forms.VALUE])
            for one in chosen
        )
        blocks.append(_menu("rules_uninstall", page, "Install no longer", options))
    buttons = [
        press("rules_add", "Add a rule", str(page)),
        press("rules_install", "Install", str(page)),
    ]
    if page > 0:
        buttons.append(press("rules", "Earlier rules", str(page - 1)))
    if page < pages - 1:
        buttons.append(press("rules", "Later rules", str(page + 1)))
    head = [f"{bold(said, 300)}"] if said else []
    text = "\n".join([*head, "*Presets in this workspace*", _policy(found)])
    return shown(text, *blocks, ActionsBlock(elements=buttons))


def _policy(found: House) -> str:
    lower = found.ceiling < found.policy.nsfw_ceiling
    above = f" (this Atelier allows up to {found.ceiling})" if lower else ""
    level = found.policy.nsfw_ceiling
    return (
        f"{PUBLISHING[found.policy.publishing].capitalize()}. NSFW up to level {level}, "
        f"{LEVELS[level]}{above}; Slack has no age-restricted channels, so none above 1 is shown."
    )


def _publishing(found: House) -> StaticSelectElement:
    options = {
        way: Option(text=said.capitalize(), value=way.value) for way, said in PUBLISHING.items()
    }
    return StaticSelectElement(
        action_id=str(CustomId("rules_publishing")),
        placeholder="Who may publish",
        options=list(options.values()),
        initial_option=options[found.policy.publishing],
    )


def _ceiling(found: House) -> StaticSelectElement:
    options = [
        Option(text=f"NSFW up to level {level}: {said}", value=str(level))
        for level, said in enumerate(LEVELS)
    ]
    return StaticSelectElement(
        action_id=str(CustomId("rules_ceiling")),
        placeholder="The highest NSFW level",
        options=options,
        initial_option=options[found.policy.nsfw_ceiling],
    )


def _listed(rules: Sequence[NamedRule], page: int, pages: int) -> str:
    which = f", page {page + 1} of {pages}" if pages > 1 else ""
    lines = [f"*Rules*{which}", *(f"• {_line(one)}" for one in rules)]
    if not rules:
        lines.append("None. Denying always wins; allowing spares the wait for approval.")
    return whole_lines(lines, _PARAGRAPH)


def _line(one: NamedRule) -> str:
    why = f": {safe(one.rule.reason, 60)}" if one.rule.reason else ""
    return f"{one.rule.effect} {safe(one.name, 100)}{why}"


def _option(one: NamedRule) -> Option:
    rule = one.rule
    return Option(
        text=plain(f"{rule.effect} {one.name}", forms.LABEL),
        value=f"{rule.effect}:{rule.kind}:{rule.value}"[: forms.VALUE],
        description=plain(rule.reason, forms.LABEL) or None,
    )


def _menu(verb: str, page: int, placeholder: str, options: Iterable[Option]) -> ActionsBlock:
    menu = StaticSelectElement(
        action_id=str(CustomId(verb, str(page))), placeholder=placeholder, options=list(options)
    )
    return ActionsBlock(elements=[menu])
