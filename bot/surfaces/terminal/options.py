"""What was typed behind `atelier imagine`, and the wish that it is."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

from backends.base import Acceleration, GenerationRequest, ModelName, OutputFormat
from backends.errors import shown
from bot.commands.imagine import Refused
from bot.commands.prompt import Wish, parse, parse_loras, parse_size, parse_variable
from bot.surfaces.terminal.surface import output_paths

_SUFFIXES: Final[dict[str, OutputFormat]] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".webp": "webp",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options as Typer read them; None where nothing was said."""

    prompt: str
    output: Path | None = None
    preset: str | None = None
    loras: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    size: str | None = None
    ar: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    images: int | None = None
    model: str | None = None
    speed: str | None = None
    expand: bool | None = None
    output_format: str | None = None
    as_json: bool = False


def wish(options: Options) -> Wish:
    """Merge the prompt's own flags with the options, which win.

    Raises:
        PromptError, Refused: says what is wrong with which option.
    """
    said = parse(options.prompt)
    if options.size is not None and options.ar is not None:
        raise Refused("--size and --ar both say the size; give one of them.")
    named = options.size or options.ar
    chosen: dict[str, object | None] = {
        "preset": options.preset,
        "size": None if named is None else parse_size(named),
        "steps": options.steps,
        "guidance": options.guidance,
        "seed": options.seed,
        "images": options.images,
        "model": _one_of("--model", options.model, get_args(ModelName)),
        "speed": _one_of("--speed", options.speed, get_args(Acceleration)),
        "expand": options.expand,
        "format": _format(options),
    }
    typed = tuple(lora for text in options.loras for lora in parse_loras(text))
    variables = {**dict(said.variables), **dict(map(parse_variable, options.variables))}
    given = {name: value for name, value in chosen.items() if value is not None}
    return replace(
        said,
        loras=said.loras + typed,
        variables=tuple(variables.items()),
        **given,  # type: ignore[arg-type]
    )


def output_file(options: Options, request: GenerationRequest, job_id: str) -> Path:
    """Where the pictures will go, checked before anything is drawn.

    Raises:
        Refused: there is no such folder, or it cannot be written.
    """
    suffix = "jpg" if request.output_format == "jpeg" else request.output_format
    output = (options.output or Path(f"atelier-{job_id[:8]}.{suffix}")).absolute()
    if not output.parent.is_dir():
        raise Refused(f"The folder {output.parent} does not exist; make it first.")
    for path in output_paths(output, request.num_images):
        if path.is_dir():
            raise Refused(f"{path} is a folder; name a file.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Refused(f"{path} cannot be written; choose another place with -o.")
    return output


def _format(options: Options) -> str | None:
    asked = _one_of("--format", options.output_format, get_args(OutputFormat))
    if options.output is None:
        return asked
    by_suffix = _SUFFIXES.get(options.output.suffix.lower())
    if by_suffix is None:
        raise Refused(
            f"The file {shown(options.output.name)} ends in no known format; "
            f"use {', '.join(_SUFFIXES)}."
        )
    if asked is not None and asked != by_suffix:
        raise Refused(f"--format is {asked}, but the file is called {shown(options.output.name)}.")
    return by_suffix


def _one_of(flag: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise Refused(f"{flag} is {shown(value)}; use {', '.join(choices)}.")
    return value
