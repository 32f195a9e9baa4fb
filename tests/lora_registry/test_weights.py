"""Safetensors inspection: every layout and family, hostile files, and unvouched text."""

import json
import os
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from lora_registry import _safetensors, weights
from lora_registry.weights import (
    Algorithm,
    Damaged,
    Family,
    HeaderIncomplete,
    Layout,
    LimitExceeded,
    LoraInfo,
    NotALora,
    NotSafetensors,
    WeightsError,
    WrongModel,
    inspect,
    inspect_header,
    parse_header,
)
from tests.lora_registry import loras
from tests.lora_registry.loras import KLEIN_4B, KLEIN_9B, Tensors, factors, kohya, only

reference: Callable[[bytes], list[tuple[str, object]]] = deserialize
"""The format's own reader."""

F1, F2 = loras.flux1(), loras.flux2()
O1, O2 = loras.flux1_original(), loras.flux2_original()
DOWN_UP = ("lora_down", "lora_up")


def look(tensors: Tensors, **metadata: str) -> LoraInfo:
    start, size = loras.header(tensors, metadata)
    return inspect_header(start, len(start) + size)


# --- Layouts -----------------------------------------------------------------------------------

TEXT = {f"lora_te1_text_model_encoder_layers_{i}_self_attn_q_proj": (768, 768) for i in range(12)}

LAYOUTS: list[tuple[str, Tensors, Family, Layout, Algorithm]] = [
    ("diffusers", factors(F1), Family.FLUX_1, Layout.DIFFUSERS, Algorithm.LORA),
    ("old diffusers", factors(F1, halves=("lora.down", "lora.up")), Family.FLUX_1,
     Layout.DIFFUSERS, Algorithm.LORA),
    ("diffusers with down and up", factors(F1, halves=DOWN_UP, alpha=True), Family.FLUX_1,
     Layout.DIFFUSERS, Algorithm.LORA),
    ("kohya", kohya(O1), Family.FLUX_1, Layout.KOHYA, Algorithm.LORA),
    ("comfy", factors(O1, prefix="diffusion_model.", halves=DOWN_UP), Family.FLUX_1,
     Layout.COMFY, Algorithm.LORA),
    ("ai-toolkit", factors(O1, prefix="diffusion_model."), Family.FLUX_1, Layout.AI_TOOLKIT,
     Algorithm.LORA),
    ("comfy with diffusers' names", factors(F1, prefix="diffusion_model."), Family.FLUX_1,
     Layout.AI_TOOLKIT, Algorithm.LORA),
    ("peft", factors(F1, prefix="base_model.model."), Family.FLUX_1, Layout.PEFT, Algorithm.LORA),
    ("peft with adapter name",
     factors(F1, prefix="base_model.model.transformer.",
             halves=("lora_A.default", "lora_B.default")),
     Family.FLUX_1, Layout.PEFT, Algorithm.LORA),
    ("bare", factors(F1, prefix=""), Family.FLUX_1, Layout.BARE, Algorithm.LORA),
    ("bare original", factors(O1, prefix=""), Family.FLUX_1, Layout.BARE, Algorithm.LORA),
    ("xlabs", loras.xlabs(), Family.FLUX_1, Layout.XLABS, Algorithm.LORA),
    ("bfl control", loras.bfl_control(), Family.FLUX_1, Layout.BFL_CONTROL, Algorithm.LORA),
    ("onetrainer", kohya(F1, prefix="lora_transformer_"), Family.FLUX_1, Layout.ONETRAINER,
     Algorithm.LORA),
    ("lokr", loras.lokr(O1), Family.FLUX_1, Layout.AI_TOOLKIT, Algorithm.LOKR),
    ("loha", loras.loha(O1), Family.FLUX_1, Layout.KOHYA, Algorithm.LOHA),
    ("mixed prefixes", factors(F1) | kohya(O1), Family.FLUX_1, Layout.MIXED, Algorithm.LORA),
    ("mixed algorithms",
     factors(only(O1, "double"), prefix="diffusion_model.") | loras.lokr(only(O1, "single")),
     Family.FLUX_1, Layout.AI_TOOLKIT, Algorithm.MIXED),
    ("flux 2 diffusers", factors(F2), Family.FLUX_2_DEV, Layout.DIFFUSERS, Algorithm.LORA),
    ("flux 2 kohya", kohya(O2), Family.FLUX_2_DEV, Layout.KOHYA, Algorithm.LORA),
    ("flux 2 comfy", factors(O2, prefix="diffusion_model.", halves=DOWN_UP), Family.FLUX_2_DEV,
     Layout.COMFY, Algorithm.LORA),
    ("flux 2 ai-toolkit with alpha", factors(O2, prefix="diffusion_model.", alpha=True),
     Family.FLUX_2_DEV, Layout.AI_TOOLKIT, Algorithm.LORA),
    ("flux 2 peft", factors(F2, prefix="base_model.model."), Family.FLUX_2_DEV, Layout.PEFT,
     Algorithm.LORA),
    ("flux 2 bare", factors(F2, prefix=""), Family.FLUX_2_DEV, Layout.BARE, Algorithm.LORA),
    ("flux 2 lokr", loras.lokr(O2), Family.FLUX_2_DEV, Layout.AI_TOOLKIT, Algorithm.LOKR),
    ("flux 2 lycoris",
     {name.replace(".", "_", name.count(".") - 1): entry
      for name, entry in loras.lokr(F2, prefix="lycoris_").items()},
     Family.FLUX_2_DEV, Layout.LYCORIS, Algorithm.LOKR),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tensors", "family", "layout", "algorithm"),
    [case[1:] for case in LAYOUTS],
    ids=[case[0] for case in LAYOUTS],
)
def test_every_layout_that_trainers_write_is_told_apart(
    tensors: Tensors, family: Family, layout: Layout, algorithm: Algorithm
) -> None:
    info = look(tensors)
    assert (info.family, info.layout, info.algorithm) == (family, layout, algorithm)
    assert info.width == (3072 if family is Family.FLUX_1 else 6144)


