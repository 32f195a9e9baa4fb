"""The options of `/imagine` become a wish. The prompt may hold flags; options win over them."""

from dataclasses import replace
from typing import Any

from bot.commands.prompt import (
    PromptError,
    Wish,
    parse,
    parse_loras,
    parse_size,
    parse_variable,
)


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
        PromptError: str() says what is wrong, in the names of the options.
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


def _named(option: str, read: Any, text: str) -> Any:
    """Read an option, naming it as people see it here."""
    try:
        return read(text)
    except PromptError as error:
        first, _, rest = str(error).partition(" ")
        sentence = f"{option} {rest}" if first.startswith("--") else str(error)
        raise PromptError(sentence, error.corrected) from None
