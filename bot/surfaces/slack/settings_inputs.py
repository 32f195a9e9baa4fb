"""The fields of the settings form: one for each setting, empty where nothing is set here.

What was in a field when it was shown comes back with the form, so that only what somebody has
changed is saved.
"""

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from slack_sdk.models.blocks import (
    ConversationFilter,
    ConversationSelectElement,
    ExternalDataSelectElement,
    InputBlock,
    Option,
    PlainTextInputElement,
    StaticMultiSelectElement,
    StaticSelectElement,
    UserMultiSelectElement,
)

from bot.commands.settings import Edit, Overview, Target, cleared, valued, written
from bot.commands.settings_fields import Kind, Setting
from bot.commands.settings_values import ids, in_words, phrases
from bot.communities import SettingsRefused
from bot.surfaces.slack.forms import option
from bot.surfaces.slack.settings_words import HERE, RULES, WRITTEN, words
from bot.surfaces.text import plain

REASON: Final = "reason"
MORE: Final = "more"
LESS: Final = "less"
GROUP: Final = "group"
NEEDS_PAUSE: Final = "Choose “Paused” as well, or leave the reason empty."
_UNSET: Final = "-"
_PAUSED: Final = "on"
_LONGEST: Final = 100
_LONGEST_REASON: Final = 300
_LONGEST_WORDS: Final = 3000
_MOST_CHOSEN: Final = 25

Step = Callable[[Overview], Edit]
"""One change, as of an overview."""


# --- Showing them -----------------------------------------------------------------------------


def inputs(now: Overview, setting: Setting, role: str | None = None) -> list[InputBlock]:
    """The fields that set a setting, or a user group's own of it."""
    value, own = now.value(setting, role), _own(now, setting, role)
    said = plain(in_words(setting, value, WRITTEN), 400)
    source = words(plain(now.source(setting, role, WRITTEN), 400))
    hint = f"{setting.about} Now: {said} ({source})."
    match setting.kind:
        case Kind.CHOICE:
            element: Any = _choice(setting, own)
        case Kind.CHOICES:
            element = _choices(setting, own)
        case Kind.CHANNEL:
            element = _channel(own)
            hint = setting.about
        case Kind.PAUSE:
            return _pause(now, setting, hint)
        case _ if setting.name == "preset":
            element = ExternalDataSelectElement(
                action_id=setting.name,
                min_query_length=0,
                placeholder="Not set here",
                initial_option=option(_typed(own)) if own is not None else None,
            )
        case _:
            element = PlainTextInputElement(
                action_id=setting.name,
                max_length=_LONGEST,
                placeholder=plain(f"Not set here; {setting.takes}", 150),
                initial_value=_typed(own) or None,
            )
    return [_input(setting.name, setting.label, element, hint)]


def more_input(setting: Setting) -> InputBlock:
    """The field that adds to a list."""
    if setting.kind is Kind.MEMBERS:
        people = UserMultiSelectElement(action_id=MORE, max_selected_items=_MOST_CHOSEN)
        return _input(MORE, "Add", people)
    lines = setting.kind is Kind.WORDS
    text = PlainTextInputElement(action_id=MORE, multiline=lines, max_length=_LONGEST_WORDS)
    hint = "One a line, or with commas between." if lines else "Ids such as S0123ABCDEF, or @names."
    return _input(MORE, "Add", text, hint)


def less_input(labels: Mapping[int, str]) -> InputBlock:
    """The field that takes entries of a list away, by their places in it."""
    options = [Option(text=plain(label, 75), value=str(n)) for n, label in labels.items()]
    menu = StaticMultiSelectElement(action_id=LESS, options=options)
    return _input(LESS, "Take away", menu)


def group_input() -> InputBlock:
    """The field for a user group."""
    text = PlainTextInputElement(
        action_id=GROUP, max_length=_LONGEST, placeholder="S0123ABCDEF, or @designers"
    )
    hint = "Its id stands in the menu ⋯ of the user group, at “Copy group ID”."
    return _input(GROUP, "Give limits of its own to a user group", text, hint)


# --- Reading them -----------------------------------------------------------------------------


