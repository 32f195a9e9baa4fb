"""A preset as a few texts that people change in a form, and back.

LoRAs are one text, `glow:0.5, ink:0.7:wash`. Settings are another, a line each: `size: 1024x768`.
What is not written there is left to the model, or to whoever draws.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from backends.errors import shown
from bot.commands import presets
from bot.commands.preset_body import LORA, BadPreset, checked, read_seed, read_variable
from bot.commands.prompt import PromptError, parse_size
from bot.registry import Registry
from lora_registry.errors import EditConflict, RegistryError, either
from lora_registry.models import (
    ChoiceVariable,
    FixedSeed,
    NumberVariable,
    PresetBody,
    PresetLora,
    TextVariable,
    Variable,
    Viewer,
)
from lora_registry.names import parse_slug
from lora_registry.revisions import Revision

SETTINGS: Final = (
    "model", "size", "steps", "guidance", "speed", "seed", "images", "variable", "tags", "licence",
    "nsfw",
)  # fmt: skip
"""What a line of settings may begin with. Only `variable` may do so more than once."""

MOST_VARIABLE: Final = 250
"""Characters of a variable in a text; a longer one is named only."""

_WHOLE_LINE: Final = frozenset({"variable", "tags", "licence"})
"""Their values may hold commas; behind those of others the next setting may follow."""

_HEAD: Final = re.compile(r"([^\W\d_]+)(?:\s*[:=]\s*|\s+|$)(.*)", re.DOTALL)
_NEXT: Final = re.compile(r"\s*[,;]\s*(?=[^\W\d_])")
_DECIMAL_COMMA: Final = r"\d+\s*(?:[:,;\n]|$)"
_BETWEEN_LORAS: Final = re.compile(rf"[;\n]|,(?!{_DECIMAL_COMMA})")
_VARIABLE: Final[TypeAdapter[Variable]] = TypeAdapter(Variable)


@dataclass(frozen=True, slots=True)
class PresetText:
    """What a preset says, for a form; an empty template is `{prompt}`."""

    title: str = ""
    description: str = ""
    loras: str = ""
    template: str = "{prompt}"
    settings: str = ""


async def make(
    registry: Registry, viewer: Viewer, name: str, text: PresetText, *, handle: str
) -> Revision:
    """Make a personal preset of what was written.

    Raises:
        RegistryError: says what is wrong.
    """
    body = await body_of(registry, text)
    return await presets.create(registry, viewer, name, body, handle=handle)


async def revise(
    registry: Registry, viewer: Viewer, preset_id: str, base: int, text: PresetText
) -> Revision:
    """Make a revision on top of revision `base`, whose text was changed; unchanged makes none.

    Raises:
        EditConflict: there is a newer revision; nothing was changed.
        RegistryError: says what is wrong.
    """
    before = await presets.revision_of(registry, viewer, preset_id, base)
    body = await body_of(registry, text, before.body)
    try:
        return await presets.edit(registry, viewer, before, body)
    except EditConflict as error:
        head = await presets.revision_of(registry, viewer, preset_id, error.head)
        if head.body != body:
            raise
        return head  # the same form, sent again because its answer was lost


def text_of(body: PresetBody) -> PresetText:
    """A preset's texts; `body_of` makes the same preset of them again."""
    said = {
        "model": body.model,
        "size": body.size and f"{body.size.width}x{body.size.height}",
        "steps": body.steps,
        "guidance": None if body.guidance is None else _plain(body.guidance),
        "speed": body.speed,
        "seed": body.seed.seed if isinstance(body.seed, FixedSeed) else body.seed.kind,
        "images": body.count,
        "tags": ", ".join(body.tags) or None,
        "licence": _one_line(body.licence) or None,
        "nsfw": body.nsfw or None,
    }
    if said["seed"] == "random":
        del said["seed"]
    lines = [f"{name}: {value}" for name, value in said.items() if value is not None]
    lines += [f"variable: {_variable_text(one)}" for one in body.variables]
    return PresetText(
        title=_one_line(body.title),
        description=body.description,
        loras=", ".join(map(_lora_text, body.loras, _labels(body.loras))),
        template=body.template,
        settings="\n".join(lines),
    )


async def body_of(
    registry: Registry, text: PresetText, before: PresetBody | None = None
) -> PresetBody:
    """What these texts say. `before` is the preset that they were made of.

    Its LoRAs are still meant by the names that they have there, and what no text shows is kept.

    Raises:
        BadPreset, UnknownLora, BadName: says what is wrong; its `part` is the text to be changed.
    """
    before = before or PresetBody()
    with _about("settings"):
        fields = _fields(text.settings, before)
    with _about("loras"):
        loras = await _loras(registry, text.loras, before)
    fields |= {
        "title": text.title.strip(),
        "description": text.description.strip(),
        "template": text.template.strip() or "{prompt}",
        "loras": loras,
        "examples": before.model_dump()["examples"],
    }
    return checked(fields)


