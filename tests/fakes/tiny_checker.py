"""A tiny image classifier for safety tests: what is mostly red, it calls `nsfw`."""

from pathlib import Path

import torch
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor


def save_red_checker(folder: Path) -> Path:
    """Train a two-layer ViT in about a second and write it as the usual checkers are."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = ViTForImageClassification(
            ViTConfig(
                image_size=32,
                patch_size=8,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                id2label={0: "normal", 1: "nsfw"},
                label2id={"normal": 0, "nsfw": 1},
            )
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(150):
            colours = torch.rand(48, 3, 1, 1)
            colours[::2, 0] = 0.7 + 0.3 * colours[::2, 0]
            colours[::2, 1:] *= 0.4
            noise = 0.15 * torch.randn(48, 3, 32, 32)
            red = (colours[:, 0] - colours[:, 1:].amax(1) > 0.3).flatten().long()
            pixels = (colours + noise).clamp(0, 1) * 2 - 1
            loss = functional.cross_entropy(model(pixel_values=pixels).logits, red)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval().save_pretrained(folder)
    ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(folder)
    return folder
