"""`atelier lora`: the owner's LoRAs on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bot.registry import Registry
    from bot.settings import Settings

lora = typer.Typer(help="The LoRAs that can be used by name.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Name = Annotated[str, typer.Argument(help="A LoRA's name, or 8 digits and more of its hash.")]


@lora.command()
def add(
    reference: Annotated[
        str,
        typer.Argument(
            help="owner/name on Hugging Face, a Civitai model, an https address, a fal trainer's"
            " answer, or a file in the LoRA folder."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it; else after its title.")] = None,
    triggers: Annotated[
        list[str] | None,
        typer.Option("--trigger", metavar="WORDS", help="A set of words; as often as you like."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Its licence, where the source says none.")
    ] = None,
    nsfw: Annotated[int | None, typer.Option(help="Its NSFW level, 0 to 4.")] = None,
    as_json: Json = False,
) -> None:
    """Bring a LoRA in: from Hugging Face, Civitai, fal, the web or the LoRA folder."""
    from rich.console import Console

    from bot.commands import loras
    from bot.owner import owner_viewer
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import loras as view

    said = loras.Said(name, tuple(triggers or ()), licence, nsfw)

    async def work(_: "Settings", registry: "Registry") -> None:
        found = await loras.find(registry, owner_viewer(), _absolute(reference))
        view.print_found(Console(stderr=True), found)
        with view.download_bar() as tell:
            added = await loras.add(registry, owner_viewer(), found, said, tell)
        answer(added, view.added_object, view.print_added, as_json=as_json)

    perform(work)


@lora.command("list")
def list_loras(as_json: Json = False) -> None:
    """List the LoRAs of the registry and the files in the LoRA folder."""
    from backends.local.families import DEMO_LORAS
    from bot.commands import loras
    from bot.lora_folder import LoraFolder
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import loras as view

    async def work(settings: "Settings", registry: "Registry") -> None:
        found = await loras.list_loras(registry, LoraFolder([settings.lora_dir, DEMO_LORAS]))
        answer(found, view.list_object, view.print_list, as_json=as_json)

    perform(work)


@lora.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show all that is known of a LoRA."""
    from bot.commands import loras
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import loras as view

    async def work(_: "Settings", registry: "Registry") -> None:
        shown = await loras.show(registry, name)
        answer(shown, view.details_object, view.print_details, as_json=as_json)

    perform(work)


@lora.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="One LoRA; else all files.")] = None,
    as_json: Json = False,
) -> None:
    """Hash the files anew; a damaged one is thrown away and fetched again when it is needed."""
    from bot.commands import loras
    from bot.exit import Exit
    from bot.registry_cli import perform
    from bot.surfaces.terminal import loras as view
    from bot.surfaces.terminal.view import Output, print_object

    files: list[loras.Verified] = []

    async def work(_: "Settings", registry: "Registry") -> None:
        out = Output()
        async for one in loras.verify(registry, name):
            files.append(one)
            if not as_json:
                view.print_verified(out, one)
        if as_json:
            print_object(out, view.verified_object(files))
        elif not files:
            out.print("There is no file here to verify.")

    perform(work)
    if not all(one.sound for one in files):
        raise typer.Exit(Exit.FAILED)


@lora.command()
def remove(
    name: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Throw its file away even if presets need it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Forget a LoRA and throw its file away."""
    from bot.commands import loras
    from bot.owner import owner_viewer
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import loras as view

    async def work(_: "Settings", registry: "Registry") -> None:
        removed = await loras.remove(registry, owner_viewer(), name, despite_presets=yes)
        answer(removed, view.removed_object, view.print_removed, as_json=as_json)

    perform(work)


def _absolute(reference: str) -> str:
    """A file's path as seen from here, so that it need not be typed from the LoRA folder."""
    try:
        path = Path(reference).expanduser()
        return str(path.absolute()) if path.is_file() else reference
    except (OSError, ValueError, RuntimeError):
        return reference
