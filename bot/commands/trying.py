"""Prompts for people who draw for the first time."""

from typing import Final

SHAPES: Final = (
    "a large red circle on a blue background",
    "a small yellow star at the top on a black background",
    "a green ring on a white background",
)
"""For the demo model, which draws these and little else."""

SCENES: Final = (
    "a lighthouse on a cliff in a storm, oil painting, cold light",
    "a fox asleep in autumn leaves, seen from above, soft morning light",
    'a small bookshop at night in the rain, a sign that says "open late"',
)
"""For models that draw anything."""

LONGEST: Final = 80
"""Characters of such a prompt, so that a button's custom id can hold it."""


def examples(backend: str | None) -> tuple[str, ...]:
    """Prompts that the backend of this name draws well."""
    return SHAPES if backend == "demo" else SCENES
