"""`/atelier settings`, and what every click and form in it does.

Who may change settings is asked anew each time. What a form changes is saved as of the version that
it showed: refusals stand below their fields, and a conflict above the page as it is now.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeVar

from slack_sdk.models.views import View

from bot.commands.settings import (
    FOR_THE_ROLE,
    Edit,
    Overview,
    Target,
    cleared,
    confirmation,
    conflict,
    noted,
    together,
    valued,
)
from bot.commands.settings_fields import Kind, spoken
from bot.commands.settings_values import items
from bot.communities import SettingsConflict, SettingsDamaged, SettingsError, SettingsRefused
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import pages
from bot.surfaces.slack import settings_inputs as inputs
from bot.surfaces.slack.calls import CallFailed, called
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import FIRST_S, Interaction
from bot.surfaces.slack.settings_pages import (
    HISTORY,
    LIST,
    ROLE,
    SAVE,
    VERB,
    Scene,
    Spot,
    draw,
    note,
    spot_of,
)
from bot.surfaces.slack.settings_words import HERE, LOGGED, SEEN, words
from bot.surfaces.slack.text import safe

LOADING: Final = "One moment …"
NO_SUCH_GROUP: Final = (
    "That is no user group that I know of. Its id begins with S; it stands in the group's menu ⋯."
)
_MOST_SAID: Final = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has come of a form. With `errors`, sentences by field, nothing was saved."""

    now: Overview
    said: str = ""
    errors: Mapping[str, str] | None = None


async def show_settings(desk: Desk, interaction: Interaction) -> None:
    """The subcommand.

    Raises:
        SettingsError: why there is nothing to see.
        CallFailed: the form did not open.
    """
    looking = asyncio.create_task(_first(desk, interaction))
    done, _ = await asyncio.wait({looking}, timeout=FIRST_S)
    if done or interaction.view.get("type") == "modal":
        await pages.window(interaction, await interaction.bounded(looking))
        return
    opened = await interaction.open(note(LOADING))  # what opens a window lives for 3 seconds
    await interaction.change(opened, await _or_why(looking))


async def _first(desk: Desk, interaction: Interaction) -> View:
    now = await desk.settings.overview(interaction.team, await desk.requester(interaction))
    return draw(Scene(now), Spot(channel=interaction.channel))


# --- Turning pages ----------------------------------------------------------------------------


