"""`/preset`: its words, and looking at presets."""

import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from slack_sdk.models.blocks import ActionsBlock, Block, ExternalDataSelectElement

from bot.commands import presets
from bot.commands.presets import Entry
from bot.surfaces.ids import CustomId
from bot.surfaces.slack import (
    cards,
    curation,
    preset_card,
    preset_changes,
    preset_history,
    preset_rules,
)
from bot.surfaces.slack.answers import Shown, answered, press, shown
from bot.surfaces.slack.desk import Desk, Handler
from bot.surfaces.slack.interaction import Interaction
from bot.surfaces.slack.text import bold, code, safe, typed
from lora_registry.models import Viewer

PICK: Final = "preset_pick"
"""The verb of the menu that asks for a preset; its subject is the word after `/preset`."""
_NEAR: Final = 0.7
"""How like a word must be to one that is known, from 0 to 1, to be meant."""

MOST_SHOWN: Final = 20
"""Presets of a list: each takes two of the 50 blocks of a message."""
NONE_YET: Final = "There are no presets here yet. `/preset create` makes one."
SEARCH_WHAT: Final = "Say what to look for: `/preset search soft light`."
_QUOTES: Final = "\"'“”„‘’`"


@dataclass(frozen=True, slots=True)
class Command:
    """What one word after `/preset` does. `asks` says which presets are offered where none is
    named: any, or one's own; empty where none is needed."""

    usage: str
    about: str
    run: Callable[[Desk, Interaction, str], Awaitable[None]]
    asks: str = ""


# --- The command ------------------------------------------------------------------------------


async def preset(desk: Desk, interaction: Interaction) -> None:
    """Do what the first word says.

    Raises:
        RegistryError, SettingsError: says why not.
    """
    text = typed(str(interaction.body.get("text") or ""))
    first, *rest = text.split() or ["list"]
    command = COMMANDS.get(first.lower())
    if command is None:
        await interaction.tell(_unknown(first))
        return
    words = " ".join(word.strip(_QUOTES) for word in rest)
    if command.asks and not words:
        await _ask(first.lower(), command).answer(interaction)
    else:
        await command.run(desk, interaction, words)


async def _list(desk: Desk, interaction: Interaction, _: str) -> None:
    async def found(seen: Viewer) -> Shown:
        entries = await presets.list_presets(desk.registry, seen)
        return listed("Presets", entries) if entries else shown(NONE_YET)

    await answered(desk, interaction, found)


async def _search(desk: Desk, interaction: Interaction, words: str) -> None:
    async def found(seen: Viewer) -> Shown:
        entries = await presets.search(desk.registry, seen, words)
        said = safe(words, 60)
        if not entries:
            return shown(f"No preset is like “{said}”.")
        return listed(f"Presets like “{said}”", entries)

    if words:
        await answered(desk, interaction, found)
    else:
        await interaction.tell(SEARCH_WHAT)


async def _help(_: Desk, interaction: Interaction, __: str) -> None:
    await interaction.tell(_all())


def _unknown(word: str) -> str:
    near = difflib.get_close_matches(word.lower(), COMMANDS, 1, _NEAR)
    meant = f" Did you mean `/preset {COMMANDS[near[0]].usage}`?" if near else ""
    return f"`/preset` has no “{safe(word, 40)}”.{meant}\n{_all()}"


def _all() -> str:
    widest = max(len(one.usage) for one in COMMANDS.values())
    lines = (f"/preset {one.usage:{widest}}  {one.about}" for one in COMMANDS.values())
    return code("\n".join(lines))


# --- Lists ------------------------------------------------------------------------------------


def listed(title: str, entries: Sequence[Entry]) -> Shown:
    """Presets with their buttons; `title` is safe to show."""
    blocks: list[Block] = []
    for one in entries[:MOST_SHOWN]:
        draw = press("preset_use", "Draw with it", one.id, str(one.rev))
        show = press("preset_card", "Show", one.id, str(one.rev))
        blocks += [cards.section(_line(one)), ActionsBlock(elements=[draw, show])]
    if len(entries) > MOST_SHOWN:
        more = len(entries) - MOST_SHOWN
        blocks.append(cards.small([f"{more} more; `/preset search` finds them."]))
    return shown(f"*{title}*", *blocks)


def _line(entry: Entry) -> str:
    title = f": {safe(entry.title, 60)}" if entry.title else ""
    pin = "📌 " if entry.pinned else ""
    return f"{pin}{bold(entry.name, 80)}{title} · {entry.model}, {entry.uses:,}×"


# --- Which preset -----------------------------------------------------------------------------


def _ask(word: str, command: Command) -> Shown:
    """A menu with search, as text has no suggestions."""
    element = ExternalDataSelectElement(
        action_id=menu(word), placeholder="Type a part of its name", min_query_length=0
    )
    return shown(f"{command.about}. Which one?", ActionsBlock(elements=[element]))


def menu(word: str) -> str:
    """The action id of the menu that asks for a preset for this word."""
    return str(CustomId(PICK, word))


async def _picked(desk: Desk, interaction: Interaction, custom_id: CustomId) -> None:
    command = COMMANDS.get(custom_id.subject)
    if command is not None and interaction.chosen:
        await command.run(desk, interaction, interaction.chosen)


ANY: Final = "any"
OWN: Final = "own"

COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {
        "list": Command("list", "Your own presets, and those that are used most here", _list),
        "search": Command("search WORDS", "Find presets; typos are forgiven", _search),
        "show": Command("show NAME", "All about one preset", preset_card.show, ANY),
        "create": Command("create [NAME]", "Make a preset of your own", preset_changes.create),
        "edit": Command(
            "edit NAME", "Change a preset of yours; earlier ones stay", preset_changes.edit, OWN
        ),
        "fork": Command(
            "fork NAME [NEW]", "Copy a preset into one of your own", preset_changes.fork, ANY
        ),
        "rename": Command(
            "rename NAME [NEW]", "Give a preset of yours another name", preset_changes.rename, OWN
        ),
        "history": Command(
            "history NAME",
            "A preset's revisions, and what each changed",
            preset_history.history,
            ANY,
        ),
        "delete": Command(
            "delete NAME", "Delete a preset of yours with all revisions", preset_history.delete, OWN
        ),
        "like": Command("like NAME", "Like a preset, or no longer", preset_history.like, ANY),
        "waiting": Command(
            "waiting", "Moderators: what waits for approval, and reports", curation.waiting
        ),
        "rules": Command(
            "rules", "Admins: who may publish here, and what is denied", preset_rules.rules
        ),
        "help": Command("help", "This list", _help),
    }
)
"""What may follow `/preset`, in the order of its help."""

HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        PICK: _picked,
        **preset_card.HANDLERS,
        **preset_changes.HANDLERS,
        **preset_history.HANDLERS,
        **curation.HANDLERS,
        **preset_rules.HANDLERS,
    }
)
