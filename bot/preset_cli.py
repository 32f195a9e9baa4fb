"""`atelier preset`: presets on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.curation_cli import curation as curation_commands

if TYPE_CHECKING:
    from rich.console import Console

    from bot.registry import Registry
    from bot.settings import Settings
    from lora_registry.models import PresetBody
    from lora_registry.revisions import Revision

preset = typer.Typer(help="Presets: styles with a name, made of LoRAs.", no_args_is_help=True)
preset.add_typer(curation_commands)

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Reference = Annotated[str, typer.Argument(metavar="NAME", help="A preset's name.")]
Pinned = Annotated[
    str, typer.Argument(metavar="NAME[@REV]", help="A preset's name, or one of its revisions.")
]
Model = Annotated[str | None, typer.Option(help="flux-1 or flux-2.")]
Loras = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="NAME:SCALE", help="A LoRA; as often as you like."),
]
Template = Annotated[str | None, typer.Option(help="What is drawn; {prompt} is what is asked for.")]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--variable",
        metavar="NAME:KIND:…",
        help="A blank in the template: mood:choice:calm,stormy or place:text=the sea or"
        " waves:number:1..5=3.",
    ),
]
Size = Annotated[str | None, typer.Option(help="A size by name, or WIDTHxHEIGHT.")]
Steps = Annotated[int | None, typer.Option(help="Inference steps.")]
Guidance = Annotated[float | None, typer.Option(help="How closely to follow the prompt.")]
Speed = Annotated[str | None, typer.Option(help="none, regular or high.")]
Seed = Annotated[str | None, typer.Option(help="A number, random, or user.")]
Images = Annotated[int | None, typer.Option(help="1 to 4 pictures.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; as often as you like.")
]
Title = Annotated[str | None, typer.Option(help="A title of one line.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Licence = Annotated[str | None, typer.Option(help="Its licence.")]
Nsfw = Annotated[int | None, typer.Option(help="Its NSFW level, 0 to 4.")]
Note = Annotated[str, typer.Option(help="What this revision is about.")]


@preset.command("list")
def list_presets(as_json: Json = False) -> None:
    """List your presets, and the most used of others'."""
    from bot.commands import presets
    from bot.owner import owner_viewer
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import presets as view

    async def work(_: "Settings", registry: "Registry") -> None:
        entries = await presets.list_presets(registry, owner_viewer())
        answer(entries, view.list_object, view.print_list, as_json=as_json)

    perform(work)


@preset.command()
def search(
    text: Annotated[str, typer.Argument(help="A part of a name, a title or a tag.")],
    as_json: Json = False,
) -> None:
    """Find presets; typing errors are forgiven."""
    from bot.commands import presets
    from bot.owner import owner_viewer
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import presets as view

    async def work(_: "Settings", registry: "Registry") -> None:
        entries = await presets.search(registry, owner_viewer(), text)
        answer(entries, view.list_object, view.print_list, as_json=as_json)

    perform(work)


