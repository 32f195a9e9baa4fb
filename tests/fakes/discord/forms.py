"""Filling in the app's forms."""

from collections.abc import Mapping, Sequence

from tests.fakes.discord import choosing
from tests.fakes.discord.answers import Modal, Refused
from tests.fakes.discord.messages import Messages
from tests.fakes.discord.state import Channel, File, Json, Role, User

_TEXT, _FILES, _RADIO, _CHECKS, _CHECK = 4, 19, 21, 22, 23
_THINGS = (5, 6, 7, 8)


def fill(
    modal: Modal,
    values: Mapping[str, object],
    files: Mapping[str, Sequence[File]],
    messages: Messages,
    channel: Channel,
) -> tuple[list[Json], Json]:
    """The components that a form sends, and the files in it. Refuses what the form would."""
    fields = modal.fields
    known = {n for label, p in fields.items() for n in (label, p["custom_id"])}
    for name in (*values, *files):
        if name not in known:
            raise Refused(f"the form has no field {name!r}; it has {list(fields)}")
    resolved: Json = {}

    def sent(label: str, part: Json, place: int) -> Json:
        body: Json = {"type": part["type"], "custom_id": part["custom_id"], "id": place}
        if part["type"] == _FILES:
            given = files.get(label, files.get(part["custom_id"], ()))
            _amount(label, part, len(given))
            return body | {
                "values": [choosing.value(messages, channel, f, resolved) for f in given]
            }
        value = values.get(label, values.get(part["custom_id"], modal.value(label)))
        if part["type"] in _THINGS:
            things = [_thing(channel, v) for v in _several(value)]
            chosen = choosing.values(messages, channel, part, things, resolved)
            return body | {"values": chosen}
        return body | _typed(label, part, value)

    components: list[Json] = []
    place = 0
    for part in modal.data["components"]:
        place += 1
        body: Json = {"type": part["type"], "id": place}
        if part["type"] == 18:
            place += 1
            body["component"] = sent(part["label"], part["component"], place)
        elif part["type"] == 1:
            place += 1
            (only,) = part["components"]
            body["components"] = [sent(only.get("label", only["custom_id"]), only, place)]
        components.append(body)
    return components, resolved


def _typed(label: str, part: Json, value: object) -> Json:
    """The answer of one field, of any kind but files."""
    kind, required = part["type"], part.get("required", True)
    if kind == _CHECK:
        return {"value": bool(value)}
    if kind == _TEXT:
        text = str(value)
        low, high = part.get("min_length") or 0, part.get("max_length") or 4000
        if (required and not text) or (text and not low <= len(text) <= high):
            raise Refused(f"{label}: {low} to {high} characters{', required' * required}")
        return {"value": text}
    chosen = [str(v) for v in _several(value)]
    if "options" in part:
        offered = {o["label"]: o["value"] for o in part["options"]}
        chosen = [offered.get(c, c) for c in chosen]
        if unknown := [c for c in chosen if c not in offered.values()]:
            raise Refused(f"{label}: {unknown} is none of {list(offered)}")
    _amount(label, part, len(chosen))
    if kind == _RADIO:
        return {"value": chosen[0] if chosen else None}
    return {"values": chosen}


def _several(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _thing(channel: Channel, value: object) -> object:
    """The person, role or channel that a form's default names by its id."""
    guild = channel.guild
    if guild is None or not isinstance(value, str):
        return value
    found: list[User | Role | Channel] = [m.user for m in guild.members.values()]
    found += [*guild.roles, *guild.channels]
    return next((f for f in found if str(f.id) == value), value)


def _amount(label: str, part: Json, given: int) -> None:
    required = part.get("required", True)
    least = part.get("min_values")
    most = part.get("max_values") or (len(part["options"]) if part["type"] == _CHECKS else 1)
    least = (1 if required else 0) if least is None else least
    if not (given == 0 and not required) and not least <= given <= most:
        raise Refused(f"{label}: {least} to {most} can be chosen")
