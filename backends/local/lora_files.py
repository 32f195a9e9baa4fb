"""Reads LoRA files of every common layout into one form, and refuses what does not fit.

diffusers drops names that it does not know without an error, so they are mapped and counted here:
every tensor of a file must land in a layer of the model with a fitting shape.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backends.errors import LoraRejected, shown
from backends.local.lora_names import LayerNames, Part, Slot


@dataclass(frozen=True, slots=True)
class Factors:
    """A layer's change with alpha included: its weight becomes `weight + scale * up @ down`.

    `down` is `[rank, in_features]`, `up` is `[out_features, rank]`.
    """

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """A whole file: the factors of each part of the model by diffusers' layer names."""

    parts: Mapping[Part, Mapping[str, Factors]]

    @property
    def nbytes(self) -> int:
        layers = [layer for part in self.parts.values() for layer in part.values()]
        return sum(layer.down.nbytes + layer.up.nbytes for layer in layers)


def read_lora(path: Path, name: str, layers: LayerNames, dtype: torch.dtype) -> LoraWeights:
    """Read a LoRA file, which people call `name`, for the model of `layers`.

    Parts that are zero throughout are left out, wherever they belong.

    Raises:
        LoraRejected: the file is damaged, of another kind, made for another model, or changes
            nothing at all.
    """
    entries, strengths = _read(path, name)
    parts: dict[Part, dict[str, Factors]] = {"transformer": {}, "text_encoder": {}}
    strays = []
    for own_name, entry in entries.items():
        slot = layers.find(own_name)
        if slot is None or not entry.fits(slot):
            if slot is not None or entry.changes_something:
                strays.append(own_name)
            continue
        for layer, factors in _layers_of(entry, slot, strengths[slot.part], dtype):
            if layer in parts[slot.part]:
                raise LoraRejected(name, f"it describes the layer {layer} twice.")
            parts[slot.part][layer] = factors
    if strays:
        do = "does" if len(strays) == 1 else "do"
        share = f"{len(strays)} of its {len(entries)} layers {do} not fit"
        if len(strays) == len(entries):
            share = "none of its layers fits"
        raise LoraRejected(name, f"{share} {layers.model} (first: {shown(strays[0])}).")
    changes: dict[Part, dict[str, Factors]] = {
        part: {layer: factors for layer, factors in all_of_it.items() if _nonzero(factors)}
        for part, all_of_it in parts.items()
    }
    if not any(changes.values()):
        raise LoraRejected(name, "it changes nothing, because all of its layers are zero.")
    return LoraWeights(changes)


_FACTOR: Final = re.compile(
    r"(.+?)\.(?:lora_|lora\.|lora_linear_layer\.)?(A|B|down|up)(?:\.\w+)?\.weight"
)
_OTHER_KINDS: Final = MappingProxyType(
    {
        ".dora_scale": "a DoRA",
        ".lora_magnitude_vector": "a DoRA",
        ".lokr_": "a LoKr",
        ".hada_": "a LoHa",
        ".oft_": "an OFT",
    }
)
_DAMAGED: Final = "the file is damaged or is not a safetensors file."


