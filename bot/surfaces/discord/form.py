"""The form that Edit opens, and the fields that come back from one.

A form that was open while the bot restarted is understood all the same: everything that it needs is
in its custom id and its fields.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from discord import TextStyle
from discord.ui import Label, Modal, TextInput

from bot.commands.again import wish_of
from bot.commands.fields import loras_of, preset_of, prompt_of_recipe
from bot.commands.prompt import Wish
from bot.jobs.job import Job
from bot.surfaces.discord import ids

RECIPE_FORM: Final = "recipe_form"
_LONGEST: Final = 4000


def form(job: Job) -> Modal:
    """Prompt, preset, LoRAs, seed and images of a job, to be changed."""
    wish = wish_of(job)
    return _form(ids.CustomId(ids.EDITED, job.id), wish, wish.prompt)


def recipe_form(wish: Wish) -> Modal:
    """The same for a recipe that no job is known for: the prompt has all else that it says."""
    return _form(ids.CustomId(RECIPE_FORM), wish, prompt_of_recipe(wish))


def _form(custom_id: ids.CustomId, wish: Wish, prompt: str) -> Modal:
    modal = Modal(title="Edit and draw", custom_id=str(custom_id))
    fields = (
        ("prompt", "Prompt", None, prompt),
        ("preset", "Preset", "One, or several: dreamy+ink:0.6", preset_of(wish)),
        ("loras", "LoRAs", "With their scales: ghibli:0.8, ink", loras_of(wish)),
        ("seed", "Seed", "Leave it empty for a new one", "" if wish.seed is None else wish.seed),
        ("images", "Pictures", "1 to 4", wish.images or 1),
    )
    for name, label, about, value in fields:
        first = name == "prompt"
        modal.add_item(
            Label(
                text=label,
                description=about,
                component=TextInput(
                    custom_id=name,
                    style=TextStyle.paragraph if first else TextStyle.short,
                    default=str(value)[:_LONGEST] or None,
                    required=first,
                    max_length=_LONGEST,
                ),
            )
        )
    modal.stop()  # the library need not keep it
    return modal


def values(data: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a submitted form by name; of a menu, what was chosen first."""
    return {
        one["custom_id"]: one.get("value") or next(iter(one.get("values") or ()), "")
        for one in _inputs(data["components"])
    }


def _inputs(components: list[Any]) -> Iterator[Any]:
    for one in components:
        if "custom_id" in one:
            yield one
        yield from _inputs([*one.get("components", ()), *filter(None, [one.get("component")])])
