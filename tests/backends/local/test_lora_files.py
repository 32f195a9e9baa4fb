"""Reading LoRA files: names and strengths of every layout, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin
from transformers import CLIPTextConfig, CLIPTextModel

from backends.base import LoraFile
from backends.errors import LoraRejected
from backends.local.lora_files import LoraWeights, read_lora
from backends.local.lora_names import LayerNames
from tests.fakes.lora_layouts import Tensors, down_up, prefixed, underscored
from tests.fakes.tiny_flux import build_pipeline, random_lora


def test_the_last_modulation_swaps_shift_and_scale(
    names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    layer = build_pipeline().transformer.norm_out.linear
    down, up = torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2)
    key = "diffusion_model.final_layer.adaLN_modulation.1"
    lora = write({f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up})
    read = read_lora(lora.path, lora.name, names, torch.float32)
    half = layer.out_features // 2
    expected = torch.cat((up[half:], up[:half]))
    assert torch.equal(read.parts["transformer"]["norm_out.linear"].up, expected)


@pytest.fixture(scope="module")
def real_width() -> LayerNames:
    """The names of a FLUX.1 with its true widths but one block of each sort, without weights."""
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(
            num_layers=1, num_single_layers=1, guidance_embeds=True
        )
        clip = CLIPTextModel(CLIPTextConfig(num_hidden_layers=1))
    return LayerNames("FLUX.1", transformer, clip)


def original_at_real_width(rank: int) -> Tensors:
    """What a trainer on the original FLUX.1 code writes for one block of each sort."""
    generator = torch.Generator().manual_seed(0)
    width = 3072
    shapes = {"double_blocks.0.img_mod.lin": (6 * width, width)}
    for side in ("img", "txt"):
        shapes |= {
            f"double_blocks.0.{side}_attn.qkv": (3 * width, width),
            f"double_blocks.0.{side}_attn.proj": (width, width),
            f"double_blocks.0.{side}_mlp.0": (4 * width, width),
            f"double_blocks.0.{side}_mlp.2": (width, 4 * width),
            f"double_blocks.0.{side}_mod.lin": (6 * width, width),
        }
    shapes |= {
        "single_blocks.0.linear1": (7 * width, width),
        "single_blocks.0.linear2": (width, 5 * width),
        "single_blocks.0.modulation.lin": (3 * width, width),
    }
    return {
        f"{name}.lora_{letter}.weight": torch.randn(*shape, generator=generator)
        for name, (rows, columns) in shapes.items()
        for letter, shape in (("A", (rank, columns)), ("B", (rows, rank)))
    }


@pytest.mark.parametrize("layout", ["kohya", "ComfyUI, down and up"])
def test_names_and_strengths_agree_with_diffusers_converter_at_real_width(
    layout: str, real_width: LayerNames, write: Callable[..., LoraFile]
) -> None:
    factors = original_at_real_width(rank=4)
    if layout == "kohya":
        tensors = underscored("lora_unet_", factors)
        tensors = {n: t / 8 if n.endswith("alpha") else t for n, t in tensors.items()}
    else:
        tensors = down_up(prefixed("diffusion_model.", factors))
    lora = write(tensors)
    ours = read_lora(lora.path, lora.name, real_width, torch.float32).parts["transformer"]
    theirs: Tensors = FluxLoraLoaderMixin.lora_state_dict(dict(tensors))
    assert {f"transformer.{layer}" for layer in ours} == {
        name.partition(".lora_")[0] for name in theirs
    }
    for layer, mine in ours.items():
        probe = torch.ones(mine.down.shape[1]) / mine.down.shape[1]
        down = theirs[f"transformer.{layer}.lora_A.weight"]
        up = theirs[f"transformer.{layer}.lora_B.weight"]
        assert torch.allclose(mine.up @ (mine.down @ probe), up @ (down @ probe), atol=1e-6)


@pytest.mark.parametrize(
    "prefix",
    [
        "text_encoder.",
        "text_encoder.text_model.",
        "text_encoders.clip_l.transformer.text_model.",
        "lora_te1_text_model_",
        "lora_te_text_model_",
    ],
)
def test_the_clip_part_of_every_layout_is_found(
    prefix: str, names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    factors = random_lora(build_pipeline().text_encoder, seed=4)
    tensors = prefixed(prefix, factors) if "." in prefix else underscored(prefix, factors)
    lora = write(tensors)
    parts = read_lora(lora.path, lora.name, names, torch.float32).parts
    assert len(parts["text_encoder"]) == len(factors) / 2
    assert not parts["transformer"]


def ups(weights: LoraWeights) -> Tensors:
    return {layer: factors.up for layer, factors in weights.parts["transformer"].items()}


@pytest.mark.parametrize(
    ("metadata", "factor"),
    [
        ({"transformer.r": 4, "transformer.lora_alpha": 8}, 2.0),
        ({"transformer.lora_alpha": 4, "transformer.use_rslora": True}, 2.0),
        (
            {
                "transformer.lora_alpha": 4,
                "transformer.alpha_pattern": {"^proj_out": 1, "x_embedder": 2},
            },
            1.0,
        ),
        ({"text_encoder.lora_alpha": 99}, 1.0),
    ],
)
def test_the_alpha_of_diffusers_metadata_is_baked_in(
    metadata: object,
    factor: float,
    names: LayerNames,
    reference: Tensors,
    write: Callable[..., LoraFile],
) -> None:
    lora = write(reference, metadata={"lora_adapter_metadata": json.dumps(metadata)})
    found = ups(read_lora(lora.path, lora.name, names, torch.float32))
    patterns = {"proj_out": 0.25, "x_embedder": 0.5} if "pattern" in str(metadata) else {}
    for layer, up in found.items():
        expected = reference[f"{layer}.lora_B.weight"] * patterns.get(layer, factor)
        assert torch.equal(up, expected), layer


def test_a_lora_of_another_model_is_refused_as_a_whole(
    names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    lora = write(original_at_real_width(rank=1))
    with pytest.raises(LoraRejected, match=r"none of its layers fits FLUX\.1 \(first: "):
        read_lora(lora.path, lora.name, names, torch.float32)


@pytest.mark.parametrize("data", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_damaged_file_is_refused(data: bytes, names: LayerNames, tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(data)
    with pytest.raises(LoraRejected, match="damaged or is not a safetensors file"):
        read_lora(path, "ghibli", names, torch.float32)


@pytest.mark.parametrize("metadata", ["{", "[]", '{"transformer.lora_alpha": "big"}', "[" * 9999])
def test_metadata_that_cannot_be_read_is_refused(
    metadata: str, names: LayerNames, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    lora = write(reference, metadata={"lora_adapter_metadata": metadata})
    with pytest.raises(LoraRejected, match="lora_adapter_metadata cannot be read"):
        read_lora(lora.path, lora.name, names, torch.float32)


def test_strange_parts_that_are_zero_are_ignored(
    names: LayerNames, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    """Trainers write untouched text encoders and biases as zeros."""
    lora = write(
        reference
        | {
            "lora_te3_encoder_block_0.lora_down.weight": torch.ones(2, 8),
            "lora_te3_encoder_block_0.lora_up.weight": torch.zeros(8, 2),
            "lora_te3_encoder_block_0.alpha": torch.tensor(2.0),
            "proj_out.diff_b": torch.zeros(16),
        }
    )
    parts = read_lora(lora.path, lora.name, names, torch.float32).parts
    assert len(parts["transformer"]) == len(reference) / 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("alpha", [4.0, 1.0])
def test_factors_of_any_precision_are_read_in_that_of_the_model(
    dtype: torch.dtype,
    alpha: float,
    names: LayerNames,
    reference: Tensors,
    write: Callable[..., LoraFile],
) -> None:
    stored = {name: tensor.to(dtype) for name, tensor in reference.items()}
    alphas = {
        name.replace("lora_A.weight", "alpha"): torch.tensor(alpha)
        for name in reference
        if "lora_A" in name
    }
    lora = write(stored | alphas)
    parts = read_lora(lora.path, lora.name, names, torch.float32).parts
    for layer, factors in parts["transformer"].items():
        assert torch.equal(factors.down, stored[f"{layer}.lora_A.weight"].float())
        assert torch.equal(factors.up, stored[f"{layer}.lora_B.weight"].float() * alpha / 4)
