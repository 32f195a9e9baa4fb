"""Filling in forms and menus as Slack's own app does, with what it does not let people do."""

from typing import Any

from tests.fakes.slack.answers import Refused
from tests.fakes.slack.state import Channel, Json, User, View, nested

_INITIAL = {
    "plain_text_input": ("initial_value", "value"),
    "number_input": ("initial_value", "value"),
    "url_text_input": ("initial_value", "value"),
    "email_text_input": ("initial_value", "value"),
    "datepicker": ("initial_date", "selected_date"),
    "timepicker": ("initial_time", "selected_time"),
    "static_select": ("initial_option", "selected_option"),
    "external_select": ("initial_option", "selected_option"),
    "radio_buttons": ("initial_option", "selected_option"),
    "multi_static_select": ("initial_options", "selected_options"),
    "multi_external_select": ("initial_options", "selected_options"),
    "checkboxes": ("initial_options", "selected_options"),
    "users_select": ("initial_user", "selected_user"),
    "multi_users_select": ("initial_users", "selected_users"),
    "channels_select": ("initial_channel", "selected_channel"),
    "conversations_select": ("initial_conversation", "selected_conversation"),
    "multi_conversations_select": ("initial_conversations", "selected_conversations"),
}
"""Inputs by type: the key of their first value, and the key of their state."""


def find(parts: list[Json], name: str) -> tuple[Json, Json]:
    """A block and its element by action id, placeholder, or what is written on it.

    An element that is alone in its block is found by the block's id too.
    """
    known = []
    for block in nested(parts):
        inner = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        for element in inner:
            if not isinstance(element, dict) or "action_id" not in element:
                continue
            label = (element.get("text") or {}).get("text")
            hint = (element.get("placeholder") or {}).get("text")
            title = (block.get("label") or {}).get("text")
            alone = block.get("block_id") if "elements" not in block else None
            if name in (element["action_id"], label, hint, title, alone):
                return block, element
            known.append(label or title or element["action_id"])
    raise Refused(f"no {name!r} here; there are {known}")


def state(element: Json, value: Any, offered: list[Json]) -> Json:
    """What choosing or typing `value` makes of an element's state."""
    kind = element["type"]
    if kind not in _INITIAL:
        raise Refused(f"the fake cannot fill in a {kind}")
    key = _INITIAL[kind][1]
    if key == "value":
        return {"type": kind, key: _typed(element, value)}
    if key == "selected_options":
        chosen = [_option(element, v, offered) for v in value]
        if len(chosen) > element.get("max_selected_items", 100):
            raise Refused(f"at most {element['max_selected_items']} may be chosen")
        return {"type": kind, key: chosen}
    if key == "selected_option":
        return {"type": kind, key: None if value is None else _option(element, value, offered)}
    if isinstance(value, (list, tuple)):
        return {"type": kind, key: [_id(v) for v in value]}
    return {"type": kind, key: _id(value)}


def initial(element: Json) -> Json:
    """The state of an element that nobody has touched."""
    kind = element["type"]
    first, key = _INITIAL[kind]
    empty: Any = [] if key.endswith("s") else None
    return {"type": kind, key: element.get(first, empty)}


def fill(view: View, values: dict[str, Any]) -> None:
    """Fill in a modal. `values` are by label, block id or action id; the rest stays."""
    used = set()
    for block in view.blocks:
        element = block.get("element")
        if block["type"] != "input" or element is None:
            continue
        key = (block["block_id"], element["action_id"])
        for name in (block["label"]["text"], *key):
            if name in values:
                used.add(name)
                view.chosen[key] = state(element, values[name], view.offered.get(key, []))
                break
        else:
            view.chosen.setdefault(key, initial(element))
        given = next(v for k, v in view.chosen[key].items() if k != "type")
        if given in (None, "", []) and not block.get("optional"):
            raise Refused(f"{block['label']['text']}: please complete this required field")
    if strange := values.keys() - used:
        raise Refused(f"no fields {sorted(strange)}; there are {list(view.fields)}")


def _typed(element: Json, value: Any) -> str | None:
    text = None if value is None else str(value)
    if element["type"] == "plain_text_input" and text:
        least, most = element.get("min_length") or 0, element.get("max_length") or 3000
        if not least <= len(text) <= most:
            raise Refused(f"the text must have {least} to {most} characters; it has {len(text)}")
    if element["type"] == "number_input" and text:
        if not element.get("is_decimal_allowed") and not text.lstrip("-").isdecimal():
            raise Refused(f"{text!r} is no whole number")
        least, most = element.get("min_value"), element.get("max_value")
        below = least is not None and float(text) < float(least)
        if below or (most is not None and float(text) > float(most)):
            raise Refused(f"{text} is not between {least} and {most}")
    return text


def _option(element: Json, value: Any, offered: list[Json]) -> Json:
    """The option with this value or label; of an external select, one that was offered."""
    options: list[Json] = list(element.get("options") or [])
    options += [o for g in element.get("option_groups") or [] for o in g["options"]]
    options += offered
    for one in (element.get("initial_option"), *(element.get("initial_options") or [])):
        if one is not None:
            options.append(one)
    for option in options:
        if value in (option, option["value"], option["text"]["text"]):
            return option
    raise Refused(f"no option {value!r}; there are {[o['text']['text'] for o in options]}")


def _id(value: Any) -> Any:
    return value.id if isinstance(value, (User, Channel)) else value
