"""LoRA files of every layout, what is refused, and switching between many of them."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from backends.base import LoraFile
from backends.errors import LoraRejected
from backends.local.lora_files import LoraWeights, read_lora
from backends.local.lora_names import LayerNames
from backends.local.loras import PeftLoras
from tests.fakes.tiny_flux import random_lora, save_lora

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


@pytest.fixture(scope="module")
def loaded(tiny_flux: Path) -> tuple[Any, LayerNames]:
    pipeline = FluxPipeline.from_pretrained(tiny_flux, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, LayerNames("FLUX.1", pipeline.transformer, pipeline.text_encoder)


@pytest.fixture
def pipeline(loaded: tuple[Any, LayerNames]) -> Iterator[Any]:
    yield loaded[0]
    loaded[0].unload_lora_weights()


@pytest.fixture
def names(loaded: tuple[Any, LayerNames]) -> LayerNames:
    return loaded[1]


@pytest.fixture
def loras(pipeline: Any, names: LayerNames) -> PeftLoras:
    return PeftLoras(pipeline, names, budget=2**30)


@pytest.fixture
def reference(pipeline: Any) -> Tensors:
    """Factors by diffusers' layer names; layers that the original code fuses share theirs."""
    factors = random_lora(pipeline.transformer, seed=1)
    for layers in ORIGINAL.values():
        for layer in layers[1:]:
            factors[f"{layer}.lora_A.weight"] = factors[f"{layers[0]}.lora_A.weight"]
    return {
        f"{layer}.lora_{letter}.weight": factors[f"{layer}.lora_{letter}.weight"]
        for layers in ORIGINAL.values()
        for layer in layers
        for letter in "AB"
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., LoraFile]:
    def file(
        factors: Tensors,
        scale: float = 1.0,
        metadata: Mapping[str, str] | None = None,
        name: str = "ghibli",
    ) -> LoraFile:
        path = save_lora(tmp_path / f"{len(list(tmp_path.iterdir()))}.st", factors, metadata)
        return LoraFile(name, hashlib.sha256(path.read_bytes()).hexdigest(), path, scale)

    return file


def draw(pipeline: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    options = {"num_inference_steps": 2, "generator": generator, "output_type": "latent"}
    latents: Tensor = pipeline("a red circle", width=64, height=64, **options).images
    return latents


def silent(_event: object) -> None:
    pass


def scaled(lora: LoraFile, scale: float) -> LoraFile:
    return LoraFile(lora.name, lora.sha256, lora.path, scale)


# --- Layouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_effect_of_diffusers_own(
    layout: str,
    pipeline: Any,
    loras: PeftLoras,
    reference: Tensors,
    write: Callable[..., LoraFile],
) -> None:
    base = draw(pipeline)
    loras.apply([write(prefixed("transformer.", reference))], silent)
    expected = draw(pipeline)
    loras.apply([write(LAYOUTS[layout](reference))], silent)
    assert torch.equal(draw(pipeline), expected)
    assert (expected - base).abs().mean() > 0.01


