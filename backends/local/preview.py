"""Shows what a picture will look like while it is still being drawn."""

import io
from collections.abc import Sequence
from typing import Any, Final, Self

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

_LONG_SIDE: Final = 256
_SAMPLES: Final = 48
_BATCH: Final = 8


def predicted_clean(noisy: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the clean latent that a flow-matching model expects behind `noisy` at `sigma`.

    A latent is `(1 - sigma) * clean + sigma * noise` and the model predicts `noise - clean`.
    """
    return noisy.float() - sigma * velocity.float()


def unpack(latents: Tensor, rows: int, columns: int) -> Tensor:
    """Undo FLUX's 2×2 patches: `[1, rows/2 * columns/2, 4C]` to `[C, rows, columns]`."""
    channels = latents.shape[-1] // 4
    patches = latents.view(rows // 2, columns // 2, channels, 2, 2)
    return patches.permute(2, 0, 3, 1, 4).reshape(channels, rows, columns)


class LatentPreview:
    """A linear map from clean latents, as the transformer sees them, to RGB from 0 to 1.

    `table` has one row of three numbers for each latent channel and a last one to add.
    """

    def __init__(self, table: Sequence[Sequence[float]] | Tensor) -> None:
        self.table = torch.as_tensor(table, dtype=torch.float32)

    @classmethod
    @torch.no_grad()
    def fit(cls, vae: Any, device: torch.device) -> Self:
        """Fit the table of a VAE, which works on `device`, by least squares.

        It is fitted to 48 random smooth pictures, always the same.
        """
        generator = torch.Generator().manual_seed(0)
        tiny = torch.rand(_SAMPLES, 3, 4, 4, generator=generator)
        smooth = functional.interpolate(tiny, size=64, mode="bicubic", align_corners=False)
        pictures = smooth.clamp(0, 1)
        latents = []
        for batch in torch.split(pictures, _BATCH):
            pixels = (batch * 2 - 1).to(device, vae.dtype)
            latents.append(vae.encode(pixels).latent_dist.mean.float().cpu())
        config = vae.config
        clean = (torch.cat(latents) - config.shift_factor) * config.scaling_factor
        seen = functional.adaptive_avg_pool2d(pictures, clean.shape[-2:])
        inputs = clean.movedim(1, -1).reshape(-1, clean.shape[1])
        targets = seen.movedim(1, -1).reshape(-1, 3)
        ones = torch.ones(len(inputs), 1)
        return cls(torch.linalg.lstsq(torch.cat((inputs, ones), 1), targets).solution)

    def rgb(self, clean: Tensor) -> Tensor:
        """Map `[C, rows, columns]` to `[rows, columns, 3]`, clamped to 0 to 1, on the CPU."""
        latents = clean.float().cpu().movedim(0, -1)
        colours = latents @ self.table[:-1] + self.table[-1]
        return colours.nan_to_num(0.5).clamp(0, 1)

    def jpeg(self, clean: Tensor, size: tuple[int, int]) -> bytes:
        """Draw a small JPEG of a picture with `size` (width, height), at most 256 pixels long."""
        pixels = (self.rgb(clean) * 255).round().to(torch.uint8)
        shrink = min(1.0, _LONG_SIDE / max(size))
        small = (max(round(size[0] * shrink), 1), max(round(size[1] * shrink), 1))
        picture = Image.fromarray(pixels.numpy()).resize(small, Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", quality=80)
        return buffer.getvalue()
