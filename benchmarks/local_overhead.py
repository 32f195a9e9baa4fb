"""What Atelier adds to bare diffusers on this machine, with the demo model.

    python -m benchmarks.local_overhead [--jobs 12] [--starts 6] [--steps 28] [--threads N]

Warm: whole jobs (submitted, scheduled, drawn in the child process, checked, stored with their
recipe, delivered as a file) beside `FluxPipeline.__call__` and `Image.save` for the same request in
one process that has the model loaded. The aim is at most 1.10×.

Cold: `atelier imagine … -o x.png` beside a script that imports diffusers, loads, draws and saves.
The aim is at most 1.25×.

Both sides have the same weights, threads, size, steps and seeds, and their pixels are compared.
They take turns, so that a busy machine is busy for both, and both run in sessions of their own, as
our child does: Linux shares its processors out by session. The bare side has no safety checker, no
preview, no recipe and no durable storage.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops

from backends.base import GenerationRequest, parse_request
from backends.local.families import DEMO_MODEL, drawn_size, read_card
from bot.app import build_backends, build_supervisor, open_app
from bot.commands.imagine import Ask
from bot.commands.prompt import parse
from bot.jobs.job import Job, Place, Receipt
from bot.owner import OWNER
from bot.settings import Settings
from bot.surfaces.base import Outcome
from bot.surfaces.terminal.surface import NAME, TerminalSurface, receipt

PROMPTS: Final = (
    "a large red circle on a blue background",
    "a small green star at the left on a white background",
    "a yellow triangle at the top on a black background",
    "a purple ring on an orange background",
    "a small white cross at the bottom on a green background",
)

BARE: Final = """
import json, sys, time
import torch
from diffusers import FluxPipeline

pipeline = FluxPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
pipeline.set_progress_bar_config(disable=True)
for line in sys.stdin:
    request = json.loads(line)
    path, seed = request.pop("path"), request.pop("seed")
    began = time.perf_counter()
    pipeline(**request, generator=torch.Generator("cpu").manual_seed(seed)).images[0].save(path)
    print(time.perf_counter() - began, flush=True)
