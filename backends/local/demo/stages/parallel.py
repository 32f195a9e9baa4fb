"""One training process per core, with averaged gradients.

On CPUs this beats threads inside one process: small kernels lose to their own barriers. Matrix
products run on a bfloat16 copy (the worker); the master weights stay in float32.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import start_processes


def spawn(work: Callable[..., None], workers: int, port: int, *arguments: object) -> None:
    """Runs ``work(rank, workers, *arguments)`` on ``workers`` single-threaded processes."""
    start_processes(  # type: ignore[no-untyped-call]
        _enter, (work, workers, port, arguments), workers
    )


def _enter(
    rank: int, work: Callable[..., None], workers: int, port: int, arguments: tuple[object, ...]
) -> None:
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "127.0.0.1", str(port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=workers)
    work(rank, workers, *arguments)
    dist.destroy_process_group()


def share_gradients(worker: nn.Module, master: nn.Module, workers: int) -> None:
    """Averages the workers' gradients over all ranks into the masters' ``grad``."""
    gradients = [
        torch.zeros_like(p, dtype=torch.float32) if p.grad is None else p.grad.float()
        for p in worker.parameters()
    ]
    flat = torch.cat([g.flatten() for g in gradients])
    if workers > 1:
        dist.all_reduce(flat)
        flat /= workers
    parts = torch.split(flat, [g.numel() for g in gradients])
    for mine, other, part in zip(master.parameters(), worker.parameters(), parts, strict=True):
        mine.grad = part.view_as(mine)
        other.grad = None


@torch.no_grad()
def follow(average: nn.Module, master: nn.Module, decay: float) -> None:
    """Moves the exponential average towards the masters."""
    torch._foreach_lerp_(list(average.parameters()), list(master.parameters()), 1 - decay)


@torch.no_grad()
def refresh(worker: nn.Module, master: nn.Module) -> None:
    """Copies the masters' new values into the bfloat16 workers."""
    for mine, other in zip(master.parameters(), worker.parameters(), strict=True):
        other.copy_(mine)
