"""Looks into a LoRA file without loading it: is it sound, and what was it made for?

Only the safetensors header is read (17 to 200 kB in real files), so the first bytes of a remote
file are enough. The limits are our own and stricter than the format's, which allows duplicate
names, 100 MB of header and values that are not numbers. Everything blocks and belongs in a thread.

    WeightsError            str(error) is a sentence for people: the problem and what to do
    ├── NotSafetensors      another kind of file
    ├── Damaged             header, offsets, shapes or values contradict each other
    ├── LimitExceeded       sound perhaps, but larger than anything a LoRA needs
    ├── NotALora            safetensors without the factors of a LoRA
    ├── WrongModel          a LoRA for another model
    └── HeaderIncomplete    more of the file's first bytes are needed
"""

import enum
import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lora_registry._declared import Declared, clean, read_declared
from lora_registry._families import (
    Family,
    FluxModel,
    Layout,
    find_family,
    find_layout,
    is_text_encoder,
)
from lora_registry._safetensors import (
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    Damaged,
    Header,
    HeaderIncomplete,
    LimitExceeded,
    NotSafetensors,
    Tensor,
    WeightsError,
    parse_header,
)
from lora_registry._safetensors import check_values as check_all_values

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_RANK",
    "MAX_TENSORS",
    "Algorithm",
    "Damaged",
    "Declared",
    "Family",
    "FluxModel",
    "Header",
    "HeaderIncomplete",
    "Layout",
    "LimitExceeded",
    "LoraInfo",
    "NotALora",
    "NotSafetensors",
    "Tensor",
    "WeightsError",
    "WrongModel",
    "inspect",
    "inspect_header",
    "parse_header",
]

MAX_RANK: Final = 512

_FIRST_READ: Final = 64 * 1024
_FLOATS: Final = frozenset({"F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2"})
_WHOLE: Final = frozenset({"I64", "I32"})


class NotALora(WeightsError):
    """The file is sound, but holds something else than a LoRA."""


class WrongModel(WeightsError):
    """The LoRA was made for another model."""


class Algorithm(enum.StrEnum):
    """How the changes are stored."""

    LORA = "lora"
    LOKR = "lokr"
    LOHA = "loha"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class LoraInfo:
    """What a LoRA file is.

    `width` is the FLUX model's hidden width as the layers show it, also where no released model
    has it; a loader refuses one that is not its own. `ranks` are all that occur, ascending; empty
    where a LoKr has no low-rank factor. `layers` counts those that are changed, `others` the
    tensors that are neither factors nor their scales (norms, biases, whole differences).
    `has_alpha` says that the file scales its layers by tensors of their own. `size` is the whole
    file's, in bytes.
    """

    family: Family
    layout: Layout
    algorithm: Algorithm
    width: int | None
    ranks: tuple[int, ...]
    layers: int
    others: int
    dtypes: tuple[str, ...]
    has_alpha: bool
    dora: bool
    text_encoder: bool
    size: int
    declared: Declared

    def require_model(self, model: FluxModel) -> None:
        """Let pass what may fit `model`; a loader still compares every shape.

        Raises:
            WrongModel: it was made for another one.
        """
        family = self.family
        if family.model == model or family is Family.FLUX_1_OR_KLEIN_4B:
            return
        if family is Family.UNKNOWN:
            message = "The layers of this LoRA are those of no FLUX model"
        else:
            message = f"This LoRA was made for {family.label}, not for {model}"
        fix = f"choose the model {family.model}" if family.model else f"use a LoRA for {model}"
        raise WrongModel(f"{message}; {fix}.")


_PART: Final = re.compile(
    r"(.+?)(?:"
    r"\.(?:lora_|lora\.|lora_linear_layer\.)(A|B|down|up|mid)(?:\.\w+)?\.weight"
    r"|(?:(?<=_lora)|(?<=_lora\d))\.(down|up)\.weight"
    r"|\.(alpha|(?:lokr|hada)_\w+|(?:dora_scale|lora_magnitude_vector)(?:\.\w+)*)"
    r")"
)
"""A layer and the role of a tensor in it, in the spellings of peft, kohya, old diffusers, XLabs
and LyCORIS."""

