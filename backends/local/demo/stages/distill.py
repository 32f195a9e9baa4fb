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

from backends.local.demo.muon import Muon
from backends.local.demo.stages.flow import ADAM_NAMES, Loader, half_copy, velocity
from backends.local.demo.stages.package import load_transformer
from backends.local.demo.stages.parallel import follow, refresh, share_gradients, spawn

STRONGEST = 8.0
"""The guidance scale from which on a higher one changes nothing more."""
SLOPE = 0.5
"""How much textbook guidance a unit of the scale buys: 3.5 stands for 1 + 2.5 x 0.5 = 2.25."""


def train(folder: Path, seed: int, steps: int, workers: int) -> None:
    """Writes ``folder``/distilled.pt, starting from the average in ``folder``/flow.pt."""
    spawn(_work, workers, 29518, folder, seed, steps)


def guidance_scales(count: int, generator: torch.Generator) -> Tensor:
    """What people might ask for: mostly 1 to 8, now and then less, or up to 35."""
    even = torch.rand(count, generator=generator)
    kind = torch.rand(count, generator=generator)
    usual = torch.exp(even * math.log(STRONGEST))
    strong = STRONGEST * torch.exp(even * math.log(35.0 / STRONGEST))
    return torch.where(kind < 0.1, even, torch.where(kind < 0.25, strong, usual))


def _work(rank: int, workers: int, folder: Path, seed: int, steps: int) -> None:
    torch.manual_seed(seed)
    master = load_transformer(folder, "flow").train()
    teacher = half_copy(master).eval().requires_grad_(False)
    average, worker = copy.deepcopy(master), half_copy(master)
    optimiser = Muon(master.named_parameters(), 0.005, 5e-4, ADAM_NAMES)
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
        error = error / weight.clamp(min=1.0).square()[:, None, None]  # or strong guidance drowns all
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
