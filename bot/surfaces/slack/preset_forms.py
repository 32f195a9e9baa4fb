"""The forms of presets. One that is refused stays open with all that was written in it.

A form waits for its answer for 3 seconds. Where that is not enough it says that it is at work, and
is filled in again should it be refused after all.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import structlog
from slack_sdk.models.blocks import (
    Block,
    ExternalDataMultiSelectElement,
    InputBlock,
    PlainTextInputElement,
)
from slack_sdk.models.views import View

from bot import wording
from bot.commands.jobs import NoSuchJob
from bot.commands.prompt import PromptError
from bot.communities import SettingsError
from bot.surfaces import preset_fields
from bot.surfaces.ids import CustomId
from bot.surfaces.preset_fields import Field
from bot.surfaces.slack import cards, forms
from bot.surfaces.slack.answers import Shown
from bot.surfaces.slack.calls import CallFailed
from bot.surfaces.slack.desk import Desk
from bot.surfaces.slack.interaction import FIRST_S, Interaction
from bot.surfaces.slack.text import safe
from bot.surfaces.text import plain
from lora_registry.errors import EditConflict, RegistryError
from lora_registry.models import MAX_LORAS, Viewer

RENAMED: Final = "preset_renamed"
MOST: Final = 3000
"""Characters of a field of Slack's."""

_TITLE: Final = 24

LATE: Final = "This took too long, so Slack opens no form for it any more. Please try again."
CONFLICT: Final = (
    "Nothing of yours is lost: you can still put it in the place of that revision, and "
    "`/preset history` keeps both."
)
_ALL_THE_SAME: Final = "Use mine all the same"
_WORKING: Final = "This takes a moment. You can leave it open, or close it and go on."
_DONE: Final = "Done. What came of it is in the conversation."

FORMS: Final[Mapping[str, tuple[str, tuple[Field, ...]]]] = MappingProxyType(
    {**preset_fields.FORMS, RENAMED: ("Rename preset", (preset_fields.NAME,))}
)
"""Title and fields of each form, by the verb of its callback id."""

_EXPECTED: Final = (NoSuchJob, RegistryError, SettingsError, PromptError)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Form:
    """A form with what stands in it, and perhaps words above that.

    What is longer than a field of Slack's, or not in `values`, has no field: it stays as it is,
    which the form says.
    """

    custom_id: CustomId
    values: Mapping[str, str]
    above: str = ""
    submit: str = "Save"

    def view(self, kept: Mapping[str, Any]) -> View:
        """The form as Slack opens it; `kept` says where it was opened."""
        title, fields = FORMS[self.custom_id.verb]
        return modal(title, self.custom_id, kept, list(self._blocks(fields)), self.submit)

    def _blocks(self, fields: tuple[Field, ...]) -> Iterator[Block]:
        if self.above:
            yield cards.section(self.above)
        for field in fields:
            value = self.values.get(field.name)
            if value is not None and len(value) <= min(field.most, MOST):
                yield _input(field, value)
            else:
                yield cards.small([f"{field.label} is too long for a form; it stays as it is."])


def _input(field: Field, value: str) -> InputBlock:
    chosen = [forms.option(one) for one in filter(None, value.split(", "))]
    element: Any
    if field.name == "loras" and len(chosen) <= MAX_LORAS and None not in chosen:
        element = ExternalDataMultiSelectElement(
            action_id=field.name,
            min_query_length=0,
            placeholder="Type ghibli:0.8 for another scale",
            initial_options=[one for one in chosen if one is not None] or None,
            max_selected_items=MAX_LORAS,
        )
    else:
        element = PlainTextInputElement(
            action_id=field.name,
            multiline=field.long,
            max_length=min(field.most, MOST),
            initial_value=value or None,
            placeholder=field.example,
        )
    return InputBlock(
        block_id=field.name,
        label=field.label,
        hint=field.about,
        element=element,
        optional=not field.required,
    )


def modal(
    title: str, custom_id: CustomId, kept: Mapping[str, Any], blocks: list[Block], submit: str
) -> View:
    """A form; `kept` says where it was opened."""
    return View(
        type="modal",
        callback_id=str(custom_id),
        private_metadata=json.dumps(dict(kept)),
        title=plain(title, _TITLE),
        submit=submit,
        close="Cancel",
        blocks=blocks,
    )


async def opened(
    desk: Desk, interaction: Interaction, fill: Callable[[Viewer], Awaitable[Form]]
) -> None:
    """Answer with a form.

    Raises:
        NoSuchJob, RegistryError, SettingsError: there is none, and why.
    """

    async def found() -> Form:
        return await fill(await desk.viewer(interaction))

    form = await interaction.bounded(asyncio.create_task(found()))
    await show(interaction, form.view(forms.kept(interaction)))


async def show(interaction: Interaction, view: View) -> None:
    """Open a form, or say that it is too late for one."""
    try:
        await interaction.open(view)
    except CallFailed as error:
        log.warning("form not opened", error=error.error)
        await interaction.tell(LATE)


async def submitted(
    desk: Desk,
    interaction: Interaction,
    custom_id: CustomId,
    do: Callable[[Viewer, Mapping[str, str]], Awaitable[Shown]],
) -> None:
    """Answer a form with what came of it, or with why not below what was written."""
    values = interaction.fields

    async def done() -> Shown:
        return await do(await desk.viewer(interaction), values)

    work = asyncio.create_task(done())
    await asyncio.wait({work}, timeout=FIRST_S)
    if not work.done():
        await interaction.ack(response_action="update", view=_words(custom_id, _WORKING).to_dict())
    form = Form(custom_id, values)
    try:
        shown = await work
    except EditConflict as error:
        newest = CustomId(custom_id.verb, custom_id.subject, str(error.head))
        above = f"{safe(str(error), 1000)}\n{CONFLICT}"
        await _changed(interaction, Form(newest, values, above, _ALL_THE_SAME))
    except _EXPECTED as error:
        part = error.part if isinstance(error, RegistryError) else ""
        await _refused(interaction, form, _sentence(error), part)
    except Exception:
        log.exception("form broke", verb=custom_id.verb, subject=custom_id.subject)
        await _refused(interaction, form, wording.INTERNAL)
    else:
        if interaction.acknowledged:
            await _replaced(interaction, _words(custom_id, _DONE))
        await shown.answer(interaction)


def _sentence(error: Exception) -> str:
    return wording.NO_SUCH_JOB if isinstance(error, NoSuchJob) else plain(str(error), 1000)


async def _refused(interaction: Interaction, form: Form, sentence: str, part: str = "") -> None:
    """Say below the field that it is about, or the first one, why it was not done."""
    if interaction.acknowledged:
        await _changed(interaction, replace(form, above=safe(sentence, 1000)))
    elif part in form.values:
        await interaction.ack(response_action="errors", errors={part: sentence})
    else:
        await interaction.tell(sentence)


async def _changed(interaction: Interaction, form: Form) -> None:
    """Put a form in the place of the one that was sent."""
    view = form.view(interaction.kept)
    if interaction.acknowledged:
        await _replaced(interaction, view)
    else:
        await interaction.ack(response_action="update", view=view.to_dict())


async def _replaced(interaction: Interaction, view: View) -> None:
    try:
        await interaction.change(str(interaction.view.get("id") or ""), view)
    except CallFailed as error:  # it has been closed
        log.info("form not changed", error=error.error)


def _words(custom_id: CustomId, text: str) -> View:
    title, _ = FORMS[custom_id.verb]
    return View(type="modal", title=title, close="Close", blocks=[cards.section(text)])
