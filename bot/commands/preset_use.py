"""Drawing with a preset whose blanks somebody has filled in."""

from collections.abc import Mapping
from dataclasses import replace

from bot.commands import fields
from bot.commands.prompt import Wish
from lora_registry.names import Reference
from lora_registry.revisions import Revision


def wish(
    revision: Revision, prompt: str, blanks: Mapping[str, str], others: str | None = None
) -> Wish:
    """What was asked for, with this very revision. Empty blanks are left to the preset.

    `others` are further blanks as text, `mood=calm; waves=3`.

    Raises:
        PromptError: str() says what is wrong.
    """
    preset = revision.preset
    reference = str(Reference(preset.name, preset.handle, revision.rev))
    said = fields.wish(prompt, preset=reference, variables=others)
    given = {name: value.strip() for name, value in blanks.items() if value.strip()}
    return replace(said, variables=tuple({**dict(said.variables), **given}.items()))
