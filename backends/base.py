"""The backend port: what is asked of a backend, what it answers, what it can do.

Names, ranges and defaults of a request are fal's (`fal-ai/flux-lora`, `fal-ai/flux-2/lora`), so
that one request means the same on a local GPU, in fal's queue and on our own endpoint.
"""

import enum
import unicodedata
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol

import annotated_types
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from backends.errors import BackendError, BadRequest, Problem

ModelName = Literal["flux-1", "flux-2"]
Acceleration = Literal["none", "regular", "high"]
OutputFormat = Literal["jpeg", "png", "webp"]

MAX_SEED: Final = 2**63 - 1
"""Largest seed of a picture: what SQLite and JSON keep exactly; torch takes up to 2**64 - 1."""

_MAX_FIRST_SEED: Final = MAX_SEED - 3
"""Largest seed of a request, whose fourth picture has the seed plus three."""


# --- Sizes ------------------------------------------------------------------------------------


class ImageSize(BaseModel):
    """A picture's size in pixels. A missing side is 512, as on fal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(512, ge=1, le=14142)
    height: int = Field(512, ge=1, le=14142)

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


NAMED_SIZES: Final[Mapping[str, ImageSize]] = MappingProxyType(
    {
        "square_hd": ImageSize(width=1024, height=1024),
        "square": ImageSize(width=512, height=512),
        "portrait_4_3": ImageSize(width=768, height=1024),
        "portrait_16_9": ImageSize(width=576, height=1024),
        "landscape_4_3": ImageSize(width=1024, height=768),
        "landscape_16_9": ImageSize(width=1024, height=576),
    }
)


def _size(value: object) -> object:
    """Resolve a size by name; an object stays as it is."""
    if not isinstance(value, str):
        return value
    if (size := NAMED_SIZES.get(value)) is None:
        raise PydanticCustomError("one_of", "", {"expected": tuple(NAMED_SIZES)})
    return size


# --- Requests ---------------------------------------------------------------------------------

_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _printable(text: str) -> str:
    """Refuse characters that hide or reorder text, or that cannot be stored as UTF-8.

    Line breaks, tabs, joiners inside emoji and left-to-right marks are ordinary text.
    """
    for position, char in enumerate(text, start=1):
        if (unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t") or (
            char in _BIDI_CONTROLS
        ):
            raise PydanticCustomError(
                "control_character", "", {"code": f"U+{ord(char):04X}", "position": position}
            )
    if not text.strip():
        raise PydanticCustomError("blank", "")
    return text


class LoraRef(BaseModel):
    """A LoRA as a request names it. `path` is resolved to a file before a backend sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(min_length=1), AfterValidator(_printable)]
    scale: float = Field(1.0, ge=-4, le=4, allow_inf_nan=False)


class PositiveLoraRef(LoraRef):
    """The same where the endpoint takes no negative scale."""

    scale: float = Field(1.0, ge=0, le=4, allow_inf_nan=False)


class GenerationRequest(BaseModel):
    """Everything that a backend needs to draw, and nothing of chat.

    Use `parse_request`, which picks the model's own class and words the errors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: ClassVar[str]
    max_loras: ClassVar[int | None] = None
    sides: ClassVar[tuple[int, int]] = (1, 14142)

    model: ModelName
    prompt: Annotated[str, Field(max_length=5000), AfterValidator(_printable)]
    image_size: Annotated[ImageSize, BeforeValidator(_size)] = NAMED_SIZES["landscape_4_3"]
    num_inference_steps: int
    guidance_scale: float
    seed: int | None = Field(None, ge=0, le=_MAX_FIRST_SEED)
    num_images: int = Field(1, ge=1, le=4)
    loras: tuple[LoraRef, ...] = ()
    acceleration: Acceleration
    enable_prompt_expansion: bool = False
    output_format: OutputFormat
    enable_safety_checker: bool = True
    sync_mode: bool = False

    @property
    def billed_megapixels(self) -> int:
        """What a service that sells megapixels counts: each picture rounded up, at 2**20 pixels.

        1024x1024 is sold as one megapixel, so that is the unit.
        """
        return self.num_images * -(-self.image_size.pixels // 2**20)

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed a picture: `seed`, `seed + 1`, …

        Raises:
            ValueError: the seed has not been chosen yet.
        """
        if self.seed is None:
            raise ValueError("choose a seed before asking for the pictures' seeds")
        return tuple(self.seed + index for index in range(self.num_images))


class Flux1Request(GenerationRequest):
    """`fal-ai/flux-lora`: FLUX.1 [dev] with any number of LoRAs."""

    endpoint = "fal-ai/flux-lora"

    model: Literal["flux-1"] = "flux-1"
    num_inference_steps: int = Field(28, ge=1, le=50)
    guidance_scale: float = Field(3.5, ge=0, le=35, allow_inf_nan=False)
    acceleration: Literal["none", "regular"] = "none"
    enable_prompt_expansion: Literal[False] = False
    output_format: OutputFormat = "jpeg"


