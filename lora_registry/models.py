"""What the registry keeps: LoRAs with their sources, presets, and who looks at them.

Everything here is frozen and refuses unknown fields. Ranges of a request (size, steps, guidance)
belong to whoever draws; here they are plain values that are checked where a request is built.
"""

import enum
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import rfc8785
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from lora_registry.weights import Family, FluxModel, Layout

MAX_LORAS: Final = 16
"""LoRAs of one preset. FLUX.2 draws with at most `FLUX_2_LORAS` of them."""

FLUX_2_LORAS: Final = 3

NO_TRIGGERS: Final = "none"
"""The trigger set that adds no words; no LoRA has a set of this name."""

MAX_NSFW: Final = 4

MAX_TEMPLATE: Final = 3000
"""Characters of a template."""


# --- Building blocks --------------------------------------------------------------------------

_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _printable(text: str) -> str:
    for position, char in enumerate(text, start=1):
        hidden = unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t"
        if hidden or char in _BIDI_CONTROLS:
            raise ValueError(f"remove the character U+{ord(char):04X} at position {position}")
    return text


def _https(url: str) -> str:
    if not url.startswith("https://") or any(char.isspace() for char in url):
        raise ValueError("use an address that begins with https://")
    return url


def _inside(path: str) -> str:
    if path.startswith("/") or "\\" in path or ".." in path.split("/") or "\0" in path:
        raise ValueError("use a path inside the LoRA folder, such as styles/ghibli.safetensors")
    return path


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Lower-case hex."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,38}$")]
"""A name as `names.slug` makes it."""

Nsfw = Annotated[int, Field(ge=0, le=MAX_NSFW)]
"""0 safe for everybody, 1 suggestive, 2 mature, 3 explicit, 4 extreme."""

_Word = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=80),
    AfterValidator(_printable),
]
_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=120), AfterValidator(_printable)
]
_Text = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_printable)]
_Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_https)]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_inside)]
_Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- LoRAs ------------------------------------------------------------------------------------


class LoraFlag(enum.StrEnum):
    """What a LoRA must be handled with care for."""

    PERSON = "poi"  # draws a real person: needs an allowing rule of the instance
    MINOR = "minor"  # draws somebody who looks under age: never together with NSFW
    NON_COMMERCIAL = "non-commercial"


class TriggerSet(_Value):
    """Words that call a LoRA, or one of its styles; a file may have several sets."""

    name: Slug = "default"
    words: tuple[_Word, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _is_no_keyword(self) -> "TriggerSet":
        if self.name == NO_TRIGGERS:
            raise ValueError(f"choose another name than {NO_TRIGGERS}, which means no words")
        return self


class LoraRecord(_Value):
    """One weights file, known by the SHA-256 of all its bytes.

    `name` is what people type and belongs to one LoRA of the instance. `size` is in bytes; `rank`
    is the largest in the file, None where a LoKr has none. The first of `triggers` holds unless
    somebody chooses another. `licence` is an SPDX id or the name that the source gives, empty
    where nobody says.
    """

    sha256: Sha256
    name: Slug
    size: int = Field(ge=1)
    family: Family
    layout: Layout
    rank: int | None = Field(None, ge=1)
    triggers: tuple[TriggerSet, ...] = Field((), max_length=20)
    licence: _Line = ""
    nsfw: Nsfw = 0
    flags: frozenset[LoraFlag] = frozenset()
    title: _Line = ""

    @model_validator(mode="after")
    def _sets_differ(self) -> "LoraRecord":
        names = [one.name for one in self.triggers]
        if len(set(names)) < len(names):
            raise ValueError("give every trigger set a name of its own")
        return self

    def words(self, chosen: str | None = None) -> tuple[str, ...]:
        """The trigger words of a set; of the first one for None.

        Raises:
            KeyError: there is no set of this name.
        """
        if chosen == NO_TRIGGERS:
            return ()
        if chosen is None:
            return self.triggers[0].words if self.triggers else ()
        return {one.name: one.words for one in self.triggers}[chosen]


class HuggingFaceSource(_Value):
    """A file of a Hugging Face repository at one commit, so that it cannot change."""

    kind: Literal["huggingface"] = "huggingface"
    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,96}/[\w.-]{1,96}$")]
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    file: _Path


