"""LoRAs in the terminal: tables for people, plain values for `--json`, a bar for downloads."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from bot.commands.loras import Added, Details, Found, Listed, Removed, Verified
from bot.surfaces.terminal.presets import NSFW, columns, day, facts
from lora_registry.fetch import readable_size
from lora_registry.library import described
from lora_registry.lora_store import LoraSource
from lora_registry.models import LoraRecord

# --- For people -------------------------------------------------------------------------------


@contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Yield what to tell how many bytes are here, and of how many; no terminal, no bar."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("Bringing it in", total=None)

        def tell(saved: int, total: int | None) -> None:
            progress.update(task, completed=saved, total=total)

        yield tell


def print_found(console: Console, found: Found) -> None:
    """What a reference leads to, before it is brought in."""
    one = found.candidate
    rank = f", rank {max(one.info.ranks)}" if one.info.ranks else ""
    what = f"{one.family.label}{rank}, {readable_size(one.size)}"
    console.print(f"Found [bold]{escape(one.title)}[/]: {what}", highlight=False)
    console.print(f"  from {escape(described(one.source))}", highlight=False)
    for words in one.triggers:
        console.print(f"  words: {escape(', '.join(words.words))}", highlight=False)
    if one.licence:
        console.print(f"  licence: {escape(one.licence)}", highlight=False)
    if found.known is not None:
        console.print(f"  It is here already, as {found.known.name}.", highlight=False)


def print_added(console: Console, added: Added) -> None:
    record = added.record
    how = "Added" if added.new else "Known as"
    console.print(f"{how} [bold green]{record.name}[/] ({record.sha256[:12]})", highlight=False)
    example = f"atelier imagine star --lora {record.name}:0.8"
    console.print(f"[dim]Use: {example}[/]", soft_wrap=True, highlight=False)


def print_list(console: Console, loras: Sequence[Listed]) -> None:
    """A row a LoRA: those of the registry have a mark, the others are files of the folder."""
    table = columns("name", "", "for", "words", "size")
    table.columns[0].style = "bold"
    table.columns[-1].justify = "right"
    for one in loras:
        record = one.record
        words = "" if record is None else ", ".join(record.words())
        size = "" if record is None else readable_size(record.size)
        table.add_row(Text(one.name), "✓" if record else "–", Text(one.about), Text(words), size)
    console.print(table)
    if any(one.record is None for one in loras):
        console.print("–  lies in the LoRA folder and was not added: [dim]atelier lora add[/]")


def print_details(console: Console, shown: Details) -> None:
    """Everything that is known of a LoRA."""
    record = shown.record
    title = f" — {escape(record.title)}" if record.title not in {"", record.name} else ""
    console.print(f"[bold]{record.name}[/]{title}", highlight=False)
    rank = f", rank {record.rank}" if record.rank else ""
    rows = [
        ("for", f"{record.family.label}{rank} ({record.layout})"),
        ("hash", record.sha256),
        (
            "size",
            f"{readable_size(record.size)}, {'here' if shown.here else 'fetched when needed'}",
        ),
        *((f"words: {one.name}", ", ".join(one.words)) for one in record.triggers),
        ("licence", record.licence or "not said"),
        ("level", f"{record.nsfw}, {NSFW[record.nsfw]}"),
    ]
    if record.flags:
        rows.append(("flags", ", ".join(sorted(record.flags))))
    rows += [("source", _source(one)) for one in shown.sources]
    if shown.presets:
        rows.append(("part of", ", ".join(shown.presets)))
    console.print(facts((label, Text(value)) for label, value in rows))


def print_verified(console: Console, one: Verified) -> None:
    name = one.record.name if one.record else f"{one.sha256[:12]} (no LoRA has it any more)"
    if one.sound:
        console.print(f"[green]✓[/] {name}", highlight=False)
    else:
        lost = "damaged, thrown away; it is fetched again when it is needed"
        console.print(f"[red]✗[/] {name}: {lost}", highlight=False)


def print_removed(console: Console, removed: Removed) -> None:
    name = removed.record.name
    if removed.kept_record:
        console.print(f"The presets keep naming {name}: {', '.join(removed.presets)}.")
    else:
        console.print(f"Removed {name}.", highlight=False)
    if removed.kept_file:
        console.print("A job is drawing with its file, which therefore stays.")
    elif removed.kept_record:
        console.print("Its file was thrown away, and is fetched again when it is needed.")


def _source(one: LoraSource) -> str:
    where = described(one.source)
    if one.failed_at is not None and one.failed_at > (one.verified_at or 0):
        return f"{where}; failed {day(one.failed_at)}: {one.failure}"
    return f"{where}; right on {day(one.verified_at)}" if one.verified_at else where


# --- For programs -----------------------------------------------------------------------------


def record_object(record: LoraRecord) -> dict[str, Any]:
    return {**record.model_dump(mode="json"), "flags": sorted(record.flags)}


def added_object(added: Added) -> dict[str, Any]:
    return {"new": added.new, **record_object(added.record)}


def list_object(loras: Sequence[Listed]) -> dict[str, Any]:
    return {
        "loras": [
            {
                "name": one.name,
                "registered": one.record is not None,
                "about": one.about,
                "path": None if one.path is None else str(one.path),
                "record": None if one.record is None else record_object(one.record),
            }
            for one in loras
        ]
    }


def details_object(shown: Details) -> dict[str, Any]:
    sources = [
        {**dataclasses.asdict(one), "source": one.source.model_dump(mode="json")}
        for one in shown.sources
    ]
    about = {"here": shown.here, "sources": sources, "presets": list(shown.presets)}
    return {**record_object(shown.record), **about}


def verified_object(files: Sequence[Verified]) -> dict[str, Any]:
    found = [
        {"sha256": one.sha256, "name": one.record and one.record.name, "sound": one.sound}
        for one in files
    ]
    return {"files": found}


def removed_object(removed: Removed) -> dict[str, Any]:
    return {
        "name": removed.record.name,
        "sha256": removed.record.sha256,
        "kept_record": removed.kept_record,
        "kept_file": removed.kept_file,
        "presets": list(removed.presets),
    }
