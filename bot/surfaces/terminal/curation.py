"""Sharing and curating presets in the terminal: tables for people, plain values for `--json`."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from bot.commands.curation import Done, Inbox
from bot.commands.preset_rules import PUBLISHING, House
from bot.surfaces.terminal.presets import NSFW, columns, day, facts
from lora_registry.moderation import Entry
from lora_registry.permissions import PUBLIC, Place

# --- For people -------------------------------------------------------------------------------


def print_done(console: Console, done: Done) -> None:
    console.print(Text(done.said), soft_wrap=True)


def print_inbox(console: Console, inboxes: Sequence[Inbox]) -> None:
    """A row a revision that waits, then a row a report."""
    waiting = [one for inbox in inboxes for one in inbox.waiting]
    reports = [one for inbox in inboxes for one in inbox.reports]
    if not waiting and not reports:
        console.print("Nothing waits.", highlight=False)
    if waiting:
        table = columns("waits", "rev", "where", "model", "level", "title")
        for one in waiting:
            body = one.body
            table.add_row(
                Text(one.reference), str(one.rev), _where(one.place), body.model, str(body.nsfw),
                Text(body.title),
            )  # fmt: skip
        console.print(table)
    if waiting and reports:
        console.print()
    if reports:
        table = columns("report", "about", "rev", "where", "made", "says")
        for report in reports:
            table.add_row(
                str(report.number), Text(report.reference), str(report.rev), _where(report.place),
                day(report.made_at), Text(report.reason),
            )  # fmt: skip
        console.print(table)


def print_house(console: Console, found: House) -> None:
    """What holds, then a row a rule."""
    policy = found.policy
    level = f"up to {policy.nsfw_ceiling}, {NSFW[policy.nsfw_ceiling]}"
    if found.ceiling < policy.nsfw_ceiling:
        level += f"; this Atelier allows up to {found.ceiling}"
    rows: list[tuple[str, Any]] = [
        ("where", _where(found.place)),
        ("publishing", f"{policy.publishing}: {PUBLISHING[policy.publishing]}"),
        ("NSFW", level),
        *(("installed", Text(one.name)) for one in found.installed),
    ]
    console.print(facts(rows))
    if found.rules or found.above:
        console.print()
        table = columns("rule", "what", "why", "where")
        for one in (*found.rules, *found.above):
            rule = one.rule
            table.add_row(rule.effect, Text(one.name), Text(rule.reason), _where(rule.place))
        console.print(table)


def print_log(console: Console, entries: Sequence[Entry]) -> None:
    """A row a decision, the latest first."""
    if not entries:
        console.print("Nothing was decided there yet.", highlight=False)
        return
    table = columns("when", "who", "did", "what", "rev", "why")
    for one in entries:
        rev = "" if one.rev is None else str(one.rev)
        table.add_row(
            day(one.at), Text(one.actor), Text(one.action), Text(_short(one.what)), rev,
            Text(one.reason),
        )  # fmt: skip
    console.print(table)


# --- For programs -----------------------------------------------------------------------------


def done_object(done: Done) -> dict[str, Any]:
    return {"said": done.said}


def inbox_object(inboxes: Sequence[Inbox]) -> dict[str, Any]:
    waiting = [
        {
            "id": one.preset,
            "reference": one.reference,
            "rev": one.rev,
            "place": _where(one.place),
            "body": one.body.model_dump(mode="json"),
        }
        for inbox in inboxes
        for one in inbox.waiting
    ]
    reports = [
        {**dataclasses.asdict(one), "place": _where(one.place)}
        for inbox in inboxes
        for one in inbox.reports
    ]
    return {"waiting": waiting, "reports": reports}


def house_object(found: House) -> dict[str, Any]:
    return {
        "place": _where(found.place),
        "publishing": found.policy.publishing,
        "nsfw": found.policy.nsfw_ceiling,
        "ceiling": found.ceiling,
        "rules": [
            {
                "effect": one.rule.effect,
                "kind": one.rule.kind,
                "value": one.rule.value,
                "name": one.name,
                "reason": one.rule.reason,
                "place": _where(one.rule.place),
            }
            for one in (*found.rules, *found.above)
        ],
        "installed": [
            {"kind": one.installed.kind, "value": one.installed.value, "name": one.name}
            for one in found.installed
        ],
    }


def log_object(entries: Sequence[Entry]) -> dict[str, Any]:
    return {"log": [{**dataclasses.asdict(one), "place": _where(one.place)} for one in entries]}


def _short(what: str) -> str:
    """What was decided about, hashes shortened."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", what)


def _where(place: Place) -> str:
    """A place as `--in` takes it."""
    return "public" if place == PUBLIC else place.id
