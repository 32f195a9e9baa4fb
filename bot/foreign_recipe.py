"""Recipes that other programs left in a picture: A1111's infotext, ComfyUI's API-form graph.

Both come from strangers. Parsing takes linear time, never raises, and keeps only values that a
form could hold; whether a model takes them is for the request to say.

Sources: AUTOMATIC1111/stable-diffusion-webui `modules/infotext_utils.py` (the grammar of the
settings line) and its Lora extension; lllyasviel/stable-diffusion-webui-forge (`Distilled CFG
Scale`); comfyanonymous/ComfyUI `nodes.py` and `comfy_extras/nodes_custom_sampler.py`,
`nodes_flux.py` (names of nodes and inputs).
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backends.base import MAX_SEED

MAX_PROMPT: Final = 20_000
MAX_LORAS: Final = 64
_MAX_LINE: Final = 64 * 1024
_MAX_NODES: Final = 5_000
_MAX_SAMPLERS: Final = 16

_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """Remove the characters that a request's prompt may not have; line breaks become LF."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        char
        for char in text
        if char in "\n\t"
        or not (unicodedata.category(char) in {"Cc", "Cs"} or char in _BIDI_CONTROLS)
    )


CleanText = Annotated[str, AfterValidator(clean)]


class ForeignLora(BaseModel):
    """A LoRA by the name and the short hash (hex) that the other program knew it by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: CleanText
    scale: float = 1.0
    hash: str | None = None


class ForeignRecipe(BaseModel):
    """What a form can be filled with; None and empty where the picture does not say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["a1111", "comfyui"]
    prompt: CleanText = ""
    model: CleanText | None = None
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    loras: tuple[ForeignLora, ...] = ()


def _integer(value: object, low: int, high: int) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,20}", value, re.ASCII):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):  # a float would round large seeds
        return value if low <= value <= high else None
    number = _decimal(value, low, high)
    return int(number) if number is not None and number.is_integer() else None


