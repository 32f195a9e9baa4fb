"""Settings of communities in the terminal: tables for people, plain values for `--json`."""

from typing import Any

from rich.console import Console
from rich.text import Text

from bot.commands.settings import Edit, Overview, confirmation
from bot.commands.settings_fields import FOR_ROLES, PAGES, SETTINGS, Kind
from bot.commands.settings_values import allowed, in_words
from bot.communities import INSTANCE, Source
from bot.surfaces.terminal.presets import columns

Changed = tuple[Edit, Overview]


def place(community: str) -> str:
    """Whose settings, in words."""
    return "the whole instance" if community == INSTANCE else f"community {community}"


# --- For people -------------------------------------------------------------------------------


def print_settings(console: Console, now: Overview) -> None:
    """A row a setting, page by page; entries of lists and roles below."""
    table = columns("name", "value", "from")
    table.columns[0].style = "bold"
    for page in PAGES:
        for setting in page.settings:
            value = in_words(setting, now.value(setting))
            table.add_row(setting.name, Text(value), Text(now.source(setting)))
    console.print(table)
    for setting in SETTINGS.values():
        if setting.kind in (Kind.MEMBERS, Kind.ROLES, Kind.WORDS) and now.value(setting):
            console.print(f"\n[bold]{setting.name}[/]", highlight=False)
            for one in sorted(now.value(setting)):
                console.print(Text(f"  {one}"))
    for role, own in sorted(now.roles.items()):
        console.print(Text(f"\nroles.{role}: {allowed(own, FOR_ROLES) or 'nothing'}"))


def print_changed(console: Console, changed: Changed) -> None:
    """What has come of a change."""
    console.print(Text(confirmation(*changed)))


def print_reset(console: Console, community: str) -> None:
    """That nothing is set any more."""
    console.print(Text(f"Nothing is set for {place(community)} any more."))


# --- For programs -----------------------------------------------------------------------------


def settings_object(now: Overview) -> dict[str, Any]:
    """Every setting by name with its value and the layer it comes from."""
    values = now.here.settings.model_dump(mode="json", warnings=False)
    # What a role has not set is as for everybody.
    values["roles"] = {
        role: one.model_dump(mode="json", exclude_unset=True) for role, one in now.roles.items()
    }
    return {
        "community": now.community,
        "version": now.version,
        "settings": {
            name: {"value": values[name], "from": _layer(now, name).value} for name in SETTINGS
        },
    }


def changed_object(changed: Changed) -> dict[str, Any]:
    """The settings that were changed, as above."""
    edit, after = changed
    whole = settings_object(after)
    return {**whole, "settings": {name: whole["settings"][name] for name in edit.change.fields}}


def reset_object(community: str) -> dict[str, Any]:
    """Whose settings were cleared."""
    return {"community": community, "settings": {}}


def _layer(now: Overview, name: str) -> Source:
    """The instance's own layer is looked at as a community's."""
    source = now.here.sources[name]
    own = now.community == INSTANCE and source is Source.COMMUNITY
    return Source.INSTANCE if own else source
