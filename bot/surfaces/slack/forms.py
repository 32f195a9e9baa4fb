"""The form that draws: opened by `/imagine` alone, by Edit, and by the shortcuts.

What it needs to be understood later is in its callback id and its private metadata, so a form that
was open while the bot restarted is understood all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from slack_sdk.models.blocks import (
    ContextBlock,
    ExternalDataMultiSelectElement,
    ExternalDataSelectElement,
    InputBlock,
    MarkdownTextObject,
    Option,
    PlainTextInputElement,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from backends.base import MODELS, NAMED_SIZES
from bot.commands import fields
from bot.commands.prompt import Wish
from bot.surfaces.ids import CustomId
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.text import plain

IMAGINED: Final = "imagined"
"""The verb of the form that starts from nothing."""
MOST_PROMPT: Final = 3000
LABEL: Final = 75
VALUE: Final = 150
TITLE: Final = "Imagine"
_ANY: Final = Option(text="default", value="-")


def form(custom_id: CustomId, wish: Wish, interaction: Interaction) -> View:
    """Prompt, preset, LoRAs, size, number, seed and model, to be written or changed.

    LoRAs that do not fit an option of a menu stay out of the form; `wish_of_form` keeps them.
    """
    size = "" if wish.size is None else _size(wish)
    blocks = [
        _input(
            "prompt",
            "Prompt",
            PlainTextInputElement(
                action_id="prompt",
                multiline=True,
                max_length=MOST_PROMPT,
                initial_value=wish.prompt[:MOST_PROMPT] or None,
            ),
            optional=False,
        ),
        _input(
            "preset",
            "Preset",
            ExternalDataSelectElement(
                action_id="preset",
                min_query_length=0,
                placeholder="A look to draw with",
                initial_option=_option(fields.preset_of(wish)),
            ),
        ),
        _input(
            "loras",
            "LoRAs",
            ExternalDataMultiSelectElement(
                action_id="loras",
                min_query_length=0,
                placeholder="Type ghibli:0.8 for another scale",
                initial_options=_options(wish) or None,
            ),
        ),
        _input(
            "size",
            "Size",
            PlainTextInputElement(
                action_id="size",
                max_length=40,
                initial_value=size or None,
                placeholder=f"{', '.join(list(NAMED_SIZES)[:2])}, 1024x768 or 16:9",
            ),
        ),
        _input("images", "Pictures", _choice("images", "1234", str(wish.images or 1))),
        _input(
            "seed",
            "Seed",
            PlainTextInputElement(
                action_id="seed",
                max_length=19,
                initial_value=None if wish.seed is None else str(wish.seed),
                placeholder="Leave it empty for a new one",
            ),
        ),
        _input("model", "Model", _choice("model", tuple(MODELS), wish.model)),
        ContextBlock(
            elements=[MarkdownTextObject(text="Flags such as `--steps 28` work in the prompt too.")]
        ),
    ]
    return View(
        type="modal",
        callback_id=str(custom_id),
        private_metadata=json.dumps(kept(interaction)),
        title=TITLE,
        submit="Draw",
        close="Cancel",
        blocks=blocks,
    )


def kept(interaction: Interaction) -> dict[str, Any]:
    """Where a form was opened, for what comes of it."""
    where = {"channel": interaction.channel, "thread": interaction.thread}
    return {name: value for name, value in where.items() if value}


def wish_of_form(before: Wish, values: Mapping[str, str]) -> Wish:
    """What somebody wishes who has submitted the form that was opened with `before`.

    Raises:
        PromptError: str() says what is wrong.
    """
    given = dict(values)
    hidden = ", ".join(str(lora) for lora in before.loras if len(str(lora)) > LABEL)
    given["loras"] = ", ".join(filter(None, [given.get("loras", ""), hidden]))
    wish = fields.edited(before, {name: given.get(name, "") for name in _EDITED})
    size = given.get("size", "").strip()
    if size and size != _size(before):
        wish = replace(wish, size=fields.wish("x", size=size).size)
    elif not size:
        wish = replace(wish, size=None)
    model = next((name for name in MODELS if name == given.get("model")), None)
    return replace(wish, model=model)


_EDITED: Final = ("prompt", "preset", "loras", "seed", "images")


def option(value: str, about: str = "") -> Option | None:
    """An option of a menu; None for a value that does not fit, as it would spoil all others."""
    if not 0 < len(value) <= LABEL:
        return None
    label = plain(f"{value} ({about})" if about else value, LABEL)
    return Option(text=label, value=value)


def _option(value: str | None) -> Option | None:
    return option(value) if value else None


def _options(wish: Wish) -> list[Option]:
    found = (option(str(lora)) for lora in wish.loras)
    return [one for one in found if one is not None]


def _size(wish: Wish) -> str:
    if wish.size is None:
        return ""
    named = (name for name, size in NAMED_SIZES.items() if size == wish.size)
    return next(named, str(wish.size))


def _choice(name: str, values: Any, chosen: str | None) -> StaticSelectElement:
    options = [Option(text=value, value=value) for value in values]
    if name == "model":
        options.insert(0, _ANY)
    first = next((one for one in options if one.value == chosen), options[0])
    return StaticSelectElement(action_id=name, options=options, initial_option=first)


def _input(name: str, label: str, element: Any, *, optional: bool = True) -> InputBlock:
    return InputBlock(block_id=name, label=label, element=element, optional=optional)
