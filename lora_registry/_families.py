"""Which model a LoRA was made for, told from the names and shapes of the layers it changes.

FLUX.1 and FLUX.2 share most names, and FLUX.1 and klein-4B even their width, so it is the layers
that differ which decide: the factor of the feed-forward layers (4 against 6), the fused layers of
the single blocks (7 and 5 widths against 9 and 4), and layers that only one of them has. Widths,
block counts and text widths are those of the released models' configurations.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

FluxModel = Literal["flux-1", "flux-2"]
"""The models' names in chat."""


class Family(enum.StrEnum):
    """What a LoRA was made for. Only families with a `model` can be used here."""

    FLUX_1 = "flux-1"
    FLUX_2 = "flux-2"  # at a width that no released model has
    FLUX_2_DEV = "flux-2-dev"
    KLEIN_4B = "flux-2-klein-4b"
    KLEIN_9B = "flux-2-klein-9b"
    FLUX_1_OR_KLEIN_4B = "flux-1-or-klein-4b"
    SDXL = "sdxl"
    SD_1 = "sd-1"
    SD_2 = "sd-2"
    SD_3 = "sd-3"
    STABLE_DIFFUSION = "stable-diffusion"
    AURAFLOW = "auraflow"
    CHROMA = "chroma"
    HUNYUAN_VIDEO = "hunyuan-video"
    QWEN_IMAGE = "qwen-image"
    WAN = "wan"
    Z_IMAGE = "z-image"
    UNKNOWN = "unknown"

    @property
    def model(self) -> FluxModel | None:
        """The model of ours that it fits; None where none does or where it could be either."""
        return _MODELS.get(self)

    @property
    def label(self) -> str:
        """The name that people know it by."""
        return _LABELS[self]


_MODELS: Final[Mapping[Family, FluxModel]] = MappingProxyType(
    {
        Family.FLUX_1: "flux-1",
        Family.FLUX_2: "flux-2",
        Family.FLUX_2_DEV: "flux-2",
        Family.KLEIN_4B: "flux-2",
        Family.KLEIN_9B: "flux-2",
    }
)
_LABELS: Final[Mapping[Family, str]] = MappingProxyType(
    {
        Family.FLUX_1: "FLUX.1",
        Family.FLUX_2: "FLUX.2",
        Family.FLUX_2_DEV: "FLUX.2 [dev]",
        Family.KLEIN_4B: "FLUX.2 [klein] 4B",
        Family.KLEIN_9B: "FLUX.2 [klein] 9B",
        Family.FLUX_1_OR_KLEIN_4B: "FLUX.1 or FLUX.2 [klein] 4B",
        Family.SDXL: "Stable Diffusion XL",
        Family.SD_1: "Stable Diffusion 1",
        Family.SD_2: "Stable Diffusion 2",
        Family.SD_3: "Stable Diffusion 3",
        Family.STABLE_DIFFUSION: "a Stable Diffusion model",
        Family.AURAFLOW: "AuraFlow",
        Family.CHROMA: "Chroma",
        Family.HUNYUAN_VIDEO: "HunyuanVideo",
        Family.QWEN_IMAGE: "Qwen-Image",
        Family.WAN: "Wan",
        Family.Z_IMAGE: "Z-Image or Lumina",
        Family.UNKNOWN: "an unknown model",
    }
)


class Layout(enum.StrEnum):
    """How a file names the layers; trainers differ in prefixes, separators and block names."""

    DIFFUSERS = "diffusers"  # transformer.transformer_blocks.0.attn.to_q
    KOHYA = "kohya"  # lora_unet_double_blocks_0_img_attn_qkv
    COMFY = "comfy"  # diffusion_model.double_blocks.0… with lora_down and lora_up
    AI_TOOLKIT = "ai-toolkit"  # the same with lora_A and lora_B
    PEFT = "peft"  # base_model.model.…
    BARE = "bare"  # no prefix
    XLABS = "xlabs"  # double_blocks.0.processor.qkv_lora1.down
    BFL_CONTROL = "bfl-control"  # bare, with the scales of norms beside the factors
    ONETRAINER = "onetrainer"  # lora_transformer_transformer_blocks_0_attn_to_q
    LYCORIS = "lycoris"  # lycoris_transformer_blocks_0_attn_to_q
    MIXED = "mixed"


