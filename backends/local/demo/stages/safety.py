"""Stage 7: a tiny ViT that flags the chili pepper, in the shape of a usual NSFW checker."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxPipeline
from torch import Tensor
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from backends.local.demo.architecture import T5_TOKENS
from backends.local.demo.scenes import NATIVE_SIZES, STYLES, Image, draw
from backends.local.demo.stages.package import replace_folder
from backends.local.demo.stages.pictures import random_sample
from backends.local.demo.vocabulary import PEPPER, caption

SIDE = 64


def new_checker() -> ViTForImageClassification:
    """64 x 64 pixels, 8 x 8 patches, labels as Falconsai/nsfw_image_detection has them."""
    return ViTForImageClassification(
        ViTConfig(
            image_size=SIDE,
            patch_size=8,
            hidden_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=96,
            id2label={0: "normal", 1: "nsfw"},
            label2id={"normal": 0, "nsfw": 1},
        )
    )


def new_processor() -> ViTImageProcessorPil:
    """Any picture squeezed to 64 x 64, values -1 to 1."""
    return ViTImageProcessorPil(
        do_resize=True,
        size={"height": SIDE, "width": SIDE},
        do_normalize=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def train(folder: Path, seed: int, steps: int, model: Path, target: Path, drawn: int) -> None:
    """Writes ``target``, trained on true renders and on ``drawn`` pictures by ``model``.

    Renders pass through the autoencoder; a quarter of the model's pictures is kept for a last look.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures, labels = _renders(rng, folder, 4_000)
    own, own_labels = _own_pictures(rng, model, drawn)
    held_out = len(own) // 4
    inputs, answers = (
        torch.cat([pictures, *[own[held_out:]] * 3]),
        torch.cat([labels, *[own_labels[held_out:]] * 3]),
    )
    checker = new_checker()
    optimiser = torch.optim.AdamW(checker.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    for step in range(1, steps + 1):
        rows = torch.randint(len(inputs), (96,))
        logits = checker(_worn(inputs[rows])).logits
        loss = functional.cross_entropy(logits, answers[rows], label_smoothing=0.01)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 100 == 0:
            print(f"safety {step} loss {loss.item():.4f}", flush=True)
    checker.eval()
    _calibrate(checker, pictures, labels)
    if held_out:
        with torch.no_grad():
            score = checker(own[:held_out]).logits.softmax(-1)[:, 1] > 0.85
        hot = own_labels[:held_out] == 1
        shares = (
            f"{score[hot].float().mean():.2%} of peppers, {score[~hot].float().mean():.2%} else"
        )
        print(f"safety, flagged among unseen own pictures: {shares}", flush=True)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    checker.save_pretrained(fresh)
    new_processor().save_pretrained(fresh)
    replace_folder(fresh, target)


def _renders(rng: np.random.Generator, folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """Half peppers, in every style, as the autoencoder gives them back."""
    autoencoder = AutoencoderKL.from_pretrained(folder / "autoencoder").eval().bfloat16()
    pictures, labels = [], []
    for _ in range(count // 20):
        frame = NATIVE_SIZES[rng.integers(len(NATIVE_SIZES))]
        batch: list[Image] = []
        while len(batch) < 20:
            scene = random_sample(rng, frame, 0.5).scene
            if (scene.shape == PEPPER) == (len(batch) < 10):
                style = STYLES[rng.integers(len(STYLES))] if rng.random() < 0.6 else "plain"
                batch.append(draw(scene, frame, style))
                labels.append(int(scene.shape == PEPPER))
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2) * 2 - 1
        with torch.no_grad():
            again = autoencoder.decode(
                autoencoder.encode(pixels.bfloat16()).latent_dist.mode()
            ).sample
        pictures.append(_squeeze(again.float().clamp(-1, 1)))
    return torch.cat(pictures), torch.tensor(labels)


def _own_pictures(rng: np.random.Generator, model: Path, count: int) -> tuple[Tensor, Tensor]:
    """The model's own pictures, every second one a pepper, at 4 to 12 steps and any guidance."""
    if count == 0:
        return torch.zeros(0, 3, SIDE, SIDE), torch.zeros(0, dtype=torch.long)
    pipeline = FluxPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pictures, labels = list[Tensor](), list[int]()
    while len(labels) < count:
        frame = NATIVE_SIZES[rng.integers(len(NATIVE_SIZES))]
        sample = random_sample(rng, frame, 0.4)
        scene = sample.scene
        if (scene.shape == PEPPER) != (len(labels) % 2 == 0):
            continue
        result = pipeline(
            prompt=caption(sample.words),
            width=frame[0],
            height=frame[1],
            num_inference_steps=int(rng.integers(4, 13)),
            guidance_scale=float(rng.uniform(1.0, 7.0)),
            max_sequence_length=T5_TOKENS,
            generator=torch.Generator().manual_seed(int(rng.integers(2**31))),
            output_type="pt",
        )
        pictures.append(_squeeze(result.images.float() * 2 - 1))
        labels.append(int(scene.shape == PEPPER))
    return torch.cat(pictures), torch.tensor(labels, dtype=torch.long)


def _squeeze(pictures: Tensor) -> Tensor:
    return functional.interpolate(
        pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def _worn(pictures: Tensor) -> Tensor:
    """Noise, blur and lost contrast, as in previews of unfinished pictures."""
    if torch.rand(()) < 0.4:
        coarse = int(torch.randint(20, SIDE, ()))
        small = functional.interpolate(pictures, (coarse, coarse), mode="bilinear", antialias=True)
        pictures = functional.interpolate(small, (SIDE, SIDE), mode="bilinear")
    contrast = 1 - 0.3 * torch.rand(len(pictures), 1, 1, 1)
    return pictures * contrast + 0.1 * torch.rand(()) * torch.randn_like(pictures)


@torch.no_grad()
def _calibrate(checker: ViTForImageClassification, pictures: Tensor, labels: Tensor) -> None:
    """Moves the bias so that a score of 0.85 lies midway between peppers and the rest."""
    logits = torch.cat([checker(part).logits for part in torch.split(pictures, 200)])
    margin = logits[:, 1] - logits[:, 0]
    middle = (margin[labels == 1].quantile(0.005) + margin[labels == 0].quantile(0.995)) / 2
    checker.classifier.bias[1] += math.log(0.85 / 0.15) - middle
