"""The sizes of the demo model's parts, as real diffusers and transformers classes."""

from __future__ import annotations

from typing import Final

from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

LATENT_CHANNELS: Final = 8
TEXT_WIDTH: Final = 64
CLIP_TOKENS: Final = 77
T5_TOKENS: Final = 16
"""max_sequence_length in training and therefore for every picture: padding is not masked."""
SHIFT: Final = 3.0


def new_autoencoder() -> AutoencoderKL:
    """FLUX's 8x autoencoder with 8 channels instead of 16, scaling not yet fitted."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 24, 48, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=128,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        shift_factor=0.0,
        scaling_factor=1.0,
    )


def new_transformer() -> FluxTransformer2DModel:
    """FLUX.1's transformer, 2 double and 4 single blocks; starts as the zero function."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=LATENT_CHANNELS * 4,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=40,
        num_attention_heads=4,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(8, 16, 16),
    )
    for name, parameter in model.named_parameters():
        if ".norm1.linear" in name or "norm1_context.linear" in name or ".norm.linear" in name:
            parameter.data.zero_()
        if name.startswith(("proj_out", "norm_out.linear")):
            parameter.data.zero_()
    return model


def new_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX's scheduler with a fixed shift, since few tokens would make the dynamic one too weak."""
    return FlowMatchEulerDiscreteScheduler(shift=SHIFT, use_dynamic_shifting=False)