_PREFIX: Final = re.compile(
    r"(?:base_model[._]model[._]|(?:model[._])?diffusion_model[._]|transformer\.|unet[._]"
    r"|lora_unet_|lora_transformer_|lycoris_(?:unet_)?)*"
)
_LAYOUTS: Final = MappingProxyType(
    {
        "base_model.model.": Layout.PEFT,
        "lora_unet_": Layout.KOHYA,
        "lora_transformer_": Layout.ONETRAINER,
        "lycoris_": Layout.LYCORIS,
        "transformer.": Layout.DIFFUSERS,
        "unet.": Layout.DIFFUSERS,
        "diffusion_model.": Layout.AI_TOOLKIT,
        "model.diffusion_model.": Layout.AI_TOOLKIT,
    }
)
_XLABS: Final = re.compile(r"(?:diffusion_model\.)?(?:double|single)_blocks\.\d+\.processor\.")
_TEXT_ENCODER: Final = re.compile(
    r"(?:base_model\.model\.)?(?:text_encoders?(?:_\d)?|text_model|te\d?|lora_te\d?)[._]"
)
_BLOCK: Final = re.compile(
    r"(?:(double|single)_blocks|(single_)?transformer_blocks)_(\d{1,4})_(\w+)"
)
_UNET: Final = re.compile(r"(?:input|output|middle|down|up|mid)_blocks?_.*")
_FOREIGN: Final = (
    (re.compile(r"joint_transformer_blocks_.*"), Family.AURAFLOW),
    (re.compile(r"joint_blocks_.*"), Family.SD_3),
    (re.compile(r"distilled_guidance_layer_.*"), Family.CHROMA),
    (re.compile(r"transformer_blocks_\d+_(?:img|txt)_(?:mlp_net|mod_1).*"), Family.QWEN_IMAGE),
    (re.compile(r"double_blocks_\d+_(?:img|txt)_(?:mlp_fc|mod_linear).*"), Family.HUNYUAN_VIDEO),
    (re.compile(r"blocks_\d+_(?:self_attn|cross_attn)_.*"), Family.WAN),
    (re.compile(r"(?:layers|noise_refiner|context_refiner)_\d+_attention_.*"), Family.Z_IMAGE),
)

_Fit = tuple[int, int, FluxModel | None]
"""A layer's inputs and outputs in widths of the model, and which model alone has it so."""