def test_the_xlabs_layout_has_the_effect_of_diffusers_own(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    attention = {name: t for name, t in reference.items() if ".attn." in name}
    attention |= {name: t for name, t in reference.items() if "blocks.1.proj_out" in name}
    attention = {n: t for n, t in attention.items() if not n.startswith("single") or "1." in n}
    loras.apply([write(attention)], silent)
    expected = draw(pipeline)
    loras.apply([write(xlabs(reference))], silent)
    assert torch.equal(draw(pipeline), expected)


def test_the_last_modulation_swaps_shift_and_scale(
    pipeline: Any, names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    layer = pipeline.transformer.norm_out.linear
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
    prefix: str, pipeline: Any, names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    factors = random_lora(pipeline.text_encoder, seed=4)
    tensors = prefixed(prefix, factors) if "." in prefix else underscored(prefix, factors)
    lora = write(tensors)
    parts = read_lora(lora.path, lora.name, names, torch.float32).parts
    assert len(parts["text_encoder"]) == len(factors) / 2
    assert not parts["transformer"]


# --- Strength ---------------------------------------------------------------------------------


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


def test_an_alpha_of_half_the_rank_is_half_the_scale(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    loras.apply([write(reference, 0.5)], silent)
    expected = draw(pipeline)
    halved = {
        name: tensor / 2 if name.endswith("alpha") else tensor
        for name, tensor in underscored("lora_unet_", reference).items()
    }
    loras.apply([write(halved)], silent)
    assert torch.equal(draw(pipeline), expected)


def test_layers_of_different_ranks_all_count_in_full(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    loras.apply([write(reference)], silent)
    expected = draw(pipeline)
    padded = dict(reference)  # the same change with rank 8, the other half being zero
    down, up = padded["proj_out.lora_A.weight"], padded["proj_out.lora_B.weight"]
    padded["proj_out.lora_A.weight"] = torch.cat((down, torch.zeros_like(down)))
    padded["proj_out.lora_B.weight"] = torch.cat((up, torch.ones_like(up)), dim=1)
    loras.apply([write(padded)], silent)
    assert torch.allclose(draw(pipeline), expected, atol=1e-5)


# --- Switching --------------------------------------------------------------------------------


def test_scale_zero_is_the_same_as_no_lora_bit_by_bit(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    base = draw(pipeline)
    lora = write(reference)
    loras.apply([lora], silent)
    assert not torch.equal(draw(pipeline), base)
    loras.apply([scaled(lora, 0)], silent)
    assert torch.equal(draw(pipeline), base)
    loras.apply([lora], silent)
    loras.apply([], silent)
    assert torch.equal(draw(pipeline), base)


def test_only_the_loras_of_the_request_take_effect_whatever_was_loaded_before(
    pipeline: Any, loras: PeftLoras, write: Callable[..., LoraFile]
) -> None:
    first = write(random_lora(pipeline.transformer, seed=1), 0.5)
    second = write(random_lora(pipeline.transformer, seed=2), -0.5)
    loras.apply([first], silent)
    alone = draw(pipeline)
    loras.apply([first, second], silent)
    both = draw(pipeline)
    loras.apply([second], silent)
    assert not torch.equal(draw(pipeline), alone)
    loras.apply([first], silent)
    assert torch.equal(draw(pipeline), alone)
    loras.apply([second, first], silent)
    assert torch.equal(draw(pipeline), both)
    assert not torch.equal(both, alone)


def test_the_same_lora_twice_counts_with_the_sum_of_its_scales(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    base = draw(pipeline)
    lora = write(reference)
    loras.apply([scaled(lora, 0.75)], silent)
    expected = draw(pipeline)
    loras.apply([scaled(lora, 0.5), scaled(lora, 0.25)], silent)
    assert torch.equal(draw(pipeline), expected)
    loras.apply([scaled(lora, 1), scaled(lora, -1)], silent)
    assert torch.equal(draw(pipeline), base)


def test_the_least_recently_used_loras_are_unloaded_beyond_the_budget(
    pipeline: Any, names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    files = [write(random_lora(pipeline.transformer, seed=seed)) for seed in range(3)]
    size = read_lora(files[0].path, "any", names, torch.float32).nbytes
    loras = PeftLoras(pipeline, names, budget=2 * size)
    adapters = [f"lora_{file.sha256[:12]}" for file in files]

    def resident() -> set[str]:
        return {name for names in pipeline.get_list_adapters().values() for name in names}

    pictures = []
    for file in files[:2]:
        loras.apply([file], silent)
        pictures.append(draw(pipeline))
    loras.apply([files[0]], silent)
    loras.apply([files[2]], silent)
    assert resident() == {adapters[0], adapters[2]}
    loras.apply(files, silent)  # all are in use, so none can go
    assert resident() == set(adapters)
    loras.apply([files[1]], silent)
    assert torch.equal(draw(pipeline), pictures[1])


def test_the_text_state_tells_when_prompts_must_be_encoded_anew(
    pipeline: Any, loras: PeftLoras, write: Callable[..., LoraFile]
) -> None:
    plain = write(random_lora(pipeline.transformer, seed=1))
    clip = write(
        prefixed("text_encoder.", random_lora(pipeline.text_encoder, seed=2))
        | prefixed("transformer.", random_lora(pipeline.transformer, seed=3))
    )

    def embedding() -> Tensor:
        pooled: Tensor = pipeline.encode_prompt("a red circle", max_sequence_length=16)[1]
        return pooled

    base = embedding()
    assert loras.apply([plain], silent) == ()
    assert torch.equal(embedding(), base)
    full = loras.apply([clip, plain], silent)
    assert full == ((clip.sha256, 1.0),)
    changed = embedding()
    assert not torch.equal(changed, base)
    assert loras.apply([scaled(clip, 0.5)], silent) == ((clip.sha256, 0.5),)
    assert not torch.equal(embedding(), changed)
    assert loras.apply([], silent) == ()
    assert torch.equal(embedding(), base)


def test_a_lora_for_the_text_encoder_alone_works_by_itself_and_beside_others(
    pipeline: Any, loras: PeftLoras, write: Callable[..., LoraFile]
) -> None:
    base = draw(pipeline)
    text = write(prefixed("lora_te1_", random_lora(pipeline.text_encoder, seed=2)))
    plain = write(random_lora(pipeline.transformer, seed=1))
    assert loras.apply([text], silent) == ((text.sha256, 1.0),)
    alone = draw(pipeline)
    assert not torch.equal(alone, base)
    loras.apply([text, plain], silent)
    assert not torch.equal(draw(pipeline), alone)
    loras.apply([text], silent)
    assert torch.equal(draw(pipeline), alone)
    loras.apply([], silent)
    assert torch.equal(draw(pipeline), base)


# --- Refusals ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a stranger", r"1 of its 18 layers does not fit FLUX\.1 \(first: “lora_unet_input_blocks"),
        ("another width", r"1 of its 17 layers does not fit FLUX\.1 \(first: “lora_unet_double_b"),
        ("another depth", r"1 of its 18 layers does not fit FLUX\.1 .*double_blocks_7"),
        ("one half", "1 of its 17 layers does not fit"),
        ("not a matrix", "1 of its 17 layers does not fit"),
        ("a bias", "1 of its 17 layers does not fit"),
        ("T5", "1 of its 18 layers does not fit .*text_encoder_2"),
        ("NaN", "lora_up.weight” holds values that are not numbers"),
        ("infinite alpha", "alpha” holds values that are not numbers"),
        ("DoRA", "it is a DoRA, and only plain LoRAs"),
        ("DoRA of peft", "it is a DoRA, and only plain LoRAs"),
        ("LoKr", "it is a LoKr, and only plain LoRAs"),
        ("LoHa", "it is a LoHa, and only plain LoRAs"),
        ("twice", r"it describes the layer \S+ twice"),
        ("zero", "it changes nothing"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason_and_leaves_the_model_as_it_was(
    how: str,
    said: str,
    pipeline: Any,
    loras: PeftLoras,
    reference: Tensors,
    write: Callable[..., LoraFile],
) -> None:
    base = draw(pipeline)
    with pytest.raises(LoraRejected, match=f"^The LoRA ghibli cannot be used: .*{said}"):
        loras.apply([write(broken(reference, how))], silent)
    assert torch.equal(draw(pipeline), base)
    assert not pipeline.get_list_adapters()


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


def test_a_lora_that_diffusers_would_not_apply_is_refused(
    pipeline: Any,
    loras: PeftLoras,
    reference: Tensors,
    write: Callable[..., LoraFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "load_lora_weights", lambda *_args, **_kwargs: None)
    with pytest.raises(LoraRejected, match="24 of its layers could not be applied"):
        loras.apply([write(reference)], silent)
