"""`/imagine`."""

from typing import Any, Final, get_args

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from backends.base import MODELS, Acceleration, OutputFormat
from bot.commands.fields import wish
from bot.commands.prompt import PromptError
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, draw, sentence
from bot.surfaces.discord.suggestions import Suggestions

MAX_SEED: Final = 2**53 - 1
"""The largest whole number that Discord's clients send; larger seeds go into the prompt."""


def _choices(values: tuple[str, ...]) -> list[Choice[str]]:
    return [Choice(name=value, value=value) for value in values]


def imagine_command(desk: Desk) -> app_commands.Command[Any, ..., None]:
    """The command, ready to be added to a tree."""
    suggestions = Suggestions(desk)

    @app_commands.command(name="imagine", description="Draw a picture")
    @app_commands.describe(
        prompt="What to draw; <lora:name:0.8> and flags such as --ar 16:9 work here too",
        preset="A preset, or several: dreamy+ink:0.6",
        loras="LoRAs by name with their scales: ghibli:0.8, ink (flux-2 takes up to 3)",
        size="A name such as square_hd, pixels such as 1024x768, or a ratio such as 16:9",
        steps="1 to 50; 28 is enough, 12 to 16 do for a draft",
        guidance="How much the prompt counts: 0 to 35, from 3.5 (flux-2: to 20, from 2.5)",
        seed="The same seed with the same settings draws the same picture",
        images="1 to 4 pictures",
        model="Which model draws",
        speed="Faster, for a little quality",
        expand="Let the model elaborate the prompt (flux-2)",
        format="The kind of file",
        private="Show the result to you alone",
        vars="What fills a preset's blanks: mood=calm; time=dusk",
    )
    @app_commands.choices(
        model=_choices(tuple(MODELS)),
        speed=_choices(get_args(Acceleration)),
        format=_choices(get_args(OutputFormat)),
    )
    async def imagine(
        interaction: discord.Interaction[Any],
        prompt: Range[str, 1, 4000],
        preset: Range[str, 1, 200] | None = None,
        loras: Range[str, 1, 1000] | None = None,
        size: Range[str, 1, 40] | None = None,
        steps: Range[int, 1, 50] | None = None,
        guidance: Range[float, 0.0, 35.0] | None = None,
        seed: Range[int, 0, MAX_SEED] | None = None,
        images: Range[int, 1, 4] | None = None,
        model: str | None = None,
        speed: str | None = None,
        expand: bool | None = None,
        format: str | None = None,  # noqa: A002 - the option's name
        private: bool | None = None,
        vars: Range[str, 1, 1000] | None = None,  # noqa: A002 - the option's name
    ) -> None:
        try:
            wished = wish(
                prompt,
                preset=preset,
                loras=loras,
                size=size,
                variables=vars,
                steps=steps,
                guidance=guidance,
                seed=seed,
                images=images,
                model=model,
                speed=speed,
                expand=expand,
                format=format,
                private=private,
            )
        except PromptError as error:
            await Answer(interaction, private=True).tell(sentence(error))
            return
        await draw(desk, interaction, wished)

    imagine.autocomplete("preset")(suggestions.presets)
    imagine.autocomplete("loras")(suggestions.loras)
    imagine.autocomplete("size")(suggestions.sizes)
    return imagine