class _Strength(BaseModel):
    """How diffusers' own metadata says to scale a part; without it alpha equals the rank."""

    lora_alpha: float | None = None
    alpha_pattern: dict[str, float] = {}
    use_rslora: bool = False

    def scale(self, layer: str, rank: int) -> float:
        patterns = self.alpha_pattern.items()
        alpha = next((a for pattern, a in patterns if _names(pattern, layer)), self.lora_alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


@dataclass(slots=True)
class _Entry:
    """What a file holds under one of its own layer names; `others` are not zero."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None
    others: list[Tensor] = field(default_factory=list)

    @property
    def changes_something(self) -> bool:
        return bool(self.others) or (self.up is not None and _peak(self.up) > 0)

    def fits(self, slot: Slot) -> bool:
        return (
            not self.others
            and self.down is not None
            and self.up is not None
            and self.down.ndim == self.up.ndim == 2
            and self.down.shape[0] == self.up.shape[1] > 0
            and self.down.shape[1] == slot.columns
            and self.up.shape[0] == sum(slot.rows)
        )


def _read(path: Path, name: str) -> tuple[dict[str, _Entry], dict[Part, _Strength]]:
    entries: dict[str, _Entry] = {}
    try:
        with safe_open(path, framework="pt") as file:
            strengths = _strengths(file.metadata() or {}, name)
            for key in file.keys():  # noqa: SIM118 - the file is not a mapping
                _place(entries, key, file.get_tensor(key), name)
    except (OSError, SafetensorError):
        raise LoraRejected(name, _DAMAGED) from None
    return entries, strengths


def _place(entries: dict[str, _Entry], key: str, tensor: Tensor, name: str) -> None:
    for sign, kind in _OTHER_KINDS.items():
        if sign in key:
            raise LoraRejected(
                name, f"it is {kind}, and only plain LoRAs can be used; ask for a plain LoRA of it."
            )
    peak = _peak(tensor)
    if not math.isfinite(peak):
        raise LoraRejected(name, f"{shown(key)} holds values that are not numbers.")
    factor = _FACTOR.fullmatch(key)
    if factor is None and peak == 0:
        return
    path = factor[1] if factor else key.rpartition(".")[0] or key
    entry = entries.setdefault(path, _Entry())
    if factor and factor[2] in {"A", "down"} and entry.down is None:
        entry.down = tensor
    elif factor and factor[2] in {"B", "up"} and entry.up is None:
        entry.up = tensor
    elif key.endswith(".alpha") and tensor.numel() == 1:
        entry.alpha = float(tensor)
    else:
        entry.others.append(tensor)


def _strengths(metadata: Mapping[str, str], name: str) -> dict[Part, _Strength]:
    fields: dict[str, object] = {}
    if text := metadata.get("lora_adapter_metadata"):
        try:
            fields = TypeAdapter(dict[str, object]).validate_json(text)
            return {
                "transformer": _Strength.model_validate(_below("transformer", fields)),
                "text_encoder": _Strength.model_validate(_below("text_encoder", fields)),
            }
        except ValidationError:
            raise LoraRejected(name, "its lora_adapter_metadata cannot be read.") from None
    return {"transformer": _Strength(), "text_encoder": _Strength()}


def _below(part: Part, fields: Mapping[str, object]) -> dict[str, object]:
    start = f"{part}."
    return {
        key.removeprefix(start): value for key, value in fields.items() if key.startswith(start)
    }


def _names(pattern: str, layer: str) -> bool:
    """Match as peft does, but without running the file's text as a regular expression."""
    if pattern.startswith("^"):
        return pattern[1:] == layer
    return f".{layer}".endswith(f".{pattern}")


def _layers_of(
    entry: _Entry, slot: Slot, strength: _Strength, dtype: torch.dtype
) -> Iterator[tuple[str, Factors]]:
    if entry.down is None or entry.up is None:
        return
    rank = entry.down.shape[0]
    up = entry.up
    if slot.swapped:
        shift, scale = up.chunk(2)
        up = torch.cat((scale, shift))
    # A copy, because sums in the last bit depend on how memory is aligned, which in a file is
    # a matter of its layout.
    down = entry.down.to(dtype, copy=True)
    for layer, rows in zip(slot.layers, torch.split(up, list(slot.rows)), strict=True):
        factor = strength.scale(layer, rank) if entry.alpha is None else entry.alpha / rank
        scaled = rows if factor == 1 else rows.float() * factor
        yield layer, Factors(down, scaled.to(dtype, copy=True))


def _nonzero(factors: Factors) -> bool:
    return _peak(factors.down) > 0 and _peak(factors.up) > 0


def _peak(tensor: Tensor) -> float:
    """Return the largest magnitude, in one pass; it is not finite when any value is not."""
    if not tensor.numel():
        return 0.0
    # There are no comparisons of 8-bit floats.
    low, high = torch.aminmax(tensor.float() if tensor.element_size() == 1 else tensor)
    return max(abs(float(low)), abs(float(high)))