_ROLES: Final = MappingProxyType(
    {"A": "down", "B": "up", "dora_scale": "dora", "lora_magnitude_vector": "dora"}
)
_OTHER_ADAPTER: Final = re.compile(r".*\.(?:b?oft_\w+|diff(?:_b)?|ia3_\w+)")
_EMBEDDING: Final = frozenset({"emb_params", "clip_l", "clip_g", "t5xxl", "string_to_param"})


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer that is changed, by its linear size; `flat` unless it is a convolution."""

    inputs: int
    outputs: int
    ranks: tuple[int, ...]
    flat: bool
    algorithm: Algorithm


def inspect(path: Path, *, check_values: bool = False) -> LoraInfo:
    """Look into a file on disk; with `check_values` all of it is read and every value checked.

    200 MB of values take a fifth of a second beside the reading.

    Raises:
        WeightsError: see the tree above.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(_FIRST_READ)
        try:
            header = parse_header(start, size)
        except HeaderIncomplete as error:
            header = parse_header(start + file.read(error.needed - len(start)), size)
        info = _describe(header)
        if check_values:
            check_all_values(file, header)
    return info


def inspect_header(first_bytes: bytes, total_size: int | None) -> LoraInfo:
    """Look into a remote file by its first bytes; `total_size` is the file's where it is known.

    Raises:
        HeaderIncomplete: `needed` bytes must be read instead.
        WeightsError: see the tree above.
    """
    return _describe(parse_header(first_bytes, total_size))


def _describe(header: Header) -> LoraInfo:
    parts, others = _group(header.tensors)
    layers = {name: _layer(name, tensors) for name, tensors in parts.items()}
    denoiser = {name: layer for name, layer in layers.items() if not is_text_encoder(name)}
    if not denoiser:
        raise NotALora(_name_the_content(header.tensors, has_layers=bool(layers)))
    declared = read_declared(header.metadata)
    shapes = {name: (layer.inputs, layer.outputs) for name, layer in denoiser.items()}
    family, width = find_family(shapes, declared.architecture)
    if width is not None and not all(layer.flat for layer in layers.values()):
        raise Damaged("it has factors with more than two dimensions, and FLUX no layer for them")
    algorithms = {layer.algorithm for layer in layers.values()}
    roles = {role for tensors in parts.values() for role in tensors}
    return LoraInfo(
        family=family,
        layout=find_layout(denoiser, header.tensors),
        algorithm=algorithms.pop() if len(algorithms) == 1 else Algorithm.MIXED,
        width=width,
        ranks=tuple(sorted({rank for layer in layers.values() for rank in layer.ranks})),
        layers=len(layers),
        others=others,
        dtypes=tuple(sorted({tensor.dtype for tensor in header.tensors.values()})),
        has_alpha="alpha" in roles,
        dora="dora" in roles,
        text_encoder=len(denoiser) < len(layers),
        size=header.size,
        declared=declared,
    )


def _group(tensors: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], int]:
    """Sort the tensors by layer and role, and count those that have none."""
    layers: dict[str, dict[str, Tensor]] = {}
    others = 0
    for name, tensor in tensors.items():
        if (found := _PART.fullmatch(name)) is None:
            others += 1
            continue
        role = (found[2] or found[3] or found[4]).partition(".")[0]
        role = _ROLES.get(role, role)
        if role == "alpha" and math.prod(tensor.shape) != 1:
            raise Damaged(f"“{clean(name, 80)}” is not one number")
        # Some trainers store alpha as a whole number.
        if tensor.dtype not in _FLOATS | (_WHOLE if role == "alpha" else set()):
            raise NotALora(
                f"This LoRA stores “{clean(name, 80)}” as {tensor.dtype}, not as floating point. "
                "Use a version of it in BF16 or F16."
            )
        if role in layers.setdefault(found[1], {}):
            raise Damaged(f"“{clean(name, 80)}” is there twice, in two spellings")
        layers[found[1]][role] = tensor
    return layers, others


