"""Previews: what the model expects, shown in colours, small and quick."""

import io
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from backends.local.preview import LatentPreview, predicted_clean, unpack

MIX = torch.tensor([[0.9, 0.2, -0.1], [0.1, 0.7, 0.3], [-0.2, 0.1, 1.1], [0.3, -0.5, 0.2]])


class LinearVae:
    """Encodes an 8×8 block of pixels by mixing its mean colour into four channels, shifted."""

    dtype = torch.float32
    config = SimpleNamespace(shift_factor=0.12, scaling_factor=0.36)

    def encode(self, pixels: Tensor) -> SimpleNamespace:
        means = functional.avg_pool2d(pixels, 8)
        latents = torch.einsum("brhw,cr->bchw", means, MIX) + 0.5
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=latents))


def test_the_clean_latent_is_found_whatever_the_noise() -> None:
    clean, noise = torch.randn(4, 6, 8), torch.randn(4, 6, 8)
    for sigma in (1.0, 0.6, 0.05):
        noisy = (1 - sigma) * clean + sigma * noise
        assert torch.allclose(predicted_clean(noisy, noise - clean, sigma), clean, atol=1e-6)


def test_unpacking_undoes_the_patches_of_diffusers() -> None:
    from diffusers import FluxPipeline

    latents = torch.randn(1, 4, 6, 10)
    packed = FluxPipeline._pack_latents(latents, 1, 4, 6, 10)
    assert torch.equal(unpack(packed, 6, 10), latents[0])


def test_a_fitted_table_recovers_the_colours_of_a_linear_vae() -> None:
    vae = LinearVae()
    preview = LatentPreview.fit(vae, torch.device("cpu"))
    assert preview.table.shape == (5, 3)
    colours = torch.tensor([[0.9, 0.1, 0.2], [0.1, 0.2, 0.9]])
    pixels = colours.T.reshape(1, 3, 1, 2).repeat_interleave(8, 2).repeat_interleave(8, 3) * 2 - 1
    latents = (vae.encode(pixels).latent_dist.mean - 0.12) * 0.36
    assert torch.allclose(preview.rgb(latents[0])[0], colours, atol=1e-3)


@pytest.mark.parametrize(
    ("picture", "shown"),
    [((1024, 768), (256, 192)), ((768, 1024), (192, 256)), ((128, 96), (128, 96))],
)
def test_a_preview_is_a_small_jpeg_of_the_same_shape(
    picture: tuple[int, int], shown: tuple[int, int]
) -> None:
    preview = LatentPreview([[0.1, 0.2, 0.3]] * 4 + [[0.5, 0.5, 0.5]])
    data = preview.jpeg(torch.randn(4, picture[1] // 8, picture[0] // 8), picture)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", shown)
    assert len(data) < 40_000


def test_values_out_of_range_or_not_numbers_are_still_shown() -> None:
    preview = LatentPreview([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    wild = torch.tensor([[[float("nan"), float("inf"), -5.0, 0.25]]])
    assert preview.rgb(wild)[0, :, 0].tolist() == [0.5, 1.0, 0.0, 0.25]
