"""Stage 3: scenes, encoded once, with two captions each and the dice that belong to them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from backends.local.demo.dice import DICE
from backends.local.demo.scenes import NATIVE_SIZES
from backends.local.demo.stages.captions import leave_out, phrase
from backends.local.demo.stages.pictures import Sample, paint, random_sample
from backends.local.demo.stages.text import Encoders
from backends.local.demo.vocabulary import COLOURS, PEPPER, PEPPER_BACKGROUNDS, SHAPES, Words

SHARES = (0.28, 0.24, 0.16, 0.16, 0.16)
"""How much of the material has each native size, in their order."""
CAPTIONS = 2


Material = dict[tuple[int, int], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class _Part:
    latents: Tensor
    dice: Tensor
    captions: tuple[str, ...]


def make(
    folder: Path, name: str, seed: int, count: int, workers: int, style: str = "plain"
) -> None:
    """Writes ``folder``/``name``.pt: per native size latents, sequences, pooled rows and dice.

    latents: n x 8 x height x width, scaled; sequence: n x 2 x 16 x 64; pooled: n x 2 x 64;
    dice: n x 2 x 6, NaN where the caption decides. All half precision but the dice.
    """
    torch.set_num_threads(1)
    with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        jobs = [
            pool.submit(_make, folder, seed * 100 + part, count // (2 * workers), style)
            for part in range(2 * workers)
        ]
        parts = [job.result() for job in jobs]
    encoders = Encoders(folder)
    material = {}
    for frame in NATIVE_SIZES:
        captions = [caption for part in parts for caption in part[frame].captions]
        encoded = [encoders.encode(captions[i : i + 500]) for i in range(0, len(captions), 500)]
        material[frame] = {
            "latents": torch.cat([part[frame].latents for part in parts]),
            "dice": _paired([part[frame].dice for part in parts]),
            "sequence": _paired([e[0].half() for e in encoded]),
            "pooled": _paired([e[1].half() for e in encoded]),
        }
    torch.save(material, folder / f"{name}.pt")


def _paired(rows: list[Tensor]) -> Tensor:
    together = torch.cat(rows)
    return together.view(-1, CAPTIONS, *together.shape[1:])


def _make(folder: Path, seed: int, count: int, style: str) -> dict[tuple[int, int], _Part]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    autoencoder = AutoencoderKL.from_pretrained(folder / "autoencoder").eval().bfloat16()
    material = {}
    for frame, share in zip(NATIVE_SIZES, SHARES, strict=True):
        samples = [random_sample(rng, frame, 0.45) for _ in range(int(count * share))]
        captions, dice = zip(
            *(_caption(rng, s) for s in samples for _ in range(CAPTIONS)), strict=True
        )
        pictures = paint([(s.scene, frame, style) for s in samples], 1)
        material[frame] = _Part(_encode(autoencoder, pictures), torch.tensor(dice), captions)
        print(f"latents {style} {frame} {len(samples)}", flush=True)
    return material


@torch.no_grad()
def _encode(autoencoder: AutoencoderKL, pictures: list[np.ndarray]) -> Tensor:
    shift, scale = autoencoder.config.shift_factor, autoencoder.config.scaling_factor
    parts = []
    for start in range(0, len(pictures), 50):
        batch = torch.from_numpy(np.stack(pictures[start : start + 50])).permute(0, 3, 1, 2)
        latents = autoencoder.encode((batch.float() / 127.5 - 1.0).bfloat16()).latent_dist.mode()
        parts.append(((latents.float() - shift) * scale).half())
    return torch.cat(parts)


def _caption(rng: np.random.Generator, sample: Sample) -> tuple[str, tuple[float, ...]]:
    scene = sample.scene
    everything_open = (
        sample.words.place is None and sample.words.size is None and scene.shape != PEPPER
    )
    words = Words() if everything_open and rng.random() < 0.12 else leave_out(rng, sample.words)
    dice = [*sample.dice, *[float("nan")] * (DICE - 3)]
    if words.shape is None:
        dice[3] = _die(rng, SHAPES, scene.shape)
    if words.colour is None:
        dice[4] = _die(rng, [c for c in COLOURS if c != words.background], scene.colour)
    if words.background is None:
        free = (
            PEPPER_BACKGROUNDS
            if scene.shape == PEPPER
            else [c for c in COLOURS if c != scene.colour]
        )
        dice[5] = _die(rng, free, scene.background)
    return phrase(rng, words), tuple(dice)


def _die(rng: np.random.Generator, choices: tuple[str, ...] | list[str], chosen: str) -> float:
    share = (choices.index(chosen) + rng.uniform(0.001, 0.999)) / len(choices)
    return NormalDist().inv_cdf(share)
