"""`atelier settings`: what the owner sets for the whole instance, or for one community."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bot.commands.settings import Administration
    from bot.registry import Registry
    from bot.settings import Settings

settings = typer.Typer(
    help="What communities may do here: limits, rules, money.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Community = Annotated[
    str | None,
    typer.Option(metavar="ID", help="A community, by its id; without it, the whole instance."),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A setting, or roles.ID.NAME for one of a role.")
]


@settings.command()
def show(community: Community = None, as_json: Json = False) -> None:
    """Show every setting, what it is, and where that comes from."""
    from bot.owner import OWNER
    from bot.registry_cli import answer
    from bot.surfaces.terminal import settings as view

    async def work(office: "Administration", place: str) -> None:
        now = await office.overview(place, OWNER)
        answer(now, view.settings_object, view.print_settings, as_json=as_json)

    _perform(community, work)


@settings.command("set")
def set_value(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Lists have commas between.")],
    community: Community = None,
    as_json: Json = False,
) -> None:
    """Set a setting; a list is replaced."""
    from bot.commands.settings import target, written
    from bot.owner import OWNER
    from bot.registry_cli import answer
    from bot.surfaces.terminal import settings as view

    async def work(office: "Administration", place: str) -> None:
        to = target(name)
        now = await office.overview(place, OWNER)
        edit = written(now, to, value)
        after = await office.change(now, edit, base=now.version, by=OWNER)
        answer((edit, after), view.changed_object, view.print_changed, as_json=as_json)

    _perform(community, work)


@settings.command()
def reset(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A setting, roles.ID or roles.ID.NAME; else all."),
    ] = None,
    community: Community = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Clear a setting, or everything that is set, even where it cannot be read."""
    from bot.commands.settings import cleared, target
    from bot.owner import OWNER
    from bot.registry_cli import answer, confirm
    from bot.surfaces.terminal import settings as view

    async def work(office: "Administration", place: str) -> None:
        if name is None:
            confirm(f"Clear everything that is set for {view.place(place)}?", yes=yes)
            await office.reset(place, OWNER)
            answer(place, view.reset_object, view.print_reset, as_json=as_json)
            return
        to = target(name)
        now = await office.overview(place, OWNER)
        edit = cleared(now, [to])
        after = await office.change(now, edit, base=now.version, by=OWNER)
        answer((edit, after), view.changed_object, view.print_changed, as_json=as_json)

    _perform(community, work)


def _perform(
    community: str | None, work: Callable[["Administration", str], Awaitable[None]]
) -> None:
    """Do `work` with both databases open; what is refused is said in one sentence."""
    from bot.commands.settings import Administration
    from bot.communities import INSTANCE, SettingsDamaged, SettingsError
    from bot.community_store import CommunityStore
    from bot.database import Database
    from bot.exit import Exit
    from bot.jobs.store import migrations
    from bot.registry_cli import end, perform

    async def opened(settings: "Settings", registry: "Registry") -> None:
        database = await Database.open(settings.jobs_db, migrations())
        try:
            await work(Administration(CommunityStore(database), registry), community or INSTANCE)
        except SettingsDamaged as error:
            end(str(error), Exit.FAILED)
        except SettingsError as error:
            end(str(error), Exit.BAD_INPUT)
        finally:
            await database.close()

    perform(opened)
