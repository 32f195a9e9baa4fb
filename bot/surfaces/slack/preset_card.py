"""The card of a preset: everything about one revision, and what who looks may do with it.

Slack shows no files in private answers, so the card has no example pictures.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import Block, ButtonElement

from bot.commands import curation
from bot.commands.curation import Card
from bot.commands.presets import Details
from bot.surfaces import preset_words
from bot.surfaces.ids import CustomId
from bot.surfaces.preset_words import Offer
from bot.surfaces.slack import cards, forms, preset_forms, preset_use
from bot.surfaces.slack.answers import Shown, press, rows
from bot.surfaces.slack.desk import Desk, Handler, draw
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import bold, safe
from bot.surfaces.text import plain, whole_lines
from lora_registry.curating import Act
from lora_registry.permissions import PUBLIC, Place

PLACE: Final = "workspace"
"""What Slack calls a community."""
_PARAGRAPH: Final = 2900


def here(interaction: Interaction) -> Place:
    """The workspace's own place."""
    return Place.community(interaction.team)


async def show(desk: Desk, interaction: Interaction, reference: str) -> None:
    """Answer with the card of what a reference means.

    Raises:
        RegistryError, SettingsError: there is none, and why.
    """

    async def shown() -> Shown:
        viewer = await desk.viewer(interaction)
        places = here(interaction), PUBLIC
        return await made(
            desk, interaction, await curation.look(desk.registry, viewer, reference, places)
        )

    answer = await interaction.bounded(asyncio.create_task(shown()))
    await answer.answer(interaction)


async def made(desk: Desk, interaction: Interaction, card: Card, said: str = "") -> Shown:
    """The card as it is sent; `said` stands above it."""
    viewer = await desk.viewer(interaction)
    liked = await desk.registry.people.likes(viewer, card.details.revision.preset.id)
    return view(card, liked=liked, said=said)


def view(card: Card, *, liked: bool = False, said: str = "") -> Shown:
    """The card as a message."""
    details = card.details
    blocks: list[Block] = [cards.section(f"{bold(said, 300)}")] if said else []
    blocks += _details(details)
    if standing := preset_words.standing(card, safe, PLACE):
        blocks.append(cards.small([whole_lines(standing, _PARAGRAPH)]))
    preset = details.revision.preset
    offered = [_button(one, preset.id) for one in preset_words.offers(card, liked=liked)]
    blocks += rows(offered)
    return Shown(cards.rendered(blocks), said or f"The preset {plain(details.name, 80)}")


def _button(offer: Offer, preset_id: str) -> ButtonElement:
    # `share` and the like are also done to results, so what is done to presets says so.
    verb = f"preset_{offer.verb}" if isinstance(offer.verb, Act) else offer.verb
    style = "primary" if offer.verb == "preset_use" else None
    return press(verb, offer.label, preset_id, offer.argument, style)


def _details(shown: Details) -> list[Block]:
    revision, body = shown.revision, shown.revision.body
    preset = revision.preset
    head = [
        f"{bold(shown.name, 80)} {safe(body.title, 120)}".rstrip(),
        *([safe(body.description, 500)] if body.description else []),
    ]
    facts = [
        f"{safe(preset.reference, 80)} · revision {revision.rev} of {preset.head} · "
        f"sha256:{revision.sha256[:8]} · {body.model}",
        f"{preset_words.LEVELS[shown.nsfw]} · open to {preset_words.audience(shown, PLACE)} · "
        f"{preset_words.times(preset)}"
        f"{f' · licence {safe(body.licence, 60)}' if body.licence else ''}",
    ]
    says = [
        f"Template: {safe(body.template, 300)}",
        f"Settings: {preset_words.settings(body)}",
        *(f"• {preset_words.lora(one, safe)}" for one in shown.loras[:16]),
        *(
            f"• blank {safe(one.name, 30)}: {preset_words.takes(one, safe)}"
            for one in body.variables
        ),
    ]
    others = f"The same short name also belongs to {safe(', '.join(shown.shadowed), 200)}."
    more = [
        *([f"Tags: {', '.join(body.tags)}"] if body.tags else []),
        *([f"Forked from {safe(shown.parent, 80)}"] if shown.parent else []),
        *([others] if shown.shadowed else []),
        f"Draw with it: `/imagine a cat --preset {plain(shown.name, 80)}`",
    ]
    return [
        cards.section(whole_lines(head, _PARAGRAPH)),
        cards.small([whole_lines(facts, _PARAGRAPH)]),
        cards.section(whole_lines(says, _PARAGRAPH)),
        cards.small([whole_lines(more, _PARAGRAPH)]),
    ]


# --- Clicks -----------------------------------------------------------------------------------


async def looked_at(desk: Desk, interaction: Interaction, custom_id: CustomId) -> Card:
    """The card of the revision that a click is about.

    Raises:
        RegistryError, SettingsDamaged
    """
    viewer = await desk.viewer(interaction)
    rev = int(custom_id.argument.partition(",")[0] or 1)
    places = here(interaction), PUBLIC
    return await curation.look_at(desk.registry, viewer, custom_id.subject, rev, places)


async def _look(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    async def shown() -> Shown:
        return await made(desk, interaction, await looked_at(desk, interaction, custom_id))

    answer = await interaction.bounded(asyncio.create_task(shown()))
    await answer.answer(interaction)


async def _use(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    card = await interaction.bounded(asyncio.create_task(looked_at(desk, interaction, custom_id)))
    if card.obstacle is not None:
        await interaction.tell(safe(card.obstacle, 1000))
        return
    form = preset_use.form(card.details.revision, forms.kept(interaction))
    await preset_forms.show(interaction, form)


async def _used(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    card = await interaction.bounded(asyncio.create_task(looked_at(desk, interaction, custom_id)))
    await draw(desk, interaction, preset_use.wish(card.details.revision, interaction.fields))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {"preset_card": _look, "preset_use": _use, preset_use.USED: _used}
)
