"""`/preset rules`: who may publish in a workspace, what is denied there, and what is installed."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast, get_args

from slack_sdk.models.blocks import InputBlock, Option, PlainTextInputElement, StaticSelectElement

from bot.commands import preset_rules
from bot.commands.curation import MOST_REASON, Done
from bot.commands.preset_rules import KINDS, Effect
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import forms, preset_forms
from bot.surfaces.slack.answers import Shown, answered
from bot.surfaces.slack.curation import note
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.preset_card import here
from bot.surfaces.slack.preset_rules_panel import panel
from lora_registry.errors import Refused
from lora_registry.models import Viewer
from lora_registry.permissions import Place, Publishing, RuleKind

Deed = Callable[[Viewer, Place], Awaitable[Done]]


async def rules(desk: Desk, interaction: Interaction, _: str) -> None:
    """Show the panel.

    Raises:
        Refused: they do not manage this workspace.
    """

    async def found(viewer: Viewer) -> Shown:
        return panel(await preset_rules.house(desk.registry, viewer, here(interaction)))

    await answered(desk, interaction, found)


# --- Forms ------------------------------------------------------------------------------------


async def _open_rule(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    effects = [
        Option(text="Deny it", value="deny", description="Nobody draws with it here"),
        Option(text="Allow it", value="allow", description="It need not wait for approval"),
    ]
    kinds = [Option(text=said, value=kind) for kind, said in KINDS.items()]
    blocks = [
        _field("effect", "What to do", StaticSelectElement(action_id="effect", options=effects)),
        _field("kind", "What it is about", StaticSelectElement(action_id="kind", options=kinds)),
        _field(
            "which",
            "Which",
            PlainTextInputElement(action_id="which", max_length=100),
            hint="dreamy or @ana/dreamy, @ana, a LoRA's name or SHA-256, a tag",
        ),
        _field(
            "reason",
            "Why",
            PlainTextInputElement(action_id="reason", multiline=True, max_length=MOST_REASON),
            hint="Who is refused reads this.",
            optional=True,
        ),
    ]
    await _open(interaction, "Add a rule", CustomId("rules_added", custom_id.subject), blocks)


async def _open_install(_: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    which = _field(
        "which",
        "Which",
        PlainTextInputElement(action_id="which", max_length=100),
        hint="A public preset, @ana/dreamy, or @ana for all of theirs",
    )
    await _open(
        interaction, "Install presets", CustomId("rules_installed", custom_id.subject), [which]
    )


def _field(
    name: str, label: str, element: Any, *, hint: str | None = None, optional: bool = False
) -> InputBlock:
    return InputBlock(block_id=name, label=label, hint=hint, element=element, optional=optional)


async def _open(
    interaction: Interaction, title: str, custom_id: CustomId, blocks: list[Any]
) -> None:
    view = preset_forms.modal(title, custom_id, forms.kept(interaction), blocks, "Save")
    await preset_forms.show(interaction, view)


# --- Clicks -----------------------------------------------------------------------------------


async def _done(
    desk: Desk, interaction: Interaction, custom_id: CustomId, deed: Deed | None
) -> None:
    """Do it, note it in the log of the workspace, and show the panel anew.

    After a form that is a new message.
    """

    async def work(viewer: Viewer) -> Shown:
        place, said = here(interaction), ""
        if deed is not None:
            done = await deed(viewer, place)
            said = done.said
            note(desk, interaction, place, done)
        page = int(custom_id.subject) if custom_id.subject.isdecimal() else 0
        return panel(await preset_rules.house(desk.registry, viewer, place), page, said)

    await answered(desk, interaction, work, replace=not interaction.view)


async def _page(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    await _done(desk, interaction, custom_id, None)


async def _set_publishing(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    way = Publishing(interaction.chosen)

    async def deed(viewer: Viewer, place: Place) -> Done:
        return await preset_rules.set_policy(desk.registry, viewer, place, publishing=way)

    await _done(desk, interaction, custom_id, deed)


async def _set_ceiling(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    level = int(interaction.chosen)

    async def deed(viewer: Viewer, place: Place) -> Done:
        return await preset_rules.set_policy(desk.registry, viewer, place, nsfw_ceiling=level)

    await _done(desk, interaction, custom_id, deed)


async def _add(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    said = interaction.fields
    effect, kind = _read(said["effect"], said["kind"])

    async def deed(viewer: Viewer, place: Place) -> Done:
        return await preset_rules.add_rule(
            desk.registry, viewer, place, effect, kind, said["which"], said["reason"]
        )

    await _done(desk, interaction, custom_id, deed)


async def _drop(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    first, _, rest = interaction.chosen.partition(":")
    second, _, value = rest.partition(":")
    effect, kind = _read(first, second)

    async def deed(viewer: Viewer, place: Place) -> Done:
        return await preset_rules.drop_rule(desk.registry, viewer, place, effect, kind, value)

    await _done(desk, interaction, custom_id, deed)


async def _install(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    which = interaction.fields["which"]

    async def deed(viewer: Viewer, _: Place) -> Done:
        return await preset_rules.install(desk.registry, viewer, which)

    await _done(desk, interaction, custom_id, deed)


async def _uninstall(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    value = interaction.chosen

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
