"""From what people write about a preset to what its revision says.

LoRAs, variables and tags that are named are added to those that are there, or replace the one of
the same name; the scale 0 takes a LoRA out. `clear` empties something first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from backends.base import parse_request
from backends.errors import BadRequest, shown
from bot import wording
from bot.commands.prompt import parse_size
from bot.registry import Registry
from lora_registry.errors import RegistryError, either
from lora_registry.models import LoraRecord, PresetBody
from lora_registry.names import parse_slug
from lora_registry.weights import FluxModel

CLEARABLE: Final[Mapping[str, str]] = {
    "loras": "loras",
    "variables": "variables",
    "size": "size",
    "steps": "steps",
    "guidance": "guidance",
    "speed": "speed",
    "seed": "seed",
    "images": "count",
    "tags": "tags",
    "title": "title",
    "description": "description",
    "licence": "licence",
}
"""What can be emptied, by the name that people type, with its field."""

_LABELS: Final = {"count": "images"}
LORA: Final = re.compile(
    r"\s*([^:\s][^:]*?)\s*(?::\s*([+-]?\d*[.,]?\d+))?\s*(?::\s*([A-Za-z][\w-]*))?\s*"
)
"""`NAME`, `NAME:SCALE`, `NAME:SCALE:SET`, in three groups."""

_VARIABLE: Final = re.compile(
    r"\s*([A-Za-z]\w*)\s*:\s*(choice|text|number)\s*(?::([^=]*))?(?:=(.*))?", re.DOTALL
)
_RANGE: Final = re.compile(r"\s*([+-]?\d*\.?\d+)\s*\.\.\s*([+-]?\d*\.?\d+)\s*")
_VARIABLE_FORMS: Final = (
    "Write it as mood:choice:calm,stormy or place:text=the sea or waves:number:1..5=3"
)


class BadPreset(RegistryError):
    """What was given makes no preset; str() says what is wrong and what to do."""

    def __init__(self, sentence: str, part: str = "") -> None:
        super().__init__(sentence)
        self.part = part


@dataclass(frozen=True, slots=True)
class Changes:
    """What a preset is to say, as people write it; None leaves a value as it is.

    `loras` are `NAME:SCALE`, or `NAME:SCALE:SET` with one of its trigger sets. `variables` are
    `mood:choice:calm,stormy`, `place:text=the sea` and `waves:number:1..5=3`. `seed` is a number,
    `random` or `user`; `clear` holds keys of `CLEARABLE`.
    """

    model: str | None = None
    loras: tuple[str, ...] = ()
    template: str | None = None
    variables: tuple[str, ...] = ()
    size: str | None = None
    steps: int | None = None
    guidance: float | None = None
    speed: str | None = None
    seed: str | None = None
    images: int | None = None
    tags: tuple[str, ...] = ()
    title: str | None = None
    description: str | None = None
    licence: str | None = None
    nsfw: int | None = None
    clear: tuple[str, ...] = ()


async def changed(registry: Registry, body: PresetBody, changes: Changes) -> PresetBody:
    """What a preset says after these changes.

    Raises:
        BadPreset: a value is wrong; says which, and the range.
        UnknownLora, BadName, PromptError: a LoRA, a tag or the size cannot be read.
    """
    fields = body.model_dump()
    for name in changes.clear:
        if name not in CLEARABLE:
            raise BadPreset(f"{shown(name)} cannot be cleared; use {either(list(CLEARABLE))}.")
        fields.pop(CLEARABLE[name], None)
    given = {
        "model": _model(changes.model),
        "template": changes.template,
        "size": None if changes.size is None else parse_size(changes.size).model_dump(),
        "steps": changes.steps,
        "guidance": changes.guidance,
        "speed": changes.speed,
        "seed": None if changes.seed is None else read_seed(changes.seed),
        "count": changes.images,
        "title": changes.title,
        "description": changes.description,
        "licence": changes.licence,
        "nsfw": changes.nsfw,
    }
    fields |= {name: value for name, value in given.items() if value is not None}
    if changes.loras:
        fields["loras"] = await _with_loras(registry, fields.get("loras", ()), changes.loras)
    for text in changes.variables:
        fields["variables"] = _with_variable(fields.get("variables", ()), read_variable(text))
    tags = [parse_slug(tag, reserved=True) for tag in changes.tags]
    fields["tags"] = (*fields.get("tags", ()), *tags)
    return checked(fields)


def checked(fields: Mapping[str, Any]) -> PresetBody:
    """A body that some model of ours can draw.

    Raises:
        BadPreset: says which value is wrong, and the range.
    """
    loras = fields.get("loras")
    asked = {
        "model": fields.get("model", "flux-1"),
        "image_size": fields.get("size"),
        "num_inference_steps": fields.get("steps"),
        "guidance_scale": fields.get("guidance"),
        "acceleration": fields.get("speed"),
        "num_images": fields.get("count"),
        "loras": [
            {"path": "a LoRA", "scale": lora.get("scale", 1.0)}
            for lora in (loras if isinstance(loras, list | tuple) else ())
            if isinstance(lora, dict)
        ],
    }
    try:
        given = {name: value for name, value in asked.items() if value is not None}
        parse_request({"prompt": "a preset", **given})
        return PresetBody.model_validate(fields)
    except BadRequest as error:
        part = _part(error.problems[0].field)
        raise BadPreset(wording.problems(error.problems), part) from None
    except ValidationError as error:
        found = error.errors()
        raise BadPreset(" ".join(map(_sentence, found)), _part(*found[0]["loc"])) from None


# --- LoRAs ------------------------------------------------------------------------------------


async def _with_loras(
    registry: Registry, loras: tuple[dict[str, Any], ...], texts: tuple[str, ...]
) -> list[dict[str, Any]]:
    merged = {lora["sha256"]: lora for lora in loras}
    for text in texts:
        if (parts := LORA.fullmatch(text)) is None:
            raise BadPreset(f"--lora is {shown(text)}; write NAME, NAME:SCALE or NAME:SCALE:SET.")
        record = await registry.loras.find(parts[1])
        lora = {"sha256": record.sha256, "name": record.name, **_before(merged, record)}
        if parts[2] is not None:
            lora["scale"] = float(parts[2].replace(",", "."))
        if parts[3] is not None:
            lora["triggers"] = parts[3].lower()
        merged[record.sha256] = lora
    return [lora for lora in merged.values() if lora.get("scale", 1.0) != 0]


def _before(loras: Mapping[str, dict[str, Any]], record: LoraRecord) -> dict[str, Any]:
    return loras.get(record.sha256, {})


# --- Other values -----------------------------------------------------------------------------


def _model(text: str | None) -> str | None:
    names = get_args(FluxModel)
    if text is not None and text not in names:
        raise BadPreset(f"--model is {shown(text)}; use {either(names)}.")
    return text


def read_seed(text: str) -> dict[str, object]:
    """The fields of a seed policy from a number, `random` or `user`.

    Raises:
        BadPreset: it is none of these.
    """
    if text in {"random", "user"}:
        return {"kind": text}
    if re.fullmatch(r"\d{1,19}", text):
        return {"kind": "fixed", "seed": int(text)}
    raise BadPreset(f"--seed is {shown(text)}; use a whole number, random or user.")


def read_variable(text: str) -> dict[str, Any]:
    """The fields of a variable from `mood:choice:calm,stormy` and the like.

    Raises:
        BadPreset: it is none; says the forms.
    """
    if (parts := _VARIABLE.fullmatch(text)) is None:
        raise BadPreset(f"--variable is {shown(text)}. {_VARIABLE_FORMS}.")
    name, kind, what, default = parts[1].lower(), parts[2], parts[3], parts[4]
    fields: dict[str, Any] = {"kind": kind, "name": name}
    match kind:
        case "choice":
            choices = [choice.strip() for choice in (what or "").split(",") if choice.strip()]
            if len(choices) < 2:
                raise BadPreset(
                    f"The variable {name} needs two choices or more. {_VARIABLE_FORMS}."
                )
            fields |= {"choices": choices, "default": (default or choices[0]).strip()}
        case "number":
            if (bounds := _RANGE.fullmatch(what or "")) is None:
                raise BadPreset(f"The variable {name} needs a range. {_VARIABLE_FORMS}.")
            fields |= {"low": bounds[1], "high": bounds[2], "default": default or bounds[1]}
            fields["whole"] = not any("." in (value or "") for value in (*bounds.groups(), default))
        case _:
            fields["default"] = default or ""
            if what and what.strip():
                fields["longest"] = what.strip()
    return fields


def _with_variable(
    variables: tuple[dict[str, Any], ...], new: dict[str, Any]
) -> tuple[dict[str, Any], ...]:
    if new["name"] in {one["name"] for one in variables}:
        return tuple(new if one["name"] == new["name"] else one for one in variables)
    return (*variables, new)


def _part(field: object = "template", *_: object) -> str:
    """What a field is a part of. What does not fit together mostly is a template and its blanks."""
    name = str(field).partition(".")[0]
    return name if name in {"title", "description", "loras", "template"} else "settings"


def _sentence(error: ErrorDetails) -> str:
    """One of pydantic's errors, for people."""
    context = error.get("ctx", {})
    path = [str(part) for part in error["loc"] if part not in {"choice", "text", "number"}]
    label = ".".join([_LABELS.get(part, part) for part in path]) or "The preset"
    match error["type"]:
        case "value_error":
            why = str(context["error"])
            return f"{why[:1].upper()}{why[1:]}." if not path else f"{label}: {why}."
        case "string_too_long":
            return f"{label} is too long; shorten it to {context['max_length']} characters."
        case "greater_than_equal" | "less_than_equal" if label == "nsfw":
            return f"nsfw is {error['input']}; use 0 to 4."
        case "extra_forbidden":
            return f"A preset has no {label}; leave it out."
        case "missing":
            return f"{label} is missing."
        case _:
            why = error["msg"][:1].lower() + error["msg"][1:]
            return f"{label} cannot be {shown(error['input'])}: {why}."