def changed(view: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    """The fields in which there is something else now than when the form was shown."""
    before = {
        block["element"]["action_id"]: _initial(block["element"])
        for block in view.get("blocks") or ()
        if block.get("type") == "input"
    }
    return {
        name: text.strip()
        for name, text in fields.items()
        if name in before and text.strip() != before[name]
    }


def below(view: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, str]:
    """Sentences about fields by the blocks in which these stand; what is about none of them stands
    below the first.
    """
    blocks = {
        str(block["element"]["action_id"]): str(block["block_id"])
        for block in view.get("blocks") or ()
        if block.get("type") == "input"
    }
    found = {blocks[name]: sentence for name, sentence in errors.items() if name in blocks}
    return found or {next(iter(blocks.values()), ""): " ".join(dict.fromkeys(errors.values()))}


def steps(
    new: Mapping[str, str], fields: Mapping[str, str], role: str | None = None
) -> dict[str, Step]:
    """What somebody wants changed, by field; `fields` are all of the form.

    Raises:
        SettingsRefused: a field makes no sense with another one.
    """
    found: dict[str, Step] = {}
    for name in new:
        if name in HERE and HERE[name].kind is not Kind.PAUSE:
            found[name] = _step(Target(HERE[name], role), new[name])
    if {"paused", REASON} & new.keys():
        reason = fields.get(REASON, "").strip()
        if fields.get("paused") == _PAUSED:
            found[REASON] = partial(_valued, setting=HERE["paused"], value={"reason": reason})
        elif REASON in new and reason:
            raise SettingsRefused(NEEDS_PAUSE, REASON)
        elif "paused" in new:
            found["paused"] = partial(_cleared, to=Target(HERE["paused"]))
    return found


def entries(setting: Setting, text: str) -> frozenset[str]:
    """What somebody has chosen or typed to be added to a list."""
    return frozenset(phrases(text) if setting.kind is Kind.WORDS else ids(text))


def places(text: str) -> list[int]:
    """The chosen places in a list."""
    return [int(one) for one in ids(text) if one.isdecimal()]


# --- Inside -----------------------------------------------------------------------------------


def _step(to: Target, text: str) -> Step:
    if text in ("", _UNSET):
        return partial(_cleared, to=to)
    return lambda now: written(now, to, text)


def _valued(now: Overview, setting: Setting, value: object) -> Edit:
    return valued(now, setting, value)


def _cleared(now: Overview, to: Target) -> Edit:
    return cleared(now, [to])


def _own(now: Overview, setting: Setting, role: str | None) -> Any:
    """What is set here; None where nothing is, and "none" where none is."""
    if not now.has(setting, role):
        return None
    layer = now.own if role is None else now.own.roles.get(role) or now.roles[role]
    value = getattr(layer, setting.name)
    return "none" if value is None else value


def _typed(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _choice(setting: Setting, own: Any) -> StaticSelectElement:
    """One of a few. What is chosen already is offered even where it makes no sense here."""
    options = [Option(text="Not set here", value=_UNSET)]
    options += [
        Option(text=plain(label, 75), value=str(one))
        for one, label in setting.choices.items()
        if setting.name != "flagged" or one in RULES or one == own
    ]
    first = next((one for one in options if one.value == str(own)), options[0])
    return StaticSelectElement(action_id=setting.name, options=options, initial_option=first)


def _choices(setting: Setting, own: Any) -> StaticMultiSelectElement:
    options = [Option(text=label, value=one) for one, label in setting.choices.items()]
    first = [one for one in options if own is not None and one.value in own]
    return StaticMultiSelectElement(
        action_id=setting.name,
        placeholder="Not set here",
        options=options,
        initial_options=first or None,
    )


def _channel(own: Any) -> ConversationSelectElement:
    known = isinstance(own, str) and own[:1] in {"C", "G"} and own.isalnum()
    return ConversationSelectElement(
        placeholder="Not set here",
        initial_conversation=own if known else None,
        filter=ConversationFilter(include=["public", "private"], exclude_bot_users=True),
    )


def _pause(now: Overview, setting: Setting, hint: str) -> list[InputBlock]:
    own = now.own.paused
    options = [Option(text="Not paused here", value=_UNSET), Option(text="Paused", value=_PAUSED)]
    menu = StaticSelectElement(
        action_id=setting.name, options=options, initial_option=options[own is not None]
    )
    reason = PlainTextInputElement(
        action_id=REASON,
        max_length=_LONGEST_REASON,
        initial_value=None if own is None else own.reason or None,
    )
    return [
        _input(setting.name, setting.label, menu, hint),
        _input(REASON, "Reason", reason, "Told to everybody who tries to draw; may be empty."),
    ]


def _input(name: str, label: str, element: Any, hint: str | None = None) -> InputBlock:
    # Slack keeps what is written in a block of the same id, whatever the new form says.
    fresh = f"{name}-{uuid.uuid4().hex[:8]}"
    element.action_id = name
    return InputBlock(block_id=fresh, label=label, element=element, hint=hint, optional=True)


def _initial(element: Mapping[str, Any]) -> str:
    """What was in a field, in the form in which its answer comes."""
    chosen = [one["value"] for one in element.get("initial_options") or ()]
    return str(
        element.get("initial_value")
        or (element.get("initial_option") or {}).get("value")
        or element.get("initial_conversation")
        or ", ".join(chosen)
    )