def test_a_real_sized_file_is_described_in_full(tmp_path: Path) -> None:
    path = loras.write(tmp_path / "lora.safetensors", kohya(O1, rank=32) | kohya(TEXT, prefix=""))
    info = inspect(path)
    assert info == LoraInfo(
        family=Family.FLUX_1,
        layout=Layout.KOHYA,
        algorithm=Algorithm.LORA,
        width=3072,
        ranks=(16, 32),
        layers=19 * 10 + 38 * 3 + 12,
        others=0,
        dtypes=("BF16",),
        has_alpha=True,
        dora=False,
        text_encoder=True,
        size=path.stat().st_size,
        declared=weights.Declared(),
    )


def test_a_plain_diffusers_file_has_no_alpha_no_text_encoder_and_494_layers() -> None:
    info = look(factors(F1))
    assert (info.layers, info.ranks, info.has_alpha, info.text_encoder) == (
        494,
        (16,),
        False,
        False,
    )


def test_norms_and_biases_beside_the_factors_are_counted() -> None:
    assert look(loras.bfl_control()).others == 10 + 19 * 4


@pytest.mark.parametrize(
    "name", ["lora_magnitude_vector", "lora_magnitude_vector.default.weight", "dora_scale"]
)
def test_a_dora_is_flagged(name: str) -> None:
    layers = only(F1, "single_transformer_blocks.0.")
    magnitudes: Tensors = {
        f"transformer.{layer}.{name}": ("F32", (outputs,)) for layer, (_, outputs) in layers.items()
    }
    info = look(factors(layers) | magnitudes)
    assert info.dora
    assert info.layers == len(layers)
    assert info.others == 0