async def _clicked(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    if custom_id.subject == SAVE:
        await _saved(desk, interaction)
        return
    await interaction.ack()
    view = await _or_why(_turned(desk, interaction, custom_id))
    await interaction.change(str(interaction.view.get("id") or ""), view)


async def _turned(desk: Desk, interaction: Interaction, custom_id: CustomId) -> View:
    """The page after a click.

    Raises:
        SettingsError
    """
    spot, by = spot_of(interaction.kept), await desk.requester(interaction)
    outcome = Outcome(await desk.settings.overview(interaction.team, by))
    match custom_id.subject, custom_id.argument:
        case "go", page:
            spot = spot.to(page or interaction.chosen)
        case "open", name:
            spot = spot.to(LIST, name)
        case "group", role:
            spot = spot.to(ROLE, role)
        case "turn", offset if offset.isdecimal():
            spot = replace(spot, offset=int(offset))
        case "drop", _:
            if spot.item in outcome.now.roles:
                edit = cleared(outcome.now, [Target(None, spot.item)])
                outcome = await _changed(desk, interaction, outcome.now, edit, spot)
            spot = spot.to("roles")
    return await _drawn(desk, interaction, outcome, spot)


async def _drawn(desk: Desk, interaction: Interaction, outcome: Outcome, spot: Spot) -> View:
    now, by = outcome.now, await desk.requester(interaction)
    trail = await desk.settings.history(now.community, by) if spot.page == HISTORY else ()
    unheard = await _unheard(interaction, now) if spot.page == "channels" else None
    return draw(Scene(now, outcome.said, unheard, trail), spot)


async def _unheard(interaction: Interaction, now: Overview) -> Mapping[str, str]:
    """Why nothing would arrive in the named channels, as far as Slack tells."""
    found = {}
    for name in ("report_channel", "log_channel"):
        channel = now.value(HERE[name])
        if channel is None or channel in found:
            continue
        call = interaction.client.conversations_info(channel=channel)
        try:
            info = (await called("conversations.info", call)).get("channel") or {}
        except CallFailed as error:
            if error.error == "channel_not_found":
                found[channel] = "I do not see this channel. Type `/invite` with my name there."
            continue
        if info.get("is_archived"):
            found[channel] = "This channel is archived; choose another one."
        elif not info.get("is_member"):
            found[channel] = "I am not in this channel. Type `/invite` with my name there."
    return found


# --- Saving -----------------------------------------------------------------------------------


async def _saved(desk: Desk, interaction: Interaction) -> None:
    """Answer the form within three seconds, whatever it takes to save it."""
    saving = asyncio.create_task(_answered(desk, interaction))
    done, _ = await asyncio.wait({saving}, timeout=FIRST_S)
    if not done:
        await interaction.ack(response_action="update", view=note(LOADING).to_dict())
        answer = await _or_why(saving)
        if not isinstance(answer, View):
            lost = " ".join(answer.values())
            answer = await _or_why(_again(desk, interaction, f"⚠️ Nothing was saved. {lost}"))
        await interaction.change(str(interaction.view.get("id") or ""), answer)
        return
    answer = await _or_why(saving)
    if not isinstance(answer, View):
        await interaction.ack(response_action="errors", errors=answer)
    else:
        await interaction.ack(response_action="update", view=answer.to_dict())


async def _answered(desk: Desk, interaction: Interaction) -> View | dict[str, str]:
    """The page afterwards, or what is wrong by block.

    Raises:
        SettingsError
    """
    by, spot = await desk.requester(interaction), spot_of(interaction.kept)
    now = await desk.settings.overview(interaction.team, by)
    new = inputs.changed(interaction.view, interaction.fields)
    if spot.page == "roles":
        outcome, spot = await _group(desk, now, new, spot)
    elif spot.page == LIST and spot.item in HERE:
        outcome = await _list(desk, interaction, now, new, spot)
    else:
        outcome = await _fields(desk, interaction, now, new, spot)
    if outcome.errors:
        return inputs.below(interaction.view, outcome.errors)
    return await _drawn(desk, interaction, outcome, spot)


async def _again(desk: Desk, interaction: Interaction, said: str) -> View:
    now = await desk.settings.overview(interaction.team, await desk.requester(interaction))
    spot = spot_of(interaction.kept)
    return await _drawn(desk, interaction, Outcome(now, safe(said, _MOST_SAID)), spot)


async def _fields(
    desk: Desk, interaction: Interaction, now: Overview, new: Mapping[str, str], spot: Spot
) -> Outcome:
    """Save the settings of a page, or of a user group: all of them or none."""
    role = spot.item if spot.page == ROLE else None
    try:
        steps = inputs.steps(new, interaction.fields, role)
    except SettingsRefused as error:
        return _refused(now, error)
    errors = {}
    for name, step in steps.items():
        try:
            step(now).change.applied_to(now.own)
        except SettingsRefused as error:
            errors[name] = _sentence(error)
    if errors:
        return Outcome(now, errors=errors)
    if not steps:
        return Outcome(now, "Nothing was changed.")
    return await _changed(desk, interaction, now, together(now, steps.values()), spot)


async def _list(
    desk: Desk, interaction: Interaction, now: Overview, new: Mapping[str, str], spot: Spot
) -> Outcome:
    """Add to a list and take from it."""
    setting, entries = HERE[spot.item], now.entries(HERE[spot.item])
    more = inputs.entries(setting, new.get(inputs.MORE, ""))
    if setting.kind is Kind.ROLES:
        more = frozenset([await desk.people.group(one) or "" for one in more])
        if "" in more:
            return Outcome(now, errors={inputs.MORE: NO_SUCH_GROUP})
    # In another version the places would mean others, but that is a conflict.
    known = items(setting, entries)
    less = {known[n] for n in inputs.places(new.get(inputs.LESS, "")) if n < len(known)}
    after = (entries | more) - less
    if after == entries:
        return Outcome(now, "Nothing was changed.")
    return await _changed(desk, interaction, now, valued(now, setting, after), spot)


async def _group(
    desk: Desk, now: Overview, new: Mapping[str, str], spot: Spot
) -> tuple[Outcome, Spot]:
    """Find the user group that is to get limits of its own."""
    found = await desk.people.group(new.get(inputs.GROUP, ""))
    if found is None:
        return Outcome(now, errors={inputs.GROUP: NO_SUCH_GROUP}), spot
    return Outcome(now), spot.to(ROLE, found)


async def _changed(
    desk: Desk, interaction: Interaction, now: Overview, edit: Edit, spot: Spot
) -> Outcome:
    """Save a change as of the version that was shown."""
    by = await desk.requester(interaction)
    try:
        after = await desk.settings.change(now, edit, base=spot.version, by=by)
    except SettingsConflict as error:
        now = await desk.settings.overview(now.community, by)
        return Outcome(now, f"⚠️ {words(conflict(error, by.id, SEEN))}")
    except SettingsRefused as error:
        return _refused(now, error)
    who = await desk.people.named(by.id)
    desk.ledger.note(now.community, noted(edit, who, LOGGED))
    said = confirmation(edit, after, SEEN).replace(FOR_THE_ROLE, words(FOR_THE_ROLE))
    return Outcome(after, f"✅ {said}")


# --- Inside -----------------------------------------------------------------------------------


def _refused(now: Overview, error: SettingsRefused) -> Outcome:
    return Outcome(now, errors=dict.fromkeys(error.fields or ("",), _sentence(error)))


def _sentence(error: SettingsError) -> str:
    return words(spoken(str(error)))[:_MOST_SAID]


async def _or_why(making: Awaitable[T]) -> T | View:
    """What is made, or a page that says why it is not."""
    try:
        return await making
    except (SettingsRefused, SettingsDamaged) as error:
        return note(f"⚠️ {safe(_sentence(error), 1000)}")


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType({VERB: _clicked})