def _within_flux2_sides(size: ImageSize) -> ImageSize:
    low, high = Flux2Request.sides
    if not (low <= size.width <= high and low <= size.height <= high):
        raise PydanticCustomError("size_range", "", {"low": low, "high": high})
    return size


class Flux2Request(GenerationRequest):
    """`fal-ai/flux-2/lora`: FLUX.2 [dev] with up to three LoRAs."""

    endpoint = "fal-ai/flux-2/lora"
    max_loras = 3
    sides = (512, 2048)

    model: Literal["flux-2"] = "flux-2"
    image_size: Annotated[
        ImageSize, BeforeValidator(_size), AfterValidator(_within_flux2_sides)
    ] = NAMED_SIZES["landscape_4_3"]
    num_inference_steps: int = Field(28, ge=4, le=50)
    guidance_scale: float = Field(2.5, ge=0, le=20, allow_inf_nan=False)
    loras: tuple[PositiveLoraRef, ...] = Field((), max_length=3)
    acceleration: Acceleration = "regular"
    output_format: OutputFormat = "png"


MODELS: Final[Mapping[ModelName, type[GenerationRequest]]] = MappingProxyType(
    {"flux-1": Flux1Request, "flux-2": Flux2Request}
)
"""Every model with its own class of request: ranges and defaults are read from its fields."""

_ANY_REQUEST: TypeAdapter[Flux1Request | Flux2Request] = TypeAdapter(
    Annotated[Flux1Request | Flux2Request, Field(discriminator="model")]
)


def parse_request(fields: Mapping[str, object]) -> GenerationRequest:
    """Build the request of `fields["model"]` (flux-1 when absent), defaults filled in.

    Raises:
        BadRequest: names every field that is wrong, with its value and what is allowed.
    """
    try:
        return _ANY_REQUEST.validate_python({"model": "flux-1", **fields})
    except ValidationError as error:
        model = fields.get("model", "flux-1")
        raise BadRequest(*(_problem(str(model), e) for e in error.errors())) from None


def load_request(document: str | bytes) -> GenerationRequest:
    """Read back what `request.model_dump_json()` wrote."""
    return _ANY_REQUEST.validate_json(document)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Range and default of a numeric field."""

    low: float
    high: float
    default: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def bounds(model: ModelName, name: str) -> Bounds:
    """Read the range that `model` allows for a numeric field from the request class itself."""
    info = MODELS[model].model_fields[name]
    low = next(m.ge for m in info.metadata if isinstance(m, annotated_types.Ge))
    high = next(m.le for m in info.metadata if isinstance(m, annotated_types.Le))
    return Bounds(float(str(low)), float(str(high)), info.default)


def _problem(model: str, error: ErrorDetails) -> Problem:
    """Turn one of pydantic's errors into a field, its value and what is allowed instead."""
    # A discriminated union puts the chosen tag first.
    path = [str(part) for part in error["loc"] if part not in MODELS]
    kind, context = error["type"], dict(error.get("ctx", {}))
    name = ".".join(path) or "model"
    return Problem(name, error["input"], _allowed(model, path, kind, context), kind, context)


