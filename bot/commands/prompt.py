"""The text of a command becomes a `Wish`, and a `Wish` becomes text again.

    /imagine a cat --preset dreamy --lora ghibli:0.8,ink --size square --steps 28 --seed 7

Flags stand anywhere and in any case, as `--flag value`, `--flag=value` or `--flag7`. For `--` there
may be the long dash that phones make of it; a long dash before a word that is like no flag, and
`--` before a space, are prose. Odd spaces and line breaks are spaces; `&lt;`, `&gt;` and `&amp;`
are the characters that they stand for. A comma or full stop behind a value is dropped.

Quoting: text in double quotes, straight or curly, holds no flags; the quotes are dropped when they
enclose the whole prompt and stay otherwise. Inside straight quotes `""` is one quote. Values may be
quoted too, also in single quotes; in a prompt those are apostrophes. `<lora:name:0.8>` is taken out
of the prompt even inside quotes; `\\<lora:name:0.8>` stays there as text, without the backslash.

Only forms are checked here: ranges differ by model and are `backends.base.parse_request`'s. A flag
given twice with different values is an error, and so is `--size` beside `--ar`; `--lora` and
`--var` repeat.
"""

import contextlib
import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, get_args

from backends.base import (
    MODELS,
    NAMED_SIZES,
    Acceleration,
    GenerationRequest,
    ImageSize,
    ModelName,
    OutputFormat,
)
from backends.errors import shown

MAX_PROMPT: Final = 2000
"""Characters of a prompt that a person may write; a preset's template comes on top."""

MAX_RATIO: Final = 3
"""Longer side over shorter in `--ar`: at the default size both models can draw that."""

HEAVY: Final = 2.0
"""Sum of |scale| above which three or more LoRAs spoil each other."""

NO_PRESET: Final = "none"
"""Said in a preset's place where no default is wanted; no preset is called so."""

DEFAULT_SIZE: Final[ImageSize] = GenerationRequest.model_fields["image_size"].default


class PromptError(Exception):
    """A command cannot be understood; `str()` is one sentence for the person who wrote it.

    `corrected` is the command to copy, with everything that is wrong put right, or None when only
    the person can say what was meant. From `parse_size` and `parse_loras` it is the value alone.
    """

    def __init__(self, sentence: str, corrected: str | None = None) -> None:
        super().__init__(sentence)
        self.corrected = corrected


class NamedLora(NamedTuple):
    """A LoRA as a person names it: no comma, `<`, `>` or double quote, and no `:NUMBER` at the end.

    Without a scale, the default of whoever resolves the name holds.
    """

    name: str
    scale: float | None = None

    def __str__(self) -> str:
        return self.name if self.scale is None else f"{self.name}:{_plain(self.scale)}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for; None where they said nothing.

    `prompt` is one line of 1 to `MAX_PROMPT` characters, without inline LoRAs. `preset` may be
    composed (`dreamy+ink:0.6`) or `NO_PRESET`, `variables` are what fills its blanks, each name
    once. `loras` are the inline ones, then those of `--lora`.
    """

    prompt: str = field(repr=False)
    preset: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    loras: tuple[NamedLora, ...] = ()
    size: ImageSize | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    images: int | None = None
    model: ModelName | None = None
    speed: Acceleration | None = None
    expand: bool | None = None
    format: OutputFormat | None = None
    private: bool | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag as data, for help, suggestions and documentation.

    `form` says what a value looks like and follows the word “use”. A `switch` needs no value and
    is turned off by `--no-NAME`. `loras` and `pair` may be given several times.
    """

    name: str
    kind: Literal["text", "loras", "pair", "size", "ratio", "whole", "number", "choice", "switch"]
    help: str
    form: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def takes_value(self) -> bool:
        return self.kind != "switch"


def _choose(name: str, summary: str, choices: Sequence[str]) -> Flag:
    form = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return Flag(name, "choice", summary, form, choices=tuple(choices))


