"""Trains the demo model from nothing, stage by stage.

``python -m backends.local.demo.train all`` runs every stage; each can be run alone and takes up
what the earlier ones left in the work folder (default ``data/demo-training``). Everything is
seeded; ``flow`` goes on from its last checkpoint unless ``--fresh`` is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backends.local.demo.scenes import STYLES
from backends.local.demo.stages import (
    autoencoder,
    distill,
    flow,
    latents,
    loras,
    package,
    safety,
    text,
)

HERE = Path(__file__).parent
app = typer.Typer(add_completion=False, help=__doc__)
Folder = Annotated[Path, typer.Option("--folder", help="Where checkpoints and latents are kept.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Workers = Annotated[int, typer.Option(help="Processes, one per core.")]
Steps = Annotated[int, typer.Option(help="Optimiser steps.")]
WORK = Path("data/demo-training")


@app.command("text")
def train_text(folder: Folder = WORK, seed: Seed = 1, steps: Steps = 1600) -> None:
    """Tokenizers and text encoders: minutes on one core."""
    text.train(folder, seed, steps, 1)


@app.command("autoencoder")
def train_autoencoder(
    folder: Folder = WORK, seed: Seed = 1, workers: Workers = 2, steps: Steps = 1_800
) -> None:
    """The 8x autoencoder on all styles."""
    autoencoder.train(folder, seed, steps, workers, 0.03, fresh=True)


@app.command("latents")
def make_latents(
    folder: Folder = WORK, seed: Seed = 5, workers: Workers = 2, count: int = 12_000
) -> None:
    """Scenes encoded once, with captions and dice. Needs text and autoencoder."""
    latents.make(folder, "latents", seed, count, workers)


@app.command("flow")
def train_flow(
    folder: Folder = WORK,
    seed: Seed = 1,
    workers: Workers = 2,
    steps: Steps = 4_000,
    decay: Annotated[float, typer.Option(help="Last share of the steps, fading the rate.")] = 0.5,
    fresh: Annotated[bool, typer.Option(help="Start from nothing.")] = False,
) -> None:
    """The transformer. Needs latents."""
    flow.train(folder, seed, steps, workers, decay, fresh or not (folder / "flow.pt").exists())


@app.command("distill")
def train_distilled(
    folder: Folder = WORK, seed: Seed = 1, workers: Workers = 2, steps: Steps = 480
) -> None:
    """Guidance distillation. Needs flow."""
    distill.train(folder, seed, steps, workers)


@app.command("package")
def write_model(
    folder: Folder = WORK, name: str = "distilled", target: Path = HERE / "model"
) -> None:
    """The finished model folder from the averaged weights of ``name``."""
    package.write(folder, name, target)


@app.command("lora")
def train_lora(
    style: str,
    folder: Folder = WORK,
    seed: Seed = 1,
    steps: Steps = 1_000,
    name: str = "distilled",
    target: Path = HERE / "loras",
) -> None:
    """One style's LoRA: outline, stripes, glow or pixel. Needs distill."""
    loras.train(folder, name, style, seed, steps, target)


@app.command("safety")
def train_safety(
    folder: Folder = WORK,
    seed: Seed = 1,
    steps: Steps = 1_200,
    drawn: int = 600,
    model: Path = HERE / "model",
    target: Path = HERE / "safety",
) -> None:
    """The chili pepper checker. Needs the finished model folder."""
    safety.train(folder, seed, steps, model, target, drawn)


@app.command("all")
def train_all(folder: Folder = WORK, seed: Seed = 1, workers: Workers = 2) -> None:
    """Every stage with its defaults."""
    folder.mkdir(parents=True, exist_ok=True)
    train_text(folder, seed)
    train_autoencoder(folder, seed, workers)
    make_latents(folder, seed, workers)
    train_flow(folder, seed, workers, fresh=True)
    train_distilled(folder, seed, workers)
    write_model(folder)
    for style in STYLES[1:]:
        train_lora(style, folder, seed)
    train_safety(folder, seed)


if __name__ == "__main__":
    app()
