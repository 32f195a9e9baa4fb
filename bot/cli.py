"""The `atelier` command.

Exit codes: 0 done, 2 bad input, 3 failed, 130 cancelled. Only what a command needs is imported, so
`atelier --help` is quick.
"""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bot.exit import Exit
from bot.lora_cli import lora
from bot.preset_cli import preset
from bot.settings_cli import settings
from bot.slack_cli import slack

cli = typer.Typer(
    name="atelier",
    help="FLUX pictures with LoRA presets, where communities already talk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.add_typer(preset, name="preset")
cli.add_typer(lora, name="lora")
cli.add_typer(settings, name="settings")
cli.add_typer(slack, name="slack")


def main() -> None:
    """Run the command line; the entry point of the package."""
    cli()


def _version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"atelier {importlib.metadata.version('atelier')}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """FLUX pictures with LoRA presets, where communities already talk."""


@cli.command()
def imagine(
    prompt: Annotated[str, typer.Argument(help="What to draw; `<lora:name:0.8>` works in it too.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where the picture goes; its suffix says the format."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A preset, or several: dreamy+ink:0.6.")
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="Fills a blank of the preset."),
    ] = None,
    loras: Annotated[
        list[str] | None,
        typer.Option("--lora", metavar="NAME:SCALE", help="A LoRA; as often as you like."),
    ] = None,
    size: Annotated[str | None, typer.Option(help="A size by name, or WIDTHxHEIGHT.")] = None,
    ar: Annotated[str | None, typer.Option(help="The shape instead of the size: 16:9.")] = None,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale: how closely to follow the prompt.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same picture.")] = None,
    images: Annotated[int | None, typer.Option(help="1 to 4 pictures.")] = None,
    model: Annotated[str | None, typer.Option(help="flux-1 or flux-2.")] = None,
    speed: Annotated[str | None, typer.Option(help="none, regular or high.")] = None,
    expand: Annotated[
        bool | None, typer.Option("--expand/--no-expand", help="Have the prompt expanded.")
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="jpeg, png or webp, if the file does not say.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
) -> None:
    """Draw pictures and wait for them."""
    from bot.surfaces.terminal.options import Options
    from bot.terminal import run_imagine

    options = Options(
        prompt=prompt,
        output=output,
        preset=preset,
        variables=tuple(variables or ()),
        loras=tuple(loras or ()),
        size=size,
        ar=ar,
        steps=steps,
        guidance=guidance,
        seed=seed,
        images=images,
        model=model,
        speed=speed,
        expand=expand,
        output_format=output_format,
        as_json=as_json,
    )
    raise typer.Exit(run_imagine(options))


@cli.command()
def run() -> None:
    """Run Atelier: the queue, what draws, and the HTTP server, until told to stop."""
    import asyncio

    from bot.app import AlreadyRunning
    from bot.database import DatabaseError
    from bot.http import ListenError
    from bot.log import configure
    from bot.service import run as serve
    from bot.settings import SettingsError, load_settings, unknown_variables
    from bot.storage import StorageError
    from bot.webhook_key import KeyDamaged

    try:
        settings = load_settings()
        configure(settings.log_level, secrets=settings.secrets)
        for sentence in unknown_variables():
            typer.echo(sentence, err=True)
        asyncio.run(serve(settings, lambda text: typer.echo(text, err=True)))
    except SettingsError as error:
        _end(error, Exit.BAD_INPUT)
    except (
        AlreadyRunning,
        DatabaseError,
        KeyDamaged,
        ListenError,
        StorageError,
        OSError,
    ) as error:
        _end(error, Exit.FAILED)


@cli.command()
def doctor() -> None:
    """Check everything that Atelier needs, and say what to do about what is missing."""
    from bot.doctor import examine

    raise typer.Exit(Exit.DONE if examine() else Exit.FAILED)


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="Where the backup goes.")],
) -> None:
    """Save both databases and the keys, also while Atelier runs."""
    from bot import wording
    from bot.backup import LEFT_OUT, BackupError, save
    from bot.settings import SettingsError, load_settings
    from lora_registry.fetch import readable_size

    try:
        saved = save(load_settings(), file)
    except (BackupError, SettingsError) as error:
        _end(error, Exit.BAD_INPUT)
    except OSError as error:
        _end(wording.unusable(error), Exit.FAILED)
    typer.echo(f"{saved.path}: {', '.join(saved.names)} ({readable_size(saved.size)}).")
    typer.echo(f"Not in it: {LEFT_OUT}. Whoever has the file has the keys.")


@cli.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="What `backup` has written.")],
) -> None:
    """Put a backup's databases and keys in place; what was there is kept in a folder."""
    from bot import wording
    from bot.backup import BackupError, StillInUse
    from bot.backup import restore as put_back
    from bot.database import DatabaseError
    from bot.settings import SettingsError, load_settings

    try:
        restored = put_back(load_settings(), file)
    except (DatabaseError, StillInUse) as error:
        _end(error, Exit.FAILED)
    except (BackupError, SettingsError) as error:
        _end(error, Exit.BAD_INPUT)
    except OSError as error:
        _end(wording.unusable(error), Exit.FAILED)
    typer.echo(f"Restored {', '.join(restored.names)} as of {restored.made_at}.")
    if restored.kept is not None:
        typer.echo(f"What was there is in {restored.kept}.")


def _end(error: Exception | str, code: Exit) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(code)
