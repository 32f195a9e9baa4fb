"""Commands, options and menu entries as a person picks them, checked as Discord's app does."""

from collections.abc import Mapping, Sequence

from tests.fakes.discord import payloads, permissions
from tests.fakes.discord.answers import Refused
from tests.fakes.discord.messages import Messages
from tests.fakes.discord.permissions import May
from tests.fakes.discord.registration import find
from tests.fakes.discord.state import DM, Channel, File, Json, Role, User
from tests.fakes.discord.world import World

_TEXT, _WHOLE, _YES_NO, _NUMBER, _FILE = 3, 4, 5, 10, 11


def command(
    world: World,
    messages: Messages,
    user: User,
    channel: Channel,
    name: str,
    options: Mapping[str, object],
    *,
    focus: str | None = None,
) -> Json:
    """The data of a chat command. With `focus` it is being typed, and may still be incomplete."""
    try:
        found, way = find(world, name, 1, channel.guild)
    except LookupError as error:
        raise Refused(str(error)) from None
    _offered(world, user, channel, found)
    leaf = way[-1] if way else found
    declared = {o["name"]: o for o in leaf.get("options", [])}
    for given in options:
        if given not in declared:
            raise Refused(f"/{name} has no option {given!r}; it has {list(declared)}")
    resolved: Json = {}
    filled = []
    for option in declared.values():
        key = option["name"]
        if key in options:
            if focus is None:
                _check(option, options[key])
            entry = {
                "type": option["type"],
                "name": key,
                "value": value(messages, channel, options[key], resolved),
            }
            filled.append(entry | ({"focused": True} if key == focus else {}))
        elif option.get("required") and focus is None:
            raise Refused(f"/{name} needs {key!r}")
    if focus is not None and not declared[focus].get("autocomplete"):
        raise Refused(f"/{name} suggests nothing for {focus!r}")
    for step in reversed(way):
        filled = [{"type": step["type"], "name": step["name"], "options": filled}]
    data: Json = {"id": found["id"], "name": found["name"], "type": 1, "options": filled}
    if channel.guild is not None and "guild_id" in found:
        data["guild_id"] = str(channel.guild.id)
    return data | ({"resolved": resolved} if resolved else {})


def menu(world: World, user: User, channel: Channel, name: str) -> Json:
    """The registered entry of a message's menu."""
    try:
        found, _ = find(world, name, 3, channel.guild)
    except LookupError as error:
        raise Refused(str(error)) from None
    _offered(world, user, channel, found)
    return found


def values(
    messages: Messages, channel: Channel, part: Json, chosen: Sequence[object], resolved: Json
) -> list[str]:
    """What a select menu sends for these choices; what they stand for is put into `resolved`."""
    least, most = part.get("min_values"), part.get("max_values") or 1
    least = int(part.get("required", True)) if least is None else least
    if not least <= len(chosen) <= most:
        raise Refused(f"{least} to {most} can be chosen")
    if part["type"] != 3:
        for choice in chosen:
            _fits_menu(part, choice)
        return [str(value(messages, channel, c, resolved)) for c in chosen]
    picked = []
    for choice in chosen:
        for option in part["options"]:
            if choice in (option["value"], option["label"]):
                picked.append(option["value"])
                break
        else:
            raise Refused(f"{choice!r} is none of {[o['label'] for o in part['options']]}")
    return picked


def _fits_menu(part: Json, choice: object) -> None:
    kinds = {5: User, 6: Role, 7: User | Role, 8: Channel}[part["type"]]
    if not isinstance(choice, kinds):
        raise Refused(f"{choice!r} cannot be chosen in this menu")
    allowed = part.get("channel_types")
    if isinstance(choice, Channel) and allowed and choice.kind not in allowed:
        raise Refused(f"#{choice.name} is not of a kind that this menu offers")


def _offered(world: World, user: User, channel: Channel, found: Json) -> None:
    """Refuse where Discord would not offer the command to this person in this place."""
    guild = channel.guild
    kinds = found.get("integration_types") or [0]
    contexts = found.get("contexts")
    context = 0 if guild is not None else 1 if world.bot in channel.people else 2
    installed = guild.has_bot if guild is not None else context == 1
    if not (0 in kinds and installed) and not (1 in kinds and user.installed):
        raise Refused(f"{found['name']} is not installed here")
    if contexts is not None and context not in contexts:
        raise Refused(f"{found['name']} is not offered in this kind of place")
    if contexts is None and (context == 2 or (context == 1 and not found["dm_permission"])):
        raise Refused(f"{found['name']} is not offered in private channels")
    if found["nsfw"] and not (channel.age_restricted or channel.kind == DM):
        raise Refused(f"{found['name']} is age-restricted and this channel is not")
    if guild is None:
        if user not in channel.people:
            raise Refused(f"{user.name} is not in this conversation")
        return
    granted = permissions.in_channel(user, channel)
    speaks = May.SEND_MESSAGES_IN_THREADS if channel.is_thread else May.SEND_MESSAGES
    for need in (May.VIEW_CHANNEL, May.USE_APPLICATION_COMMANDS, speaks):
        if not granted & need:
            raise Refused(f"{user.name} lacks {need.name} here")
    wanted = found["default_member_permissions"]
    admin = granted & May.ADMINISTRATOR
    if wanted is not None and not admin and (wanted == "0" or int(wanted) & ~granted):
        raise Refused(f"{user.name} lacks the permissions that {found['name']} asks for")


def _check(option: Json, value: object) -> None:
    kind, name = option["type"], option["name"]
    types = {_TEXT: str, _WHOLE: int, _YES_NO: bool, _NUMBER: (int, float), _FILE: File}
    wanted = types.get(kind)
    wrong_boolean = isinstance(value, bool) and kind != _YES_NO
    if wanted is not None and (wrong_boolean or not isinstance(value, wanted)):  # type: ignore[arg-type]
        raise Refused(f"{name}: {value!r} is of the wrong kind")
    choices = option.get("choices")
    if choices and value not in [c["value"] for c in choices]:
        raise Refused(f"{name}: {value!r} is none of {[c['value'] for c in choices]}")
    if isinstance(value, str):
        low, high = option.get("min_length") or 0, option.get("max_length") or 6000
        if not low <= len(value) <= high:
            raise Refused(f"{name}: {low} to {high} characters")
    elif isinstance(value, int | float):
        low, high = option.get("min_value"), option.get("max_value")
        if (low is not None and value < low) or (high is not None and value > high):
            raise Refused(f"{name}: {value} is not between {low} and {high}")


def value(messages: Messages, channel: Channel, given: object, resolved: Json) -> object:
    """What is sent for a value; what it stands for is put into `resolved`."""
    if isinstance(given, User):
        resolved.setdefault("users", {})[str(given.id)] = payloads.user(given)
        member = channel.guild.members.get(given.id) if channel.guild is not None else None
        if member is not None:
            shown = payloads.member(member, bare=True)
            shown["permissions"] = str(permissions.in_channel(given, channel))
            resolved.setdefault("members", {})[str(given.id)] = shown
    elif isinstance(given, Role):
        resolved.setdefault("roles", {})[str(given.id)] = payloads.role(given)
    elif isinstance(given, Channel):
        resolved.setdefault("channels", {})[str(given.id)] = payloads.channel(
            given, seen_by=given.guild.owner if given.guild is not None else None
        )
    elif isinstance(given, File):
        kept = messages.attach(given.data, given.name, channel, ephemeral=True)
        resolved.setdefault("attachments", {})[str(kept.id)] = payloads.attachment(kept)
        return str(kept.id)
    else:
        return given
    return str(given.id)
