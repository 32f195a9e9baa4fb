"""What every chat says of presets and offers to do with them; the markup is each chat's own.

`safe` makes text that people wrote safe to show in the chat, in at most so many characters, and
`here` is what the chat calls a community: server, workspace.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bot.commands.curation import Card
from bot.commands.presets import Details, Liking, UsedLora, Version
from lora_registry.curating import Act, Listing
from lora_registry.models import ChoiceVariable, NumberVariable, PresetBody, TextVariable, Variable
from lora_registry.permissions import PUBLIC, PlaceKind, State
from lora_registry.revisions import Preset

Safe = Callable[[str, int], str]

ALL: Final = "all"
HERE: Final = "here"
"""Which place a button is about: everybody on this Atelier, or this community."""

LEVELS: Final = ("safe for everybody", "suggestive", "mature", "explicit", "extreme")
"""NSFW levels, from 0."""

NOT_ASKED: Final = (
    "It has another revision since you were asked, so nothing was deleted. With /preset delete you "
    "are asked anew."
)

_SHARED: Final = (Act.SHARE, Act.WITHDRAW)
_LABELS: Final = {
    (Act.SHARE, False): "Share here",
    (Act.WITHDRAW, False): "Withdraw here",
    (Act.SHARE, True): "Share with everybody",
    (Act.WITHDRAW, True): "Withdraw from everybody",
    (Act.APPROVE, False): "Approve",
    (Act.REJECT, False): "Reject",
    (Act.HIDE, False): "Hide",
    (Act.SHOW, False): "Show again",
    (Act.PIN, False): "Pin",
    (Act.UNPIN, False): "Unpin",
}
"""What is written on the button for an act, here or (True) in public, in the order of the card."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A button of a card: its argument, what is written on it, and its verb, perhaps an `Act`."""

    verb: str
    label: str
    argument: str


def offers(card: Card, *, liked: bool = False) -> tuple[Offer, ...]:
    """What would work for this viewer now, the most likely first."""
    rev = str(card.details.revision.rev)
    found = []
    if card.obstacle is None:
        found.append(Offer("preset_use", "Draw with it", rev))
        found.append(Offer("like", "Unlike" if liked else "Like", rev))
    if card.own:
        found.append(Offer("preset_edit", "Edit", ""))
    elif card.obstacle is None:
        found.append(Offer("preset_fork", "Copy", rev))
    for (act, public), label in _LABELS.items():
        for one in card.listings:
            if act in one.acts and (one.place == PUBLIC) == public:
                where = f",{_which(one)}" if act in _SHARED else ""
                found.append(Offer(act, label, f"{rev}{where}"))
    if at := next((one for one in card.listings if Act.REPORT in one.acts), None):
        found.append(Offer("preset_report", "Report", f"{rev},{_which(at)}"))
    return tuple(found)


def _which(listing: Listing) -> str:
    return ALL if listing.place == PUBLIC else HERE


# --- The card ---------------------------------------------------------------------------------


def audience(shown: Details, here: str) -> str:
    """Who may use it."""
    return {
        PlaceKind.PERSON: "its owner alone",
        PlaceKind.COMMUNITY: f"everybody in this {here}",
        PlaceKind.PUBLIC: "everybody on this Atelier",
    }[shown.audience]


def settings(body: PresetBody) -> str:
    """What it sets itself."""
    said = {
        "size": body.size and f"{body.size.width}x{body.size.height}",
        "steps": body.steps,
        "guidance": body.guidance,
        "speed": body.speed,
        "images": body.count,
    }
    own = " · ".join(f"{name} {value}" for name, value in said.items() if value is not None)
    return own or "those of the model"


def times(preset: Preset) -> str:
    """How often it was used and liked."""
    used = "once" if preset.uses == 1 else f"{preset.uses:,} times"
    liked = "1 like" if preset.likes == 1 else f"{preset.likes:,} likes"
    return f"used {used} · {liked}"


def lora(one: UsedLora, safe: Safe) -> str:
    """One of its LoRAs."""
    words = f" adds {safe(', '.join(one.words), 60)}" if one.words else ""
    missing = "" if one.known else " (not known here)"
    return f"LoRA {safe(one.lora.name, 60)}:{one.lora.scale:g}{words}{missing}"


def takes(variable: Variable, safe: Safe) -> str:
    """What may be filled in for a blank."""
    match variable:
        case ChoiceVariable():
            return f"{safe(', '.join(variable.choices), 150)} (else {safe(variable.default, 60)})"
        case NumberVariable():
            kind = "a whole number" if variable.whole else "a number"
            bounds = f"from {variable.low:g} to {variable.high:g}"
            return f"{kind} {bounds} (else {variable.default:g})"
        case TextVariable():
            default = safe(variable.default, 60) or "nothing"
            return f"up to {variable.longest} characters (else {default})"


def standing(card: Card, safe: Safe, here: str) -> list[str]:
    """How it stands, for its owner and who decides about it."""
    lines = [] if card.obstacle is None else [safe(card.obstacle, 300)]
    for one in card.listings:
        where, now = "In public" if one.place == PUBLIC else f"In this {here}", one.standing
        if now is None:
            continue
        why = f": {safe(now.reason, 200)}" if now.reason else ""
        found = []
        if now.state is State.HIDDEN:
            found.append(f"hidden by a curator{why}")
        elif now.rev is not None:
            found.append(f"revision {now.rev} is shown")
            if why and now.asked is None:
                found.append(f"a curator has said no to a later one{why}")
        elif now.asked is None:
            found.append(f"a curator has said no{why}")
        if now.asked is not None:
            found.append(f"revision {now.asked} waits for approval")
        if now.pinned:
            found.append("pinned")
        lines.append(f"{where}: {', '.join(found)}")
    return lines


# --- Other answers ----------------------------------------------------------------------------


def changes(version: Version) -> str:
    """What a revision changed, with the note that was left with it."""
    note = [f"“{version.revision.note}”"] if version.revision.note else []
    return ", ".join([*version.changes, *note])


def liking(name: str, now: Liking) -> str:
    """What came of a click on Like; `name` is safe to show."""
    did = f"You like {name} now." if now.liked else f"You no longer like {name}."
    match now.likes:
        case 0:
            many = "Nobody does at the moment."
        case 1:
            many = "You are the first." if now.liked else "One person does."
        case _:
            many = f"{now.likes:,} people do."
    return f"{did} {many}"


def revisions(preset: Preset) -> str:
    """What goes with a preset that is deleted."""
    return "its only revision" if preset.head == 1 else f"all its {preset.head} revisions"
