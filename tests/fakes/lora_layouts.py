"""The layouts in which trainers write the same FLUX.1 LoRA, made from diffusers' own."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tests.fakes.tiny_flux import random_lora

Tensors = dict[str, Tensor]

# One layer of every sort in the original FLUX.1 code, and what diffusers makes of it.
ORIGINAL: Mapping[str, tuple[str, ...]] = {
    "double_blocks.1.img_attn.qkv": tuple(
        f"transformer_blocks.1.attn.to_{letter}" for letter in "qkv"
    ),
    "double_blocks.0.txt_attn.qkv": tuple(
        f"transformer_blocks.0.attn.add_{letter}_proj" for letter in "qkv"
    ),
    "double_blocks.0.img_attn.proj": ("transformer_blocks.0.attn.to_out.0",),
    "double_blocks.0.txt_attn.proj": ("transformer_blocks.0.attn.to_add_out",),
    "double_blocks.0.img_mlp.0": ("transformer_blocks.0.ff.net.0.proj",),
    "double_blocks.1.txt_mlp.2": ("transformer_blocks.1.ff_context.net.2",),
    "double_blocks.1.img_mod.lin": ("transformer_blocks.1.norm1.linear",),
    "double_blocks.1.txt_mod.lin": ("transformer_blocks.1.norm1_context.linear",),
    "single_blocks.0.linear1": (
        *(f"single_transformer_blocks.0.attn.to_{letter}" for letter in "qkv"),
        "single_transformer_blocks.0.proj_mlp",
    ),
    "single_blocks.1.linear2": ("single_transformer_blocks.1.proj_out",),
    "single_blocks.1.modulation.lin": ("single_transformer_blocks.1.norm.linear",),
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "final_layer.linear": ("proj_out",),
}


def reference_factors(transformer: nn.Module) -> Tensors:
    """Random factors by diffusers' names; layers that the original code fuses share theirs."""
    factors = random_lora(transformer, seed=1)
    for layers in ORIGINAL.values():
        for layer in layers[1:]:
            factors[f"{layer}.lora_A.weight"] = factors[f"{layers[0]}.lora_A.weight"]
    return {
        f"{layer}.lora_{letter}.weight": factors[f"{layer}.lora_{letter}.weight"]
        for layers in ORIGINAL.values()
        for layer in layers
        for letter in "AB"
    }


def original(factors: Tensors) -> Tensors:
    """Fuse the reference's layers as the original FLUX.1 code does."""
    fused = {}
    for name, layers in ORIGINAL.items():
        fused[f"{name}.lora_A.weight"] = factors[f"{layers[0]}.lora_A.weight"]
        ups = [factors[f"{layer}.lora_B.weight"] for layer in layers]
        fused[f"{name}.lora_B.weight"] = torch.cat(ups)
    return fused


def prefixed(prefix: str, factors: Tensors) -> Tensors:
    return {f"{prefix}{name}": tensor for name, tensor in factors.items()}


def down_up(factors: Tensors) -> Tensors:
    return {
        name.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor
        for name, tensor in factors.items()
    }


def underscored(prefix: str, factors: Tensors) -> Tensors:
    """Name layers as kohya and OneTrainer do, with an alpha that equals the rank."""
    renamed = {}
    for name, tensor in down_up(factors).items():
        layer, _, rest = name.partition(".lora_")
        key = prefix + layer.replace(".", "_")
        renamed[f"{key}.lora_{rest}"] = tensor
        if "down" in rest:
            renamed[f"{key}.alpha"] = torch.tensor(float(tensor.shape[0]))
    return renamed


def xlabs(factors: Tensors) -> Tensors:
    fused = original(factors)
    names = {
        "double_blocks.1.img_attn.qkv": "double_blocks.1.processor.qkv_lora1",
        "double_blocks.0.txt_attn.qkv": "double_blocks.0.processor.qkv_lora2",
        "double_blocks.0.img_attn.proj": "double_blocks.0.processor.proj_lora1",
        "double_blocks.0.txt_attn.proj": "double_blocks.0.processor.proj_lora2",
        "single_blocks.1.linear2": "single_blocks.1.processor.proj_lora",
    }
    return {
        f"{own}.{side}.weight": fused[f"{name}.lora_{letter}.weight"]
        for name, own in names.items()
        for side, letter in (("down", "A"), ("up", "B"))
    }


LAYOUTS: Mapping[str, Callable[[Tensors], Tensors]] = {
    "bare": lambda factors: factors,
    "peft folder": lambda factors: prefixed("base_model.model.", factors),
    "peft folder of a pipeline": lambda f: prefixed("base_model.model.transformer.", f),
    "transformer, down and up": lambda factors: down_up(prefixed("transformer.", factors)),
    "diffusion_model, diffusers' layers": lambda f: prefixed("diffusion_model.", f),
    "OneTrainer": lambda factors: underscored("lora_transformer_", factors),
    "kohya": lambda factors: underscored("lora_unet_", original(factors)),
    "ComfyUI, down and up": lambda f: down_up(prefixed("diffusion_model.", original(f))),
    "ComfyUI, A and B": lambda factors: prefixed("diffusion_model.", original(factors)),
    "model.diffusion_model": lambda f: prefixed("model.diffusion_model.", original(f)),
    "fal trainer": lambda factors: prefixed("base_model.model.", original(factors)),
    "original, bare": original,
}


def broken(factors: Tensors, how: str) -> Tensors:
    """Spoil a good file in one way."""
    first = "double_blocks.0.img_mlp.0"
    kohya = underscored("lora_unet_", original(factors))
    key = f"lora_unet_{first.replace('.', '_')}"
    up = kohya[f"{key}.lora_up.weight"]
    match how:
        case "a stranger":
            return kohya | {
                "lora_unet_input_blocks_1.lora_down.weight": torch.ones(2, 8),
                "lora_unet_input_blocks_1.lora_up.weight": torch.ones(8, 2),
            }
        case "another width":
            return kohya | {f"{key}.lora_up.weight": torch.ones(up.shape[0] * 2, up.shape[1])}
        case "another depth":
            return kohya | underscored(
                "lora_unet_",
                {
                    "double_blocks.7.img_mlp.0.lora_A.weight": torch.ones(2, 32),
                    "double_blocks.7.img_mlp.0.lora_B.weight": torch.ones(128, 2),
                },
            )
        case "one half":
            return {n: t for n, t in kohya.items() if n != f"{key}.lora_down.weight"}
        case "not a matrix":
            return kohya | {f"{key}.lora_up.weight": up[..., None, None]}
        case "a bias":
            return kohya | {f"{key}.diff_b": torch.ones(128)}
        case "T5":
            t5 = random_lora(torch.nn.Sequential(torch.nn.Linear(8, 8)))
            return kohya | prefixed("text_encoder_2.encoder.", t5)
        case "NaN":
            return kohya | {f"{key}.lora_up.weight": torch.full_like(up, float("nan"))}
        case "infinite alpha":
            return kohya | {f"{key}.alpha": torch.tensor(float("inf"))}
        case "DoRA":
            return kohya | {f"{key}.dora_scale": torch.ones(128, 1)}
        case "DoRA of peft":
            return kohya | {f"{key}.lora_magnitude_vector": torch.ones(128)}
        case "LoKr":
            return kohya | {f"{key}.lokr_w1": torch.ones(4, 4)}
        case "LoHa":
            return kohya | {f"{key}.hada_w1_a": torch.ones(4, 4)}
        case "twice":
            return kohya | factors
        case "zero":
            return {n: t * ("lora_up" not in n) for n, t in kohya.items()}
        case _:
            raise AssertionError(how)