def _allowed(model: str, path: Sequence[str], kind: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "union_tag_invalid" | "union_tag_not_found":
            return f"use {_either(MODELS)}"
        case "extra_forbidden":
            return f"{model} has no such option; leave it out"
        case "greater_than_equal" | "less_than_equal":
            if path[0] in GenerationRequest.model_fields and len(path) == 1 and path[0] != "seed":
                return f"use {bounds('flux-1' if model == 'flux-1' else 'flux-2', path[0])}"
            if path[-1] == "scale":
                return "use 0 to 4" if model == "flux-2" else "use -4 to 4"
            if path[-1] in {"width", "height"}:
                return "use 1 to 14142 pixels"
            return f"use 0 to {_MAX_FIRST_SEED}"
        case "literal_error" | "one_of":
            expected = context["expected"]
            if isinstance(expected, tuple):
                return f"use {_either(expected)}, or width and height"
            if expected == "False":
                return f"{model} has no prompt expansion; leave it out"
            return f"use {expected}".replace("'", "")
        case "size_range":
            return f"{model} draws {context['low']} to {context['high']} pixels a side"
        case "too_long" if path == ["loras"]:
            return f"{model} takes at most {context['max_length']} LoRAs"
        case "string_too_long":
            return f"shorten it to {context['max_length']} characters"
        case "control_character":
            return f"remove the character {context['code']} at position {context['position']}"
        case "blank" | "string_too_short":
            return "write something"
        case "missing":
            return "give one"
        case "finite_number":
            return "use an ordinary number"
        case _ if kind.startswith("int"):
            return "use a whole number"
        case _ if kind.startswith("float"):
            return "use a number"
        case _ if kind.startswith("bool"):
            return "use true or false"
        case _ if kind.startswith("string"):
            return "use text"
        case _:
            return "use the form that the documentation shows"


def _either(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


# --- Answers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA that is ready to use: the file is complete, checked and has this SHA-256 (hex).

    `name` is what the person called it; `public_url` is set where a remote backend may fetch the
    same bytes by itself.
    """

    name: str
    sha256: str
    path: Path
    scale: float
    public_url: str | None = None


class Verdict(enum.StrEnum):
    """What the safety checker said. `UNCHECKED` is treated as `FLAGGED` everywhere."""

    CLEAR = "clear"
    FLAGGED = "flagged"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of one result. `score` is the checker's, 0 to 1, where it gave one."""

    data: bytes = field(repr=False)
    format: OutputFormat
    width: int
    height: int
    seed: int
    verdict: Verdict
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting in a remote queue behind `position` others."""

    position: int


@dataclass(frozen=True, slots=True)
class Preparing:
    """Something is being fetched or loaded; `fraction` is 0 to 1 where it is known."""

    what: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Submitting:
    """A paid request is about to leave. The next line of the backend sends it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The paid request exists; `remote` is all that is needed to take it up again."""

    remote: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Started:
    """Drawing has begun."""


@dataclass(frozen=True, slots=True)
class Step:
    """Step `index` (from 1) of `total` over all pictures is done.

    `preview` is a small JPEG of the picture as the model now expects it, always unchecked.
    """

    index: int
    total: int
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Log:
    """A line from the backend, for the owner's eyes."""

    line: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The end: `num_images` pictures.

    `prompt` is the text that was drawn (expanded where asked), `weights` names the model's weights,
    `timings` are seconds by stage, `hint` is a friendly sentence about the prompt, `cost` is in US
    dollars where it is known.
    """

    pictures: tuple[Picture, ...]
    prompt: str = field(repr=False)
    weights: str
    timings: Mapping[str, float] = field(default_factory=dict)
    hint: str | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The end: no picture, and why."""

    error: BackendError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The end: the backend itself was told to stop by somebody else."""


Event = (
    Queued
    | Preparing
    | Submitting
    | Submitted
    | Started
    | Step
    | Log
    | Rendered
    | Failed
    | Cancelled
)
"""What a backend's stream yields; `Rendered`, `Failed` or `Cancelled` comes once, last."""


# --- The port ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelSupport:
    """What a backend can do with one model beyond what the request's own ranges say.

    `sides` are the smallest and largest width or height in pixels, `formats` what it writes,
    `price` is in US dollars a billed megapixel.
    `architecture` is set where another model's weights stand in (the demo answers FLUX.2 requests
    with a FLUX.1), since that decides which LoRAs fit.
    """

    formats: frozenset[OutputFormat]
    sides: tuple[int, int]
    prompt_expansion: bool = False
    architecture: ModelName | None = None
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as data: `slots` jobs at once."""

    models: Mapping[ModelName, ModelSupport]
    slots: int
    previews: bool = False
    resumable: bool = False

    def architecture(self, model: ModelName) -> ModelName:
        """The model whose LoRAs fit the weights that answer requests for `model`."""
        return self.models[model].architecture or model

    def price(self, request: GenerationRequest) -> float:
        """What this request is expected to cost, in US dollars."""
        return round(self.models[request.model].price * request.billed_megapixels, 6)

    def refusals(self, request: GenerationRequest) -> tuple[Problem, ...]:
        """Say what of the request cannot be honoured, nothing being dropped silently."""
        support = self.models.get(request.model)
        if support is None:
            usable = _either(self.models) if len(self.models) > 1 else "".join(self.models)
            return (Problem("model", request.model, f"this backend draws with {usable}", "one_of"),)
        problems = []
        low, high = support.sides
        size = request.image_size
        if not (low <= size.width <= high and low <= size.height <= high):
            allowed = f"{low} to {high} pixels a side can be drawn here"
            problems.append(Problem("image_size", str(size), allowed, "size_range"))
        if request.output_format not in support.formats:
            allowed = f"use {' or '.join(sorted(support.formats))}"
            problems.append(Problem("output_format", request.output_format, allowed, "one_of"))
        if request.enable_prompt_expansion and not support.prompt_expansion:
            allowed = "prompts cannot be expanded here; leave it out"
            problems.append(Problem("enable_prompt_expansion", True, allowed, "one_of"))
        return tuple(problems)


class Backend(Protocol):
    """Makes pictures from requests. One object serves every job of its kind."""

    @property
    def name(self) -> str:
        """`local`, `demo` or `fal`; stored with the job."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def start(self) -> None:
        """Get ready in the background; returns at once and is safe to call again."""
        ...

    async def close(self) -> None:
        """Let go of everything within a few seconds."""
        ...

    def run(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        *,
        remote: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Draw. The stream ends with one `Rendered`, `Failed` or `Cancelled`; it never raises.

        Closing the stream stops local work within a step; a remote request goes on and can be
        taken up again. With `remote`, an earlier request is taken up by what its `Submitted`
        said and nothing new is paid for.
        """
        ...

    async def cancel(self, remote: Mapping[str, str]) -> None:
        """Ask a remote service to drop a request; one that has ended already is no error."""
        ...
