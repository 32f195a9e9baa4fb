"""What Discord refuses by its documentation's prose, beyond what its OpenAPI file can say."""

import re
from collections.abc import Iterator
from typing import Any

from tests.fakes.discord.state import V2, Json, nested

NAME = re.compile(r"^[-_'\w]{1,32}$")
"""A chat command's and an option's name; lower case besides, where the script has one."""

_ONLY_V2 = frozenset({9, 10, 11, 12, 13, 14, 17})
_SELECTS = frozenset({3, 5, 6, 7, 8})
_LINK, _PREMIUM = 5, 6


def of_message(body: Json, *, v2: bool, deferral: bool = False) -> list[str]:
    """What is wrong with a message's body. `v2`: the message is or becomes one of Components V2."""
    problems = list(_components(body.get("components") or [], v2=v2))
    if deferral and int(body.get("flags") or 0) & ~64:
        problems.append("flags: a deferral takes EPHEMERAL only")
    if v2:
        problems += [
            f"{key}: cannot be used together with IS_COMPONENTS_V2"
            for key in ("content", "embeds", "poll", "sticker_ids")
            if body.get(key)
        ]
    elif len(body.get("content") or "") > 2000:
        problems.append("content: must be 2000 or fewer in length")
    embeds = sum(_embed_length(e) for e in body.get("embeds") or [])
    if embeds > 6000:
        problems.append("embeds: together longer than 6000")
    mentions = body.get("allowed_mentions") or {}
    for key in ("users", "roles"):
        if mentions.get(key) and key in mentions.get("parse", []):
            problems.append(f"allowed_mentions: parse and {key} are mutually exclusive")
    return problems


def of_modal(data: Json) -> list[str]:
    """What is wrong with a form."""
    parts = data.get("components") or []
    problems = [] if len(parts) <= 5 else [f"components: {len(parts)} rows; at most 5"]
    if not 1 <= len(data.get("title") or "") <= 45:
        problems.append("title: must be 1 to 45 in length")
    problems += _same_ids(parts)
    for part in nested(parts):
        if part["type"] == 18 and len(part.get("label", "")) > 45:
            problems.append("label: must be 45 or fewer in length")
        if part["type"] == 4 and len(part.get("value") or "") > int(part.get("max_length") or 4000):
            problems.append("value: longer than max_length")
        problems += _select_problems(part)
    return problems


def of_choices(data: Json) -> list[str]:
    """What is wrong with the choices of an autocompletion."""
    problems = []
    choices = data.get("choices") or []
    if len(choices) > 25:
        problems.append(f"choices: {len(choices)}; at most 25")
    for choice in choices:
        value = choice.get("value")
        if not 1 <= len(choice.get("name", "")) <= 100:
            problems.append("choices: name must be 1 to 100 in length")
        if isinstance(value, str) and len(value) > 100:
            problems.append("choices: value must be 100 or fewer in length")
    return problems


def of_commands(commands: list[Json]) -> list[str]:
    """What is wrong with a whole set of commands, as a bulk put sends it."""
    problems: list[str] = []
    seen: set[tuple[int, str]] = set()
    for command in commands:
        kind, name = command.get("type") or 1, command["name"]
        if (kind, name) in seen:
            problems.append(f"{name}: twice")
        seen.add((kind, name))
        if kind == 1:
            problems += _named(command)
            if (length := _command_length(command)) > 8000:
                problems.append(f"{name}: {length} characters; at most 8000 together")
        elif command.get("description"):
            problems.append(f"{name}: a menu has no description")
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        if sum(1 for k, _ in seen if k == kind) > most:
            problems.append(f"more than {most} commands of type {kind}")
    return problems


def _components(parts: list[Json], *, v2: bool) -> Iterator[str]:
    everything = list(nested(parts))
    yield from _same_ids(parts)
    if v2:
        if len(everything) > 40:
            yield f"components: {len(everything)}, nested ones counted; at most 40"
        written = sum(len(p.get("content", "")) for p in everything if p["type"] == 10)
        if written > 4000:
            yield f"components: {written} characters of text; at most 4000"
    else:
        if len(parts) > 5:
            yield f"components: {len(parts)} rows; at most 5"
        for part in everything:
            if part["type"] in _ONLY_V2:
                yield f"components: type {part['type']} needs IS_COMPONENTS_V2"
        if any(p["type"] != 1 for p in parts):
            yield "components: only action rows stand at the top"
    for part in everything:
        yield from _part_problems(part)