@preset.command()
def show(
    name: Pinned,
    place: Annotated[
        str | None,
        typer.Option(
            "--in",
            metavar="PLACE",
            help="Where it waits, is hidden or denied: public, or a community.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show everything about a preset, and how to use it."""
    from bot.commands import curation, presets
    from bot.curation_cli import standing_at
    from bot.owner import owner_viewer
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import presets as view

    async def work(_: "Settings", registry: "Registry") -> None:
        if place is None:
            shown = await presets.show(registry, owner_viewer(), name)
        else:
            viewer, there = standing_at(place)
            found = await curation.listed(registry, viewer, name, there)
            shown = await presets.details(registry, viewer, found, name)
        answer(shown, view.details_object, view.print_details, as_json=as_json)

    perform(work)


@preset.command()
def create(
    name: Reference,
    begin: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Begin with what `show --json` has written."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--from-picture", metavar="FILE", help="Begin with a picture's recipe."),
    ] = None,
    model: Model = None,
    loras: Loras = None,
    template: Template = None,
    variables: Variables = None,
    size: Size = None,
    steps: Steps = None,
    guidance: Guidance = None,
    speed: Speed = None,
    seed: Seed = None,
    images: Images = None,
    tags: Tags = None,
    title: Title = None,
    description: Description = None,
    licence: Licence = None,
    nsfw: Nsfw = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Make a preset of your own."""
    from bot.commands import preset_body, presets
    from bot.exit import Exit
    from bot.owner import HANDLE, owner_viewer
    from bot.registry_cli import end, perform, say

    if begin is not None and picture is not None:
        end("--from and --from-picture both say where to begin; give one of them.", Exit.BAD_INPUT)
    changes = preset_body.Changes(
        model, tuple(loras or ()), template, tuple(variables or ()), size, steps, guidance, speed,
        seed, images, tuple(tags or ()), title, description, licence, nsfw,
    )  # fmt: skip

    async def work(_: "Settings", registry: "Registry") -> None:
        body = await _beginning(registry, begin, picture)
        body = await preset_body.changed(registry, body, changes)
        viewer = owner_viewer()
        made = await presets.create(registry, viewer, name, body, handle=HANDLE, note=note)
        if picture is not None:
            say("The picture's prompt and seed are not part of the preset.")
        _answer(made, "Made", as_json=as_json)

    perform(work)


@preset.command()
def edit(
    name: Pinned,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            "--clear", metavar="WHAT", help="Empty this first: loras, variables, size, steps, …"
        ),
    ] = None,
    model: Model = None,
    loras: Loras = None,
    template: Template = None,
    variables: Variables = None,
    size: Size = None,
    steps: Steps = None,
    guidance: Guidance = None,
    speed: Speed = None,
    seed: Seed = None,
    images: Images = None,
    tags: Tags = None,
    title: Title = None,
    description: Description = None,
    licence: Licence = None,
    nsfw: Nsfw = None,
    note: Note = "",
    as_json: Json = False,
) -> None:
    """Change what is given, which makes a revision; the rest stays."""
    from bot.commands import preset_body, presets
    from bot.owner import owner_viewer
    from bot.registry_cli import perform

    changes = preset_body.Changes(
        model, tuple(loras or ()), template, tuple(variables or ()), size, steps, guidance, speed,
        seed, images, tuple(tags or ()), title, description, licence, nsfw, tuple(clear or ()),
    )  # fmt: skip

    async def work(_: "Settings", registry: "Registry") -> None:
        base = (await presets.show(registry, owner_viewer(), name)).revision
        body = await preset_body.changed(registry, base.body, changes)
        made = await presets.edit(registry, owner_viewer(), base, body, note)
        did = "Changed" if made.rev != base.rev else "Nothing to change in"
        _answer(made, did, as_json=as_json)

    perform(work)


@preset.command()
def fork(
    name: Pinned,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What to call yours.")],
    as_json: Json = False,
) -> None:
    """Copy a preset into one of your own, which you can change."""
    from bot.commands import presets
    from bot.owner import HANDLE, owner_viewer
    from bot.registry_cli import perform

    async def work(_: "Settings", registry: "Registry") -> None:
        made = await presets.fork(registry, owner_viewer(), name, new, handle=HANDLE)
        _answer(made, "Made", as_json=as_json)

    perform(work)


@preset.command()
def history(name: Reference, as_json: Json = False) -> None:
    """Show a preset's revisions, and what each has changed."""
    from bot.commands import presets
    from bot.owner import owner_viewer
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import presets as view

    async def work(_: "Settings", registry: "Registry") -> None:
        versions = await presets.history(registry, owner_viewer(), name)
        answer(versions, view.history_object, view.print_history, as_json=as_json)

    perform(work)


@preset.command()
def restore(
    name: Reference,
    rev: Annotated[int, typer.Argument(metavar="REV", help="The revision's number.")],
    as_json: Json = False,
) -> None:
    """Make a revision that says what an earlier one said."""
    from bot.commands import presets
    from bot.owner import owner_viewer
    from bot.registry_cli import perform

    async def work(_: "Settings", registry: "Registry") -> None:
        made = await presets.restore(registry, owner_viewer(), name, rev)
        _answer(made, f"Restored revision {rev} of", as_json=as_json)

    perform(work)


@preset.command()
def delete(
    name: Reference,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a preset with all its revisions, for good."""
    from bot.commands import presets
    from bot.owner import owner_viewer
    from bot.registry_cli import confirm, perform

    async def work(_: "Settings", registry: "Registry") -> None:
        head = await presets.whole(registry, owner_viewer(), name)
        confirm(f"Delete {head.preset.reference} with all its revisions?", yes=yes)
        await presets.delete(registry, owner_viewer(), head)
        _answer(head, "Deleted", as_json=as_json)

    perform(work)


# --- Steps ------------------------------------------------------------------------------------


async def _beginning(
    registry: "Registry", begin: Path | None, picture: Path | None
) -> "PresetBody":
    import asyncio

    from bot.commands.preset_beginnings import from_json, from_picture
    from lora_registry.models import PresetBody

    if begin is not None:
        text = await asyncio.to_thread(begin.read_text, encoding="utf-8", errors="replace")
        return await from_json(registry, text)
    if picture is not None:
        data = await asyncio.to_thread(picture.read_bytes)
        return await from_picture(registry, data)
    return PresetBody()


def _answer(revision: "Revision", did: str, *, as_json: bool) -> None:
    """Say what became of a preset."""
    from bot.registry_cli import answer
    from bot.surfaces.terminal import presets as view

    def to_people(console: "Console", made: "Revision") -> None:
        view.print_revision(console, made, did)

    answer(revision, view.revision_object, to_people, as_json=as_json)
