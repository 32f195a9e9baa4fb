"""What every chat says of a job in the same words."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from backends.base import Verdict
from bot.jobs.job import Job, StoredPicture

MOST_LORAS: Final = 8

WHY_HIDDEN: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.FLAGGED: "the checker flagged it",
        Verdict.UNCHECKED: "nothing could check it",
    }
)
"""What the checker's word means for a picture that is not shown openly."""

CHECKED: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.CLEAR: "The checker found it clear.",
        Verdict.FLAGGED: "The checker flagged it.",
        Verdict.UNCHECKED: "Nothing has checked it.",
    }
)
"""What moderators are told of a picture."""


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


def why_hidden(job: Job, picture: StoredPicture) -> str:
    """Why a picture that is not clear is treated so."""
    return WHY_HIDDEN[picture.verdict] if job.moderated is None else "a moderator hid it"