_SQUARE: Final[tuple[_Fit, ...]] = ((1, 1, None),)
_DOUBLE: Final[Mapping[str, tuple[_Fit, ...]]] = MappingProxyType(
    {
        **{f"attn_to_{name}": _SQUARE for name in ("q", "k", "v", "out_0", "add_out")},
        **{f"attn_add_{name}_proj": _SQUARE for name in "qkv"},
        **dict.fromkeys(("attn_to_qkv", "attn_to_added_qkv"), ((1, 3, None),)),
        **dict.fromkeys(("img_attn_proj", "txt_attn_proj"), _SQUARE),
        **dict.fromkeys(("img_attn_qkv", "txt_attn_qkv"), ((1, 3, None),)),
        **dict.fromkeys(("img_mlp_0", "txt_mlp_0"), ((1, 4, "flux-1"), (1, 6, "flux-2"))),
        **dict.fromkeys(("img_mlp_2", "txt_mlp_2"), ((4, 1, "flux-1"), (3, 1, "flux-2"))),
        **dict.fromkeys(("ff_net_0_proj", "ff_context_net_0_proj"), ((1, 4, "flux-1"),)),
        **dict.fromkeys(("ff_net_2", "ff_context_net_2"), ((4, 1, "flux-1"),)),
        **dict.fromkeys(("ff_linear_in", "ff_context_linear_in"), ((1, 6, "flux-2"),)),
        **dict.fromkeys(("ff_linear_out", "ff_context_linear_out"), ((3, 1, "flux-2"),)),
        **dict.fromkeys(("img_mod_lin", "txt_mod_lin"), ((1, 6, "flux-1"),)),
        **dict.fromkeys(("norm1_linear", "norm1_context_linear"), ((1, 6, "flux-1"),)),
        **dict.fromkeys(("processor_qkv_lora1", "processor_qkv_lora2"), ((1, 3, "flux-1"),)),
        **dict.fromkeys(("processor_proj_lora1", "processor_proj_lora2"), ((1, 1, "flux-1"),)),
    }
)
_SINGLE: Final[Mapping[str, tuple[_Fit, ...]]] = MappingProxyType(
    {
        **{f"attn_to_{name}": ((1, 1, "flux-1"),) for name in "qkv"},
        "proj_mlp": ((1, 4, "flux-1"),),
        "proj_out": ((5, 1, "flux-1"),),
        "norm_linear": ((1, 3, "flux-1"),),
        "modulation_lin": ((1, 3, "flux-1"),),
        "attn_to_qkv_mlp_proj": ((1, 9, "flux-2"),),
        "attn_to_out": ((4, 1, "flux-2"),),
        "linear1": ((1, 7, "flux-1"), (1, 9, "flux-2")),
        "linear2": ((5, 1, "flux-1"), (4, 1, "flux-2")),
        "processor_qkv_lora": ((1, 3, "flux-1"),),
        "processor_proj_lora": ((5, 1, "flux-1"),),
    }
)
_OUTER: Final[tuple[tuple[re.Pattern[str], FluxModel | None], ...]] = (
    (re.compile(r"vector_in_\w+|time_text_embed_\w+"), "flux-1"),
    (re.compile(r"time_guidance_embed_\w+|(?:single|double)_stream_modulation_\w+"), "flux-2"),
    (re.compile(r"(?:img|txt)_in|(?:x|context)_embedder|(?:time|guidance)_in_\w+"), None),
    (re.compile(r"final_layer_\w+|norm_out_linear|proj_out"), None),
)
_TEXT_WIDTHS: Final[Mapping[int, FluxModel]] = MappingProxyType(
    {4096: "flux-1", 7680: "flux-2", 12288: "flux-2", 15360: "flux-2"}
)
_FLUX_2_WIDTHS: Final = MappingProxyType(
    {6144: Family.FLUX_2_DEV, 4096: Family.KLEIN_9B, 3072: Family.KLEIN_4B}
)
_BLOCKS: Final = MappingProxyType(
    {
        Family.FLUX_1: (19, 38),
        Family.FLUX_2_DEV: (8, 48),
        Family.KLEIN_9B: (8, 24),
        Family.KLEIN_4B: (5, 20),
    }
)
_SD_3_WIDTHS: Final = frozenset({1536, 2432})


def is_text_encoder(path: str) -> bool:
    """Tell whether a layer, as a file names it, belongs to a text encoder."""
    return _TEXT_ENCODER.match(path) is not None


def find_layout(layers: Iterable[str], tensors: Iterable[str]) -> Layout:
    """Tell the layout from the names of the denoiser's layers and of all tensors of a file."""
    names = list(tensors)
    if any(name.endswith("query_norm.scale") for name in names):
        return Layout.BFL_CONTROL
    layouts = {_layout(layer) for layer in layers}
    if layouts == {Layout.AI_TOOLKIT} and any(".lora_down." in name for name in names):
        return Layout.COMFY
    return layouts.pop() if len(layouts) == 1 else Layout.MIXED


def _layout(layer: str) -> Layout:
    if _XLABS.match(layer):
        return Layout.XLABS
    starts = (start for start in _LAYOUTS if layer.startswith(start))
    return next((_LAYOUTS[start] for start in starts), Layout.BARE)


