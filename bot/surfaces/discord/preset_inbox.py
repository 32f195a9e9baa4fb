"""The list of `/preset waiting`: what waits for approval, and reports, with what can be done."""

from typing import Any, Final

from discord.ui import ActionRow, Item, LayoutView, TextDisplay

from bot.commands.curation import MOST_REASON, Inbox
from bot.surfaces.discord import cards
from bot.surfaces.discord.preset_card import press
from bot.surfaces.discord.text import safe, whole_lines
from lora_registry.moderation import Report, Waiting

MOST_SHOWN: Final = 5
"""Entries of the list: a message has room for the reasons of as many reports."""
NOTHING: Final = "Nothing waits: no preset for approval, and no report."
LIST: Final = "list"
"""Where a click came from, if not from a card: the list is shown anew, not the card."""


def listed(found: Inbox) -> LayoutView:
    """What waits, each with what can be done about it."""
    waiting = found.waiting[: MOST_SHOWN - min(2, len(found.reports))]
    reports = found.reports[: MOST_SHOWN - len(waiting)]
    if not waiting and not reports:
        return cards.note(NOTHING)
    items: list[Item[Any]] = []
    for one in waiting:
        items += [TextDisplay(_waits(one)), _decisions(one)]
    for report in reports:
        items += [TextDisplay(_reported(report)), _settling(report)]
    if more := len(found.waiting) + len(found.reports) - len(waiting) - len(reports):
        items.append(TextDisplay(f"-# {more} more are not shown until these are decided."))
    return cards.layout(*items)


def _waits(one: Waiting) -> str:
    title = f": {safe(one.body.title, 80)}" if one.body.title else ""
    loras = ", ".join(f"{safe(lora.name, 40)}:{lora.scale:g}" for lora in one.body.loras[:5])
    return whole_lines(
        (
            f"**{safe(one.reference, 80)}**{title}, revision {one.rev}, waits for approval",
            f"-# {one.body.model} · its own NSFW level {one.body.nsfw} · {loras or 'no LoRAs'}",
        ),
        450,
    )


def _reported(one: Report) -> str:
    return (
        f"**{safe(one.reference, 80)}**, revision {one.rev}, was reported <t:{int(one.made_at)}:R> "
        f"by <@{one.reporter}>:\n{safe(one.reason, MOST_REASON)}"
    )


def _decisions(one: Waiting) -> ActionRow[LayoutView]:
    back = f"{one.rev},{LIST}"
    return ActionRow(
        press("preset_card", "Look", one.preset, str(one.rev)),
        press("approve", "Approve", one.preset, back),
        press("reject", "Reject", one.preset, back),
    )


def _settling(one: Report) -> ActionRow[LayoutView]:
    # With the number, as a message takes no custom id twice.
    return ActionRow(
        press("preset_card", "Look", one.preset, f"{one.rev},{one.number}"),
        press("settle", "Settle", str(one.number)),
    )
