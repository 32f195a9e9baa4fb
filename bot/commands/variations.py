"""What a menu of variations offers: small steps with the same seed and size."""

from typing import Final

from bot.commands.again import Guidance, LoraScale, Variation, vary, wish_of
from bot.jobs.job import Job
from bot.surfaces.text import plain

GUIDANCE_STEP: Final = 0.5
LORA_STEP: Final = 0.1
MOST_LORAS: Final = 11
"""LoRAs in the menu: two lines each, and two for guidance, of Discord's 25."""
_NAME: Final = 40


def variations(job: Job) -> dict[str, str]:
    """What may be chosen, value to label: whatever changes something within the model's range."""
    offered = {}
    now = job.request.guidance_scale
    names = [lora.path for lora in job.request.loras[:MOST_LORAS]]
    for value in [
        *(f"lora:{index}:{sign}" for index in range(len(names)) for sign in "+-"),
        *(f"guidance::{sign}" for sign in "+-"),
    ]:
        found = variation(job, value)
        if found is None or (wish := vary(job, found)) == wish_of(job):
            continue
        if isinstance(found, LoraScale):
            was = next(lora.scale for lora in job.request.loras if lora.path == found.name)
            label = f"{plain(found.name, _NAME)} {found.by:+g} (from {was:g})"
        else:
            label = f"Guidance {now:g} → {wish.guidance:g}"
        offered[value] = label
    return offered


def variation(job: Job, value: str) -> Variation | None:
    """The variation that a value stands for; None for one that this job does not have."""
    match value.split(":"):
        case ["guidance", "", "+" | "-" as sign]:
            return Guidance(GUIDANCE_STEP if sign == "+" else -GUIDANCE_STEP)
        case ["lora", index, "+" | "-" as sign] if index.isdecimal():
            if int(index) < len(job.request.loras):
                by = LORA_STEP if sign == "+" else -LORA_STEP
                return LoraScale(job.request.loras[int(index)].path, by)
    return None