def _switch(name: str, summary: str) -> Flag:
    return Flag(name, "switch", summary, "yes or no", (f"no-{name}",), ("yes", "no"))


_PRESET: Final = Flag("preset", "text", "a preset, or several: dreamy+ink:0.6", "a preset's name")
_VAR_FORM: Final = "a variable of the preset and its value, such as mood=calm"
_VAR: Final = Flag("var", "pair", "fills a blank of the preset", _VAR_FORM)
_LORA: Final = Flag("lora", "loras", "LoRAs by name", "names such as ghibli:0.8,ink", ("loras",))
_SIZE_FORM: Final = f"{', '.join(NAMED_SIZES)}, or pixels such as 1024x768"
_SIZE: Final = Flag("size", "size", "by name or in pixels", _SIZE_FORM, (), tuple(NAMED_SIZES))
_AR_FORM: Final = f"a ratio from 1:{MAX_RATIO} to {MAX_RATIO}:1, such as 16:9"
_AR: Final = Flag("ar", "ratio", "width to height at the usual size", _AR_FORM, ("aspect",))
_PLAIN_FLAGS: Final = (
    Flag("steps", "whole", "more steps, more detail, more time", "a whole number such as 28"),
    Flag("guidance", "number", "how much the prompt counts", "a number such as 3.5", ("cfg", "g")),
    Flag("seed", "whole", "draws the same picture again", "a whole number, or leave it out"),
    Flag("images", "whole", "how many pictures", "a whole number such as 2", ("n",)),
    _choose("model", "which model draws", tuple(MODELS)),
    _choose("speed", "faster, for a little quality", get_args(Acceleration)),
    _switch("expand", "let the model elaborate the prompt"),
    _choose("format", "the kind of file", get_args(OutputFormat)),
    _switch("private", "show the result to me alone"),
)
FLAGS: Final = (_PRESET, _VAR, _LORA, _SIZE, _AR, *_PLAIN_FLAGS)
"""Every flag, in the order in which `render` writes them."""

_BY_NAME: Final = {name: flag for flag in FLAGS for name in (flag.name, *flag.aliases)}

_FOREIGN: Final = {
    name: advice
    for names, advice in {
        "v version niji flux": "choose the model with --model flux-1 or --model flux-2",
        "no neg negative": "FLUX has no negative prompt, so say what you want to see instead",
        "s stylize style sref cref sw cw iw raw": "choose a style with --preset or --lora",
        "c chaos weird": "for more variety ask for several pictures with --images",
        "q quality": "for more detail use --steps",
        "r repeat": "ask for several pictures with --images",
        "fast turbo relax draft": "choose the pace with --speed",
        "w h width height": "give both sides with --size, such as --size 1024x768",
        "tile": "leave it out",
    }.items()
    for name in names.split()
}
"""What people bring along from Midjourney and A1111, and what to do here instead."""

_MAX_CORRECTIONS: Final = 20


# --- The grammar ------------------------------------------------------------------------------

