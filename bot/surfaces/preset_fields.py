"""The forms of presets: which fields they have, for every chat."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lora_registry.models import MAX_TEMPLATE

NEW: Final = "preset_new"
EDITED: Final = "preset_edited"
FORK: Final = "preset_fork"
SAVED: Final = "saved"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form; `most` is in characters."""

    name: str
    label: str
    about: str
    most: int
    example: str | None = None
    long: bool = False
    required: bool = False


NAME: Final = Field("name", "Name", "What people type: a–z, 0–9 and hyphens", 100, required=True)
_TITLE: Final = Field("title", "Title", "One line", 120)
_LORAS: Final = Field("loras", "LoRAs", "By name, with their scales", 2000, "glow:0.5, ink:0.7")
_TEMPLATE: Final = Field(
    "template", "Template", "{prompt} is what somebody asks for", MAX_TEMPLATE, long=True
)
_SETTINGS: Final = Field(
    "settings",
    "Settings",
    "A line each: size, steps, guidance, speed, seed, images, model, variable, tags, licence, nsfw",
    4000,
    "size: square_hd, steps: 20, guidance: 3.5",
    long=True,
)
_DESCRIPTION: Final = Field("description", "Description", "What it is for", 4000, long=True)

FORMS: Final[Mapping[str, tuple[str, tuple[Field, ...]]]] = MappingProxyType(
    {
        NEW: ("New preset", (NAME, _TITLE, _LORAS, _TEMPLATE, _SETTINGS)),
        EDITED: ("Edit preset", (_TITLE, _DESCRIPTION, _LORAS, _TEMPLATE, _SETTINGS)),
        FORK: ("Copy preset", (NAME,)),
        SAVED: ("Save as preset", (NAME, _TITLE, _TEMPLATE)),
    }
)
"""Title and fields of each form, by the verb of its custom id."""
