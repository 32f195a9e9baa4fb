"""The forms of presets, and the way back from one that was refused.

A form can only be the first answer to a click or command. What somebody wrote into a form that is
refused comes back to them in a private message; its button opens the form again with that text,
which it reads from the message itself. So does a form that could not be filled in in time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import discord
import structlog
from discord import ButtonStyle, TextStyle
from discord.ui import ActionRow, Button, Label, LayoutView, Modal, TextDisplay, TextInput

from bot import wording
from bot.commands.jobs import NoSuchJob
from bot.commands.prompt import PromptError
from bot.communities import SettingsError
from bot.surfaces.discord import cards, form
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.recipes import NoRecipe
from bot.surfaces.discord.text import code, safe, uncode
from bot.surfaces.preset_fields import FORMS, Field
from lora_registry.errors import EditConflict, RegistryError
from lora_registry.models import Viewer

CORRECT: Final = "correct"

LATE: Final = "This took a moment to look up. Here it is:"
CONFLICT: Final = (
    "-# Nothing of yours is lost: you can still put it in the place of that revision, and "
    "`/preset history` keeps both."
)
TOO_LONG: Final = "All that you wrote follows, for you to copy it and try again."
_OPEN: Final = "Open the form"
_CORRECT: Final = "Correct it"
_ALL_THE_SAME: Final = "Use mine all the same"
_CHUNK: Final = 3800

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Filled:
    """A form with what stands in it, and perhaps words above that."""

    custom_id: CustomId
    values: Mapping[str, str]
    above: str | None = None

    def modal(self) -> Modal:
        """The form to be opened."""
        title, fields = FORMS[self.custom_id.verb]
        modal = Modal(title=title, custom_id=str(self.custom_id))
        if self.above is not None:
            modal.add_item(TextDisplay(self.above))
        for field in fields:
            modal.add_item(
                Label(
                    text=field.label,
                    description=field.about,
                    component=TextInput(
                        custom_id=field.name,
                        style=TextStyle.paragraph if field.long else TextStyle.short,
                        default=self.values.get(field.name, "")[: field.most] or None,
                        placeholder=field.example,
                        required=field.required,
                        max_length=field.most,
                    ),
                )
            )
        modal.stop()  # the library need not keep it
        return modal


async def opened(
    desk: Desk, interaction: Interaction, fill: Callable[[Viewer], Awaitable[Filled]]
) -> None:
    """Answer with a form, or privately with why there is none."""
    answer = Answer(interaction, private=True)

    async def found() -> Filled:
        return await fill(await desk.viewer(interaction))

    try:
        form = await answer.bounded(asyncio.create_task(found()))
    except _EXPECTED as error:
        await answer.tell(_sentence(error))
        return
    except Exception:
        log.exception("form not opened")
        await answer.tell(wording.INTERNAL)
        return
    if interaction.response.is_done():
        await _given_back(answer, form, LATE, _OPEN)
    else:
        await interaction.response.send_modal(form.modal())


async def submitted(
    desk: Desk,
    interaction: Interaction,
    custom_id: CustomId,
    do: Callable[[Viewer, Mapping[str, str]], Awaitable[LayoutView]],
) -> None:
    """Answer a form with what came of it, or with why not and all that was written."""
    values = form.values(interaction.data or {})
    answer = Answer(interaction, private=True)

    async def done() -> LayoutView:
        return await do(await desk.viewer(interaction), values)

    try:
        view = await answer.bounded(asyncio.create_task(done()))
    except EditConflict as error:
        newest = CustomId(custom_id.verb, custom_id.subject, str(error.head))
        sentence = f"{_sentence(error)}\n{CONFLICT}"
        await _given_back(answer, Filled(newest, values), sentence, _ALL_THE_SAME)
    except _EXPECTED as error:
        await _given_back(answer, Filled(custom_id, values), _sentence(error))
    except Exception:
        log.exception("form broke", verb=custom_id.verb, subject=custom_id.subject)
        await _given_back(answer, Filled(custom_id, values), wording.INTERNAL)
    else:
        await answer.show(view, private=True)


_EXPECTED: Final = (NoSuchJob, NoRecipe, RegistryError, SettingsError, PromptError)


def _sentence(error: Exception) -> str:
    match error:
        case NoSuchJob():
            return wording.NO_SUCH_JOB
        case NoRecipe():
            return str(error)
        case _:
            return safe(str(error), 1000)


# --- Text comes back --------------------------------------------------------------------------


async def _given_back(answer: Answer, form: Filled, sentence: str, label: str = _CORRECT) -> None:
    """Show what stands in a form, with a button that opens it; what is too long is to be copied."""
    custom_id, values = form.custom_id, form.values
    _, fields = FORMS[custom_id.verb]
    written = [
        f"{_head(field)}{code(values[field.name])}" for field in fields if values.get(field.name)
    ]
    if len(sentence) + sum(map(len, written)) <= cards.MOST_TEXT:
        target = ":".join(filter(None, (custom_id.subject, custom_id.argument)))
        again: Button[LayoutView] = Button(
            label=label,
            style=ButtonStyle.primary,
            custom_id=str(CustomId(CORRECT, custom_id.verb, target)),
        )
        view = cards.note(sentence, *map(TextDisplay, written), ActionRow(again))
        await answer.show(view, private=True)
        return
    await answer.show(cards.note(f"{sentence}\n{TOO_LONG}"), private=True)
    for text in _packed(fields, values):
        await answer.tell(text)


def _packed(fields: Sequence[Field], values: Mapping[str, str]) -> Iterator[str]:
    """Everything in as few messages as it takes: some places allow five."""
    room: list[str] = []
    for field in fields:
        text = values.get(field.name, "")
        for start in range(0, len(text), _CHUNK):
            piece = f"{_head(field)}{code(text[start : start + _CHUNK])}"
            if room and sum(map(len, room)) + len(piece) + len(room) > cards.MOST_TEXT:
                yield "\n".join(room)
                room = []
            room.append(piece)
    if room:
        yield "\n".join(room)


async def _correct(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if custom_id.subject not in FORMS:
        return
    subject, _, argument = custom_id.argument.partition(":")
    original = CustomId(custom_id.subject, subject, argument)
    values = dict(_written(original, interaction.message))
    await interaction.response.send_modal(Filled(original, values).modal())


def _written(custom_id: CustomId, message: discord.Message | None) -> Iterator[tuple[str, str]]:
    """The fields that a private message of `_given_back` holds."""
    _, fields = FORMS[custom_id.verb]
    for part in message.components if message is not None else ():
        if isinstance(part, discord.TextDisplay):
            for field in fields:
                if part.content.startswith(_head(field)):
                    yield field.name, uncode(part.content.removeprefix(_head(field)))


def _head(field: Field) -> str:
    return f"**{field.label}**\n"


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({CORRECT: _correct})