def test_a_whole_kronecker_factor_has_no_rank() -> None:
    layers = only(O1, "linear1")
    whole: Tensors = {}
    for layer, (inputs, outputs) in layers.items():
        whole[f"diffusion_model.{layer}.lokr_w1"] = ("BF16", (4, 4))
        whole[f"diffusion_model.{layer}.lokr_w2"] = ("BF16", (outputs // 4, inputs // 4))
    info = look(whole)
    assert (info.family, info.ranks) == (Family.FLUX_1, ())


def test_a_tucker_factor_of_lycoris_is_read_by_its_own_order() -> None:
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    info = look(
        {
            f"{name}.hada_t1": ("F16", (8, 8, 3, 3)),
            f"{name}.hada_w1_a": ("F16", (8, 640)),
            f"{name}.hada_w1_b": ("F16", (8, 320)),
            f"{name}.hada_t2": ("F16", (8, 8, 3, 3)),
            f"{name}.hada_w2_a": ("F16", (8, 640)),
            f"{name}.hada_w2_b": ("F16", (8, 320)),
        }
    )
    assert (info.family, info.ranks) == (Family.STABLE_DIFFUSION, (8,))


def test_alpha_may_be_a_whole_number_but_a_factor_may_not() -> None:
    tensors = kohya(only(O1, "linear1"))
    name = next(name for name in tensors if name.endswith(".alpha"))
    assert look(tensors | {name: ("I64", ())}).has_alpha
    factor = name.replace(".alpha", ".lora_down.weight")
    with pytest.raises(NotALora, match="U8"):
        look(tensors | {factor: ("U8", (16, 3072))})


# --- Families ----------------------------------------------------------------------------------

QKV = ("attn.to_q", "attn.to_k", "attn.to_v")


def unet(text_width: int, *, depth: int = 1) -> Tensors:
    """Kohya's attention and convolution layers of a Stable Diffusion UNet."""
    layers = {
        f"down_blocks_1_attentions_0_transformer_blocks_{i}_attn2_to_{name}": (text_width, 640)
        for i in range(depth)
        for name in "kv"
    }
    convolution: Tensors = {
        "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight": ("F16", (16, 320, 3, 3)),
        "lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight": ("F16", (320, 16, 1, 1)),
        "lora_unet_down_blocks_0_resnets_0_conv1.alpha": ("F16", ()),
    }
    return kohya(layers) | convolution


def one(layer: str, inputs: int, outputs: int, prefix: str = "") -> Tensors:
    return factors({layer: (inputs, outputs)}, prefix=prefix)


FAMILIES: list[tuple[str, Tensors, Family, int | None]] = [
    ("klein 4B", factors(loras.flux2(*KLEIN_4B)), Family.KLEIN_4B, 3072),
    ("klein 4B original", factors(loras.flux2_original(*KLEIN_4B)), Family.KLEIN_4B, 3072),
    ("klein 9B", factors(loras.flux2(*KLEIN_9B)), Family.KLEIN_9B, 4096),
    ("klein 9B original", kohya(loras.flux2_original(*KLEIN_9B)), Family.KLEIN_9B, 4096),
    ("klein 4B attention",
     factors(only(loras.flux2_original(*KLEIN_4B), "attn"), prefix="diffusion_model."),
     Family.FLUX_1_OR_KLEIN_4B, 3072),
    ("klein 4B feed-forward only", factors(only(loras.flux2_original(*KLEIN_4B), "mlp.0")),
     Family.KLEIN_4B, 3072),
    ("klein 4B LoKr", loras.lokr(loras.flux2_original(*KLEIN_4B)), Family.KLEIN_4B, 3072),
    ("klein 9B attention", factors(only(loras.flux2(*KLEIN_9B), "attn.to_k")), Family.KLEIN_9B,
     4096),
    ("dev attention", factors(only(F2, "attn.to_k", "attn.to_v")), Family.FLUX_2_DEV, 6144),
    ("dev single blocks", factors(only(O2, "single_blocks")), Family.FLUX_2_DEV, 6144),
    ("dev modulation",
     one("double_stream_modulation_img.linear", 6144, 36864, "transformer."), Family.FLUX_2_DEV,
     6144),
    ("FLUX.1 attention of all blocks", factors(only(F1, *QKV)), Family.FLUX_1, 3072),
    ("FLUX.1 attention of the double blocks",
     factors(only(F1, "add_q_proj", "to_add_out")), Family.FLUX_1, 3072),
    ("attention of five double blocks", factors(only(loras.flux1(doubles=5, singles=0), *QKV)),
     Family.FLUX_1_OR_KLEIN_4B, 3072),
    ("attention of six double blocks", factors(only(loras.flux1(doubles=6, singles=0), *QKV)),
     Family.FLUX_1, 3072),
    ("one single block's linear2 of FLUX.1", one("single_blocks.7.linear2", 15360, 3072),
     Family.FLUX_1, 3072),
    ("one single block's linear2 of klein 4B", one("single_blocks.7.linear2", 12288, 3072),
     Family.KLEIN_4B, 3072),
    ("FLUX.1 txt_in", one("txt_in", 4096, 3072), Family.FLUX_1, 3072),
    ("klein 4B txt_in", one("txt_in", 7680, 3072), Family.KLEIN_4B, 3072),
    ("klein 9B context_embedder", one("context_embedder", 12288, 4096), Family.KLEIN_9B, 4096),
    ("dev context_embedder", one("context_embedder", 15360, 6144), Family.FLUX_2_DEV, 6144),
    ("a tiny FLUX.1", factors(loras.flux1(128, 2, 4)), Family.FLUX_1, 128),
    ("a tiny FLUX.1 with 20 blocks", factors(loras.flux1(192, 20, 60)), Family.FLUX_1, 192),
    ("a tiny FLUX.2", factors(loras.flux2(64, 1, 1)), Family.FLUX_2, 64),
    ("tiny attention", factors(only(loras.flux1(128, 2, 0), *QKV)), Family.UNKNOWN, None),
    ("SDXL kohya", unet(2048, depth=10), Family.SDXL, None),
    ("SD 1", unet(768), Family.SD_1, None),
    ("SD 2", unet(1024), Family.SD_2, None),
    ("SDXL diffusers",
     one("up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v", 2048, 1280, "unet."),
     Family.SDXL, None),
    ("SDXL, old names",
     one("unet.up_blocks.0.attentions.0.transformer_blocks.3.attn1.processor.to_q_lora", 640, 640),
     Family.SDXL, None),
    ("SDXL original names",
     kohya({"input_blocks_4_1_transformer_blocks_1_attn1_to_q": (640, 640)}), Family.SDXL, None),
    ("some UNet", kohya({"mid_block_attentions_0_proj_in": (1280, 1280)}),
     Family.STABLE_DIFFUSION, None),
    ("SD 3 medium",
     factors(only(loras.flux1(1536, 24, 0), "attn.to_q", "ff.net.2"), prefix="transformer."),
     Family.SD_3, None),
    ("SD 3.5 large original",
     kohya({"joint_blocks_0_x_block_attn_qkv": (2432, 7296)}), Family.SD_3, None),
    ("AuraFlow",
     one("joint_transformer_blocks.0.attn.to_q", 3072, 3072, "transformer."), Family.AURAFLOW,
     None),
    ("Chroma", kohya(O1 | {"distilled_guidance_layer_in_proj": (64, 5120)}), Family.CHROMA, None),
    ("Qwen-Image",
     factors({f"transformer_blocks.{i}.img_mlp.net.0.proj": (3072, 12288) for i in range(60)}),
     Family.QWEN_IMAGE, None),
    ("Qwen-Image attention", factors(only(loras.flux1(doubles=60, singles=0), *QKV)),
     Family.QWEN_IMAGE, None),
    ("HunyuanVideo",
     kohya({"double_blocks_0_img_mlp_fc1": (3072, 12288)}), Family.HUNYUAN_VIDEO, None),
    ("Wan", one("blocks.0.self_attn.q", 5120, 5120, "diffusion_model."), Family.WAN, None),
    ("Z-Image",
     one("layers.0.attention.to_q", 3840, 3840, "diffusion_model."), Family.Z_IMAGE, None),
    ("no picture model", one("model.layers.0.self_attn.q_proj", 4096, 4096), Family.UNKNOWN, None),
    ("both models at once",
     factors(only(F1, "ff.net.0")) | factors(only(loras.flux2(*KLEIN_4B), "ff.linear_in")),
     Family.UNKNOWN, None),
    ("two widths at once",
     factors(only(F1, "single_transformer_blocks.0.attn"))
     | factors(only(loras.flux1(128), "single_transformer_blocks.1.attn")), Family.UNKNOWN, None),
    ("a shape that no FLUX has", one("double_blocks.0.img_attn.qkv", 3072, 3072), Family.UNKNOWN,
     None),
    ("a shape that no FLUX has beside good ones",
     factors(only(O1, "double_blocks.1.")) | one("double_blocks.0.img_attn.qkv", 3072, 3072),
     Family.UNKNOWN, None),
    ("more blocks than FLUX.1 has", factors(loras.flux1(doubles=20)), Family.UNKNOWN, None),
    ("more blocks than klein has", factors(loras.flux2(3072, 6, 20)), Family.UNKNOWN, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tensors", "family", "width"),
    [case[1:] for case in FAMILIES],
    ids=[case[0] for case in FAMILIES],
)
def test_every_family_is_told_by_its_layers(
    tensors: Tensors, family: Family, width: int | None
) -> None:
    info = look(tensors)
    assert (info.family, info.width) == (family, width)


@pytest.mark.parametrize(
    ("declared", "family"),
    [
        ("flux-1-dev/lora", Family.FLUX_1),
        ("flux1", Family.FLUX_1),
        ("Flux.1-schnell", Family.FLUX_1),
        ("flux-2-klein-4b/lora", Family.KLEIN_4B),
        ("FLUX.2", Family.KLEIN_4B),
        ("klein", Family.KLEIN_4B),
        ("stable-diffusion-xl-v1-base/lora", Family.FLUX_1_OR_KLEIN_4B),
        ("", Family.FLUX_1_OR_KLEIN_4B),
    ],
)
@pytest.mark.parametrize("key", ["modelspec.architecture", "ss_base_model_version"])
def test_where_the_layers_leave_it_open_the_metadata_decides(
    key: str, declared: str, family: Family
) -> None:
    tensors = factors(only(loras.flux1(doubles=5, singles=0), *QKV))
    assert look(tensors, **{key: declared}).family is family


def test_metadata_cannot_talk_the_layers_down() -> None:
    claim = {"modelspec.architecture": "flux-2-dev/lora"}
    assert look(factors(F1), **claim).family is Family.FLUX_1
    assert look(factors(only(F1, "add_q_proj")), **claim).family is Family.FLUX_1
    assert look(unet(2048), **claim).family is Family.SDXL


def test_a_tiny_model_may_be_named_by_its_metadata() -> None:
    tensors = factors(only(loras.flux1(128, 2, 0), *QKV))
    info = look(tensors, **{"modelspec.architecture": "flux-1-dev/lora"})
    assert (info.family, info.width) == (Family.FLUX_1, 128)


@pytest.mark.parametrize(
    ("layers", "model", "refusal"),
    [
        (factors(F1), "flux-1", None),
        (factors(F2), "flux-2", None),
        (factors(loras.flux2(*KLEIN_4B)), "flux-2", None),
        (factors(only(loras.flux1(doubles=5, singles=0), *QKV)), "flux-1", None),
        (factors(only(loras.flux1(doubles=5, singles=0), *QKV)), "flux-2", None),
        (factors(F1), "flux-2", "made for FLUX.1, not for flux-2; choose the model flux-1."),
        (factors(F2), "flux-1", "made for FLUX.2 [dev], not for flux-1; choose the model flux-2."),
        (unet(2048), "flux-1", "Stable Diffusion XL, not for flux-1; use a LoRA for flux-1."),
        (one("x.y", 8, 8), "flux-2", "those of no FLUX model; use a LoRA for flux-2."),
    ],
)
def test_a_lora_for_another_model_is_refused_by_name(
    layers: Tensors, model: weights.FluxModel, refusal: str | None
) -> None:
    info = look(layers)
    if refusal is None:
        info.require_model(model)
    else:
        with pytest.raises(WrongModel, match=re.escape(refusal)):
            info.require_model(model)


def test_every_family_has_a_name_for_people_and_only_flux_has_a_model() -> None:
    assert len({family.label for family in Family}) == len(Family)
    assert {family for family in Family if family.model} == {
        Family.FLUX_1, Family.FLUX_2, Family.FLUX_2_DEV, Family.KLEIN_4B, Family.KLEIN_9B,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "config", "family"),
    [
        ("FluxTransformer2DModel", {"guidance_embeds": True}, Family.FLUX_1),
        ("Flux2Transformer2DModel", {}, Family.FLUX_2_DEV),
        (
            "Flux2Transformer2DModel",
            {
                "num_layers": 5,
                "num_single_layers": 20,
                "num_attention_heads": 24,
                "joint_attention_dim": 7680,
            },
            Family.KLEIN_4B,
        ),
    ],
)
def test_the_layers_of_diffusers_own_models_are_recognised_one_by_one(
    kind: str, config: dict[str, object], family: Family
) -> None:
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        model = getattr(diffusers, kind)(**config)
    layers = {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert look(factors(layers)).family is family
    for name, shape in layers.items():
        found = look(factors({name: shape})).family
        if name.startswith(("transformer_blocks", "single_transformer_blocks")):
            possible = {family, Family.FLUX_1_OR_KLEIN_4B}
            assert found in possible, name


# --- What a file says of itself ----------------------------------------------------------------

SMALL = factors(only(F1, "single_transformer_blocks.0."))


def test_what_trainers_write_into_the_metadata_is_read() -> None:
    declared = look(
        SMALL,
        **{
            "modelspec.title": "Dreamy",
            "modelspec.author": "Ann",
            "modelspec.architecture": "flux-1-dev/lora",
            "modelspec.license": "CC-BY-4.0",
            "modelspec.usage_hint": "0.6 to 0.9",
            "modelspec.trigger_phrase": "dreamy style, soft light",
            "ss_tag_frequency": json.dumps(
                {"10_dreamy": {"dreamy": 20, "a cat": 3, "sky": 7}, "2_more": {"a cat": 10}}
            ),
            "ss_network_alpha": "8.0",
        },
    ).declared
    assert declared == weights.Declared(
        title="Dreamy",
        author="Ann",
        architecture="flux-1-dev/lora",
        licence="CC-BY-4.0",
        usage_hint="0.6 to 0.9",
        triggers=("dreamy style", "soft light"),
        tags=("dreamy", "a cat", "sky"),
        alpha=8.0,
    )


@pytest.mark.parametrize(
    ("metadata", "alpha"),
    [
        ({"lora_adapter_metadata": '{"transformer.lora_alpha": 32, "transformer.r": 16}'}, 32.0),
        ({"lora_adapter_metadata": '{"lora_alpha": 4}', "ss_network_alpha": "1"}, 4.0),
        ({"lora_adapter_metadata": "[1]"}, None),
        ({"lora_adapter_metadata": "{" * 100_000}, None),
        ({"ss_network_alpha": "None"}, None),
        ({"ss_network_alpha": "nan"}, None),
        ({"ss_network_alpha": "-1"}, None),
        ({"ss_network_alpha": "1e400"}, None),
    ],
)
def test_alpha_is_read_from_metadata_where_it_is_a_sensible_number(
    metadata: dict[str, str], alpha: float | None
) -> None:
    assert look(SMALL, **metadata).declared.alpha == alpha


def test_untrusted_text_is_one_clean_line_of_bounded_length() -> None:
    declared = look(
        SMALL,
        **{
            "modelspec.title": "a\x00\x1b[31m\u202eb\n\n c\u200b\ud800 " + "x" * 100_000,
            "modelspec.trigger_phrase": "👩\u200d🎨 art,, ART , '\u2066', " + "y" * 500,
        },
    ).declared
    assert declared.title is not None
    assert declared.title.startswith("a[31mb cxxx"[:8])
    assert len(declared.title) == 200
    assert declared.title.endswith("…")
    assert declared.title.isprintable()
    assert declared.triggers[:2] == ("👩\u200d🎨 art", "ART")
    assert all(len(word) <= 80 for word in declared.triggers)


@pytest.mark.parametrize(
    "frequency",
    [
        "[]", "{", "null", '"x"', '{"a": 1}', '{"a": {"b": "c"}}', '{"a": {"b": true}}',
        '{"a": {"b": -1}}', '{"a": {"": 5}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_odd_tag_counts_are_left_out(frequency: str) -> None:
    assert look(SMALL, ss_tag_frequency=frequency).declared.tags == ()


def test_at_most_ten_trigger_words_and_tags_are_kept() -> None:
    words, counts = ",".join(f"word{i}" for i in range(50)), {f"tag{i}": 99 - i for i in range(50)}
    declared = look(
        SMALL, trigger_words=words, ss_tag_frequency=json.dumps({"folder": counts})
    ).declared
    assert declared.triggers == tuple(f"word{i}" for i in range(10))
    assert declared.tags == tuple(f"tag{i}" for i in range(10))


@given(st.dictionaries(st.sampled_from(["modelspec.title", "modelspec.trigger_phrase",
       "ss_tag_frequency", "lora_adapter_metadata", "ss_network_alpha", "license", "name"]),
       st.text()))  # fmt: skip
def test_no_metadata_breaks_the_inspection(metadata: dict[str, str]) -> None:
    declared = look(SMALL, **metadata).declared
    texts = [declared.title, declared.licence, *declared.triggers, *declared.tags]
    for text in filter(None, texts):
        assert "\n" not in text
        assert len(text) <= 200


# --- Other kinds of files ----------------------------------------------------------------------


def _zip(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"x", "not a safetensors file"),
        (b"\x00" * 8, "not a safetensors file"),
        (b"\x00" * 64, "not a safetensors file"),
        (b"<!DOCTYPE html><html>Sign in", "web page"),
        (b"\n\n  <HTML><body>404", "web page"),
        (b"\xef\xbb\xbf<html>", "web page"),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "message of the site"),
        (b'{"error": "Unauthorized"}', "message of the site"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n", "Git LFS"),
        (b"\x80\x02}q\x00(X\x05\x00\x00\x00model", "pickle"),
        (b"\x80\x05\x95\x10\x00\x00\x00\x00", "pickle"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "archive"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04\x00\x00", "archive"),
        (b"Rar!\x1a\x07\x01\x00\x00\x00", "archive"),
        (b"GGUF\x03\x00\x00\x00\x00\x00\x00", "GGUF"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "picture"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(data)
    with pytest.raises(NotSafetensors, match=words) as refused:
        inspect(path)
    assert re.search(r"\b([Uu]se|Check) ", str(refused.value))


def test_a_pytorch_checkpoint_is_named(tmp_path: Path) -> None:
    _zip(tmp_path / "model.ckpt")
    with pytest.raises(NotSafetensors, match="PyTorch checkpoint"):
        inspect(tmp_path / "model.ckpt")


def test_a_header_whose_length_looks_like_a_pickle_is_still_read() -> None:
    text, size = loras.header(SMALL)
    padded = text[8:].ljust(0x280 if len(text) < 0x280 else 0x10280)
    while len(padded) % 0x10000 != 0x280:
        padded += b" "
    data = loras.framed(padded)
    assert data[:2] == b"\x80\x02"
    assert inspect_header(data, len(data) + size).family is Family.FLUX_1


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "no tensors"),
        (kohya(TEXT, prefix=""), "only a text encoder"),
        ({"emb_params": ("F32", (8, 768))}, "textual inversion"),
        ({"clip_l": ("F32", (8, 768)), "clip_g": ("F32", (8, 1280))}, "textual inversion"),
        ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": ("BF16", (9216, 3072))},
         "whole model"),
        ({"transformer_blocks.0.attn.to_q.weight": ("BF16", (3072, 3072))}, "whole model"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.diff": ("BF16", (9216, 3072))}, "another way"),
        ({"oft_unet_double_blocks_0_img_attn_qkv.oft_blocks": ("BF16", (4, 8, 8))},
         "another way"),
    ],
)  # fmt: skip
def test_a_sound_file_without_a_lora_is_named(tensors: Tensors, words: str) -> None:
    with pytest.raises(NotALora, match=words):
        look(tensors)


# --- Broken and hostile headers ----------------------------------------------------------------


def entry(
    shape: object = (16, 3072), offsets: object = (0, 98304), dtype: object = "BF16"
) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


A = "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"
B = "transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight"
GOOD = {A: entry(), B: entry([3072, 16], [98304, 196608])}
BODY = 196608


def text(document: object) -> bytes:
    return json.dumps(document).encode()


BROKEN: dict[str, bytes] = {
    "no object": b"{} []",
    "cut short": text(GOOD)[:-1],
    "trailing comma": text(GOOD)[:-1] + b",}",
    "not UTF-8": text(GOOD).replace(b"to_q", b"to\xff\xfe"),
    "a name twice": b'{"a":%b,"a":%b}' % (text(entry()), text(entry())),
    "a field twice": b'{"a":{"dtype":"BF16","dtype":"F16","shape":[1],"data_offsets":[0,2]}}',
    "metadata twice": b'{"__metadata__":{},"__metadata__":{}}',
    "deep lists": b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    "deep objects": b'{"a":' * 90_000 + b"1" + b"}" * 90_000,
    "metadata not an object": text({"__metadata__": ["x"], **GOOD}),
    "metadata not text": text({"__metadata__": {"x": 1}, **GOOD}),
    "metadata nested": text({"__metadata__": {"x": {"y": "z"}}, **GOOD}),
    "entry not an object": text({A: [1, 2], B: GOOD[B]}),
    "entry null": text({A: None}),
    "no type": text({A: {"shape": [1], "data_offsets": [0, 2]}}),
    "no shape": text({A: {"dtype": "BF16", "data_offsets": [0, 2]}}),
    "no offsets": text({A: {"dtype": "BF16", "shape": [1]}}),
    "a field too many": text({A: {**entry(), "stride": [1]}, B: GOOD[B]}),
    "unknown type": text({A: entry(dtype="Q4_0"), B: GOOD[B]}),
    "type not text": text({A: entry(dtype=16), B: GOOD[B]}),
    "shape not a list": text({A: entry("16"), B: GOOD[B]}),
    "shape with text": text({A: entry(["16", 3072]), B: GOOD[B]}),
    "shape with a fraction": text({A: entry([16.0, 3072]), B: GOOD[B]}),
    "shape with true": text({A: entry([True, 49152]), B: GOOD[B]}),
    "negative shape": text({A: entry([-16, -3072]), B: GOOD[B]}),
    "empty tensor": text({A: entry([0, 3072], [0, 0]), B: entry([3072, 16], [0, 98304])}),
    "too many dimensions": text({A: entry([1] * 7 + [16, 3072]), B: GOOD[B]}),
    "a product that takes for ever": text({A: entry([10**4000] * 2000), B: GOOD[B]}),
    "numbers beyond any file": text({A: entry([10**4000], [0, 2 * 10**4000])}),
    "a number with too many digits": b'{"a":{"dtype":"F16","shape":[%b],"data_offsets":[0,2]}}'
    % (b"9" * 5000),
    "not a number": b'{"a":{"dtype":"F16","shape":[NaN],"data_offsets":[0,2]}}',
    "infinite": b'{"a":{"dtype":"F16","shape":[1e999],"data_offsets":[0,Infinity]}}',
    "one offset": text({A: entry(offsets=[98304]), B: GOOD[B]}),
    "three offsets": text({A: entry(offsets=[0, 98304, 0]), B: GOOD[B]}),
    "negative offset": text({A: entry(offsets=[-98304, 0]), B: GOOD[B]}),
    "offsets the wrong way round": text({A: entry(offsets=[98304, 0]), B: GOOD[B]}),
    "offset overflow": text({A: entry(offsets=[2**64 - 98304, 2**64]), B: GOOD[B]}),
    "size unlike shape": text({A: entry([16, 3071]), B: GOOD[B]}),
    "size unlike type": text({A: entry(dtype="F32"), B: GOOD[B]}),
    "overlap": text({A: entry(), B: entry([3072, 16], [98302, 196606])}),
    "the same bytes twice": text({A: entry(), B: entry([3072, 16], [0, 98304])}),
    "a hole at the start": text(
        {A: entry(offsets=[8, 98312]), B: entry([3072, 16], [98312, 196616])}
    ),
    "a hole in the middle": text({A: entry(), B: entry([3072, 16], [98306, 196610])}),
    "no name": text({"": entry(), B: GOOD[B]}),
    "a long name": text({"a" * 300: entry(), B: GOOD[B]}),
    "a name with a line break": text({f"{A}\n": entry(), B: GOOD[B]}),
    "a name in other letters": text({A.replace("a", "а"): entry(), B: GOOD[B]}),
    "a lone surrogate": b'{"\\ud800":%b}' % text(entry()),
}  # fmt: skip

MISMATCHED: dict[str, bytes] = {
    "a factor alone": text({A: entry([32, 3072], [0, 196608])}),
    "different ranks": text({A: entry([8, 6144]), B: GOOD[B]}),
    "1-D factors": text({A: entry([49152]), B: entry([49152], [98304, 196608])}),
    "3-D factors": text({A: entry([16, 3072, 1]), B: entry([3072, 16, 1], [98304, 196608])}),
    "2-D with 4-D": text({A: entry([16, 3072, 1, 1]), B: GOOD[B]}),
    "4-D in FLUX": text({A: entry([16, 3072, 1, 1]), B: entry([3072, 16, 1, 1], [98304, 196608])}),
    "two spellings": text(
        {**GOOD, A.replace("lora_A", "lora_down"): entry(offsets=[196608, 294912])}
    ),
    "alpha with many values": text(
        {**GOOD, A.replace("lora_A.weight", "alpha"): entry([2], [196608, 196612])}
    ),
    "alpha without factors": text({"lora_unet_x.alpha": entry([], [0, 2])}),
    "half a LoHa": text({"lora_unet_x.hada_w1_a": entry(), "lora_unet_x.hada_w1_b": GOOD[B]}),
    "half a LoKr": text({"lora_unet_x.lokr_w1": entry()}),
}  # fmt: skip


DAMAGED = r"The LoRA file is damaged: [^\n]{10,200}\. Download it again or use another copy\."


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_header_is_refused_as_damaged(name: str) -> None:
    with pytest.raises(Damaged) as refused:
        parse_header(loras.framed(BROKEN[name]), None)
    assert re.fullmatch(DAMAGED, str(refused.value))


@pytest.mark.parametrize("name", MISMATCHED)
def test_factors_that_do_not_go_together_are_refused_as_damaged(name: str) -> None:
    data = loras.framed(MISMATCHED[name])
    parse_header(data, None)
    with pytest.raises(Damaged) as refused:
        inspect_header(data, None)
    assert re.fullmatch(DAMAGED, str(refused.value))


def test_the_good_header_beside_the_broken_ones_is_good() -> None:
    data = loras.framed(text(GOOD))
    assert inspect_header(data, len(data) + BODY).family is Family.FLUX_1
    assert inspect_header(data + b"\x00" * 10, None).size == len(data) + BODY


@pytest.mark.parametrize("difference", [-1, 1, 8, -BODY])
def test_missing_and_trailing_bytes_are_refused(difference: int) -> None:
    data = loras.framed(text(GOOD))
    with pytest.raises(Damaged, match="its header describes"):
        inspect_header(data, len(data) + BODY + difference)


def test_a_file_that_ends_within_its_header_is_refused() -> None:
    data = loras.framed(text(GOOD))[:-20]
    with pytest.raises(Damaged, match="within its header"):
        inspect_header(data, len(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((10_000_001).to_bytes(8, "little") + b"{", "header size"),
        ((2**63).to_bytes(8, "little") + b"{}", "header size"),
        (loras.framed(b'{"a":[' + b"[]," * 3_000_000 + b"[]]}"), "brackets"),
        (loras.framed(b"{" + b",".join(b'"%x":0' % i for i in range(900_000)) + b"}"), "brackets"),
        (loras.header({f"{i}.weight": ("U8", (1,)) for i in range(5001)})[0], "tensors"),
        (loras.header({"a": ("F32", (2**29 + 1,))})[0], "size in bytes"),
        (loras.header(factors({"x": (8, 8)}, rank=513))[0], "rank"),
        (loras.header({"x.lokr_w1": ("F16", (8, 8)), "x.lokr_w2_a": ("F16", (9, 600)),
                       "x.lokr_w2_b": ("F16", (600, 9))})[0], "rank"),
    ],
)  # fmt: skip
def test_what_is_larger_than_any_lora_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(LimitExceeded, match=words):
        inspect_header(data, None)


def test_the_largest_allowed_numbers_pass() -> None:
    assert look(factors({"x.y": (8, 8)}, rank=512)).ranks == (512,)
    crowd: Tensors = {f"{i}.weight": ("U8", (1,)) for i in range(5000)}
    start, size = loras.header(crowd)
    assert len(parse_header(start, len(start) + size).tensors) == 5000


# --- The start of a remote file ----------------------------------------------------------------


def test_the_first_bytes_of_a_remote_file_are_enough() -> None:
    start, size = loras.header(kohya(O1))
    assert len(start) < 256 * 1024
    info = inspect_header((start + bytes(300_000))[: 256 * 1024], None)
    assert (info.family, info.size) == (Family.FLUX_1, len(start) + size)


@pytest.mark.parametrize("have", [0, 1, 8, 9, 100, -1])
def test_a_start_that_is_too_short_says_how_much_is_needed(have: int) -> None:
    start, size = loras.header(SMALL)
    part = start[:have]
    with pytest.raises(HeaderIncomplete) as more:
        inspect_header(part, None)
    assert more.value.needed == (len(start) if len(part) >= 9 else 9)
    assert inspect_header(start[: len(start)], len(start) + size).layers == 6


def test_a_web_page_is_known_by_its_first_bytes_alone() -> None:
    with pytest.raises(NotSafetensors, match="web page"):
        inspect_header(b"<!DOCTYPE html>", None)


def test_a_header_longer_than_the_first_read_is_read_whole(tmp_path: Path) -> None:
    path = loras.write(tmp_path / "long", SMALL, {"notes": "x" * 300_000})
    assert inspect(path).layers == 6


# --- Values ------------------------------------------------------------------------------------

LAYER = {"x.y": (64, 64)}
FORMATS = {"F64": "<d", "F32": "<f", "F16": "<e"}


def _with_values(path: Path, dtype: str, values: bytes) -> Path:
    """A file whose last bytes are `values`."""
    loras.write(path, factors(LAYER, dtype=dtype))
    with path.open("r+b") as file:
        file.seek(-len(values), os.SEEK_END)
        file.write(values)
    return path


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_when_values_are_checked(
    tmp_path: Path, dtype: str, value: float
) -> None:
    path = _with_values(tmp_path / "lora", dtype, struct.pack(FORMATS[dtype], value))
    inspect(path)
    with pytest.raises(Damaged, match=r"lora_B\.weight” has values that are infinite"):
        inspect(path, check_values=True)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("BF16", b"\xc0\x7f"),
        ("BF16", b"\x80\x7f"),
        ("BF16", b"\x80\xff"),
        ("F8_E4M3", b"\x7f"),
        ("F8_E4M3", b"\xff"),
        ("F8_E5M2", b"\x7c"),
        ("F8_E5M2", b"\xfd"),
    ],
)
def test_short_floats_that_are_not_finite_are_refused(
    tmp_path: Path, dtype: str, values: bytes
) -> None:
    with pytest.raises(Damaged):
        inspect(_with_values(tmp_path / "lora", dtype, values), check_values=True)


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16"])
def test_ordinary_values_pass(tmp_path: Path, dtype: str) -> None:
    chance = random.Random(7)
    numbers = [0.0, -0.0, 1.0, -65504.0, 6e-8, *(chance.gauss(0, 100) for _ in range(1000))]
    values = b"".join(struct.pack(FORMATS[dtype], number) for number in numbers)
    assert inspect(_with_values(tmp_path / "lora", dtype, values), check_values=True).ranks == (16,)


def test_every_half_float_is_judged_as_the_hardware_does(tmp_path: Path) -> None:
    for pattern in range(0, 0x10000, 7):
        value = struct.unpack("<e", struct.pack("<H", pattern))[0]
        finite = abs(value) < float("inf")
        highest = bytes([pattern >> 8])
        assert (highest.translate(None, _safetensors._NOT_FINITE["F16"]) == highest) == finite


def test_values_beyond_the_first_megabyte_are_checked_too(tmp_path: Path) -> None:
    path = loras.write(tmp_path / "lora", factors({"x.y": (30_000, 64)}, rank=32, dtype="F32"))
    start, _ = loras.header(factors({"x.y": (30_000, 64)}, rank=32, dtype="F32"))
    inspect(path, check_values=True)
    with path.open("r+b") as file:
        file.seek(len(start) + 3 * 1024 * 1024)
        file.write(struct.pack("<f", float("nan")))
    with pytest.raises(Damaged, match="lora_A"):
        inspect(path, check_values=True)


# --- Whatever comes ----------------------------------------------------------------------------


def attempt(data: bytes, total: int | None) -> None:
    try:
        inspect_header(data, total)
    except WeightsError as error:
        message = str(error)
        assert message.endswith((".", "!"))
        assert "\n" not in message
        assert len(message) < 400


@settings(max_examples=400)
@given(st.binary(max_size=300), st.none() | st.integers(0, 400))
def test_random_bytes_raise_nothing_but_our_own_error(data: bytes, total: int | None) -> None:
    attempt(data, total)
    attempt(loras.framed(data), total)
    attempt(loras.framed(b"{" + data), None)


NAMES = st.sampled_from(
    [A, B, "__metadata__", "x.alpha", "x.lokr_w1", "x.lokr_w2_a", "x.hada_w1_a", "lora_te1_x.alpha",
     "double_blocks.0.processor.qkv_lora1.down.weight", "single_blocks.0.linear1.lora_up.weight"]
) | st.text(max_size=20)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "F16", "I64", "U8", "Q"]),
        "shape": st.lists(st.integers(0, 20), max_size=4) | JSON,
        "data_offsets": st.lists(st.integers(0, 2000), min_size=2, max_size=2) | JSON,
    }
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(JSON | st.dictionaries(NAMES, ENTRY | JSON, max_size=6))
def test_random_headers_raise_nothing_but_our_own_error(document: object) -> None:
    attempt(loras.framed(json.dumps(document).encode()), None)