@contextlib.contextmanager
def _about(part: str) -> Iterator[None]:
    """Say of what goes wrong in here which text it is about."""
    try:
        yield
    except PromptError as error:
        raise BadPreset(str(error).removeprefix("--"), part) from None
    except RegistryError as error:
        error.part = part
        raise


# --- LoRAs ------------------------------------------------------------------------------------


def _labels(loras: Sequence[PresetLora]) -> list[str]:
    """What each is called in a text: its name, or its hash where two have one name."""
    names = [lora.name for lora in loras]
    return [x.name if names.count(x.name) == 1 else x.sha256[:12] for x in loras]


def _lora_text(lora: PresetLora, label: str) -> str:
    return f"{label}:{_plain(lora.scale)}{f':{lora.triggers}' if lora.triggers else ''}"


async def _loras(registry: Registry, text: str, before: PresetBody) -> list[dict[str, Any]]:
    known = dict(zip(_labels(before.loras), before.loras, strict=True))
    found = []
    for entry in filter(None, map(str.strip, _BETWEEN_LORAS.split(text))):
        if (parts := LORA.fullmatch(entry)) is None:
            raise BadPreset(
                f"A LoRA is {shown(entry)}; write name, name:0.8 or name:0.8:set, with commas "
                "between several."
            )
        if (same := known.get(parts[1].lower())) is not None:
            lora = {"sha256": same.sha256, "name": same.name, "required": same.required}
        else:
            record = await registry.loras.find(parts[1])
            lora = {"sha256": record.sha256, "name": record.name}
        scale = 1.0 if parts[2] is None else float(parts[2].replace(",", "."))
        if scale:
            found.append({**lora, "scale": scale, "triggers": parts[3] and parts[3].lower()})
    if len({lora["sha256"] for lora in found}) < len(found):
        raise BadPreset("Name every LoRA once.")
    return found


# --- Settings ---------------------------------------------------------------------------------


def _fields(settings: str, before: PresetBody) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    variables = []
    kept = {one.name: one.model_dump() for one in before.variables}
    for name, value in _pairs(settings):
        match name:
            case "variable":
                variables.append(kept.get(value) or _named("variable", read_variable, value))
                continue
            case "size":
                read: Any = parse_size(value).model_dump()
            case "seed":
                read = _named("seed", read_seed, value)
            case "steps" | "images" | "nsfw":
                read = _number(name, value, whole=True)
            case "guidance":
                read = _number(name, value, whole=False)
            case "tags":
                read = [parse_slug(tag, reserved=True) for tag in value.split(",") if tag.strip()]
            case "licence":
                read = value
            case _:
                read = value.lower()
        field = "count" if name == "images" else name
        if field in fields:
            raise BadPreset(f"{name} is said twice; leave one of them out.")
        fields[field] = read
    return {**fields, "variables": variables}


def _pairs(settings: str) -> list[tuple[str, str]]:
    """Each setting with its value, in the order in which they are written."""
    found = []
    for line in settings.split("\n"):
        rest = line.strip()
        while rest:
            parts = _HEAD.fullmatch(rest)
            name = parts[1].lower() if parts else ""
            if parts is None or name not in SETTINGS:
                raise BadPreset(
                    f"{shown(rest)} is no setting. Begin a line with {either(SETTINGS)}."
                )
            value, rest = parts[2].strip(), ""
            if name not in _WHOLE_LINE:
                value, *more = _NEXT.split(value, maxsplit=1)
                rest = more[0] if more else ""
            if not value:
                raise BadPreset(f"{name} has no value; write one, or leave it out.")
            found.append((name, value))
    return found


def _named(name: str, read: Any, value: str) -> Any:
    """Read a value whose errors name it as the command line does."""
    try:
        return read(value)
    except BadPreset as error:
        raise BadPreset(str(error).removeprefix("--")) from None


def _number(name: str, text: str, *, whole: bool) -> float:
    try:
        return int(text) if whole else float(text.replace(",", "."))
    except ValueError:
        kind = "a whole number" if whole else "a number such as 3.5"
        raise BadPreset(f"{name} is {shown(text)}; use {kind}.") from None


def _variable_text(variable: Variable) -> str:
    """How a variable is written; its name alone where it cannot be, which means it as it is."""
    match variable:
        case ChoiceVariable(choices=choices, default=default):
            text = f"{variable.name}:choice:{','.join(choices)}={default}"
        case TextVariable(default=default, longest=longest):
            text = f"{variable.name}:text:{longest}={default}"
        case NumberVariable(low=low, high=high, default=default):
            text = f"{variable.name}:number:{_digits(variable, low)}..{_digits(variable, high)}"
            text += f"={_digits(variable, default)}"
    try:
        same = _VARIABLE.validate_python(read_variable(text)) == variable
    except (BadPreset, ValidationError):
        same = False
    fits = len(text) <= MOST_VARIABLE and text == _one_line(text)
    return text if same and fits else variable.name


def _digits(variable: NumberVariable, value: float) -> str:
    text = _plain(value)
    return text if variable.whole or "." in text else f"{text}.0"


def _plain(value: float) -> str:
    """A number with all its digits, as people write it."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _one_line(text: str) -> str:
    return " ".join(text.split())
