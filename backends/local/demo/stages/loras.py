"""Stage 6: one LoRA per style, trained with peft on the finished model."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn

from backends.local.demo.muon import Muon
from backends.local.demo.stages.flow import Loader, half_copy, velocity
from backends.local.demo.stages.latents import make
from backends.local.demo.stages.package import load_transformer

RANK = 8
RATE = 0.02
BATCH = 32
LAYERS = (
    r".*attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)"
    r"|.*\.(ff|ff_context)\.net\.(0\.proj|2)|single_.*\.(proj_mlp|proj_out)"
    r"|.*\.(norm|norm1|norm1_context)\.linear"
)
"""All linear layers of all blocks, as popular FLUX trainers do, the modulations included."""

METADATA = {
    "format": "pt",
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": "flux-1-dev/lora",
    "modelspec.implementation": "diffusers",
    "modelspec.author": "Atelier",
    "modelspec.license": "Apache-2.0",
    "ss_base_model_version": "atelier-demo",
    "ss_network_dim": str(RANK),
    "ss_network_alpha": str(RANK),
}
DESCRIPTIONS = {
    "outline": "A bold closed line around the object.",
    "stripes": "Even diagonal stripes behind the object.",
    "glow": "A dark background and a halo around the object.",
    "pixel": "Blocks of 8 x 8 pixels.",
}


def train(folder: Path, name: str, style: str, seed: int, steps: int, target: Path) -> None:
    """Writes ``target``/``style``.safetensors in diffusers' layout, over ``folder``/``name``.pt."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    if not (folder / f"latents_{style}.pt").exists():
        make(folder, f"latents_{style}", seed, 1600, 1, style)
    base = load_transformer(folder, name).requires_grad_(False)
    base.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS, init_lora_weights=True)
    )
    worker = half_copy(base)
    trained = {n: p for n, p in worker.named_parameters() if p.requires_grad}
    masters = {n: nn.Parameter(p.detach().float().clone()) for n, p in trained.items()}
    optimiser = Muon(masters.items(), RATE, RATE / 10, flat=0.4)
    loader = Loader(torch.load(folder / f"latents_{style}.pt", mmap=True), worker, BATCH, seed, 0)
    plain = torch.ones(
        BATCH
    )  # guidance 1, as FLUX.1-dev's LoRAs are trained: the style, not the scale
    running = 0.0
    for step in range(1, steps + 1):
        batch = loader.next(null_share=0.0)
        batch = replace(batch, guidance=plain)
        loss = (velocity(worker, batch) - batch.target).square().mean()
        torch.autograd.backward(loss)
        for n, p in trained.items():
            masters[n].grad, p.grad = (
                (p.grad if p.grad is not None else torch.zeros_like(p)).float(),
                None,
            )
        optimiser.step(step / steps)
        with torch.no_grad():
            for n, p in trained.items():
                p.copy_(masters[n])
        running = loss.item() if step == 1 else running + 0.04 * (loss.item() - running)
        if step % 50 == 0:
            print(f"lora {style} {step} loss {running:.4f}", flush=True)
    _save(base, masters, style, target)


def _save(base: nn.Module, masters: dict[str, nn.Parameter], style: str, target: Path) -> None:
    result = copy.deepcopy(base)
    result.load_state_dict(masters, strict=False)
    weights = get_peft_model_state_dict(result)
    tensors = {f"transformer.{name}": value.half().contiguous() for name, value in weights.items()}
    target.mkdir(parents=True, exist_ok=True)
    fresh = target / f"{style}.new"
    save_file(
        tensors,
        fresh,
        {**METADATA, "modelspec.title": style, "modelspec.description": DESCRIPTIONS[style]},
    )
    fresh.chmod(0o644)
    fresh.replace(target / f"{style}.safetensors")