class CivitaiSource(_Value):
    """A file of a Civitai model version; its author may replace the bytes, the hash tells."""

    kind: Literal["civitai"] = "civitai"
    model: int | None = Field(None, ge=1)
    version: int = Field(ge=1)
    file: int | None = Field(None, ge=1)


class HttpsSource(_Value):
    """Any address; query strings with credentials do not belong here."""

    kind: Literal["https"] = "https"
    url: _Url


class LocalSource(_Value):
    """A file inside the owner's LoRA folder, by its path there with forward slashes."""

    kind: Literal["local"] = "local"
    path: _Path


class FalSource(_Value):
    """What a fal trainer left in fal's storage: `diffusers_lora_file` and `config_file`."""

    kind: Literal["fal"] = "fal"
    url: _Url
    config_url: _Url | None = None


Source = Annotated[
    HuggingFaceSource | CivitaiSource | HttpsSource | LocalSource | FalSource,
    Field(discriminator="kind"),
]
"""Where a LoRA's bytes can be had."""

_SOURCE: Final[TypeAdapter[Source]] = TypeAdapter(Source)


def parse_source(document: str | bytes) -> Source:
    """Read back what `source.model_dump_json()` wrote.

    Raises:
        pydantic.ValidationError: it is no source.
    """
    return _SOURCE.validate_json(document)


# --- Presets ----------------------------------------------------------------------------------


class PresetLora(_Value):
    """A LoRA in a preset, pinned by its hash.

    `name` is what it was called when the preset was made and serves people only. `triggers` names
    one of its trigger sets; None is the first, `none` adds no words. Without a LoRA that is not
    `required` the preset still draws.
    """

    sha256: Sha256
    name: Slug
    scale: float = Field(1.0, ge=-4, le=4, allow_inf_nan=False)
    triggers: Slug | None = None
    required: bool = True


_Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,29}$")]


class TextVariable(_Value):
    """Free text of at most `longest` characters."""

    kind: Literal["text"] = "text"
    name: _Variable
    default: Annotated[str, StringConstraints(max_length=500), AfterValidator(_printable)] = ""
    longest: int = Field(100, ge=1, le=500)

    @model_validator(mode="after")
    def _default_fits(self) -> "TextVariable":
        if len(self.default) > self.longest:
            raise ValueError(f"shorten the default of {self.name} to {self.longest} characters")
        return self


class ChoiceVariable(_Value):
    """One of a few words."""

    kind: Literal["choice"] = "choice"
    name: _Variable
    choices: tuple[_Word, ...] = Field(min_length=2, max_length=50)
    default: _Word

    @model_validator(mode="after")
    def _default_fits(self) -> "ChoiceVariable":
        if self.default not in self.choices:
            raise ValueError(f"the default of {self.name} must be one of its choices")
        return self


class NumberVariable(_Value):
    """A number from `low` to `high`; whole numbers only where `whole`."""

    kind: Literal["number"] = "number"
    name: _Variable
    low: _Number
    high: _Number
    default: _Number
    whole: bool = False

    @model_validator(mode="after")
    def _default_fits(self) -> "NumberVariable":
        if not self.low <= self.default <= self.high:
            raise ValueError(f"the default of {self.name} must lie between its bounds")
        if self.whole and not self.default.is_integer():
            raise ValueError(f"the default of {self.name} must be a whole number")
        return self


Variable = Annotated[TextVariable | ChoiceVariable | NumberVariable, Field(discriminator="kind")]
"""A blank in a template, `{name}`, with what it takes."""


class RandomSeed(_Value):
    """Every drawing has another seed."""

    kind: Literal["random"] = "random"


class FixedSeed(_Value):
    """Every drawing has this seed. In JSON it is text: it may be larger than JSON keeps exactly."""

    kind: Literal["fixed"] = "fixed"
    seed: Annotated[int, Field(ge=0, le=2**63 - 4), PlainSerializer(str, when_used="json")]


class UserSeed(_Value):
    """Whoever draws is expected to give the seed; without one it is random."""

    kind: Literal["user"] = "user"


SeedPolicy = Annotated[RandomSeed | FixedSeed | UserSeed, Field(discriminator="kind")]


class PictureSize(_Value):
    """In pixels."""

    width: int = Field(ge=1, le=14142)
    height: int = Field(ge=1, le=14142)