def _decimal(value: object, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if low <= number <= high else None


def _numbers(
    seed: object, steps: object, guidance: object, width: object, height: object
) -> dict[str, Any]:
    """Keep what is plausible; a size only as a whole."""
    sides = _integer(width, 1, 65_535), _integer(height, 1, 65_535)
    if None in sides:
        sides = None, None
    return {
        "seed": _integer(seed, 0, MAX_SEED),
        "steps": _integer(steps, 1, 10_000),
        "guidance": _decimal(guidance, 0, 1_000),
        "width": sides[0],
        "height": sides[1],
    }


# --- A1111 ------------------------------------------------------------------------------------

# Bounded repetitions keep the time linear on hostile text.
_PAIR: Final = re.compile(
    r'\s{0,4}(\w[\w /-]{0,60}):\s{0,4}("(?:\\.|[^\\"])*+"|[^,]*+)(?:,|$)', re.ASCII
)
_LORA_TAG: Final = re.compile(
    r"<lora:([^:<>\n]{1,200})(?::(-?\d{0,3}(?:\.\d{0,15})?))?(?::[^<>\n]{0,60})?>"
)
_SIZE: Final = re.compile(r"(\d{1,5}) ?x ?(\d{1,5})", re.ASCII)


def parse_infotext(text: str) -> ForeignRecipe | None:
    """Read prompt, optional negative prompt and settings line; None where no settings are.

    LoRAs are taken out of the prompt, with hashes from `Lora hashes`, which also names those that
    the prompt does not.
    """
    lines = clean(text).strip().split("\n")
    end = max((n for n, s in enumerate(lines) if s.startswith("Steps:")), default=len(lines) - 1)
    settings, lines = _settings(lines[end]), lines[:end]
    if len(settings) < 3 or not settings.keys() & {"steps", "seed"}:
        return None
    negative = next((n for n, s in enumerate(lines) if s.startswith("Negative prompt:")), None)
    prompt = "\n".join(lines[:negative])[:MAX_PROMPT]

    hashes = dict(_lora_hashes(settings.get("lora hashes", "")))
    loras = []
    for match in _LORA_TAG.finditer(prompt):
        scale = _decimal(match[2], -100, 100)
        scale = 1.0 if scale is None else scale
        loras.append(ForeignLora(name=match[1], scale=scale, hash=hashes.pop(match[1], None)))
    loras += [ForeignLora(name=name, hash=value) for name, value in hashes.items()]
    size = _SIZE.fullmatch(settings.get("size", ""))
    return ForeignRecipe(
        source="a1111",
        prompt=_LORA_TAG.sub("", prompt).strip(),
        model=settings.get("model"),
        loras=tuple(loras[:MAX_LORAS]),
        **_numbers(
            settings.get("seed"),
            settings.get("steps"),
            settings.get("distilled cfg scale", settings.get("cfg scale")),
            *(size.groups() if size else (None, None)),
        ),
    )


def _settings(line: str) -> dict[str, str]:
    pairs = _PAIR.findall(line) if len(line) <= _MAX_LINE else []
    return {key.lower(): _unquoted(value.strip()) for key, value in pairs}


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip('"')


def _lora_hashes(value: str) -> Iterator[tuple[str, str]]:
    """Read `name: 1a2b3c…, other: …`."""
    for pair in value.split(","):
        name, _, short = (part.strip() for part in pair.rpartition(":"))
        if name and re.fullmatch(r"[0-9a-fA-F]{6,64}", short):
            yield name[:200], short.lower()


# --- ComfyUI ----------------------------------------------------------------------------------

_Node = Mapping[str, Any]


def parse_comfy(text: str) -> ForeignRecipe | None:
    """Read an API-form graph (`{id: {class_type, inputs}}`); None where it samples nothing.

    The sampler that starts from an empty picture is taken, and everything upstream of it but the
    negative prompt. Nearest wins, so unknown nodes in between do no harm.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    graph = _graph(document)
    samplers = [name for name, node in graph.items() if _is_sampler(node)][:_MAX_SAMPLERS]
    trees = [list(_upstream(graph, name)) for name in samplers]
    if not trees:
        return None
    nodes = next((tree for tree in trees if any(map(_is_empty_latent, tree))), trees[0])
    size: Mapping[str, object] = next((n["inputs"] for n in nodes if _is_empty_latent(n)), {})
    guidance = _first(graph, nodes, "guidance")
    found = ForeignRecipe(
        source="comfyui",
        prompt=_comfy_prompt(graph, nodes).strip()[:MAX_PROMPT],
        model=_first_text(nodes, "unet_name", "ckpt_name", "model_name"),
        loras=tuple(_comfy_loras(nodes))[:MAX_LORAS],
        **_numbers(
            _first(graph, nodes, "seed", "noise_seed"),
            _first(graph, nodes, "steps"),
            _first(graph, nodes, "cfg") if guidance is None else guidance,
            _resolved(graph, size.get("width")),
            _resolved(graph, size.get("height")),
        ),
    )
    return found if found != ForeignRecipe(source="comfyui") else None


def _graph(document: object) -> dict[str, _Node]:
    if not isinstance(document, dict) or len(document) > _MAX_NODES:
        return {}
    return {
        name: node
        for name, node in document.items()
        if isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
    }


def _is_sampler(node: _Node) -> bool:
    return "latent_image" in node["inputs"] and "Sampler" in node["class_type"]


def _is_empty_latent(node: _Node) -> bool:
    return node["class_type"].startswith("Empty") and "width" in node["inputs"]


def _source(graph: Mapping[str, _Node], value: object) -> str | None:
    """Return the node that an input `[id, slot]` is wired to."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return value[0] if value[0] in graph else None
    return None


def _upstream(graph: Mapping[str, _Node], start: str) -> Iterator[_Node]:
    """Yield the sampler and what feeds it, nearest first, not beyond another sampler."""
    seen, queue = {start}, [start]
    for name in queue:
        yield graph[name]
        for key, value in graph[name]["inputs"].items():
            source = _source(graph, value)
            if source and source not in seen and key != "negative":
                seen.add(source)
                if not _is_sampler(graph[source]):
                    queue.append(source)


def _resolved(graph: Mapping[str, _Node], value: object) -> object:
    """Follow an input through primitive nodes to the number or text that they hold."""
    for _ in range(16):
        source = _source(graph, value)
        if source is None:
            break
        inputs = graph[source]["inputs"]
        keys = ("value", "text", "string", "seed", "noise_seed", "int", "float", "number")
        value = next((inputs[key] for key in keys if key in inputs), None)
    return value


def _first(graph: Mapping[str, _Node], nodes: list[_Node], *keys: str) -> object:
    values = (
        _resolved(graph, n["inputs"][key]) for n in nodes for key in keys if key in n["inputs"]
    )
    return next((v for v in values if isinstance(v, int | float)), None)


def _first_text(nodes: list[_Node], *keys: str) -> str | None:
    values = (n["inputs"].get(key) for n in nodes for key in keys)
    return next((v for v in values if isinstance(v, str)), None)


def _comfy_prompt(graph: Mapping[str, _Node], nodes: list[_Node]) -> str:
    for node in nodes:
        if "TextEncode" in node["class_type"]:
            for key in ("text", "t5xxl", "prompt", "clip_l"):
                text = _resolved(graph, node["inputs"].get(key))
                if isinstance(text, str) and text.strip():
                    return text
    return ""


def _comfy_loras(nodes: list[_Node]) -> Iterator[ForeignLora]:
    """Yield in the order in which they are applied, which is downstream."""
    for node in reversed(nodes):
        inputs = node["inputs"]
        stacked = [value for value in inputs.values() if isinstance(value, dict)]
        single = {"lora": inputs.get("lora_name"), "strength": inputs.get("strength_model", 1.0)}
        for entry in [single, *stacked]:  # a dict is rgthree's Power Lora Loader
            name, scale = entry.get("lora"), _decimal(entry.get("strength"), -100, 100)
            if isinstance(name, str) and name != "None" and entry.get("on", True) is True:
                stem = re.split(r"[\\/]", name)[-1].removesuffix(".safetensors")
                yield ForeignLora(name=stem[:200], scale=1.0 if scale is None else scale)
