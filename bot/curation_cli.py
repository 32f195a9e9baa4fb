"""The rest of `atelier preset`: sharing and curating, by whoever owns this instance."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.commands.curation import Done
    from bot.registry import Registry
    from bot.settings import Settings
    from lora_registry.models import Viewer
    from lora_registry.permissions import Place

    Deed = Callable[[Registry, Viewer, Place], Awaitable[Done]]

curation = typer.Typer()
rules = typer.Typer(help="What a place allows of presets.", no_args_is_help=True)
curation.add_typer(rules, name="rules")

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Reference = Annotated[str, typer.Argument(metavar="NAME", help="A preset's name.")]
Pinned = Annotated[
    str, typer.Argument(metavar="NAME[@REV]", help="A preset's name, or one of its revisions.")
]
Where = Annotated[
    str,
    typer.Option(
        "--in", metavar="PLACE", help="public, or a community: a Discord server's id, say."
    ),
]
Anywhere = Annotated[
    str | None,
    typer.Option("--in", metavar="PLACE", help="public, or a community; all where none is given."),
]
Community = Annotated[
    str, typer.Option("--in", metavar="COMMUNITY", help="A community: a Discord server's id, say.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; who is concerned reads it.")]
Effect = Annotated[Literal["allow", "deny"], typer.Argument(help="allow or deny.")]
Kind = Annotated[
    Literal["preset", "owner", "lora", "tag"],
    typer.Argument(help="What the rule looks at: preset, owner, lora or tag."),
]
Which = Annotated[
    str,
    typer.Argument(
        metavar="WHICH", help="A preset's name, @owner, a LoRA's name or SHA-256, or a tag."
    ),
]
PresetOrOwner = Annotated[
    str, typer.Argument(metavar="NAME", help="A public preset, or @owner for all of theirs.")
]

PUBLIC = "public"


# --- Sharing ----------------------------------------------------------------------------------


@curation.command()
def publish(name: Pinned, place: Where = PUBLIC, as_json: Json = False) -> None:
    """Share a revision of a preset of yours with everybody, or with a community."""
    from bot.commands import curation as acts
    from bot.commands import presets

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        found = (await presets.show(registry, viewer, name)).revision
        return await acts.share(registry, viewer, found.preset.id, found.rev, there)

    _do(deed, place, as_json=as_json)


@curation.command()
def withdraw(name: Reference, place: Where = PUBLIC, as_json: Json = False) -> None:
    """Take a preset of yours back from where it is shared."""
    from bot.commands import curation as acts
    from bot.commands import presets

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        found = await presets.whole(registry, viewer, name)
        return await acts.withdraw(registry, viewer, found.preset.id, there)

    _do(deed, place, as_json=as_json)


@curation.command()
def rename(
    name: Reference,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What to call it from now on.")],
    as_json: Json = False,
) -> None:
    """Give a preset of yours another name; the earlier one still leads to it."""
    from bot.commands import curation as acts

    async def deed(registry: "Registry", viewer: "Viewer", _: "Place") -> "Done":
        return await acts.rename(registry, viewer, name, new)

    _do(deed, PUBLIC, as_json=as_json)


# --- Deciding ---------------------------------------------------------------------------------


@curation.command()
def waiting(place: Anywhere = None, as_json: Json = False) -> None:
    """List what waits for approval, and open reports."""
    from bot.commands import curation as acts
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import curation as view

    async def work(_: "Settings", registry: "Registry") -> None:
        viewer, there = standing_at(place or PUBLIC)
        if place is None:
            found = await acts.inboxes(registry, viewer)
        else:
            found = (await acts.inbox(registry, viewer, there),)
        answer(found, view.inbox_object, view.print_inbox, as_json=as_json)

    perform(work)


@curation.command()
def approve(name: Pinned, place: Where = PUBLIC, as_json: Json = False) -> None:
    """Let the revision that waits be seen."""
    from bot.commands import curation as acts

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        found = (await acts.listed(registry, viewer, name, there)).revision
        return await acts.approve(registry, viewer, found.preset.id, found.rev, there)

    _do(deed, place, as_json=as_json)


@curation.command()
def reject(
    name: Reference, place: Where = PUBLIC, reason: Reason = "", as_json: Json = False
) -> None:
    """Say no to the revision that waits."""
    from bot.commands import curation as acts

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        found = (await acts.listed(registry, viewer, name, there)).revision
        return await acts.reject(registry, viewer, found.preset.id, there, reason)

    _do(deed, place, as_json=as_json)


@curation.command()
def hide(
    name: Reference, place: Where = PUBLIC, reason: Reason = "", as_json: Json = False
) -> None:
    """Hide a preset from everybody but its owner."""
    _hide(name, place, reason, hidden=True, as_json=as_json)


@curation.command("show-again")
def show_again(name: Reference, place: Where = PUBLIC, as_json: Json = False) -> None:
    """Show a preset that was hidden."""
    _hide(name, place, "", hidden=False, as_json=as_json)


@curation.command()
def pin(
    name: Reference,
    place: Where = PUBLIC,
    off: Annotated[bool, typer.Option("--off", help="Take the pin away.")] = False,
    as_json: Json = False,
) -> None:
    """Let a preset come first in lists and suggestions."""
    from bot.commands import curation as acts

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        found = (await acts.listed(registry, viewer, name, there)).revision
        return await acts.pin(registry, viewer, found.preset.id, there, pinned=not off)

    _do(deed, place, as_json=as_json)


@curation.command()
def settle(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The report's number.")],
    as_json: Json = False,
) -> None:
    """Close a report."""
    from bot.commands import curation as acts

    async def deed(registry: "Registry", viewer: "Viewer", _: "Place") -> "Done":
        return await acts.settle(registry, viewer, number)

    _do(deed, PUBLIC, as_json=as_json)


@curation.command()
def log(place: Where = PUBLIC, as_json: Json = False) -> None:
    """Show what was decided at a place, the latest first."""
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import curation as view

    async def work(_: "Settings", registry: "Registry") -> None:
        viewer, there = standing_at(place)
        entries = await registry.moderation.log(viewer, there)
        answer(entries, view.log_object, view.print_log, as_json=as_json)

    perform(work)


# --- Rules ------------------------------------------------------------------------------------


@rules.command("show")
def show_rules(place: Where = PUBLIC, as_json: Json = False) -> None:
    """Show who may publish at a place, its NSFW level, its rules, and what is installed."""
    from bot.commands import preset_rules
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import curation as view

    async def work(_: "Settings", registry: "Registry") -> None:
        viewer, there = standing_at(place)
        found = await preset_rules.house(registry, viewer, there)
        answer(found, view.house_object, view.print_house, as_json=as_json)

    perform(work)


@rules.command("set")
def set_policy(
    place: Where = PUBLIC,
    publishing: Annotated[
        Literal["open", "reviewed", "closed"] | None,
        typer.Option(
            help="Who publishes: everybody (open), everybody once a curator approves (reviewed), "
            "curators only (closed)."
        ),
    ] = None,
    nsfw: Annotated[int | None, typer.Option(help="The highest NSFW level, 0 to 4.")] = None,
    as_json: Json = False,
) -> None:
    """Set who may publish at a place, and its highest NSFW level."""
    from bot.commands import preset_rules
    from lora_registry.permissions import Publishing

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        way = None if publishing is None else Publishing(publishing)
        return await preset_rules.set_policy(registry, viewer, there, way, nsfw)

    _do(deed, place, as_json=as_json)


@rules.command("add")
def add_rule(
    effect: Effect,
    kind: Kind,
    which: Which,
    place: Where = PUBLIC,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Allow or deny everything with one trait. Denying always wins."""
    from bot.commands import preset_rules

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        return await preset_rules.add_rule(registry, viewer, there, effect, kind, which, reason)

    _do(deed, place, as_json=as_json)