class Example(_Value):
    """A picture that shows the preset, by the SHA-256 of its bytes."""

    picture: Sha256
    caption: _Line = ""


_BLANK: Final = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}|[{}]")
"""A doubled brace is a brace; a single one must enclose a name."""


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(tags)))


class PresetBody(_Value):
    """What one revision of a preset says; equal bodies have equal hashes.

    `template` holds `{prompt}` and every variable at least once; `{{` and `}}` are braces. None
    for size, steps, guidance, speed or count leaves them to the model's defaults. The order of
    `loras` is the order in which they are applied; tags have none and are kept sorted.
    """

    schema_version: Literal[1] = 1
    model: FluxModel = "flux-1"
    title: _Line = ""
    description: _Text = ""
    loras: tuple[PresetLora, ...] = Field((), max_length=MAX_LORAS)
    template: Annotated[
        str, StringConstraints(min_length=1, max_length=MAX_TEMPLATE), AfterValidator(_printable)
    ] = "{prompt}"
    variables: tuple[Variable, ...] = Field((), max_length=10)
    size: PictureSize | None = None
    steps: int | None = Field(None, ge=1, le=1000)
    guidance: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    speed: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}$")] | None = None
    seed: SeedPolicy = RandomSeed()
    count: int | None = Field(None, ge=1, le=16)
    nsfw: Nsfw = 0
    licence: _Line = ""
    tags: Annotated[tuple[Slug, ...], Field(max_length=20), AfterValidator(_tags)] = ()
    examples: tuple[Example, ...] = Field((), max_length=8)

    @model_validator(mode="after")
    def _fits_together(self) -> "PresetBody":
        if len({lora.sha256 for lora in self.loras}) < len(self.loras):
            raise ValueError("name every LoRA once")
        if self.model == "flux-2" and len(self.loras) > FLUX_2_LORAS:
            raise ValueError(f"flux-2 takes at most {FLUX_2_LORAS} LoRAs; leave some out")
        if self.model == "flux-2" and any(lora.scale < 0 for lora in self.loras):
            raise ValueError("flux-2 takes no negative scale; use 0 to 4")
        used = blanks(self.template)
        names = [variable.name for variable in self.variables]
        if "prompt" not in used:
            raise ValueError("the template must hold {prompt}")
        if len(set(names)) < len(names) or "prompt" in names:
            raise ValueError("give every variable a name of its own, other than prompt")
        if unknown := sorted(used - {"prompt", *names}):
            raise ValueError(f"declare {unknown[0]} as a variable, or write {{{{ for a brace")
        if unused := sorted(set(names) - used):
            raise ValueError(f"write {{{unused[0]}}} into the template or leave the variable out")
        return self

    def canonical(self) -> bytes:
        """The body as canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json"))

    def content_hash(self) -> str:
        """SHA-256 of `canonical()`, hex."""
        return hashlib.sha256(self.canonical()).hexdigest()


def blanks(template: str) -> set[str]:
    """The names in a template's braces.

    Raises:
        ValueError: a brace encloses no name.
    """
    found = set()
    for blank in _BLANK.finditer(template):
        if blank[0] in {"{", "}"}:
            raise ValueError(f"write {blank[0] * 2} for a brace, or {{name}} for a variable")
        if blank[1]:
            found.add(blank[1])
    return found


def fill_blanks(template: str, values: dict[str, str]) -> str:
    """Put values into a template; what a value holds is text, never a blank."""

    def fill(blank: re.Match[str]) -> str:
        return values[blank[1]] if blank[1] else blank[0][0]

    return _BLANK.sub(fill, template)


# --- Who looks --------------------------------------------------------------------------------


class Role(enum.StrEnum):
    """What somebody may do in a community; whoever hands over a viewer decides who has which."""

    MEMBER = "member"
    CURATOR = "curator"  # approves, rejects, hides and pins
    MANAGER = "manager"  # also sets a community's rules
    OPERATOR = "operator"  # runs this instance: everything, everywhere


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, where, and how much they may see; the registry never asks who that is.

    `community` and `requester` are ids that mean nothing here. `nsfw_ceiling` is the highest NSFW
    level that may be shown at this place to this person, 0 to 4.
    """

    community: str
    requester: str
    roles: frozenset[Role] = frozenset({Role.MEMBER})
    nsfw_ceiling: int = 0