"""


def bare_command() -> list[str]:
    return [sys.executable, "-c", BARE, str(DEMO_MODEL)]


def bare_line(request: GenerationRequest, path: Path) -> str:
    """The request for the bare side: what our own pipeline asks diffusers for."""
    card = read_card(DEMO_MODEL)
    size = drawn_size(request.image_size, native=card.native_sizes)
    fields = {
        "prompt": request.prompt,
        "seed": request.seed,
        "width": size.width,
        "height": size.height,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "max_sequence_length": card.max_sequence_length,
        "path": str(path),
    }
    return json.dumps(fields) + "\n"


def check_pixels(ours: Path, bare: Path) -> None:
    """Make sure that both sides did the same work, but for the rounding of a value."""
    with Image.open(ours) as one, Image.open(bare) as other:
        channels = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).split()
    if any(any(channel.histogram()[2:]) for channel in channels):
        raise SystemExit(f"{ours.name} and {bare.name} differ: the model changed meanwhile")


# --- Warm --------------------------------------------------------------------------------------


class Awaited(TerminalSurface):
    """Delivers files as the command line does, and tells when it has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ends: dict[str, asyncio.Future[Job]] = {}

    def output(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.png"

    async def start(self, job: Job) -> Receipt:
        self.ends[job.id] = asyncio.get_running_loop().create_future()
        return receipt(self._folder / f"{job.id}.json", self.output(job.id))

    async def finish(self, job: Job, receipt: Receipt, outcome: Outcome) -> None:
        await super().finish(job, receipt, outcome)
        self.ends[job.id].set_result(job)


@dataclass(frozen=True)
class Turn:
    """One request drawn by both sides, in seconds; `stages` are those of ours."""

    bare: float
    ours: float
    stages: Mapping[str, float] = field(default_factory=dict)


async def warm(folder: Path, jobs: int, steps: int) -> list[Turn]:
    """Let both sides draw the same requests in turn; the first one only warms them up."""
    turns: list[Turn] = []
    settings = Settings(data_dir=folder / "data", backend="demo")
    async with AsyncExitStack() as stack:
        bare = stack.enter_context(bare_process())
        app = await stack.enter_async_context(open_app(settings, build_backends(settings)))
        surface = Awaited(folder)
        supervisor = build_supervisor(app, [surface])
        stack.push_async_callback(supervisor.drain, 0.0)
        await supervisor.start()
        for number in range(jobs + 1):
            wish = parse(f"{prompt(number)} --seed {number} --steps {steps} --format png")
            plan = await app.imagine.plan(Ask(wish, OWNER, Place(private=True), NAME))
            theirs = folder / f"bare-{number}.png"
            line = bare_line(plan.draft.request, theirs)
            bare_seconds = await asyncio.to_thread(bare_once, bare, line)
            began = time.perf_counter()
            job = await supervisor.submit(plan.draft, plan.limits)
            job = await surface.ends[job.id]
            seconds = time.perf_counter() - began
            if job.result is None:
                raise SystemExit(f"a job failed: {job.fault}")
            check_pixels(surface.output(job.id), theirs)
            turns.append(Turn(bare_seconds, seconds, job.result.timings))
    return turns[1:]


@contextmanager
def bare_process() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        bare_command(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def bare_once(process: "subprocess.Popen[str]", line: str) -> float:
    if process.stdin is None or process.stdout is None:
        raise SystemExit("the bare side has no pipes")
    process.stdin.write(line)
    process.stdin.flush()
    return float(process.stdout.readline())


# --- Cold --------------------------------------------------------------------------------------


def cold(folder: Path, starts: int, steps: int) -> list[Turn]:
    """Start both sides in turn, each time from nothing; the first start only fills the caches."""
    turns: list[Turn] = []
    atelier = str(Path(sys.executable).with_name("atelier"))
    environment = os.environ | {"ATELIER_DATA_DIR": str(folder / "cold"), "ATELIER_BACKEND": "demo"}
    for number in range(starts + 1):
        ours, theirs = folder / f"cold-ours-{number}.png", folder / f"cold-bare-{number}.png"
        options = ["--seed", str(number), "--steps", str(steps), "-o", str(ours)]
        fields = {"prompt": prompt(number), "seed": number, "num_inference_steps": steps}
        request = parse_request(fields)
        turns.append(
            Turn(
                bare=seconds(bare_command(), bare_line(request, theirs)),
                ours=seconds([atelier, "imagine", prompt(number), *options], "", environment),
            )
        )
        check_pixels(ours, theirs)
    return turns[1:]


def seconds(
    command: Sequence[str], text: str, environment: Mapping[str, str] = os.environ
) -> float:
    began = time.perf_counter()
    subprocess.run(
        command,
        input=text,
        env=environment,
        text=True,
        check=True,
        capture_output=True,
        start_new_session=True,
    )
    return time.perf_counter() - began


def prompt(number: int) -> str:
    return PROMPTS[number % len(PROMPTS)]


# --- The table ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--starts", type=int, default=6)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--threads", type=int, help="of torch, on both sides; its own choice else")
    args = parser.parse_args()
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        warm_turns = asyncio.run(warm(Path(name), args.jobs, args.steps))
        cold_turns = cold(Path(name), args.starts, args.steps)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {args.steps} steps")
    print("| what | bare diffusers (baseline) | Atelier | ratio | aim |")
    print("|---|---|---|---|---|")
    print_row(f"warm: one job, p50 of {args.jobs}", warm_turns, 1.10)
    print_row(f"cold: from the shell to the file, median of {args.starts}", cold_turns, 1.25)
    stages = {
        stage: statistics.median(turn.stages[stage] for turn in warm_turns)
        for stage in warm_turns[0].stages
    }
    core = statistics.median(turn.ours - sum(turn.stages.values()) for turn in warm_turns)
    parts = ", ".join(f"{stage} {s * 1000:.0f} ms" for stage, s in stages.items() if s > 0.0005)
    print(f"warm job by stage, medians: {parts}; everything around the child {core * 1000:.0f} ms")


def print_row(what: str, turns: Sequence[Turn], aim: float) -> None:
    bare = statistics.median(turn.bare for turn in turns)
    ours = statistics.median(turn.ours for turn in turns)
    print(f"| {what} | {bare:.2f} s | {ours:.2f} s | {ours / bare:.2f}× | ≤ {aim:.2f}× |")


if __name__ == "__main__":
    main()
