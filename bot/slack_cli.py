"""`atelier slack`: what the owner needs while making the Slack app."""

from typing import Annotated

import typer

slack = typer.Typer(help="The Slack app: its manifest.", no_args_is_help=True)


@slack.callback()
def _root() -> None:
    """The Slack app: its manifest."""


@slack.command()
def manifest(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="https://HOST", help="Where Slack reaches this server; else ATELIER_PUBLIC_URL."
        ),
    ] = None,
) -> None:
    """Print the manifest that makes the app: with that address, else for Socket Mode."""
    from pydantic import TypeAdapter

    from bot.exit import Exit
    from bot.registry_cli import end, say
    from bot.settings import BaseUrl, SettingsError, load_settings
    from bot.surfaces.slack.http import PATH
    from bot.surfaces.slack.manifest import page

    if url is None:
        try:
            settings = load_settings()
        except SettingsError as error:
            end(str(error), Exit.BAD_INPUT)
        url = None if settings.slack_app_token is not None else settings.public_url
    try:
        address = None if url is None else TypeAdapter(BaseUrl).validate_python(url) + PATH
    except ValueError:
        address = ""
    if address is not None and not address.startswith("https:"):
        end(f"Slack sends events to https addresses only, not to {url}.", Exit.BAD_INPUT)
    where = "Socket Mode" if address is None else f"events at {address}"
    say(f"This manifest is for {where}.")
    typer.echo(page(address), nl=False)
