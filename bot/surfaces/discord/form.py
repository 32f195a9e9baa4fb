"""The form that Edit opens, and what comes back from it.

A form that was open while the bot restarted is understood all the same: everything that it needs is
in its custom id and its fields.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from discord import TextStyle
from discord.ui import Label, Modal, TextInput

from bot.commands.again import wish_of
from bot.commands.prompt import PromptError, Wish
from bot.jobs.job import Job
from bot.surfaces.discord import ids, options

_LONGEST: Final = 4000
_MERGED: Final = frozenset({"loras", "variables"})
_INPUT: Final = 4
"""Discord's type of a text input."""


def form(job: Job) -> Modal:
    """Prompt, preset, LoRAs, seed and images of a job, to be changed."""
    wish = wish_of(job)
    modal = Modal(title="Edit and draw", custom_id=str(ids.CustomId(ids.EDITED, job.id)))
    fields = (
        ("prompt", "Prompt", None, wish.prompt),
        ("preset", "Preset", "One, or several: dreamy+ink:0.6", wish.preset or ""),
        ("loras", "LoRAs", "With their scales: ghibli:0.8, ink", _loras(wish)),
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
    """The fields of a submitted form by name."""
    return {one["custom_id"]: one.get("value") or "" for one in _inputs(data["components"])}


def edited(job: Job, fields: Mapping[str, str]) -> Wish:
    """The wish of a job as it was changed. Text that nobody touched stays as it is.

    Raises:
        PromptError: str() says what is wrong.
    """
    before = wish_of(job)
    wish = replace(before, preset=fields["preset"].strip() or None)
    if wish.preset is None:
        wish = replace(wish, variables=())  # there are no blanks to be filled any more
    if fields["loras"].strip() != _loras(before):
        read = options.wish("x", loras=fields["loras"]) if fields["loras"].strip() else Wish("x")
        wish = replace(wish, loras=read.loras)
    wish = replace(
        wish,
        seed=_whole("seed", fields["seed"]),
        images=_whole("images", fields["images"]),
    )
    if fields["prompt"] == before.prompt:
        return wish
    said = options.wish(fields["prompt"])
    given = {
        one.name: value
        for one in dataclasses.fields(said)
        if one.name not in _MERGED and (value := getattr(said, one.name)) is not None
    }
    variables = tuple({**dict(wish.variables), **dict(said.variables)}.items())
    loras = (*wish.loras, *said.loras)
    return replace(wish, variables=variables, loras=loras, **given)


def _loras(wish: Wish) -> str:
    return ", ".join(map(str, wish.loras))


def _whole(name: str, text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise PromptError(f"{name} is “{text[:40]}”; use a whole number, or leave it empty.")
    return int(text)


def _inputs(components: list[Any]) -> Iterator[Any]:
    for one in components:
        if one["type"] == _INPUT:
            yield one
        yield from _inputs([*one.get("components", ()), *filter(None, [one.get("component")])])