@rules.command("drop")
def drop_rule(
    effect: Effect, kind: Kind, which: Which, place: Where = PUBLIC, as_json: Json = False
) -> None:
    """Take a rule back."""
    from bot.commands import preset_rules

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        return await preset_rules.drop_rule(registry, viewer, there, effect, kind, which)

    _do(deed, place, as_json=as_json)


@rules.command()
def install(name: PresetOrOwner, community: Community, as_json: Json = False) -> None:
    """Let public presets come before other public ones in a community."""
    _install(name, community, installed=True, as_json=as_json)


@rules.command()
def uninstall(name: PresetOrOwner, community: Community, as_json: Json = False) -> None:
    """Let them come first no more."""
    _install(name, community, installed=False, as_json=as_json)


# --- Steps ------------------------------------------------------------------------------------


def _hide(name: str, place: str, reason: str, *, hidden: bool, as_json: bool) -> None:
    from bot.commands import curation as acts

    async def deed(registry: "Registry", viewer: "Viewer", there: "Place") -> "Done":
        preset = (await acts.listed(registry, viewer, name, there)).revision.preset
        return await acts.hide(registry, viewer, preset.id, there, hidden=hidden, reason=reason)

    _do(deed, place, as_json=as_json)


def _install(name: str, community: str, *, installed: bool, as_json: bool) -> None:
    from bot.commands import preset_rules

    async def deed(registry: "Registry", viewer: "Viewer", _: "Place") -> "Done":
        return await preset_rules.install(registry, viewer, name, installed=installed)

    _do(deed, community, as_json=as_json)


def standing_at(place: str) -> "tuple[Viewer, Place]":
    """The owner as they stand at a place."""
    import dataclasses

    from bot.owner import owner_viewer
    from lora_registry import permissions

    if place == PUBLIC:
        return owner_viewer(), permissions.PUBLIC
    viewer = dataclasses.replace(owner_viewer(), community=place)
    return viewer, permissions.Place.community(place)


def _do(deed: "Deed", place: str, *, as_json: bool) -> None:
    """Do it at a place, and say what came of it."""
    from bot.registry_cli import answer, perform
    from bot.surfaces.terminal import curation as view

    async def work(_: "Settings", registry: "Registry") -> None:
        viewer, there = standing_at(place)
        done = await deed(registry, viewer, there)
        answer(done, view.done_object, view.print_done, as_json=as_json)

    perform(work)
