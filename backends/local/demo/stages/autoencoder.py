"""Stage 1: the autoencoder, on all styles, mostly on crops around the object."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from backends.local.demo.architecture import new_autoencoder
from backends.local.demo.muon import Muon
from backends.local.demo.scenes import NATIVE_SIZES, STYLES
from backends.local.demo.stages.parallel import refresh, share_gradients, spawn
from backends.local.demo.stages.pictures import paint, random_sample

KL_WEIGHT = 6e-4
CROP = 64


def train(folder: Path, seed: int, steps: int, workers: int, rate: float, fresh: bool) -> None:
    """Writes ``folder``/autoencoder (diffusers layout) with its scaling fitted to the latents.

    Starts from what is there unless ``fresh``.
    """
    spawn(_work, workers, 29516, folder, seed, steps, rate, fresh)


def _work(
    rank: int, workers: int, folder: Path, seed: int, steps: int, rate: float, fresh: bool
) -> None:
    torch.manual_seed(seed + rank)
    rng = np.random.default_rng([seed, rank])
    master = new_autoencoder() if fresh else AutoencoderKL.from_pretrained(folder / "autoencoder")
    worker = copy.deepcopy(master).bfloat16()
    pictures = _pictures(rng, 600)
    held_out = _pictures(np.random.default_rng(seed + 999), 20)
    optimiser = Muon(master.named_parameters(), rate, rate / 15, flat=0.4)
    for step in range(1, steps + 1):
        batch = _batch(rng, pictures, crops=step < 0.75 * steps)
        posterior = worker.encode(batch.bfloat16()).latent_dist
        latents = posterior.sample()
        output = worker.decode(latents).sample.float()
        loss = _loss(output, batch) + KL_WEIGHT * posterior.kl().float().mean() / latents[0].numel()
        torch.autograd.backward(loss)
        share_gradients(worker, master, workers)
        optimiser.step(step / steps)
        refresh(worker, master)
        if rank == 0 and step % 50 == 0:
            print(f"autoencoder {step} loss {loss.item():.4f}", flush=True)
        if rank == 0 and step % 300 == 0:
            print(f"autoencoder {step} PSNR {psnr(master, held_out):.2f} dB", flush=True)
    if rank == 0:
        _fit_scaling(master, pictures)
        master.save_pretrained(folder / "autoencoder")
        print(f"autoencoder {steps} steps, PSNR {psnr(master, held_out):.2f} dB", flush=True)


def _pictures(rng: np.random.Generator, count: int) -> dict[tuple[int, int], Tensor]:
    """``count`` pictures per native size: half plain, half styled or between plain and styled."""
    result = {}
    for frame in NATIVE_SIZES:
        samples = [random_sample(rng, frame, 0.5) for _ in range(count)]
        styles = [
            "plain" if rng.random() < 0.5 else STYLES[rng.integers(1, len(STYLES))] for _ in samples
        ]
        styled = paint(
            [(s.scene, frame, style) for s, style in zip(samples, styles, strict=True)], 1
        )
        plain = paint([(s.scene, frame, "plain") for s in samples], 1)
        mixed = [
            (0.5 * a + 0.5 * b).astype(np.uint8) if rng.random() < 0.2 else a
            for a, b in zip(styled, plain, strict=True)
        ]
        result[frame] = torch.from_numpy(np.stack(mixed)).permute(0, 3, 1, 2)
    return result


def _batch(
    rng: np.random.Generator, pictures: dict[tuple[int, int], Tensor], crops: bool
) -> Tensor:
    frames = list(pictures)
    frame = frames[rng.integers(len(frames))]
    pool = pictures[frame]
    chosen = pool[torch.from_numpy(rng.integers(len(pool), size=24 if crops else 8))]
    if crops:
        cut = []
        for picture in chosen:
            away = (picture != picture[:, :1, :1]).any(0).nonzero().float()
            middle = away.mean(0) if len(away) else torch.tensor(picture.shape[1:]) / 2
            corner = (middle - CROP / 2 + torch.from_numpy(rng.normal(size=2)) * 12).round().long()
            top = int(corner[0].clamp(0, picture.shape[1] - CROP))
            left = int(corner[1].clamp(0, picture.shape[2] - CROP))
            cut.append(picture[:, top : top + CROP, left : left + CROP])
        chosen = torch.stack(cut)
    return chosen.float() / 127.5 - 1.0


def _loss(output: Tensor, target: Tensor) -> Tensor:
    error = output - target
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + 2.0 * error.square().mean() + 0.5 * edges


@torch.no_grad()
def psnr(model: AutoencoderKL, pictures: dict[tuple[int, int], Tensor]) -> float:
    """Mean peak signal-to-noise ratio of reconstructions, in decibels."""
    values = []
    for pool in pictures.values():
        batch = pool.float() / 127.5 - 1.0
        output = model.decode(model.encode(batch).latent_dist.mode()).sample.clamp(-1, 1)
        error = ((output - batch) / 2).square().mean(dim=(1, 2, 3)).clamp_min(1e-6)
        values.append(-10 * error.log10())
    return float(torch.cat(values).mean())


@torch.no_grad()
def _fit_scaling(model: AutoencoderKL, pictures: dict[tuple[int, int], Tensor]) -> None:
    latents = torch.cat(
        [
            model.encode(pool[:60].float() / 127.5 - 1.0).latent_dist.mode().flatten()
            for pool in pictures.values()
        ]
    )
    model.register_to_config(
        shift_factor=float(latents.mean()), scaling_factor=float(1.0 / latents.std())
    )
