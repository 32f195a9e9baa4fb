"""The names under which LoRA files know the layers of a FLUX.1 model.

Trainers name layers in their own ways: as diffusers does, as the original FLUX.1 code does (where
query, key and value are one layer), with dots or underscores, with one prefix or several.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from torch import nn

Part = Literal["transformer", "text_encoder"]


@dataclass(frozen=True, slots=True)
class Slot:
    """The layers behind one name in a file; several where the original model fuses them.

    `rows` are the layers' output features in order, `columns` the input features that they share.
    `swapped` layers keep shift and scale the other way round than the original model.
    """

    part: Part
    layers: tuple[str, ...]
    rows: tuple[int, ...]
    columns: int
    swapped: bool = False


_QKV: Final = ("attn.to_q", "attn.to_k", "attn.to_v")
_ADDED_QKV: Final = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_DOUBLE: Final = {
    "img_attn.qkv": _QKV,
    "img_attn.proj": ("attn.to_out.0",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": _ADDED_QKV,
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
    # XLabs
    "processor.qkv_lora1": _QKV,
    "processor.proj_lora1": ("attn.to_out.0",),
    "processor.qkv_lora2": _ADDED_QKV,
    "processor.proj_lora2": ("attn.to_add_out",),
}
_SINGLE: Final = {
    "linear1": (*_QKV, "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
    # XLabs
    "processor.qkv_lora": _QKV,
    "processor.proj_lora": ("proj_out",),
}
_OUTER: Final = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
_PREFIXES: Final = (
    "base_model_model_",
    "model_diffusion_model_",
    "diffusion_model_",
    "lora_unet_",
    "lora_transformer_",
    "transformer_",
)
_CLIP_PREFIXES: Final = (
    "text_encoder_",
    "lora_te_",
    "lora_te1_",
    "text_encoders_clip_l_transformer_",
)


class LayerNames:
    """Every name of every linear layer of one FLUX.1 model and its CLIP text encoder.

    Build it before any adapter is loaded, because adapters wrap the layers. `model` is what people
    call the model.
    """

    def __init__(self, model: str, transformer: nn.Module, text_encoder: nn.Module) -> None:
        self.model = model
        self._slots: dict[str, Slot] = {}
        self._add_transformer(transformer)
        layers = _linear_layers(text_encoder)
        for name in layers:
            bare = name.removeprefix("text_model.")
            for prefix in _CLIP_PREFIXES:
                for full in (bare, f"text_model.{bare}"):
                    self._add(f"{prefix}{full}", "text_encoder", (name,), layers)

    def find(self, path: str) -> Slot | None:
        """Look a file's name up, whatever its prefixes and whether it has dots or underscores."""
        key = path.replace(".", "_")
        while key not in self._slots:
            prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), None)
            if prefix is None:
                return None
            key = key.removeprefix(prefix)
        return self._slots[key]

    def _add_transformer(self, transformer: nn.Module) -> None:
        layers = _linear_layers(transformer)
        for name in layers:
            self._add(name, "transformer", (name,), layers)
        for name, target in _OUTER.items():
            self._add(name, "transformer", (target,), layers)
        self._add(
            "final_layer.adaLN_modulation.1",
            "transformer",
            ("norm_out.linear",),
            layers,
            swapped=True,
        )
        for blocks, original, table in (
            ("transformer_blocks", "double_blocks", _DOUBLE),
            ("single_transformer_blocks", "single_blocks", _SINGLE),
        ):
            for index, _ in transformer.get_submodule(blocks).named_children():
                for name, targets in table.items():
                    full = tuple(f"{blocks}.{index}.{target}" for target in targets)
                    self._add(f"{original}.{index}.{name}", "transformer", full, layers)

    def _add(
        self,
        name: str,
        part: Part,
        targets: tuple[str, ...],
        layers: Mapping[str, nn.Linear],
        *,
        swapped: bool = False,
    ) -> None:
        # A model without guidance embedding (FLUX.1 [schnell]) has no layer for every name.
        if all(target in layers for target in targets):
            rows = tuple(layers[target].out_features for target in targets)
            columns = layers[targets[0]].in_features
            self._slots[name.replace(".", "_")] = Slot(part, targets, rows, columns, swapped)


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
