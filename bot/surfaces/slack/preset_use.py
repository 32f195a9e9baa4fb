"""The form of “Draw with it”: a prompt, and the blanks of a preset as fields of their kind."""

from collections.abc import Mapping
from typing import Any, Final

from slack_sdk.models.blocks import (
    Block,
    InputBlock,
    NumberInputElement,
    Option,
    PlainTextInputElement,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.commands import preset_use
from bot.commands.prompt import Wish
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import cards, forms
from bot.surfaces.slack.preset_forms import modal
from bot.surfaces.slack.text import bold, safe
from bot.surfaces.text import plain
from lora_registry.models import ChoiceVariable, NumberVariable, TextVariable, Variable
from lora_registry.revisions import Revision

USED: Final = "preset_used"
"""The verb of the form that `preset_use` opens."""
_FIELD: Final = "var_"


def form(revision: Revision, kept: Mapping[str, Any]) -> View:
    """The form. What is left as it is, or empty, is drawn with the preset's own values."""
    preset, body = revision.preset, revision.body
    custom_id = CustomId(USED, preset.id, str(revision.rev))
    prompt = PlainTextInputElement(
        action_id="prompt", multiline=True, max_length=forms.MOST_PROMPT, focus_on_load=True
    )
    about = " · ".join(filter(None, [safe(body.title, 120), safe(body.description, 300)]))
    blocks: list[Block] = [
        cards.section(f"{bold(preset.reference, 80)}{f' {about}' if about else ''}"),
        InputBlock(block_id="prompt", label="Prompt", element=prompt),
        *map(_field, body.variables),
    ]
    return modal(f"Draw with {preset.name}", custom_id, kept, blocks, "Draw")


def wish(revision: Revision, values: Mapping[str, str]) -> Wish:
    """What was asked for in the form.

    Raises:
        PromptError: str() says what is wrong.
    """
    blanks = {
        name.removeprefix(_FIELD): value for name, value in values.items() if name != "prompt"
    }
    return preset_use.wish(revision, values.get("prompt", ""), blanks)


def _field(variable: Variable) -> InputBlock:
    name = f"{_FIELD}{variable.name}"
    hint = None
    element: Any
    match variable:
        case ChoiceVariable():
            options = {
                one: Option(text=plain(one, forms.LABEL), value=one) for one in _choices(variable)
            }
            element = StaticSelectElement(
                action_id=name,
                options=list(options.values()),
                initial_option=options[variable.default],
            )
        case NumberVariable():
            kind = "A whole number" if variable.whole else "A number"
            hint = f"{kind} from {_digits(variable.low)} to {_digits(variable.high)}"
            element = NumberInputElement(
                action_id=name,
                is_decimal_allowed=not variable.whole,
                min_value=_digits(variable.low),
                max_value=_digits(variable.high),
                initial_value=_digits(variable.default),
            )
        case TextVariable():
            element = PlainTextInputElement(
                action_id=name,
                max_length=variable.longest,
                initial_value=variable.default or None,
            )
    label = variable.name.replace("_", " ").capitalize()
    return InputBlock(block_id=name, label=label, hint=hint, element=element, optional=True)


def _choices(variable: ChoiceVariable) -> tuple[str, ...]:
    return tuple(dict.fromkeys(variable.choices))


def _digits(value: float) -> str:
    """A number without an exponent, which Slack does not take."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
