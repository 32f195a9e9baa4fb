"""Stage 4: the transformer learns the flow from noise to latents."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from backends.local.demo.architecture import SHIFT, T5_TOKENS, new_transformer
from backends.local.demo.dice import load
from backends.local.demo.muon import Muon
from backends.local.demo.stages.attention import LeanAttention
from backends.local.demo.stages.latents import CAPTIONS, SHARES, Material
from backends.local.demo.stages.parallel import follow, refresh, share_gradients, spawn

NULL_SHARE = 0.08
OBJECT_WEIGHT = 2.0
BARE_SHARE = 0.14
"""Extra rows whose caption leaves shape or colour open: hard, and rare by themselves."""
ADAM_NAMES = ("x_embedder", "context_embedder", "time_text_embed", "proj_out")


@dataclass(frozen=True, slots=True)
class Batch:
    """Noised tokens and what the model must answer."""

    tokens: Tensor
    target: Tensor
    weight: Tensor
    sigma: Tensor
    guidance: Tensor
    sequence: Tensor
    pooled: Tensor
    rotary: tuple[Tensor, Tensor]


def pack(latents: Tensor) -> Tensor:
    """batch x c x h x w to FLUX's tokens, batch x (h/2 * w/2) x 4c."""
    batch, channels, height, width = latents.shape
    latents = latents.view(batch, channels, height // 2, 2, width // 2, 2)
    return latents.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * 4)