def _part_problems(part: Json) -> Iterator[str]:
    kind = part["type"]
    if kind == 1:
        held = [p["type"] for p in part.get("components", [])]
        if not held or len(held) > 5:
            yield f"action row: {len(held)} components; 1 to 5"
        if any(k in _SELECTS for k in held) and len(held) > 1:
            yield "action row: a select stands alone"
    elif kind == 2:
        yield from _button_problems(part)
    elif kind == 12 and not 1 <= len(part.get("items", [])) <= 10:
        yield f"gallery: {len(part.get('items', []))} items; 1 to 10"
    elif kind == 17 and not part.get("components"):
        yield "container: empty"
    elif kind == 9 and not 1 <= len(part.get("components", [])) <= 3:
        yield "section: 1 to 3 texts"
    elif kind == 10 and not part.get("content"):
        yield "text display: content is required"
    yield from _select_problems(part)


def _button_problems(button: Json) -> Iterator[str]:
    style = button.get("style")
    if len(button.get("label") or "") > 80:
        yield "button: label must be 80 or fewer in length"
    if style == _LINK:
        if not button.get("url") or button.get("custom_id"):
            yield "button: a link has a url and no custom_id"
        elif not re.match(r"^(https?|discord)://", button["url"]):
            yield "button: url: scheme must be http, https or discord"
    elif style != _PREMIUM and (not button.get("custom_id") or button.get("url")):
        yield "button: a custom_id and no url is required"
    if style != _PREMIUM and not button.get("label") and not button.get("emoji"):
        yield "button: a label or an emoji is required"


def _select_problems(part: Json) -> Iterator[str]:
    if part["type"] not in _SELECTS:
        return
    if len(part.get("placeholder") or "") > 150:
        yield "select: placeholder must be 150 or fewer in length"
    least, most = part.get("min_values"), part.get("max_values")
    if least is not None and most is not None and least > most:
        yield "select: min_values is above max_values"
    if part["type"] == 3:
        options = part.get("options") or []
        values = [o["value"] for o in options]
        if not 1 <= len(options) <= 25:
            yield f"select: {len(options)} options; 1 to 25"
        if len(set(values)) != len(values):
            yield "select: two options have one value"
        if sum(bool(o.get("default")) for o in options) > (1 if most is None else most):
            yield "select: more defaults than max_values"


def _same_ids(parts: list[Json]) -> list[str]:
    custom = [p["custom_id"] for p in nested(parts) if p.get("custom_id")]
    too_long = [f"custom_id {c!r}: longer than 100" for c in custom if len(c) > 100]
    return too_long + [
        f"custom_id {c!r}: duplicated" for c in {c for c in custom if custom.count(c) > 1}
    ]


def _embed_length(embed: Json) -> int:
    fields = sum(len(f.get("name", "")) + len(f.get("value", "")) for f in embed.get("fields", []))
    return (
        fields
        + len(embed.get("title") or "")
        + len(embed.get("description") or "")
        + len((embed.get("footer") or {}).get("text", ""))
        + len((embed.get("author") or {}).get("name", ""))
    )


def _named(part: Json) -> Iterator[str]:
    name = part["name"]
    if not NAME.match(name) or name != name.lower():
        yield f"{name}: not a name for a command or option"
    if not 1 <= len(part.get("description") or "") <= 100:
        yield f"{name}: description must be 1 to 100 in length"
    options = part.get("options") or []
    if len({o["name"] for o in options}) != len(options):
        yield f"{name}: two options have one name"
    if len(options) > 25:
        yield f"{name}: {len(options)} options; at most 25"
    required = [bool(o.get("required")) for o in options]
    if required != sorted(required, reverse=True):
        yield f"{name}: required options come first"
    for option in options:
        yield from _named(option)
        if option.get("autocomplete") and option.get("choices"):
            yield f"{name} {option['name']}: choices and autocomplete"
        for choice in option.get("choices") or []:
            if not 1 <= len(choice["name"]) <= 100 or len(str(choice["value"])) > 100:
                yield f"{name} {option['name']}: a choice is longer than 100"


def _command_length(part: dict[str, Any]) -> int:
    own = len(part["name"]) + len(part.get("description") or "") + len(str(part.get("value", "")))
    inner = (part.get("options") or []) + (part.get("choices") or [])
    return own + sum(_command_length(p) for p in inner)


def becomes_v2(flags: int, body: Json) -> bool:
    """Whether a message with these flags is one of Components V2 after this body."""
    return bool((flags | int(body.get("flags") or 0)) & V2)
