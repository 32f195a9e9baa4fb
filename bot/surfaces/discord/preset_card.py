"""The card of a preset: everything about one revision, and what who looks may do with it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from discord import ButtonStyle, MediaGalleryItem
from discord.ui import ActionRow, Button, Item, LayoutView, MediaGallery, TextDisplay

from bot.commands import curation
from bot.commands.curation import Card
from bot.commands.presets import Details
from bot.surfaces import preset_words
from bot.surfaces.discord import cards, places, preset_use
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.desk import Desk, Handler, Interaction, draw
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.messages import Upload
from bot.surfaces.discord.preset_examples import Example, examples
from bot.surfaces.discord.text import plain, safe, whole_lines
from bot.surfaces.preset_words import LEVELS
from lora_registry.permissions import PUBLIC, Place

PLACE: Final = "server"
"""What Discord calls a community."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A card as it is sent."""

    view: LayoutView
    uploads: tuple[Upload, ...] = ()

    async def answer(self, interaction: Interaction) -> None:
        """Answer privately, or change the message that was deferred."""
        sent = [upload.file() for upload in self.uploads]
        if interaction.response.is_done():
            await interaction.edit_original_response(view=self.view, attachments=sent)
        else:
            await interaction.response.send_message(view=self.view, files=sent, ephemeral=True)


def listing_places(interaction: Interaction) -> tuple[Place, ...]:
    """Where presets can be shared from here: in the server, if the app is in it, and in public."""
    if not places.in_server(interaction):
        return (PUBLIC,)
    return Place.community(places.place(interaction).community), PUBLIC


async def show(desk: Desk, interaction: Interaction, reference: str) -> None:
    """Answer with the card of what a reference means.

    Raises:
        RegistryError, SettingsError: there is none, and why.
    """

    async def shown() -> Shown:
        viewer = await desk.viewer(interaction)
        found = listing_places(interaction)
        card = await curation.look(desk.registry, viewer, reference, found)
        return await made(desk, interaction, card)

    card = await Answer(interaction, private=True).bounded(asyncio.create_task(shown()))
    await card.answer(interaction)


async def made(desk: Desk, interaction: Interaction, card: Card, said: str = "") -> Shown:
    """The card with its examples; `said` stands above it."""
    preset = card.details.revision.preset
    liked = await desk.registry.people.likes(await desk.viewer(interaction), preset.id)
    found = await examples(desk, interaction, card.details.revision)
    return Shown(view(card, found, liked=liked, said=said), tuple(one.upload for one in found))


def view(
    card: Card, examples: tuple[Example, ...] = (), *, liked: bool = False, said: str = ""
) -> LayoutView:
    """The card as a message."""
    items: list[Item[Any]] = []
    if said:
        items.append(TextDisplay(f"**{safe(said, 300)}**"))
    items.append(TextDisplay(details(card.details, 2700)))
    if examples:
        gallery = (
            MediaGalleryItem(
                f"attachment://{one.upload.name}",
                description=plain(one.caption or "An example of this preset", cards.ALT_TEXT),
                spoiler=one.hidden,
            )
            for one in examples
        )
        items.append(MediaGallery(*gallery))
    if standing := preset_words.standing(card, safe, PLACE):
        items.append(TextDisplay(whole_lines((f"-# {line}" for line in standing), 600)))
    offered = buttons(card, liked=liked)
    rows = (ActionRow(*offered[i : i + 5]) for i in range(0, len(offered), 5))
    return cards.layout(*items, *rows)


def buttons(card: Card, *, liked: bool = False) -> list[Button[LayoutView]]:
    """What would work for this viewer now."""
    preset, offered = card.details.revision.preset, []
    for one in preset_words.offers(card, liked=liked):
        button = press(one.verb, one.label, preset.id, one.argument)
        if one.verb == "preset_use":
            button.style = ButtonStyle.primary
        offered.append(button)
    return offered


def press(verb: str, label: str, subject: str, argument: str = "") -> Button[LayoutView]:
    """A button about a preset; `argument` says which revision, and what else there is to say."""
    custom_id = str(CustomId(verb, subject, argument))
    return Button(label=label, style=ButtonStyle.secondary, custom_id=custom_id)


def details(shown: Details, most: int = 3900) -> str:
    """All of one revision, as far as there is room for it."""
    revision, body = shown.revision, shown.revision.body
    preset = revision.preset
    lines = [
        f"**{safe(shown.name, 80)}** {safe(body.title, 80)}",
        *([safe(body.description, 300)] if body.description else []),
        f"-# {safe(preset.reference, 80)} · revision {revision.rev} of {preset.head} · "
        f"sha256:{revision.sha256[:8]} · {body.model}",
        f"-# {LEVELS[shown.nsfw]} · open to {preset_words.audience(shown, PLACE)} · "
        f"{preset_words.times(preset)}{_terms(shown)}",
        f"Template: {safe(body.template, 300)}",
        f"Settings: {preset_words.settings(body)}",
        *(f"• {preset_words.lora(one, safe)}" for one in shown.loras[:8]),
        *(
            f"• blank {safe(one.name, 30)}: {preset_words.takes(one, safe)}"
            for one in body.variables
        ),
        *([f"-# Tags: {', '.join(body.tags)}"] if body.tags else []),
        *([f"-# Forked from {safe(shown.parent, 80)}"] if shown.parent else []),
        *([f"-# {_others(shown.shadowed)}"] if shown.shadowed else []),
        f"-# `/imagine` takes it as preset {safe(shown.name, 80)}",
    ]
    return whole_lines(lines, most)


def _terms(shown: Details) -> str:
    licence = shown.revision.body.licence
    return f" · licence {safe(licence, 60)}" if licence else ""


def _others(shadowed: tuple[str, ...]) -> str:
    return f"The same short name also belongs to {safe(', '.join(shadowed), 200)}."


# --- Clicks -----------------------------------------------------------------------------------


async def looked_at(desk: Desk, interaction: Interaction, custom_id: CustomId) -> Card:
    """The card of the revision that a click is about.

    Raises:
        RegistryError, SettingsDamaged
    """
    viewer = await desk.viewer(interaction)
    rev = int(custom_id.argument.partition(",")[0] or 1)
    found = listing_places(interaction)
    return await curation.look_at(desk.registry, viewer, custom_id.subject, rev, found)


async def _look(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def shown() -> Shown:
        return await made(desk, interaction, await looked_at(desk, interaction, custom_id))

    card = await Answer(interaction, private=True).bounded(asyncio.create_task(shown()))
    await card.answer(interaction)


async def _use(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    answer = Answer(interaction, private=True)
    card = await answer.bounded(asyncio.create_task(looked_at(desk, interaction, custom_id)))
    if card.obstacle is not None:
        await answer.tell(safe(card.obstacle, 1000))
    elif interaction.response.is_done():
        # Too late for a form; the card's button opens it in time.
        await (await made(desk, interaction, card)).answer(interaction)
    else:
        await interaction.response.send_modal(preset_use.form(card.details.revision))


async def _used(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    card = await looked_at(desk, interaction, custom_id)
    fields = preset_use.values(interaction.data or {})
    await draw(desk, interaction, preset_use.wish(card.details.revision, fields))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {"preset_card": _look, "preset_use": _use, preset_use.USED: _used}
)
