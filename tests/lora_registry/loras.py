"""LoRA files made in code, with the layer names and widths of real ones; bodies are sparse."""

import json
from collections.abc import Mapping
from pathlib import Path

Shape = tuple[int, ...]
Layers = dict[str, tuple[int, int]]
"""Inputs and outputs by layer name."""

Tensors = dict[str, tuple[str, Shape]]
"""Type and shape by tensor name."""

SIZES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4,
         "U8": 1}  # fmt: skip


def flux1(width: int = 3072, doubles: int = 19, singles: int = 38) -> Layers:
    """Every linear layer of FLUX.1's blocks under diffusers' names: 494 of them."""
    d = width
    double = {
        **{f"attn.{name}": (d, d) for name in ("to_q", "to_k", "to_v", "to_out.0", "to_add_out")},
        **{f"attn.add_{name}_proj": (d, d) for name in "qkv"},
        **{f"{ff}.net.0.proj": (d, 4 * d) for ff in ("ff", "ff_context")},
        **{f"{ff}.net.2": (4 * d, d) for ff in ("ff", "ff_context")},
        **{f"{norm}.linear": (d, 6 * d) for norm in ("norm1", "norm1_context")},
    }
    single = {
        **{f"attn.to_{name}": (d, d) for name in "qkv"},
        "proj_mlp": (d, 4 * d),
        "proj_out": (5 * d, d),
        "norm.linear": (d, 3 * d),
    }
    return _blocks("transformer_blocks", doubles, double) | _blocks(
        "single_transformer_blocks", singles, single
    )


def flux1_original(width: int = 3072, doubles: int = 19, singles: int = 38) -> Layers:
    """The same under Black Forest Labs' names."""
    d = width
    double = {
        f"{stream}_{name}": shape
        for stream in ("img", "txt")
        for name, shape in {
            "attn.qkv": (d, 3 * d),
            "attn.proj": (d, d),
            "mlp.0": (d, 4 * d),
            "mlp.2": (4 * d, d),
            "mod.lin": (d, 6 * d),
        }.items()
    }
    single = {"linear1": (d, 7 * d), "linear2": (5 * d, d), "modulation.lin": (d, 3 * d)}
    return _blocks("double_blocks", doubles, double) | _blocks("single_blocks", singles, single)


def flux2(width: int = 6144, doubles: int = 8, singles: int = 48) -> Layers:
    """Every linear layer of FLUX.2's blocks under diffusers' names: 192 of them for [dev]."""
    d = width
    double = {
        **{f"attn.{name}": (d, d) for name in ("to_q", "to_k", "to_v", "to_out.0", "to_add_out")},
        **{f"attn.add_{name}_proj": (d, d) for name in "qkv"},
        **{f"{ff}.linear_in": (d, 6 * d) for ff in ("ff", "ff_context")},
        **{f"{ff}.linear_out": (3 * d, d) for ff in ("ff", "ff_context")},
    }
    single = {"attn.to_qkv_mlp_proj": (d, 9 * d), "attn.to_out": (4 * d, d)}
    return _blocks("transformer_blocks", doubles, double) | _blocks(
        "single_transformer_blocks", singles, single
    )


def flux2_original(width: int = 6144, doubles: int = 8, singles: int = 48) -> Layers:
    """The same under Black Forest Labs' names."""
    d = width
    double = {
        f"{stream}_{name}": shape
        for stream in ("img", "txt")
        for name, shape in {
            "attn.qkv": (d, 3 * d),
            "attn.proj": (d, d),
            "mlp.0": (d, 6 * d),
            "mlp.2": (3 * d, d),
        }.items()
    }
    single = {"linear1": (d, 9 * d), "linear2": (4 * d, d)}
    return _blocks("double_blocks", doubles, double) | _blocks("single_blocks", singles, single)


KLEIN_4B = (3072, 5, 20)
KLEIN_9B = (4096, 8, 24)


def only(layers: Layers, *parts: str) -> Layers:
    """The layers whose names have one of `parts` in them."""
    return {name: shape for name, shape in layers.items() if any(part in name for part in parts)}


def _blocks(name: str, count: int, layers: Layers) -> Layers:
    return {f"{name}.{i}.{layer}": shape for i in range(count) for layer, shape in layers.items()}


