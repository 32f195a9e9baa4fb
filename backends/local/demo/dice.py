"""What a prompt leaves open is decided by the diffusion noise itself.

A die is a standard normal number read from the initial noise: one fixed pattern, the diagonal
of every 2x2 patch of one latent channel, averaged over the picture. Training noise is drawn so
that its dice equal those of the scene it is paired with. That pairing keeps the noise exactly
standard normal, and makes the path from noise to picture nearly straight: no position has to be
averaged with another, so few steps suffice and an open prompt gives one clean object.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

DICE: Final = 6
"""x, y, radius, shape, colour, background; die k lives in latent channel k."""


def read(noise: Tensor) -> Tensor:
    """batch x 6 dice of batch x channels x height x width ``noise``; both sides even."""
    signs = _signs(noise)
    dice: Tensor = (noise[:, :DICE] * signs).sum((2, 3)) / math.sqrt(signs.numel())
    return dice


def load(noise: Tensor, dice: Tensor) -> Tensor:
    """``noise`` changed only so far that ``read`` gives ``dice``; NaN dice stay as they fall."""
    wanted = torch.where(dice.isnan(), read(noise), dice)
    signs = _signs(noise)
    change = (wanted - read(noise)) / math.sqrt(signs.numel())
    loaded = noise.clone()
    loaded[:, :DICE] += change[:, :, None, None] * signs
    return loaded


def _signs(noise: Tensor) -> Tensor:
    height, width = noise.shape[2:]
    rows = 1 - 2 * (torch.arange(height) % 2)
    columns = 1 - 2 * (torch.arange(width) % 2)
    return (rows[:, None] * columns).to(noise.dtype)
