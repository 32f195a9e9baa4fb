"""The form of “Draw with it”: a prompt, and the blanks of a preset as fields of their kind."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from discord import SelectOption, TextStyle
from discord.ui import Item, Label, LayoutView, Modal, Select, TextInput

from bot.commands import preset_use
from bot.commands.prompt import Wish
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.text import plain
from lora_registry.models import ChoiceVariable, NumberVariable, TextVariable, Variable
from lora_registry.revisions import Revision

USED: Final = "preset_used"
"""The verb of the form that `preset_use` opens."""
MOST_FIELDS: Final = 4
"""Blanks that have fields of their own; beside the prompt a form has room for no more."""

_REST: Final = "others"
_FIELD: Final = "var_"
_LABEL: Final = 45
_ABOUT: Final = 100
_MOST_OPTIONS: Final = 25


def form(revision: Revision) -> Modal:
    """The form. What is left as it is, or empty, is drawn with the preset's own values."""
    preset, variables = revision.preset, revision.body.variables
    custom_id = CustomId(USED, preset.id, str(revision.rev))
    modal = Modal(title=plain(f"Draw with {preset.name}", _LABEL), custom_id=str(custom_id))
    prompt: TextInput[LayoutView] = TextInput(
        custom_id="prompt", style=TextStyle.paragraph, required=True, max_length=4000
    )
    about = plain(revision.body.description, _ABOUT) or None
    modal.add_item(Label(text="Prompt", description=about, component=prompt))
    own = variables if len(variables) <= MOST_FIELDS else variables[: MOST_FIELDS - 1]
    for one in own:
        modal.add_item(_field(one))
    if rest := variables[len(own) :]:
        modal.add_item(_together(rest))
    modal.stop()  # the library need not keep it
    return modal


def values(data: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a submitted form by name: what was written, or the first that was chosen."""
    found: dict[str, str] = {}
    waiting = list(data["components"])
    while waiting:
        one = waiting.pop()
        waiting += [*one.get("components", ()), *filter(None, [one.get("component")])]
        if "custom_id" in one:
            found[one["custom_id"]] = next(iter(one.get("values") or ()), one.get("value") or "")
    return found


def wish(revision: Revision, fields: Mapping[str, str]) -> Wish:
    """What was asked for in the form.

    Raises:
        PromptError: str() says what is wrong.
    """
    blanks = {
        name.removeprefix(_FIELD): value
        for name, value in fields.items()
        if name.startswith(_FIELD)
    }
    return preset_use.wish(revision, fields["prompt"], blanks, fields.get(_REST))


def _field(variable: Variable) -> Label[Any]:
    about = None
    component: Item[Any]
    match variable:
        case ChoiceVariable() if len(_choices(variable)) <= _MOST_OPTIONS:
            component = Select(
                custom_id=f"{_FIELD}{variable.name}",
                options=[
                    SelectOption(label=one, value=one, default=one == variable.default)
                    for one in _choices(variable)
                ],
                required=False,
            )
        case ChoiceVariable():
            about = f"One of {', '.join(variable.choices)}"
            component = _text(variable, variable.default, 80)
        case NumberVariable():
            kind = "A whole number" if variable.whole else "A number"
            about = f"{kind} from {variable.low:g} to {variable.high:g}"
            component = _text(variable, f"{variable.default:g}", 30)
        case TextVariable():
            component = _text(variable, variable.default, variable.longest)
    text = plain(variable.name.replace("_", " ").capitalize(), _LABEL)
    about = None if about is None else plain(about, _ABOUT)
    return Label(text=text, description=about, component=component)


def _choices(variable: ChoiceVariable) -> tuple[str, ...]:
    return tuple(dict.fromkeys(variable.choices))


def _text(variable: Variable, default: str, longest: int) -> TextInput[LayoutView]:
    return TextInput(
        custom_id=f"{_FIELD}{variable.name}",
        default=default or None,
        required=False,
        max_length=longest,
    )


def _together(variables: Sequence[Variable]) -> Label[Any]:
    """One field for the blanks that have none of their own."""
    names = [one.name for one in variables]
    field: TextInput[LayoutView] = TextInput(
        custom_id=_REST,
        style=TextStyle.paragraph,
        placeholder=plain("; ".join(f"{name}=…" for name in names), _ABOUT),
        required=False,
        max_length=1000,
    )
    about = plain(f"{', '.join(names)}: what you leave out stays as it is", _ABOUT)
    return Label(text="More blanks", description=about, component=field)
