"""`/preset rules`: who may publish in a server, what is denied there, and what is installed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast, get_args

import discord
from discord import SelectOption, TextStyle, app_commands
from discord.ui import Item, Label, LayoutView, Modal, Select, TextInput

from bot.commands import preset_rules
from bot.commands.curation import MOST_REASON, Done
from bot.commands.preset_rules import KINDS, Effect
from bot.surfaces.discord.answers import Answer
from bot.surfaces.discord.curation import here
from bot.surfaces.discord.desk import Desk, Handler, Interaction
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.preset_rules_panel import panel
from bot.surfaces.discord.preset_use import values
from bot.surfaces.discord.text import safe
from bot.surfaces.discord.trouble import told
from lora_registry.errors import Refused
from lora_registry.models import Viewer
from lora_registry.permissions import Place, Publishing, RuleKind

Deed = Callable[[Viewer, Place], Awaitable[Done]]


def add_rules(group: app_commands.Group, desk: Desk) -> None:
    """Add `rules` to the group of `/preset`."""

    @group.command(
        name="rules", description="Managers: who may publish presets here, and what is denied"
    )
    async def rules(interaction: Interaction) -> None:
        await told(interaction, _rules(desk, interaction), "preset rules")


async def _rules(desk: Desk, interaction: Interaction) -> None:
    async def found() -> LayoutView:
        viewer, server = await desk.viewer(interaction), here(interaction)
        return panel(await preset_rules.house(desk.registry, viewer, server))

    answer = Answer(interaction, private=True)
    await answer.show(await answer.bounded(asyncio.create_task(found())), private=True)


# --- Forms ------------------------------------------------------------------------------------


def _rule_form(page: str) -> Modal:
    modal = Modal(title="Add a rule", custom_id=str(CustomId("rules_added", page)))
    effects = [
        SelectOption(label="Deny it", value="deny", description="Nobody draws with it here"),
        SelectOption(label="Allow it", value="allow", description="It need not wait for approval"),
    ]
    kinds = [SelectOption(label=said, value=kind) for kind, said in KINDS.items()]
    about = "dreamy or @ana/dreamy, @ana, a LoRA's name or SHA-256, a tag"
    fields: tuple[tuple[str, str | None, Item[Any]], ...] = (
        ("What to do", None, Select(custom_id="effect", options=effects)),
        ("What it is about", None, Select(custom_id="kind", options=kinds)),
        ("Which", about, TextInput(custom_id="which", max_length=100)),
        (
            "Why",
            "Who is refused reads this.",
            TextInput(
                custom_id="reason",
                style=TextStyle.paragraph,
                required=False,
                max_length=MOST_REASON,
            ),
        ),
    )
    for label, said, component in fields:
        modal.add_item(Label(text=label, description=said, component=component))
    modal.stop()  # the library need not keep it
    return modal


def _install_form(page: str) -> Modal:
    modal = Modal(title="Install presets", custom_id=str(CustomId("rules_installed", page)))
    about = "A public preset, @ana/dreamy, or @ana for all of theirs"
    field: TextInput[LayoutView] = TextInput(custom_id="which", max_length=100)
    modal.add_item(Label(text="Which", description=about, component=field))
    modal.stop()  # the library need not keep it
    return modal


async def _open_rule(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await interaction.response.send_modal(_rule_form(custom_id.subject))


async def _open_install(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await interaction.response.send_modal(_install_form(custom_id.subject))


# --- Clicks -----------------------------------------------------------------------------------


async def _done(
    desk: Desk, interaction: Interaction, custom_id: CustomId, deed: Deed | None
) -> None:
    """Do it, note it in the log of the server, and show the panel anew."""
    await interaction.response.defer()
    viewer, server = await desk.viewer(interaction), here(interaction)
    said = ""
    if deed is not None:
        done = await deed(viewer, server)
        said = done.said
        if done.noted is not None:
            desk.ledger.note(server.id, f"<@{viewer.requester}> {safe(done.noted, 400)}")
    page = int(custom_id.subject) if custom_id.subject.isdecimal() else 0
    found = await preset_rules.house(desk.registry, viewer, server)
    await interaction.edit_original_response(
        view=panel(found, page, said), allowed_mentions=discord.AllowedMentions.none()
    )


def _chosen(interaction: Interaction) -> str:
    data: Mapping[str, Any] = interaction.data or {}
    return str((data.get("values") or [""])[0])


async def _page(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _done(desk, interaction, custom_id, None)


async def _set_publishing(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    way = Publishing(_chosen(interaction))

    async def deed(viewer: Viewer, here: Place) -> Done:
        return await preset_rules.set_policy(desk.registry, viewer, here, publishing=way)

    await _done(desk, interaction, custom_id, deed)


async def _set_ceiling(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    level = int(_chosen(interaction))

    async def deed(viewer: Viewer, here: Place) -> Done:
        return await preset_rules.set_policy(desk.registry, viewer, here, nsfw_ceiling=level)

    await _done(desk, interaction, custom_id, deed)


async def _add(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    said = values(interaction.data or {})
    effect, kind = _read(said["effect"], said["kind"])

    async def deed(viewer: Viewer, here: Place) -> Done:
        return await preset_rules.add_rule(
            desk.registry, viewer, here, effect, kind, said["which"], said["reason"]
        )

    await _done(desk, interaction, custom_id, deed)


async def _drop(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    first, _, rest = _chosen(interaction).partition(":")
    second, _, value = rest.partition(":")
    effect, kind = _read(first, second)

    async def deed(viewer: Viewer, here: Place) -> Done:
        return await preset_rules.drop_rule(desk.registry, viewer, here, effect, kind, value)

    await _done(desk, interaction, custom_id, deed)


async def _install(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    which = values(interaction.data or {})["which"]

    async def deed(viewer: Viewer, _: Place) -> Done:
        return await preset_rules.install(desk.registry, viewer, which)

    await _done(desk, interaction, custom_id, deed)


async def _uninstall(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    value = _chosen(interaction)

    async def deed(viewer: Viewer, _: Place) -> Done:
        return await preset_rules.install(desk.registry, viewer, value, installed=False)

    await _done(desk, interaction, custom_id, deed)


def _read(effect: str, kind: str) -> tuple[Effect, RuleKind]:
    if effect not in get_args(Effect) or kind not in get_args(RuleKind):
        raise Refused("This menu is from another version; open the rules again.")
    return cast("Effect", effect), cast("RuleKind", kind)


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "rules": _page,
        "rules_publishing": _set_publishing,
        "rules_ceiling": _set_ceiling,
        "rules_add": _open_rule,
        "rules_added": _add,
        "rules_drop": _drop,
        "rules_install": _open_install,
        "rules_installed": _install,
        "rules_uninstall": _uninstall,
    }
)
