"""Stage 5: guidance distillation; what classifier-free guidance does moves into one pass.

The teacher's answers with and without text are combined at a random scale, and the student, which
is told the scale, learns the combination (Meng et al., 2022, https://arxiv.org/abs/2210.03142).
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from backends.local.demo.architecture import new_transformer
from backends.local.demo.muon import Muon
from backends.local.demo.stages.flow import ADAM_NAMES, Loader, half_copy, velocity
from backends.local.demo.stages.package import load_transformer
from backends.local.demo.stages.parallel import follow, refresh, share_gradients, spawn

STRONGEST = 8.0
"""The guidance scale from which on a higher one changes nothing more."""
SLOPE = 0.5
"""How much textbook guidance a unit of the scale buys: 3.5 stands for 1 + 2.5 x 0.5 = 2.25."""


def train(folder: Path, seed: int, steps: int, workers: int) -> None:
    """Writes ``folder``/distilled.pt, from flow.pt's average or, if there, its own last one."""
    spawn(_work, workers, 29518, folder, seed, steps)
    level(folder, seed)


def guidance_scales(count: int, generator: torch.Generator) -> Tensor:
    """What people might ask for: mostly 1 to 8, one in ten less."""
    even = torch.rand(count, generator=generator)
    usual = torch.exp(even * math.log(STRONGEST))
    return torch.where(torch.rand(count, generator=generator) < 0.1, even, usual)


def level(folder: Path, seed: int, steps: int = 4000) -> None:
    """Teaches the guidance embedding alone that every scale above 8, up to 40, is 8.

    fal allows 35; scales never trained would give noise.
    """
    saved = torch.load(folder / "distilled.pt")
    model = new_transformer()
    model.load_state_dict(saved["average"])
    embed = model.time_text_embed
    learner, model_of = embed.guidance_embedder, copy.deepcopy(embed.guidance_embedder)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(learner.parameters(), 2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        even = torch.rand(512, generator=generator)
        scales = torch.where(
            torch.rand(512, generator=generator) < 0.5, even * STRONGEST, even * 40
        )
        with torch.no_grad():
            wanted = model_of(embed.time_proj(scales.clamp(max=STRONGEST) * 1000))
        loss = (learner(embed.time_proj(scales * 1000)) - wanted).square().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        if step % 1000 == 0:
            print(f"level {step} error {loss.item() / wanted.var().item():.5f}", flush=True)
    torch.save({**saved, "average": model.state_dict()}, folder / "distilled.pt")


def _work(rank: int, workers: int, folder: Path, seed: int, steps: int) -> None:
    torch.manual_seed(seed)
    teacher = half_copy(load_transformer(folder, "flow")).requires_grad_(False)
    begun = (folder / "distilled.pt").exists()
    master = load_transformer(folder, "distilled" if begun else "flow").train()
    average, worker = copy.deepcopy(master), half_copy(master)
    optimiser = Muon(master.named_parameters(), 0.005, 1e-3, ADAM_NAMES)
    loader = Loader(torch.load(folder / "latents.pt", mmap=True), worker, 32, seed + 77, rank)
    scales = torch.Generator().manual_seed(seed * 1000 + rank)
    for step in range(1, steps + 1):
        batch = loader.next(null_share=0.0)
        batch = replace(batch, guidance=guidance_scales(len(batch.tokens), scales))
        with torch.no_grad():
            nothing = replace(
                batch,
                sequence=torch.zeros_like(batch.sequence),
                pooled=torch.zeros_like(batch.pooled),
            )
            with_text, without = velocity(teacher, batch), velocity(teacher, nothing)
            weight = 1 + SLOPE * (batch.guidance.clamp(max=STRONGEST) - 1)
            target = without + weight[:, None, None] * (with_text - without)
        error = (velocity(worker, batch) - target).square()
        error /= weight.clamp(min=1.0).square()[:, None, None]  # or strong guidance drowns all
        loss = (error * batch.weight).mean() / batch.weight.mean()
        torch.autograd.backward(loss)
        share_gradients(worker, master, workers)
        optimiser.step(step / steps)
        follow(average, master, min(0.99, 1 - 10 / (10 + step)))
        refresh(worker, master)
        if rank == 0 and step % 50 == 0:
            print(f"distill {step} loss {loss.item():.4f}", flush=True)
        if rank == 0 and (step % 250 == 0 or step == steps):
            torch.save({"average": average.state_dict(), "step": step}, folder / "distilled.tmp")
            (folder / "distilled.tmp").replace(folder / "distilled.pt")