def factors(
    layers: Layers,
    *,
    prefix: str = "transformer.",
    halves: tuple[str, str] = ("lora_A", "lora_B"),
    rank: int = 16,
    alpha: bool = False,
    underscores: bool = False,
    dtype: str = "BF16",
) -> Tensors:
    """The two factors of every layer, named the way a trainer does."""
    tensors: Tensors = {}
    for layer, (inputs, outputs) in layers.items():
        name = prefix + (layer.replace(".", "_") if underscores else layer)
        tensors[f"{name}.{halves[0]}.weight"] = (dtype, (rank, inputs))
        tensors[f"{name}.{halves[1]}.weight"] = (dtype, (outputs, rank))
        if alpha:
            tensors[f"{name}.alpha"] = (dtype, ())
    return tensors


def kohya(layers: Layers, *, prefix: str = "lora_unet_", rank: int = 16) -> Tensors:
    return factors(
        layers,
        prefix=prefix,
        halves=("lora_down", "lora_up"),
        rank=rank,
        alpha=True,
        underscores=True,
    )


def xlabs(rank: int = 16) -> Tensors:
    """XLabs' LoRA processors: 152 pairs."""
    shapes = {
        **{f"double_blocks.{i}.processor.qkv_lora{n}": (3072, 9216)
           for i in range(19) for n in (1, 2)},
        **{f"double_blocks.{i}.processor.proj_lora{n}": (3072, 3072)
           for i in range(19) for n in (1, 2)},
        **{f"single_blocks.{i}.processor.qkv_lora": (3072, 9216) for i in range(38)},
        **{f"single_blocks.{i}.processor.proj_lora": (15360, 3072) for i in range(38)},
    }  # fmt: skip
    return factors(shapes, prefix="", halves=("down", "up"), rank=rank)


def bfl_control(rank: int = 128) -> Tensors:
    """FLUX.1 Canny and Depth as LoRAs: every layer, biases, scales of norms, a wider `img_in`."""
    outer = {
        "img_in": (128, 3072),
        "txt_in": (4096, 3072),
        "time_in.in_layer": (256, 3072),
        "time_in.out_layer": (3072, 3072),
        "vector_in.in_layer": (768, 3072),
        "vector_in.out_layer": (3072, 3072),
        "guidance_in.in_layer": (256, 3072),
        "guidance_in.out_layer": (3072, 3072),
        "final_layer.linear": (3072, 64),
        "final_layer.adaLN_modulation.1": (3072, 6144),
    }
    tensors = factors(flux1_original() | outer, prefix="", rank=rank)
    for layer, (_, outputs) in outer.items():
        tensors[f"{layer}.lora_B.bias"] = ("BF16", (outputs,))
    for i in range(19):
        for stream in ("img", "txt"):
            for norm in ("query_norm", "key_norm"):
                tensors[f"double_blocks.{i}.{stream}_attn.norm.{norm}.scale"] = ("BF16", (128,))
    return tensors


def lokr(
    layers: Layers, *, prefix: str = "diffusion_model.", factor: int = 8, rank: int = 16
) -> Tensors:
    """LyCORIS' Kronecker factors: a small whole one and a decomposed large one."""
    tensors: Tensors = {}
    for layer, (inputs, outputs) in layers.items():
        tensors[f"{prefix}{layer}.lokr_w1"] = ("BF16", (factor, factor))
        tensors[f"{prefix}{layer}.lokr_w2_a"] = ("BF16", (outputs // factor, rank))
        tensors[f"{prefix}{layer}.lokr_w2_b"] = ("BF16", (rank, inputs // factor))
        tensors[f"{prefix}{layer}.alpha"] = ("BF16", ())
    return tensors


def loha(layers: Layers, *, prefix: str = "lora_unet_", rank: int = 8) -> Tensors:
    tensors: Tensors = {}
    for layer, (inputs, outputs) in layers.items():
        name = prefix + layer.replace(".", "_")
        for half in ("hada_w1", "hada_w2"):
            tensors[f"{name}.{half}_a"] = ("F16", (outputs, rank))
            tensors[f"{name}.{half}_b"] = ("F16", (rank, inputs))
        tensors[f"{name}.alpha"] = ("F16", ())
    return tensors


def header(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """The bytes up to the first tensor, and how many bytes the tensors have."""
    entries: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    position = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype]
        for dimension in shape:
            size *= dimension
        entries[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [position, position + size],
        }
        position += size
    return framed(json.dumps(entries).encode()), position


def framed(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def write(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a file whose tensors are all zero and take no room on the disk."""
    start, size = header(tensors, metadata)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + size)
    return path
