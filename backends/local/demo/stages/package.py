"""The last stage: everything into one ordinary diffusers folder, in half precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel, T5EncoderModel

from backends.local.demo.architecture import T5_TOKENS, new_scheduler, new_transformer
from backends.local.demo.scenes import NATIVE_SIZES, STYLES
from backends.local.demo.stages.pictures import paint, random_sample
from backends.local.demo.words_to_tokens import clip_tokenizer, t5_tokenizer


def assemble(folder: Path, transformer: FluxTransformer2DModel) -> FluxPipeline:
    """The whole pipeline in float32 from the stages' results in ``folder``."""
    return FluxPipeline(
        scheduler=new_scheduler(),
        vae=AutoencoderKL.from_pretrained(folder / "autoencoder"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel.from_pretrained(folder / "text_encoder_2"),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    )


def load_transformer(folder: Path, name: str) -> FluxTransformer2DModel:
    """The averaged weights that a stage left in ``folder``/``name``.pt."""
    model = new_transformer()
    model.load_state_dict(torch.load(folder / f"{name}.pt")["average"])
    return model.eval()


def write(folder: Path, name: str, target: Path) -> None:
    """Replaces ``target`` by the finished model folder in one rename."""
    pipeline = assemble(folder, load_transformer(folder, name))
    table = preview_table(pipeline.vae)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(fresh)
    facts = {
        "name": "Atelier demo",
        "native_sizes": [list(size) for size in NATIVE_SIZES],
        "max_sequence_length": T5_TOKENS,
        "safety": "../safety",
        "hint": "demo",
        "preview": [[round(value, 5) for value in row] for row in table.tolist()],
    }
    (fresh / "atelier.json").write_text(json.dumps(facts, indent=1) + "\n")
    replace_folder(fresh, target)


def replace_folder(fresh: Path, target: Path) -> None:
    """Puts the folder ``fresh`` in the place of ``target``, readable by all, in one rename."""
    for path in fresh.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@torch.no_grad()
def preview_table(autoencoder: AutoencoderKL) -> Tensor:
    """Least squares from a scaled clean latent to the RGB (0 to 1) of its 8 x 8 pixels.

    9 x 3: one row per latent channel, then the constant.
    """
    rng = np.random.default_rng(0)
    frame = NATIVE_SIZES[0]
    jobs = [
        (random_sample(rng, frame, 0.5).scene, frame, STYLES[i % len(STYLES)]) for i in range(200)
    ]
    pictures = torch.from_numpy(np.stack(paint(jobs, 1))).permute(0, 3, 1, 2).float() / 255
    config = autoencoder.config
    latents = autoencoder.encode(pictures * 2 - 1).latent_dist.mode()
    latents = (latents - config.shift_factor) * config.scaling_factor
    rows = latents.permute(0, 2, 3, 1).flatten(0, 2)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    colours = functional.avg_pool2d(pictures, 8).permute(0, 2, 3, 1).flatten(0, 2)
    table: Tensor = torch.linalg.lstsq(rows, colours).solution
    return table