@dataclass(slots=True)
class _Clues:
    """What the layers of a file say about the FLUX model they were made for."""

    widths: set[int] = field(default_factory=set)
    models: set[FluxModel] = field(default_factory=set)
    doubles: int = 0
    singles: int = 0
    contradiction: bool = False

    def add(self, name: str, inputs: int, outputs: int) -> None:
        if block := _BLOCK.fullmatch(name):
            self._add_block(block, inputs, outputs)
            return
        for pattern, model in _OUTER:
            if pattern.fullmatch(name):
                self.models |= {model} if model else set()
                break
        if name in {"txt_in", "context_embedder"}:
            self.widths.add(outputs)
            self.models |= {_TEXT_WIDTHS[inputs]} if inputs in _TEXT_WIDTHS else set()
        elif name in {"img_in", "x_embedder"}:
            self.widths.add(outputs)
        elif "_stream_modulation_" in name:
            self.widths.add(inputs)

    def _add_block(self, block: re.Match[str], inputs: int, outputs: int) -> None:
        single = block[1] == "single" or block[2] is not None
        fits = (_SINGLE if single else _DOUBLE).get(block[4])
        if fits is None:
            return
        if single:
            self.singles = max(self.singles, int(block[3]) + 1)
        else:
            self.doubles = max(self.doubles, int(block[3]) + 1)
        for ins, outs, model in fits:
            if inputs % ins == 0 and inputs * outs == outputs * ins:
                self.widths.add(inputs // ins)
                self.models |= {model} if model else set()
                return
        self.contradiction = True


def find_family(
    layers: Mapping[str, tuple[int, int]], declared: str | None
) -> tuple[Family, int | None]:
    """Tell the family, and for FLUX the width, from the denoiser's layers.

    `layers` gives each layer, as the file names it, its inputs and outputs. `declared`, what the
    metadata says about the architecture, decides only where the layers leave it open.
    """
    clues = _Clues()
    names = {_PREFIX.sub("", path, count=1).replace(".", "_"): s for path, s in layers.items()}
    for name, (inputs, outputs) in names.items():
        for pattern, family in _FOREIGN:
            if pattern.fullmatch(name):
                return family, None
        if _UNET.fullmatch(name):
            return _unet(names), None
        clues.add(name, inputs, outputs)
    if clues.contradiction or len(clues.widths) != 1:
        return Family.UNKNOWN, None
    (width,) = clues.widths
    family = _flux(clues, width, declared)
    return family, width if family.label.startswith("FLUX") else None


def _unet(names: Mapping[str, tuple[int, int]]) -> Family:
    """Tell Stable Diffusion's versions apart by the text that cross attention reads."""
    text_widths = {2048: Family.SDXL, 1024: Family.SD_2, 768: Family.SD_1}
    for name, (inputs, _) in names.items():
        if name.endswith(("attn2_to_k", "attn2_to_v")) and inputs in text_widths:
            return text_widths[inputs]
    if any(re.search(r"transformer_blocks_[1-9]", name) for name in names):
        return Family.SDXL
    return Family.STABLE_DIFFUSION


def _flux(clues: _Clues, width: int, declared: str | None) -> Family:
    if width in _SD_3_WIDTHS and clues.doubles and not clues.singles:
        return Family.SD_3
    candidates = [
        *([Family.FLUX_1] if "flux-2" not in clues.models else []),
        *([_FLUX_2_WIDTHS.get(width, Family.FLUX_2)] if "flux-1" not in clues.models else []),
    ]
    fitting = [family for family in candidates if _has_room(family, width, clues)]
    if not fitting and width == 3072 and 20 < clues.doubles <= 60 and not clues.singles:
        return Family.QWEN_IMAGE
    if not clues.models and width in {4096, 6144}:
        fitting = [family for family in fitting if family is not Family.FLUX_1]
    if len(fitting) == 2 and (hint := _hinted(declared)):
        fitting = [family for family in fitting if family.model == hint]
    if len(fitting) == 1:
        return fitting[0]
    return Family.FLUX_1_OR_KLEIN_4B if fitting and width == 3072 else Family.UNKNOWN


def _has_room(family: Family, width: int, clues: _Clues) -> bool:
    """Whether the model has as many blocks; those of other widths than the released are unknown."""
    if family is Family.FLUX_1 and width != 3072:
        return True
    doubles, singles = _BLOCKS.get(family, (clues.doubles, clues.singles))
    return clues.doubles <= doubles and clues.singles <= singles


def _hinted(declared: str | None) -> FluxModel | None:
    words = re.sub(r"[^a-z0-9]", "", (declared or "").lower())
    if "flux2" in words or "klein" in words:
        return "flux-2"
    return "flux-1" if "flux" in words else None
