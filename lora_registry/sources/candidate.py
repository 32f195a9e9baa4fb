"""What is known of a LoRA before its file is fetched.

SourceError             str(error) is a sentence for the person who named the LoRA
├── NotThere            the place has no such LoRA, or shows it to nobody like us
├── NotUsable           it is there, but can never be used here
├── ChooseFile          there are several files; `choices` are references to choose from
└── BadReference        what was written names no place (in `reference.py`)
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_registry._declared import clean
from lora_registry.errors import RegistryError
from lora_registry.models import LoraFlag, LoraRecord, Source, TriggerSet
from lora_registry.weights import Family, LoraInfo

_WORDS: Final = 20
_WORD: Final = 80
_LINE: Final = 120
_SHOWN_CHOICES: Final = 10


class SourceError(RegistryError):
    """Base of the tree. `str(error)` is a sentence for the person who named the LoRA."""


class NotThere(SourceError):
    """There is no such LoRA, or it is not for us."""


class NotUsable(SourceError):
    """It is there, but cannot be used here, however often one tries."""


class ChooseFile(SourceError):
    """Several files could be meant; `choices` are what to write for each of them."""

    def __init__(self, where: str, choices: Sequence[str]) -> None:
        more = len(choices) - _SHOWN_CHOICES
        shown = ", ".join(choices[:_SHOWN_CHOICES]) + (f" and {more} more" if more > 0 else "")
        super().__init__(f"{where} has several LoRA files. Choose one: {shown}.")
        self.choices = tuple(choices)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a site says about a file of its own; nothing of it is proven.

    `base_models` are the site's words for what the LoRA was trained on. `person` and `minor` are
    its flags for real people and for who looks under age; `commercial` says whether pictures may
    be sold, None where nobody says.
    """

    file_name: str
    sha256: str | None = None
    title: str = ""
    licence: str = ""
    base_models: tuple[str, ...] = ()
    triggers: tuple[TriggerSet, ...] = ()
    nsfw: int = 0
    person: bool = False
    minor: bool = False
    commercial: bool | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A LoRA that could be brought in: where it is, what it is, and whether it can be used.

    `sha256` is None where only the whole file tells. `size` is in bytes, exact. `path` is set
    where the file lies on this machine.
    """

    source: Source
    claims: Claims
    info: LoraInfo
    path: Path | None = None

    @property
    def sha256(self) -> str | None:
        return self.claims.sha256

    @property
    def size(self) -> int:
        return self.info.size

    @property
    def family(self) -> Family:
        """What it was made for; where the layers leave that open, the site's word decides."""
        if self.info.family is not Family.FLUX_1_OR_KLEIN_4B:
            return self.info.family
        words = re.sub(r"[^a-z0-9]", "", " ".join(self.claims.base_models).lower())
        if "klein" in words or "flux2" in words:
            return Family.KLEIN_4B
        return Family.FLUX_1 if "flux" in words else self.info.family

    @property
    def title(self) -> str:
        stem = self.claims.file_name.removesuffix(".safetensors")
        return line(self.claims.title or self.info.declared.title or stem)

    @property
    def licence(self) -> str:
        return line(self.claims.licence or self.info.declared.licence or "")

    @property
    def triggers(self) -> tuple[TriggerSet, ...]:
        return self.claims.triggers or trigger_sets([", ".join(self.info.declared.triggers)])

    @property
    def flags(self) -> frozenset[LoraFlag]:
        raised = {
            LoraFlag.PERSON: self.claims.person,
            LoraFlag.MINOR: self.claims.minor,
            LoraFlag.NON_COMMERCIAL: self.claims.commercial is False,
        }
        return frozenset(flag for flag, up in raised.items() if up)

    def record(self, name: str, sha256: str) -> LoraRecord:
        """What the registry keeps of it, once the file is here and hashed."""
        return LoraRecord(
            sha256=sha256,
            name=name,
            size=self.size,
            family=self.family,
            layout=self.info.layout,
            rank=max(self.info.ranks, default=None),
            triggers=self.triggers,
            licence=self.licence,
            nsfw=self.claims.nsfw,
            flags=self.flags,
            title=self.title,
        )


def require_usable(info: LoraInfo) -> None:
    """Let pass what some model of ours can draw with.

    Raises:
        NotUsable: it was made for another model; says which.
    """
    if info.family.model is None and info.family is not Family.FLUX_1_OR_KLEIN_4B:
        made_for = "no model known here" if info.family is Family.UNKNOWN else info.family.label
        raise NotUsable(
            f"This LoRA was made for {made_for}; only LoRAs for FLUX.1 and FLUX.2 can be used."
        )


def trigger_sets(phrases: Iterable[object]) -> tuple[TriggerSet, ...]:
    """Make sets of what a site calls trigger words.

    Sites list either single words that belong together, or one comma-separated list for each
    style: the latter become sets of their own.
    """
    lists = [_words(phrase) for phrase in phrases if isinstance(phrase, str)]
    lists = [words for words in lists if words]
    if all(len(words) == 1 for words in lists):
        lists = [tuple(dict.fromkeys(words[0] for words in lists))[:_WORDS]] if lists else []
    return tuple(
        TriggerSet(name="default" if number == 1 else f"set-{number}", words=words)
        for number, words in enumerate(dict.fromkeys(lists[:_WORDS]), start=1)
    )


def _words(phrase: str) -> tuple[str, ...]:
    parts = (clean(part, 4 * _WORD) for part in re.split(r"[,;\n]", phrase[: 100 * _WORD]))
    return tuple(dict.fromkeys(part for part in parts if 0 < len(part) <= _WORD))[:_WORDS]


def line(text: object) -> str:
    """One line of a site's text, as the registry takes it; empty for anything that is no text."""
    return clean(text, _LINE) if isinstance(text, str) else ""
