"""Options and forms become a wish. The prompt may hold flags; fields win over them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bot.commands.prompt import (
    NO_PRESET,
    PromptError,
    Wish,
    parse,
    parse_loras,
    parse_size,
    parse_variable,
    render,
)

_COMMAND: Final = "/imagine "
_MERGED: Final = frozenset({"loras", "variables"})


def wish(
    prompt: str,
    *,
    preset: str | None = None,
    loras: str | None = None,
    size: str | None = None,
    variables: str | None = None,
    **plain: Any,
) -> Wish:
    """`plain` are the fields of a wish that need no reading; None is nothing said.

    Raises:
        PromptError: str() says what is wrong, in the names of the fields.
    """
    said = parse(prompt)
    given = {name: value for name, value in plain.items() if value is not None}
    if preset and preset.strip():
        given["preset"] = preset.strip()
    if size and size.strip():
        given["size"] = _named("size", parse_size, size.strip())
    if loras and loras.strip():
        given["loras"] = (*said.loras, *_named("loras", parse_loras, loras))
    if variables and variables.strip():
        pairs = [pair for pair in map(str.strip, variables.split(";")) if pair]
        found = dict(_named("vars", parse_variable, pair) for pair in pairs)
        given["variables"] = tuple({**dict(said.variables), **found}.items())
    return replace(said, **given)


def edited(before: Wish, fields: Mapping[str, str]) -> Wish:
    """A wish as it was changed in a form. Text that nobody touched stays as it is.

    `fields` are prompt, preset, loras, seed and images as text.

    Raises:
        PromptError: str() says what is wrong.
    """
    changed = replace(before, preset=fields["preset"].strip() or NO_PRESET)
    if changed.preset == NO_PRESET:
        changed = replace(changed, variables=())  # there are no blanks to be filled any more
    if fields["loras"].strip() != loras_of(before):
        read = wish("x", loras=fields["loras"]) if fields["loras"].strip() else Wish("x")
        changed = replace(changed, loras=read.loras)
    changed = replace(
        changed,
        seed=whole("seed", fields["seed"]),
        images=whole("images", fields["images"]),
    )
    if fields["prompt"] == before.prompt:
        return changed
    said = wish(fields["prompt"])
    given = {
        one.name: value
        for one in dataclasses.fields(said)
        if one.name not in _MERGED and (value := getattr(said, one.name)) is not None
    }
    variables = tuple({**dict(changed.variables), **dict(said.variables)}.items())
    loras = (*changed.loras, *said.loras)
    return replace(changed, variables=variables, loras=loras, **given)


def prompt_of_recipe(recipe: Wish) -> str:
    """The prompt of a form for a recipe: what no other field holds stands there as flags."""
    rest = replace(recipe, preset=None, variables=(), loras=(), seed=None, images=None)
    return render(rest).removeprefix(_COMMAND)


def of_recipe(fields: Mapping[str, str]) -> Wish:
    """The wish of a form that a recipe has filled.

    Raises:
        PromptError: str() says what is wrong.
    """
    return wish(
        fields["prompt"],
        preset=fields["preset"].strip() or NO_PRESET,
        loras=fields["loras"],
        seed=whole("seed", fields["seed"]),
        images=whole("images", fields["images"]),
    )


def preset_of(wished: Wish) -> str:
    """The preset of a wish as it stands in a form."""
    return "" if wished.preset in {None, NO_PRESET} else str(wished.preset)


def loras_of(wished: Wish) -> str:
    """The LoRAs of a wish as they stand in a form."""
    return ", ".join(map(str, wished.loras))


def whole(name: str, text: str) -> int | None:
    """A whole number of a form; None where nothing was written.

    Raises:
        PromptError: it is none.
    """
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise PromptError(f"{name} is “{text[:40]}”; use a whole number, or leave it empty.")
    return int(text)


def _named(option: str, read: Any, text: str) -> Any:
    """Read a field, naming it as people see it."""
    try:
        return read(text)
    except PromptError as error:
        first, _, rest = str(error).partition(" ")
        sentence = f"{option} {rest}" if first.startswith("--") else str(error)
        raise PromptError(sentence, error.corrected) from None
