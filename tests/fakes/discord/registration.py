"""Application commands: taking the app's whole set, and finding one as a person does."""

from tests.fakes.discord import rules
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.state import Guild, Json
from tests.fakes.discord.world import World

SUB_COMMAND, GROUP = 1, 2


def register(world: World, wanted: list[Json], guild: Guild | None) -> list[Json]:
    """Replace all commands (of one server, with one). Unchanged ones keep id and version."""
    problems = rules.of_commands(wanted)
    if problems:
        raise ApiError(50035, problems=problems)
    known = (
        world.commands.everywhere if guild is None else world.commands.in_guild.get(guild.id, [])
    )
    before = {(c["type"], c["name"]): c for c in known}
    made = []
    for command in wanted:
        shown = _shown(world, command, guild)
        old = before.get((shown["type"], shown["name"]))
        if old is not None:
            shown["id"] = old["id"]
            if {**shown, "version": old["version"]} == old:
                shown["version"] = old["version"]
        made.append(shown)
    world.commands.puts += 1
    if guild is None:
        world.commands.everywhere = made
    else:
        world.commands.in_guild[guild.id] = made
    world.changes.tell(world.commands)
    return made


def find(world: World, name: str, kind: int, guild: Guild | None) -> tuple[Json, list[Json]]:
    """The command that `name` starts with, and the way to its subcommand: options, outermost first.

    A server's own command hides the one for everybody.
    """
    own = world.commands.in_guild.get(guild.id, []) if guild is not None else []
    words = name.split() if kind == 1 else [name]
    for command in (*own, *world.commands.everywhere):
        if command["type"] == kind and command["name"] == words[0]:
            break
    else:
        raise LookupError(f"no command {words[0]!r} is registered")
    way: list[Json] = []
    here = command
    for word in words[1:]:
        here = next(o for o in here["options"] if o["name"] == word and o["type"] <= GROUP)
        way.append(here)
    if any(o["type"] <= GROUP for o in here.get("options", [])):
        raise LookupError(f"/{name} needs one of its subcommands")
    return command, way


def _shown(world: World, command: Json, guild: Guild | None) -> Json:
    kind = command.get("type") or 1
    allowed = command.get("default_member_permissions")
    shown = {k: v for k, v in command.items() if v is not None} | {
        "id": str(world.ids.next()),
        "application_id": str(world.app_id),
        "version": str(world.ids.next()),
        "type": kind,
        "default_member_permissions": None if allowed is None else str(allowed),
        "description": command.get("description") or "",
        "nsfw": bool(command.get("nsfw")),
        "dm_permission": bool(command.get("dm_permission", True)),
    }
    if guild is not None:
        shown["guild_id"] = str(guild.id)
        return shown
    shown["contexts"] = command.get("contexts")
    shown["integration_types"] = command.get("integration_types") or [0]
    return shown