@st.composite
def sound_or_nearly(draw: st.DrawFn) -> bytes:
    """A small file, right in most cases and a little wrong in the others."""
    entries: dict[str, object] = {}
    position = 0
    for index in range(draw(st.integers(0, 4))):
        shape = draw(st.lists(st.integers(0 if draw(st.booleans()) else 1, 4), max_size=3))
        size = 2
        for dimension in shape:
            size *= dimension
        slip = draw(st.sampled_from([0] * 12 + [-2, 2]))
        begin = position + slip
        entries[f"t{index}"] = {
            "dtype": "F16", "shape": shape, "data_offsets": [begin, begin + size],
        }  # fmt: skip
        position += size
    data = loras.framed(text(entries))
    return data + bytes(max(0, position + draw(st.sampled_from([0] * 8 + [-1, 1]))))


@settings(max_examples=400)
@given(sound_or_nearly())
def test_what_we_call_sound_the_reference_reads_too(data: bytes) -> None:
    try:
        header = parse_header(data, len(data))
    except WeightsError:
        return
    assert {name for name, _ in reference(data)} == set(header.tensors)


def test_the_reference_takes_what_we_refuse_on_purpose() -> None:
    twice = loras.framed(
        b'{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},'
        b'"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}'
    )
    assert reference(twice + bytes(2))
    with pytest.raises(Damaged, match="twice"):
        parse_header(twice + bytes(2), len(twice) + 2)


@given(sound_or_nearly())
def test_a_bad_file_for_the_reference_is_one_for_us(data: bytes) -> None:
    try:
        reference(data)
    except SafetensorError:
        with pytest.raises(WeightsError):
            parse_header(data, len(data))


def test_a_file_of_the_reference_writer_is_sound(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    tensors = {
        name: torch.randn(shape, dtype=torch.bfloat16)
        for name, (_, shape) in factors(only(loras.flux1(64, 2, 2), "attn")).items()
    }
    save_file(tensors, tmp_path / "lora", metadata={"modelspec.title": "Real"})
    info = inspect(tmp_path / "lora", check_values=True)
    assert (info.family, info.width, info.declared.title) == (Family.FLUX_1, 64, "Real")


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect(tmp_path / "nothing")


def test_the_drawn_error_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^    [│├└─ ]*(\w+) {2,}\S", weights.__doc__ or "", re.MULTILINE)
    real: list[type[WeightsError]] = [WeightsError, *WeightsError.__subclasses__()]
    assert sorted(drawn) == sorted(kind.__name__ for kind in real)
