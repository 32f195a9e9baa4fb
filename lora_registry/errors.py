"""What the registry refuses, as sentences for people.

RegistryError           str(error) says what is wrong and what to do
├── BadName             a name or reference that cannot be read; `suggestion` is one that can
├── NameTaken           the name, or one that looks like it, belongs to somebody else
├── UnknownPreset       nothing of this name is visible here; `near` are names like it
├── UnknownRevision     the preset is there, the revision is not
├── UnknownLora         no LoRA of this name or hash; `near` are names like it
├── LoraInUse           presets need the LoRA
├── Refused             it is there, but may not be used, seen or changed
├── EditConflict        somebody changed the preset meanwhile
├── TooMany             a quota is used up
└── BadComposition      presets, LoRAs and model do not go together, or a variable is wrong
"""

from collections.abc import Sequence


class RegistryError(Exception):
    """`str()` is a sentence for people.

    `part` says what of a preset it is about, where that is one thing alone: `name`, `title`,
    `description`, `loras`, `template` or `settings`; else it is empty.
    """

    part: str = ""


class BadName(RegistryError):
    """A name or reference cannot be read."""

    part = "name"

    def __init__(self, sentence: str, suggestion: str | None = None) -> None:
        super().__init__(sentence)
        self.suggestion = suggestion


class NameTaken(RegistryError):
    """The name, or one that looks like it, is taken."""

    part = "name"


class UnknownPreset(RegistryError):
    """No visible preset has this name; hidden ones get the same answer, so none is betrayed."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        advice = f"Did you mean {either(near)}?" if near else "Search for a part of its name."
        super().__init__(f"There is no preset {name} here. {advice}")
        self.near = tuple(near)


class UnknownRevision(RegistryError):
    """The preset has no such revision, or it was never approved here."""


class UnknownLora(RegistryError):
    """No LoRA of this name or hash is known."""

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        advice = f"Did you mean {either(near)}?" if near else "Add it with `atelier lora add`."
        super().__init__(f"There is no LoRA {name} here. {advice}")
        self.near = tuple(near)


class LoraInUse(RegistryError):
    """Presets need the LoRA."""


class Refused(RegistryError):
    """It may not be done; the sentence says why."""


class EditConflict(RegistryError):
    """The preset has another head than the edit was based on; nothing was changed."""

    def __init__(self, name: str, base: int, head: int, author: str, note: str) -> None:
        what = f" (“{note}”)" if note else ""
        super().__init__(
            f"{name} was changed while you edited revision {base}: {author} made revision "
            f"{head}{what}. Look at it and edit that one."
        )
        self.base = base
        self.head = head
        self.author = author


class TooMany(RegistryError):
    """A quota is used up."""


class BadComposition(RegistryError):
    """Presets, LoRAs, model and variables do not go together."""


def either(names: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