_LONG: Final = "‒–—―−⸺"
_SHORT: Final = "‐‑﹣－-"  # the plain hyphen last, as a character class wants it
_DASHES: Final = rf"(?:[{_LONG}{_SHORT}]{{2,3}}|[{_LONG}])"
_LETTER: Final = r"[^\W\d_]"
_QUOTED: Final = r'(?:"[^"]*+(?:""[^"]*+)*+"|[“”„‟][^“”„‟]*+[“”‟]|«[^«»]*+»)'
_TOKEN: Final = re.compile(
    rf"(?<!\S){_QUOTED}(?!\w)"
    rf"|(?<![^\s,;])(?P<dashes>{_DASHES})(?P<name>{_LETTER}(?:[^\W\d]|-)*)"
)
_WORD: Final = (
    rf"(?!{_DASHES}{_LETTER})"
    rf"(?:'[^']*+'(?!\w)|‘[^‘’]*+’(?!\w)|(?:{_QUOTED}|[^\s\"“”„‟«»])+)"
)
_BETWEEN: Final = r"(?: *[=:] *| *)"
_ANY_VALUE: Final = re.compile(rf"{_BETWEEN}({_WORD})")
_VALUES: Final = {
    # “ghibli:0.8, ink” and “1024 x 768” are one value each.
    "loras": re.compile(rf"{_BETWEEN}({_WORD}(?:(?:(?<=,) | (?=,)|(?<=:) (?=[-+.\d])){_WORD})*)"),
    "size": (_TWO_SIDES := re.compile(rf"{_BETWEEN}(\d+ ?[xX×*:/] ?\d+(?!\S)|{_WORD})")),
    "ratio": _TWO_SIDES,
    # What follows a switch is prompt, but for a “true” that nothing else follows.
    "switch": re.compile(
        rf"(?: *= *| (?=(?:true|false)(?:$| {_DASHES}{_LETTER})))(\S+)", re.IGNORECASE
    ),
}
_PUNCTUATION: Final = ".,;!?…"
_REST_UP_TO_FLAG: Final = re.compile(rf"\A.*?(?= {_DASHES}{_LETTER}|\Z)")
_LIKELY_VALUE: Final = re.compile(r"\A(?: *[=:] *\S+| *\d\S*| https?://\S+| raw\b)?")
_TAG: Final = re.compile(
    r"(?P<comma> *,)? *(?<!\\)(?P<slashes>\\*)<lora:(?P<body>[^<>]*)>"
    r"(?= *(?P<next>[,.;:!?\"”»]|\Z)?)",
    re.IGNORECASE,
)
_UNSIGNED: Final = r"(?:\d+(?:[.,]\d+)?|[.,]\d+)"
_SIDE: Final = r"(\d{1,5}(?:[.,]\d{1,4})?)"
_RATIO: Final = re.compile(rf"{_SIDE} ?[:/] ?{_SIDE}")
_PAIR: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,29}) ?= ?([^\"“”„‟«»]*)")
_PIXELS: Final = re.compile(r"(\d{1,9}) ?[xX×*] ?(\d{1,9})")


def parse(text: str, *, default_size: ImageSize = DEFAULT_SIZE) -> Wish:
    """Read a command, with or without `/imagine` before it.

    `--ar` gives about as many pixels as `default_size` has, each side a multiple of 16.

    Raises:
        PromptError: the first thing that is wrong; its `corrected` puts all of them right.
    """
    line = re.sub(r"\A/imagine(?: |\Z)", "", _one_line(_decoded(text)), flags=re.IGNORECASE)
    try:
        return _wish(line, default_size)
    except PromptError as error:
        raise PromptError(str(error), _corrected(error.corrected, default_size)) from None


def render(wish: Wish) -> str:
    """Write the command of a wish: `parse(render(wish)) == wish`.

    The prompt stands bare where that reads back the same, in double quotes otherwise.
    """
    options = [] if wish.preset is None else [f"--preset {_word(wish.preset)}"]
    options += (f"--var {_word(f'{name}={value}')}" for name, value in wish.variables)
    options += (f"--lora {_word(str(lora))}" for lora in wish.loras)
    if wish.size is not None:
        name = next((name for name, size in NAMED_SIZES.items() if size == wish.size), wish.size)
        options.append(f"--size {name}")
    for flag in _PLAIN_FLAGS:
        match getattr(wish, flag.name):
            case None:
                pass
            case bool(value):
                options.append(f"--{flag.name}" if value else f"--no-{flag.name}")
            case float(value):
                options.append(f"--{flag.name} {_plain(value)}")
            case value:
                options.append(f"--{flag.name} {value}")
    bare, quoted = (
        _encoded(" ".join(("/imagine", _with_tags_as_text(prompt), *options)))
        for prompt in (wish.prompt, _in_quotes(wish.prompt))
    )
    with contextlib.suppress(PromptError):
        if parse(bare) == wish:
            return bare
    return quoted


# From here on an error's `corrected` is what was read with that one thing changed.


class _Given(NamedTuple):
    flag: Flag
    value: Any
    span: tuple[int, int]


def _wish(line: str, default_size: ImageSize) -> Wish:
    prompt, given = _scan(line, default_size)
    prompt, loras = _without_tags(prompt, line)
    options: dict[str, Any] = {}
    chosen: dict[str, _Given] = {}
    variables: dict[str, str] = {}
    for option in given:
        if option.flag is _LORA:
            loras += option.value
            continue
        if option.flag is _VAR:
            name, value = option.value
            if variables.setdefault(name, value) != value:
                said = f"--var {name} is given twice with different values; keep one of them."
                raise PromptError(said, _replaced(line, option.span))
            continue
        name = _SIZE.name if option.flag is _AR else option.flag.name
        earlier = chosen.setdefault(name, option)
        if earlier.flag is not option.flag:
            said = "--size and --ar both say how large the picture is; keep one of them."
            raise PromptError(said, _replaced(line, earlier.span))
        if earlier.value != option.value:
            said = f"--{option.flag.name} is given twice with different values; keep one of them."
            raise PromptError(said, _replaced(line, earlier.span))
        options[name] = option.value
    if given or loras:
        prompt = prompt.strip(" ,;")
    if re.fullmatch(_QUOTED, prompt):
        prompt = _one_line(_unquoted(prompt))
    if not prompt:
        raise PromptError("The prompt is missing; say what to draw, for example /imagine a cat.")
    if len(prompt) > MAX_PROMPT:
        length = f"{len(prompt):,}"
        raise PromptError(f"The prompt has {length} characters; shorten it to {MAX_PROMPT:,}.")
    return Wish(prompt, loras=loras, variables=tuple(variables.items()), **options)


def _scan(line: str, default_size: ImageSize) -> tuple[str, list[_Given]]:
    """Tell the prompt's text from the flags."""
    text, given, position = "", [], 0
    while token := _TOKEN.search(line, position):
        name = (token["name"] or "").rstrip("-").lower().replace("_", "-")
        if not name or (set(token["dashes"]) <= set(_LONG) and not _like_a_flag(name)):
            text += line[position : token.end()]
            position = token.end()
            continue
        text += line[position : token.start()] + " "
        if name not in _BY_NAME:
            raise _unknown(line, token.span(), name)
        given.append(_option(line, token.span(), name, default_size))
        position = given[-1].span[1]
    return _one_line(text + line[position:]), given


def _like_a_flag(name: str) -> bool:
    """Tell a flag behind a long dash from prose."""
    close = len(name) > 3 and difflib.get_close_matches(name, _BY_NAME, 1, cutoff=0.75)
    return name in _BY_NAME or name in _FOREIGN or bool(close)


def _option(line: str, span: tuple[int, int], name: str, default_size: ImageSize) -> _Given:
    """Read the value of the known flag at `span`."""
    flag, (start, end) = _BY_NAME[name], span
    if name.startswith("no-"):
        return _Given(flag, False, span)
    if found := _VALUES.get(flag.kind, _ANY_VALUE).match(line, end):
        end = found.end()
    raw = found[1] if found else "yes" if flag.kind == "switch" else ""
    if value := _unquoted(raw.rstrip(_PUNCTUATION)):
        try:
            return _Given(flag, _read(flag, value, default_size), (start, end))
        except PromptError as error:
            better = error.corrected and f"--{flag.name} {_word(error.corrected)}"
            raise PromptError(str(error), _replaced(line, (start, end), better or "")) from None
    if opening := not found and re.compile(rf"{_BETWEEN}[\"“”„‟«»]").match(line, end):
        said = f"The quote after --{flag.name} has no end; close it."
        raise PromptError(said, _replaced(line, (start, opening.end()), f"--{flag.name} "))
    said = f"--{flag.name} has no value; use {flag.form}."
    raise PromptError(said, _replaced(line, (start, end)))


def _unknown(line: str, span: tuple[int, int], name: str) -> PromptError:
    """Say what to write instead of a flag that does not exist."""
    rest = line[span[1] :]
    if name in _FOREIGN:
        said = f"--{name} does not exist here; {_FOREIGN[name]}."
        value = _REST_UP_TO_FLAG if name in {"no", "neg", "negative"} else _LIKELY_VALUE
        return PromptError(said, line[: span[0]] + value.sub("", rest))
    known = [part for part in name.split("-") if part in _BY_NAME]  # fal's image_size, num_images
    if near := known or difflib.get_close_matches(name, _BY_NAME, 1, cutoff=0.65):
        said = f"{shown(f'--{name}')} is not a flag; did you mean --{near[0]}?"
        return PromptError(said, _replaced(line, span, f"--{near[0]}"))
    every = ", ".join(f"--{flag.name}" for flag in FLAGS)
    said = f"{shown(f'--{name}')} is not a flag; use {every}, or put it in double quotes."
    return PromptError(said, line[: span[0]] + _LIKELY_VALUE.sub("", rest))


def _without_tags(prompt: str, line: str) -> tuple[str, tuple[NamedLora, ...]]:
    """Take `<lora:…>` out of the prompt, with the comma of a list's entry."""
    loras: list[NamedLora] = []

    def take(tag: re.Match[str]) -> str:
        if tag["slashes"]:
            return tag[0].replace("\\<", "<", 1)
        try:
            loras.append(_lora(tag["body"]))
        except PromptError as error:
            whole = tag[0][tag[0].index("<") :]
            better = f"<lora:{error.corrected}>" if error.corrected else ""
            raise PromptError(str(error), line.replace(whole, better, 1)) from None
        if tag["next"] is not None:
            return ""
        return ", " if tag["comma"] else " "

    kept = _TAG.sub(take, prompt)
    return (_one_line(kept) if loras else kept), tuple(loras)


def _with_tags_as_text(prompt: str) -> str:
    return _TAG.sub(lambda tag: tag[0].replace("<", "\\<", 1), prompt)


def _corrected(line: str | None, default_size: ImageSize) -> str | None:
    """Go on correcting a line until it can be read."""
    for _ in range(_MAX_CORRECTIONS):
        if line is None:
            return None
        line = _one_line(line)
        try:
            _wish(line, default_size)
        except PromptError as error:
            line = error.corrected
        else:
            return _encoded(f"/imagine {line}")
    return None


# --- Values -----------------------------------------------------------------------------------


def parse_size(text: str, *, default_size: ImageSize = DEFAULT_SIZE) -> ImageSize:
    """Read a size: a name, `1024x768`, or a ratio such as `16:9` as for `--ar`.

    Raises:
        PromptError: it is none of these; `corrected` is the nearest one.
    """
    if _RATIO.fullmatch(text):
        return _aspect(text, default_size)
    if not (sides := _PIXELS.fullmatch(text)):
        try:
            return NAMED_SIZES[_choice(_SIZE, text)]
        except PromptError as error:
            numbers = re.findall(r"\d{1,9}", text)
            better = f"{numbers[0]}x{numbers[-1]}" if numbers else None
            raise PromptError(str(error), error.corrected or better) from None
    width, height = map(int, sides.groups())
    low, high = GenerationRequest.sides
    if not (low <= width <= high and low <= height <= high):
        raise PromptError(f"--size is {shown(text)}; use {low} to {high} pixels a side.")
    return ImageSize(width=width, height=height)


def parse_variable(text: str) -> tuple[str, str]:
    """Read `mood=calm`; the value may be anything, also nothing.

    Raises:
        PromptError: it is no pair.
    """
    if (pair := _PAIR.fullmatch(text)) is None:
        raise _wrong(_VAR, text)
    return pair[1].lower(), pair[2].strip()


def parse_loras(text: str) -> tuple[NamedLora, ...]:
    """Read a list such as `ghibli:0.8, ink`. In `ghibli:0,8` the comma is a decimal one.

    Raises:
        PromptError: an entry has no name or several scales; `corrected` is the list without that.
    """
    text = re.sub(rf"(:\s*[+{_LONG}{_SHORT}]?\d+),(\d+)(?=\s*(?:,|\Z))", r"\1.\2", text)
    entries = [entry for entry in map(str.strip, text.split(",")) if entry]
    if not entries:
        raise _wrong(_LORA, text)
    loras = []
    for index, entry in enumerate(entries):
        try:
            loras.append(_lora(entry))
        except PromptError as error:
            better = (*entries[:index], error.corrected, *entries[index + 1 :])
            raise PromptError(str(error), ",".join(filter(None, better)) or None) from None
    return tuple(loras)


def _lora(entry: str) -> NamedLora:
    """Split off the scale: what follows the last colon, when that is a number."""
    if tag := _TAG.fullmatch(entry):
        entry = tag["body"]
    # Discord and Slack put links into angle brackets, Slack with a label.
    parts = re.sub(r"<(https?://[^<>|]*)(?:\|[^<>]*)?>", r"\1", entry).split(":")
    scales: list[float | None] = []
    while len(parts) > 1 and (not parts[-1].strip() or _number(parts[-1]) is not None):
        scales.append(_number(parts.pop()))
    name = ":".join(parts).strip()
    if not name or re.search(r'[<>,"“”„‟«»]', name) or re.match(_DASHES, name):
        raise _wrong(_LORA, entry)
    lora = NamedLora(name, scales[-1] if scales else None)
    if len(scales) > 1 or scales == [None]:
        raise _wrong(_LORA, entry, str(lora))
    return lora


def _read(flag: Flag, value: str, default_size: ImageSize) -> object:
    """Read a value in its flag's form."""
    match flag.kind:
        case "text":
            return value
        case "loras":
            return parse_loras(value)
        case "pair":
            return parse_variable(value)
        case "size":
            return parse_size(value, default_size=default_size)
        case "ratio":
            return _aspect(value, default_size)
        case "whole":
            if re.fullmatch(r"\d{1,19}(?:[.,]0)?|\d{1,3}(?:,\d{3}){1,6}", value):
                return int(re.sub(r"[.,]0\Z|,", "", value))
            digits = re.match(r"[^\d-]*(\d{1,19})", _hyphens(value))
            raise _wrong(flag, value, digits and digits[1])
        case "number":
            if (number := _number(value)) is not None:
                return number
            digits = re.search(_UNSIGNED, value)
            raise _wrong(flag, value, digits and digits[0])
        case "choice":
            return _choice(flag, value)
        case "switch":
            word = {"true": "yes", "on": "yes", "false": "no", "off": "no"}.get(value.casefold())
            return _choice(flag, word or value) == "yes"


def _aspect(value: str, default_size: ImageSize) -> ImageSize:
    """Give a ratio about as many pixels as the default size has, in multiples of 16."""
    sides = _RATIO.fullmatch(value) or _PIXELS.fullmatch(value)
    width, height = map(_number, sides.groups()) if sides else (None, None)
    if not (width and height):
        raise _wrong(_AR, value)
    ratio = width / height
    if not 1 / MAX_RATIO <= ratio <= MAX_RATIO:
        raise _wrong(_AR, value, f"{MAX_RATIO}:1" if ratio > 1 else f"1:{MAX_RATIO}")
    ideal = math.sqrt(default_size.pixels * ratio), math.sqrt(default_size.pixels / ratio)
    across, down = (max(16, 16 * round(side / 16)) for side in ideal)
    return ImageSize(width=across, height=down)


def _choice(flag: Flag, value: str) -> str:
    """Find a choice in any case and punctuation: `flux2`, `Portrait 4:3`, `.JPG`."""

    def letters(text: str) -> str:
        return re.sub(r"[\W_]", "", text.casefold()).replace("jpg", "jpeg")

    choices = {letters(choice): choice for choice in flag.choices}
    near = difflib.get_close_matches(letters(value), choices, 1)
    if near and near[0] == letters(value):
        return choices[near[0]]
    raise _wrong(flag, value, choices[near[0]] if near else None)


def _wrong(flag: Flag, value: str, better: str | None = None) -> PromptError:
    return PromptError(f"--{flag.name} is {shown(value)}; use {flag.form}.", better)


def _number(text: str) -> float | None:
    """Read `0.8`, `.8`, `-0,8` or `−0.8`."""
    text = _hyphens(text.strip())
    if not re.fullmatch(rf"[+-]?{_UNSIGNED}", text):
        return None
    number = float(text.replace(",", "."))
    return number if math.isfinite(number) else None


def _plain(number: float) -> str:
    """Write a number without an exponent; `float()` of it gives the same number."""
    return format(Decimal(repr(float(number))), "f").removesuffix(".0")


# --- Text -------------------------------------------------------------------------------------


def _one_line(text: str) -> str:
    """Make every run of spaces, of whatever width, one space."""
    return " ".join(re.sub("[\u200b\u2060\ufeff]", " ", text).split())


def _hyphens(text: str) -> str:
    return re.sub(rf"[{_LONG}{_SHORT}]", "-", text)


def _in_quotes(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _word(text: str) -> str:
    """Quote a value that would not be read back the same without."""
    bare = re.fullmatch(r"[\w@/](?:[\w@./+:%=&?~#,-]*[\w/])?", text)
    return text if bare else _in_quotes(text)


def _unquoted(text: str) -> str:
    """Take the quotes off a value, or off its parts."""

    def inner(quoted: re.Match[str]) -> str:
        inside = quoted[0][1:-1]
        return inside.replace('""', '"') if quoted[0].startswith('"') else inside

    return re.sub(rf"{_QUOTED}|\A'.*'\Z|\A‘.*’\Z", inner, text).strip()


def _decoded(text: str) -> str:
    """Undo the three entities in which Slack sends text."""
    characters = {"amp": "&", "lt": "<", "gt": ">"}
    return re.sub(r"&(amp|lt|gt);", lambda entity: characters[entity[1]], text)


def _encoded(text: str) -> str:
    return re.sub(r"&(?=(?:amp|lt|gt);)", "&amp;", text)


def _replaced(line: str, span: tuple[int, int], new: str = "") -> str:
    return f"{line[: span[0]]}{new}{line[span[1] :]}"


# --- Heavy LoRAs ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lowered:
    """An offer: the LoRAs with all scales lowered alike. `total` was the sum of |scale| before."""

    loras: tuple[NamedLora, ...]
    total: float


def heavy_loras(loras: Sequence[NamedLora]) -> Lowered | None:
    """Warn of three or more LoRAs whose |scale| adds up to more than `HEAVY`; none counts as 1.

    The lowered scales add up to `HEAVY`, each cut to hundredths, so never to more.
    """
    scales = [1.0 if lora.scale is None else lora.scale for lora in loras]
    total = math.fsum(map(abs, scales))
    if len(loras) < 3 or total <= HEAVY + 1e-9:
        return None
    lowered = (math.trunc(round(scale * HEAVY / total * 100, 6)) / 100 for scale in scales)
    pairs = zip(loras, lowered, strict=True)
    return Lowered(tuple(NamedLora(lora.name, scale) for lora, scale in pairs), total)
