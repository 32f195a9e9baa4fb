"""What a LoRA file says about itself in its metadata. Anybody may have written it."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_TEXT_LENGTH: Final = 200
_WORD_LENGTH: Final = 80
_WORDS: Final = 10
_JOINERS: Final = frozenset("\u200c\u200d")
"""They hold letters and emoji together; every other invisible character goes."""


@dataclass(frozen=True, slots=True)
class Declared:
    """Untrusted text, cleaned of control and invisible characters and capped in length.

    `triggers` are the words that the author says call the LoRA, `tags` the most frequent captions
    of its training pictures, most frequent first; at most ten of each. `alpha` is the network's
    alpha where only the metadata has it.
    """

    title: str | None = None
    author: str | None = None
    architecture: str | None = None
    licence: str | None = None
    usage_hint: str | None = None
    triggers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    alpha: float | None = None


def read_declared(metadata: Mapping[str, str]) -> Declared:
    """Read what modelspec, kohya, ai-toolkit and diffusers write; whatever is odd is left out."""

    def text(*keys: str) -> str | None:
        found = (clean(metadata.get(key, ""), _TEXT_LENGTH) for key in keys)
        return next((value for value in found if value), None)

    return Declared(
        title=text("modelspec.title", "ss_output_name", "name"),
        author=text("modelspec.author"),
        architecture=text("modelspec.architecture", "ss_base_model_version"),
        licence=text("modelspec.license", "license"),
        usage_hint=text("modelspec.usage_hint"),
        triggers=_triggers(metadata),
        tags=_tags(metadata.get("ss_tag_frequency", "")),
        alpha=_alpha(metadata),
    )


def clean(text: str, length: int) -> str:
    """Make one line of printable text of at most `length` characters."""
    # What lies far beyond the cap is not worth the time: metadata may be megabytes long.
    line = " ".join(text[: 8 * length].split())
    kept = "".join(c for c in line if c in _JOINERS or unicodedata.category(c)[0] != "C")
    return kept if len(kept) <= length else f"{kept[: length - 1].rstrip()}…"


def _triggers(metadata: Mapping[str, str]) -> tuple[str, ...]:
    keys = ("modelspec.trigger_phrase", "trigger_words", "trigger_word", "ss_trigger_words")
    text = next((metadata[key] for key in keys if metadata.get(key)), "")
    return _words(re.split(r"[,;\n]", text[: 4 * _TEXT_LENGTH].strip("[] ")))


def _tags(text: str) -> tuple[str, ...]:
    """Add up kohya's counts, `{"folder": {"tag": 12}}`, over all folders."""
    counts: Counter[str] = Counter()
    for folder in _json_object(text).values():
        if isinstance(folder, dict):
            counts.update({tag: n for tag, n in folder.items() if type(n) is int and n > 0})
    return _words(tag for tag, _ in counts.most_common(2 * _WORDS))


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    words = (clean(text.strip(" '\""), _WORD_LENGTH) for text in texts)
    once = {word.casefold(): word for word in reversed([word for word in words if word])}
    return tuple(reversed(once.values()))[:_WORDS]


def _alpha(metadata: Mapping[str, str]) -> float | None:
    adapter = _json_object(metadata.get("lora_adapter_metadata", ""))
    alpha = adapter.get("transformer.lora_alpha", adapter.get("lora_alpha"))
    try:
        value = float(metadata.get("ss_network_alpha", "") if alpha is None else str(alpha))
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None


def _json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
