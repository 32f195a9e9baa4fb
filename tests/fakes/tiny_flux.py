"""Random FLUX.1 pipelines of the real classes, a megabyte each, built without any download.

They draw colourful nonsense, but they do it through the very code that draws with the real weights:
8× VAE, 2×2 patches, guidance embedding, CLIP, T5 and their tokenizers.
"""

import json
import string
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WIDTH = 32
LATENT_CHANNELS = 4
T5_WIDTH = 24


def build_pipeline(seed: int = 0) -> FluxPipeline:
    """Build a FLUX.1 pipeline with random weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        clip_tokenizer, t5_tokenizer = _clip_tokenizer(), _t5_tokenizer()
        transformer = FluxTransformer2DModel(
            in_channels=4 * LATENT_CHANNELS,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=WIDTH // 16,
            joint_attention_dim=T5_WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=1,
            latent_channels=LATENT_CHANNELS,
            norm_num_groups=4,
            sample_size=64,
            use_quant_conv=False,
            use_post_quant_conv=False,
            mid_block_add_attention=False,
            scaling_factor=0.36,
            shift_factor=0.12,
        )
        clip = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip_tokenizer),
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=77,
                projection_dim=WIDTH,
                bos_token_id=clip_tokenizer.bos_token_id,
                eos_token_id=clip_tokenizer.eos_token_id,
            )
        )
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=len(t5_tokenizer),
                d_model=T5_WIDTH,
                d_kv=8,
                d_ff=2 * T5_WIDTH,
                num_layers=1,
                num_heads=2,
                feed_forward_proj="gated-gelu",
            )
        )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=clip.eval(),
        tokenizer=clip_tokenizer,
        text_encoder_2=t5.eval(),
        tokenizer_2=t5_tokenizer,
        transformer=transformer.eval(),
    )


def save_pipeline(folder: Path, seed: int = 0, card: Mapping[str, object] | None = None) -> Path:
    """Write such a pipeline the way real ones are distributed; `card` becomes `atelier.json`."""
    build_pipeline(seed).save_pretrained(folder)
    if card is not None:
        (folder / "atelier.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def random_lora(model: nn.Module, *, rank: int = 4, seed: int = 0) -> dict[str, Tensor]:
    """Make plainly visible random LoRA factors for every linear layer, named as diffusers does."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            down = torch.randn(rank, layer.in_features, generator=generator)
            up = torch.randn(layer.out_features, rank, generator=generator)
            factors[f"{name}.lora_A.weight"] = down * layer.in_features**-0.5
            factors[f"{name}.lora_B.weight"] = up * rank**-0.5
    return factors


def save_lora(
    path: Path, factors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write tensors as a safetensors file."""
    whole = {name: tensor.contiguous().clone() for name, tensor in factors.items()}
    save_file(whole, path, metadata=dict(metadata or {}) or None)
    return path


def _clip_tokenizer() -> CLIPTokenizer:
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces = [
        "<|startoftext|>",
        "<|endoftext|>",
        *letters,
        *(f"{letter}</w>" for letter in letters),
    ]
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)}, merges=[], model_max_length=77
    )


def _t5_tokenizer() -> T5TokenizerFast:
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -4.0) for letter in ("▁", *string.printable.strip())]
    return T5TokenizerFast(vocab=[*specials, *letters], extra_ids=0, model_max_length=512)
