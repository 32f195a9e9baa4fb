"""Presets in the terminal: tables for people, plain values for `--json`."""

import dataclasses
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bot.commands.presets import Details, Entry, UsedLora, Version
from lora_registry.models import ChoiceVariable, NumberVariable, TextVariable, Variable
from lora_registry.permissions import PlaceKind
from lora_registry.revisions import Revision

_WHERE: Final = {
    PlaceKind.PERSON: "yours",
    PlaceKind.COMMUNITY: "community",
    PlaceKind.PUBLIC: "public",
}
_AUDIENCE: Final = {
    PlaceKind.PERSON: "its owner alone",
    PlaceKind.COMMUNITY: "everybody in this community",
    PlaceKind.PUBLIC: "everybody on this Atelier",
}
NSFW: Final = ("safe for everybody", "suggestive", "mature", "explicit", "extreme")


def columns(*names: str) -> Table:
    """An unruled table that gives way in the terminal's width."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """A label and what it says, a row each."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, value)
    return table


def day(seconds: float) -> str:
    """A time as people read it; `seconds` since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


# --- For people -------------------------------------------------------------------------------


def print_list(console: Console, entries: Sequence[Entry]) -> None:
    """A row a preset."""
    if not entries:
        console.print("None. `atelier preset create` makes one.", highlight=False)
        return
    table = columns("name", "title", "model", "whose", "uses")
    table.columns[0].style = "bold"
    # Long titles give way first.
    table.columns[0].min_width = min(30, max(len(one.name) for one in entries))
    table.columns[-1].justify = "right"
    for one in entries:
        pin = "📌 " if one.pinned else ""
        title = Text(f"{pin}{one.title}")
        table.add_row(Text(one.name), title, one.model, _WHERE[one.place], f"{one.uses:,}")
    console.print(table)


def print_details(console: Console, shown: Details) -> None:
    """Everything about one revision, and a command that draws with it."""
    revision, body = shown.revision, shown.revision.body
    preset = revision.preset
    title = f" — {escape(body.title)}" if body.title else ""
    console.print(f"[bold]{preset.reference}[/]{title}", highlight=False)
    if body.description:
        console.print(Text(body.description))
    console.print(facts(_facts(shown)))
    if shown.loras:
        console.print()
        console.print(_loras(shown.loras))
    if body.variables:
        console.print()
        console.print(_variables(body.variables))
    console.print()
    if shown.shadowed:
        others = ", ".join(shown.shadowed)
        console.print(f"The same short name also belongs to {others}.", highlight=False)
    console.print(f"[dim]Use: {escape(command(shown))}[/]", soft_wrap=True, highlight=False)


def print_revision(console: Console, revision: Revision, did: str) -> None:
    """What became of a command: `did` begins the line."""
    name = f"[bold green]{revision.preset.reference}[/]"
    where = f"revision {revision.rev}, sha256:{revision.sha256[:8]}"
    console.print(f"{did} {name} ({where})", soft_wrap=True, highlight=False)


def print_history(console: Console, versions: Sequence[Version]) -> None:
    """A row a revision, newest first."""
    console.print(f"[bold]{versions[0].revision.preset.reference}[/]", highlight=False)
    table = columns("rev", "hash", "made", "by", "what changed")
    table.columns[1].no_wrap = True
    for one in versions:
        revision = one.revision
        said = [f"“{revision.note}”"] if revision.note else []
        what = ", ".join([*one.changes, *said])
        table.add_row(
            str(revision.rev), revision.sha256[:8], day(revision.created_at), author(revision),
            Text(what),
        )  # fmt: skip
    console.print(table)


def author(revision: Revision) -> str:
    """Who made a revision, without their id."""
    preset = revision.preset
    return f"@{preset.handle}" if revision.author == preset.owner else ""


def command(shown: Details) -> str:
    """A command line that draws with this revision."""
    words = ["atelier", "imagine", "star", "--preset", shown.name]
    for variable in shown.revision.body.variables:
        words += ["--var", f"{variable.name}={_example(variable)}"]
    return shlex.join(words)


def _facts(shown: Details) -> list[tuple[str, RenderableType]]:
    revision, body = shown.revision, shown.revision.body
    preset = revision.preset
    newest = "" if revision.rev == preset.head else f", the newest is {preset.head}"
    licence = body.licence or "not said"
    rows: list[tuple[str, RenderableType]] = [
        ("revision", f"{revision.rev}{newest}, {day(revision.created_at)}"),
        ("hash", f"sha256:{revision.sha256[:16]}…"),
        ("model", body.model),
        ("template", Text(body.template)),
        ("settings", _settings(shown) or "the model's own"),
        ("open to", f"{_AUDIENCE[shown.audience]}; level {shown.nsfw}, {NSFW[shown.nsfw]}"),
        ("licence", Text(licence)),
        ("used", f"{preset.uses:,} times, {preset.likes:,} likes"),
    ]
    if body.tags:
        rows.append(("tags", ", ".join(body.tags)))
    if revision.note:
        rows.append(("note", Text(revision.note)))
    if preset.forked_from is not None:
        rows.append(("forked from", shown.parent or "a preset that is not shown here"))
    return rows


def _settings(shown: Details) -> str:
    body = shown.revision.body
    said = {
        "": body.size and f"{body.size.width}×{body.size.height}",
        "steps": body.steps,
        "guidance": body.guidance,
        "speed": body.speed,
        "images": body.count,
    }
    found = [f"{name} {value}".strip() for name, value in said.items() if value is not None]
    match body.seed.kind:
        case "fixed":
            found.append(f"seed {body.seed.seed}")
        case "user":
            found.append("a seed of your own")
    return " · ".join(found)


def _loras(loras: Sequence[UsedLora]) -> Table:
    table = columns("LoRA", "scale", "adds the words", "hash")
    table.columns[-1].no_wrap = True
    for one in loras:
        missing = "" if one.known else " (not known here)"
        words = Text(", ".join(one.words) or "none")
        scale = f"{one.lora.scale:g}"
        table.add_row(f"{one.lora.name}{missing}", scale, words, one.lora.sha256[:12])
    return table


def _variables(variables: Sequence[Variable]) -> Table:
    table = columns("variable", "takes", "else")
    for one in variables:
        table.add_row(one.name, Text(_takes(one)), Text(_default(one)))
    return table


def _takes(variable: Variable) -> str:
    match variable:
        case ChoiceVariable():
            return ", ".join(variable.choices)
        case NumberVariable():
            kind = "a whole number" if variable.whole else "a number"
            return f"{kind} from {variable.low:g} to {variable.high:g}"
        case TextVariable():
            return f"up to {variable.longest} characters"


def _default(variable: Variable) -> str:
    value = variable.default
    return f"{value:g}" if isinstance(value, float) else value


def _example(variable: Variable) -> str:
    """Another value than the default, where there is one."""
    if isinstance(variable, ChoiceVariable):
        return next(choice for choice in variable.choices if choice != variable.default)
    return _default(variable) or "something"


# --- For programs -----------------------------------------------------------------------------


def list_object(entries: Sequence[Entry]) -> dict[str, Any]:
    return {"presets": [dataclasses.asdict(one) for one in entries]}


def details_object(shown: Details) -> dict[str, Any]:
    preset = shown.revision.preset
    loras = [
        {
            "name": one.lora.name,
            "sha256": one.lora.sha256,
            "scale": one.lora.scale,
            "words": list(one.words),
            "known": one.known,
        }
        for one in shown.loras
    ]
    return {
        **revision_object(shown.revision),
        "name": shown.name,
        "head": preset.head,
        "place": shown.place,
        "audience": shown.audience,
        "nsfw": shown.nsfw,
        "uses": preset.uses,
        "likes": preset.likes,
        "forked_from": shown.parent,
        "shadowed": list(shown.shadowed),
        "loras": loras,
        "body": shown.revision.body.model_dump(mode="json"),
    }


def history_object(versions: Sequence[Version]) -> dict[str, Any]:
    revisions = [{**revision_object(one.revision), "changes": one.changes} for one in versions]
    return {"reference": versions[0].revision.preset.reference, "revisions": revisions}


def revision_object(revision: Revision) -> dict[str, Any]:
    """What every answer says of a revision; `created_at` is in seconds since 1970."""
    return {
        "id": revision.preset.id,
        "reference": revision.preset.reference,
        "rev": revision.rev,
        "sha256": revision.sha256,
        "author": author(revision),
        "note": revision.note,
        "created_at": revision.created_at,
    }