def rotary(model: FluxTransformer2DModel, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The position table for text and ``height`` x ``width`` image tokens."""
    image = torch.zeros(height, width, 3)
    image[..., 1] = torch.arange(height)[:, None]
    image[..., 2] = torch.arange(width)[None, :]
    table: tuple[Tensor, Tensor] = model.pos_embed(
        torch.cat([torch.zeros(T5_TOKENS, 3), image.flatten(0, 1)])
    )
    return table


def velocity(model: FluxTransformer2DModel, batch: Batch) -> Tensor:
    """``FluxTransformer2DModel.forward`` with the time embedding kept in float32."""
    half = batch.tokens.to(model.x_embedder.weight.dtype)
    time = model.time_text_embed(batch.sigma * 1000, batch.guidance * 1000, batch.pooled).to(
        half.dtype
    )
    image = model.x_embedder(half)
    text = model.context_embedder(batch.sequence.to(half.dtype))
    for block in (*model.transformer_blocks, *model.single_transformer_blocks):
        text, image = block(
            hidden_states=image,
            encoder_hidden_states=text,
            temb=time,
            image_rotary_emb=batch.rotary,
        )
    output: Tensor = model.proj_out(model.norm_out(image, time)).float()
    return output


class Loader:
    """Endless random batches of ``size`` rows, all of one picture size."""

    def __init__(
        self, material: Material, model: FluxTransformer2DModel, size: int, seed: int, rank: int
    ) -> None:
        self._material, self._model, self._size = material, model, size
        self._frames = torch.Generator().manual_seed(seed)  # the same on every rank: equal work
        self._rows = torch.Generator().manual_seed(seed * 1000 + rank)
        self._bare = {frame: _bare(pool["dice"]) for frame, pool in material.items()}
        self._tables: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def next(self, null_share: float = NULL_SHARE) -> Batch:
        """Noise loaded with the scenes' dice; null rows have zero text and free noise."""
        frames = list(self._material)
        frame = frames[int(torch.multinomial(torch.tensor(SHARES), 1, generator=self._frames))]
        pool, rng, size = self._material[frame], self._rows, self._size
        rows = torch.randint(len(pool["latents"]), (size,), generator=rng)
        which = torch.randint(CAPTIONS, (size,), generator=rng)
        bare = self._bare[frame]
        if len(bare):
            few = round(BARE_SHARE * size)
            chosen = bare[torch.randint(len(bare), (few,), generator=rng)]
            place = torch.randperm(size, generator=rng)[:few]
            rows[place], which[place] = chosen[:, 0], chosen[:, 1]
        clean = pool["latents"][rows].float()
        noise = torch.randn(clean.shape, generator=rng)
        null = torch.rand(size, generator=rng) < null_share
        noise = torch.where(
            null[:, None, None, None], noise, load(noise, pool["dice"][rows, which].float())
        )
        even = (torch.arange(size) + torch.rand(size, generator=rng)) / size
        sigma = SHIFT * even / (1 + (SHIFT - 1) * even)
        mix = sigma[:, None, None, None]
        away = (clean - clean[:, :, :1, :1]).abs().mean(1, keepdim=True)
        weight = (1 + OBJECT_WEIGHT * (2 * away).clamp(max=1)).expand_as(clean)
        keep = (~null).float()
        table = self._tables.setdefault(frame, rotary(self._model, frame[1] // 16, frame[0] // 16))
        return Batch(
            tokens=pack((1 - mix) * clean + mix * noise),
            target=pack(noise - clean),
            weight=pack(weight),
            sigma=sigma,
            guidance=torch.exp(torch.rand(size, generator=rng) * math.log(8.0)),
            sequence=pool["sequence"][rows, which].float() * keep[:, None, None],
            pooled=pool["pooled"][rows, which].float() * keep[:, None],
            rotary=table,
        )


def _bare(dice: Tensor) -> Tensor:
    """(row, caption) pairs whose shape or colour is left to the dice."""
    return (~dice[:, :, 3:5].isnan()).any(-1).nonzero()


def train(folder: Path, seed: int, steps: int, workers: int, decay: float, fresh: bool) -> None:
    """Trains for ``steps`` more steps; the last ``decay`` share of them fades the rate to zero.

    Resumes from ``folder``/flow.pt unless ``fresh``; writes it every 250 steps.
    """
    spawn(_work, workers, 29517, folder, seed, steps, decay, fresh)


def _work(
    rank: int, workers: int, folder: Path, seed: int, steps: int, decay: float, fresh: bool
) -> None:
    torch.manual_seed(seed)
    master = new_transformer()
    average = copy.deepcopy(master)
    optimiser = Muon(master.named_parameters(), 0.02, 2e-3, ADAM_NAMES, flat=1.0 - decay)
    done = 0
    if not fresh:
        saved = torch.load(folder / "flow.pt")
        master.load_state_dict(saved["master"])
        average.load_state_dict(saved["average"])
        optimiser.restore(saved["optimiser"])
        done = saved["step"]
    worker = half_copy(master)
    material = torch.load(folder / "latents.pt", mmap=True)
    loader = Loader(material, worker, 48, seed + done, rank)
    running = 0.0
    for step in range(1, steps + 1):
        batch = loader.next()
        error = (velocity(worker, batch) - batch.target).square()
        loss = (error * batch.weight).mean() / batch.weight.mean()
        torch.autograd.backward(loss)
        share_gradients(worker, master, workers)
        optimiser.step(step / steps)
        follow(average, master, min(0.999, 1 - 10 / (10 + done + step)))
        refresh(worker, master)
        running += 0.02 * (loss.item() - running) if step > 1 else loss.item()
        if rank == 0 and (step % 50 == 0):
            print(f"flow {done + step} loss {running:.4f}", flush=True)
        if rank == 0 and (step % 250 == 0 or step == steps):
            state = {"master": master.state_dict(), "average": average.state_dict()}
            torch.save(
                {**state, "optimiser": optimiser.state(), "step": done + step}, folder / "flow.tmp"
            )
            (folder / "flow.tmp").replace(folder / "flow.pt")


def half_copy(master: FluxTransformer2DModel) -> FluxTransformer2DModel:
    """A bfloat16 copy for the products; its time embedding stays float32."""
    worker = copy.deepcopy(master).bfloat16()
    worker.time_text_embed.float()
    worker.set_attn_processor(LeanAttention())
    return worker
