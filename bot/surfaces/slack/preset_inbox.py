"""The list of `/preset waiting`: what waits for approval, and reports, with what can be done."""

from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block

from bot.commands.curation import MOST_REASON, Inbox
from bot.surfaces.slack import cards
from bot.surfaces.slack.answers import Shown, press, shown
from bot.surfaces.slack.text import bold, moment, safe
from bot.surfaces.text import whole_lines
from lora_registry.moderation import Report, Waiting

MOST_SHOWN: Final = 20
"""Entries of the list: each takes two of the 50 blocks of a message."""
NOTHING: Final = "Nothing waits: no preset for approval, and no report."
LIST: Final = "list"
"""Where a click came from, if not from a card: the list is shown anew, not the card."""
_ALWAYS: Final = 8
"""Reports that have room however many presets wait."""


def listed(found: Inbox, said: str = "") -> Shown:
    """What waits, each with what can be done about it; `said` stands above it."""
    waiting = found.waiting[: MOST_SHOWN - min(_ALWAYS, len(found.reports))]
    reports = found.reports[: MOST_SHOWN - len(waiting)]
    blocks: list[Block] = []
    for one in waiting:
        blocks += [cards.section(_waits(one)), _decisions(one)]
    for report in reports:
        blocks += [cards.section(_reported(report)), _settling(report)]
    if more := len(found.waiting) + len(found.reports) - len(waiting) - len(reports):
        blocks.append(cards.small([f"{more} more are not shown until these are decided."]))
    head = [f"{bold(said, 300)}"] if said else []
    return shown("\n".join([*head, "What waits here:" if blocks else NOTHING]), *blocks)


def _waits(one: Waiting) -> str:
    title = f": {safe(one.body.title, 80)}" if one.body.title else ""
    loras = ", ".join(f"{safe(lora.name, 40)}:{lora.scale:g}" for lora in one.body.loras[:5])
    return whole_lines(
        (
            f"{bold(one.reference, 80)}{title}, revision {one.rev}, waits for approval",
            f"{one.body.model} · its own NSFW level {one.body.nsfw} · {loras or 'no LoRAs'}",
        )
    )


def _reported(one: Report) -> str:
    return (
        f"{bold(one.reference, 80)}, revision {one.rev}, was reported "
        f"{moment(one.made_at)} by <@{one.reporter}>:\n"
        f"{safe(one.reason, MOST_REASON)}"
    )


def _decisions(one: Waiting) -> ActionsBlock:
    back = f"{one.rev},{LIST}"
    return ActionsBlock(
        elements=[
            press("preset_card", "Look", one.preset, str(one.rev)),
            press("preset_approve", "Approve", one.preset, back, "primary"),
            press("preset_reject", "Reject", one.preset, back),
        ]
    )


def _settling(one: Report) -> ActionsBlock:
    return ActionsBlock(
        elements=[
            press("preset_card", "Look", one.preset, str(one.rev)),
            press("preset_settle", "Settle", str(one.number)),
        ]
    )
