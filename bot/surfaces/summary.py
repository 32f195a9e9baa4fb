"""What every chat says of a job in one line."""

from collections.abc import Callable
from typing import Final

from bot.jobs.job import Job

MOST_LORAS: Final = 8


def settings(job: Job, safe: Callable[[str, int], str]) -> str:
    """The settings that repeat the picture, its time, and its price where it has one.

    `safe` makes names that people chose safe to show, in at most so many characters.
    """
    request, result = job.request, job.result
    size = str(request.image_size)
    if result is not None and result.pictures:
        size = f"{result.pictures[0].width}x{result.pictures[0].height}"
    more = len(request.loras) - MOST_LORAS
    parts = [
        f"seed {request.seed}",
        size,
        f"{request.num_inference_steps} steps",
        f"guidance {request.guidance_scale:g}",
        *(f"{safe(lora.path, 60)}:{lora.scale:g}" for lora in request.loras[:MOST_LORAS]),
        *([f"{more} more LoRAs"] if more > 0 else []),
        *([safe(job.preset, 120)] if job.preset else []),
        request.model,
    ]
    if result is not None:
        parts.append(f"{result.seconds:.1f} s")
        cost = job.price if result.cost is None else result.cost
        if cost > 0:
            parts.append(f"${cost:.3f}")
    return " · ".join(parts)