def _layer(name: str, tensors: Mapping[str, Tensor]) -> _Layer:
    """Work out the size of a layer from its factors."""
    if "up" in tensors or "down" in tensors:
        algorithm = Algorithm.LORA
        rows, columns, ranks, flat = _product(name, tensors, "up", "down")
    elif any(role.startswith("hada_") for role in tensors):
        algorithm = Algorithm.LOHA
        rows, columns, ranks, flat = _product(name, tensors, "hada_w1_a", "hada_w1_b", "hada_t1")
        second = _product(name, tensors, "hada_w2_a", "hada_w2_b", "hada_t2")
        if second[:2] != (rows, columns):
            raise _damaged_layer(name, "has factors that do not go together")
        ranks += second[2]
    elif any(role.startswith("lokr_") for role in tensors):
        algorithm = Algorithm.LOKR
        left = _product(name, tensors, "lokr_w1_a", "lokr_w1_b", whole="lokr_w1")
        right = _product(name, tensors, "lokr_w2_a", "lokr_w2_b", "lokr_t2", whole="lokr_w2")
        rows, columns = left[0] * right[0], left[1] * right[1]
        ranks, flat = left[2] + right[2], left[3] and right[3]
    else:
        raise _damaged_layer(name, "has scales, but no factors")
    if ranks and max(ranks) > MAX_RANK:
        raise LimitExceeded("rank", max(ranks), MAX_RANK)
    return _Layer(columns, rows, ranks, flat, algorithm)


def _product(
    layer: str,
    tensors: Mapping[str, Tensor],
    left: str,
    right: str,
    core: str = "mid",
    *,
    whole: str = "",
) -> tuple[int, int, tuple[int, ...], bool]:
    """Give rows, columns and rank of `left @ right`, or of `whole` where that is stored.

    Factors are 2-D; those of a convolution are 4-D, or have a 4-D core between them, and then the
    rank comes first in LyCORIS' factors.
    """
    if whole in tensors:
        shape = tensors[whole].shape
        if len(shape) not in {2, 4}:
            raise _damaged_layer(layer, f"has a factor with {len(shape)} dimensions")
        return shape[0], shape[1], (), len(shape) == 2
    if left not in tensors or right not in tensors:
        raise _damaged_layer(layer, "lacks one of its factors")
    a, b = tensors[left].shape, tensors[right].shape
    if len(a) not in {2, 4} or len(a) != len(b):
        raise _damaged_layer(layer, f"has factors with {len(a)} and {len(b)} dimensions")
    turned = core in tensors and core != "mid"
    rank, rows = (a[0], a[1]) if turned else (a[1], a[0])
    if rank != b[0]:
        raise _damaged_layer(layer, f"has factors of rank {rank:,} and {b[0]:,}")
    return rows, b[1], (rank,), len(a) == 2 and core not in tensors


def _damaged_layer(layer: str, problem: str) -> Damaged:
    return Damaged(f"the layer “{clean(layer, 80)}” {problem}")


def _name_the_content(names: Collection[str], *, has_layers: bool) -> str:
    """Say what a sound file without a LoRA for a picture model is, and what to do."""
    if has_layers:
        return (
            "This LoRA changes only a text encoder, nothing that draws. "
            "Use one that changes the model itself."
        )
    if not names:
        return "The file holds no tensors. Download it again or use another copy."
    if not _EMBEDDING.isdisjoint(names):
        return "This is an embedding (textual inversion), not a LoRA. Use a LoRA."
    if any(_OTHER_ADAPTER.fullmatch(name) for name in names):
        return "This file changes a model in another way than a LoRA. Use a LoRA, LoKr or LoHa."
    return "This is a whole model or a part of one, not a LoRA. Use a LoRA for it."
