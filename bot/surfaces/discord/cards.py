"""What members see of a job: the progress message, the result card, the card of a failure.

Everything here is Components V2: at most 40 components and 4,000 characters a message.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord import ButtonStyle, MediaGalleryItem
from discord.ui import ActionRow, Button, Item, LayoutView, MediaGallery, TextDisplay

from backends.base import Verdict
from bot.jobs.job import Job, StoredPicture
from bot.policy import Treatment
from bot.surfaces import summary
from bot.surfaces.base import Drawing, Preparing, Progress, Waiting
from bot.surfaces.discord.ids import CustomId
from bot.surfaces.discord.messages import Upload
from bot.surfaces.discord.text import plain, safe

MOST_TEXT: Final = 4000
"""Characters of text in one message."""
PROMPT: Final = 700
ALT_TEXT: Final = 256
TAKEN: Final = "Taken. It starts as soon as it is its turn."
MAY_BE_LATE: Final = (
    "-# This message can be changed for 15 minutes. What takes longer waits for you in /queue."
)
REVEALED: Final = "A moderator has looked at it and revealed it."
_ASKED_BY: Final = re.compile(r" · <@(\d+)>\Z")
_PREVIEW: Final = "preview.jpg"
_BAR: Final = 12


@dataclass(frozen=True, slots=True)
class Face:
    """A progress message: two that are equal look the same."""

    text: str
    preview: bytes | None = field(default=None, repr=False)
    hidden: bool = True

    @property
    def uploads(self) -> tuple[Upload, ...]:
        return () if self.preview is None else (Upload(_PREVIEW, self.preview),)


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture of a card. `upload` is None where it is withheld; `change` says how it was made
    to fit, `link` leads to the original."""

    stored: StoredPicture
    treatment: Treatment
    upload: Upload | None
    change: str | None = None
    link: str | None = None


def layout(*items: Item[Any]) -> LayoutView:
    """A view that the library does not keep: a click is understood from its custom id alone."""
    view = LayoutView(timeout=None)
    for item in items:
        view.add_item(item)
    view.stop()
    return view


def button(verb: str, job_id: str, label: str) -> Button[LayoutView]:
    """A button that does `verb` to a job, for ever."""
    custom_id = str(CustomId(verb, job_id))
    return Button(label=label, style=ButtonStyle.secondary, custom_id=custom_id)


# --- While it goes on -------------------------------------------------------------------------


def face(state: Progress | None, now: float) -> Face:
    """How a state looks; `now` is in seconds since 1970. None is a job that was only taken."""
    match state:
        case None:
            return Face(TAKEN)
        case Waiting(ahead=0, eta=eta):
            return Face(f"Next in the queue{_ready(eta, now)}")
        case Waiting(ahead=ahead, eta=eta):
            return Face(f"In the queue, {ahead} ahead{_ready(eta, now)}")
        case Preparing(what=what, fraction=fraction):
            share = "" if fraction is None else f", {fraction:.0%}"
            drawn = "" if fraction is None else f"`{bar(fraction)}` "
            return Face(f"{drawn}{safe(what, 200)}{share}")
        case Drawing():
            speed = f" · {_rate(state.rate)}" if state.rate else ""
            step = f"`{bar(state.step / state.steps)}` step {state.step}/{state.steps}"
            hidden = state.preview_treatment is not Treatment.SHOW
            ready = _ready(state.eta, now, " · ready")
            return Face(f"{step}{speed}{ready}", state.preview, hidden)


def progress(job: Job, shown: Face, *, lasting: bool, prompt: bool = True) -> LayoutView:
    """The message of a job that has not ended; `lasting` if the bot can change it for ever."""
    items: list[Item[Any]] = [TextDisplay(_title(job, prompt)), TextDisplay(shown.text)]
    if shown.preview is not None:
        picture = MediaGalleryItem(
            f"attachment://{_PREVIEW}",
            description="The picture as it is being drawn",
            spoiler=shown.hidden,
        )
        items.append(MediaGallery(picture))
    if not lasting:
        items.append(TextDisplay(MAY_BE_LATE))
    return layout(*items, ActionRow(button("cancel", job.id, "Cancel")))


def bar(fraction: float) -> str:
    """Progress from 0 to 1 as a bar."""
    full = round(min(max(fraction, 0.0), 1.0) * _BAR)
    return "█" * full + "░" * (_BAR - full)


def _ready(eta: float | None, now: float, word: str = ", ready") -> str:
    """Discord counts such a time down by itself, in everybody's language."""
    return "" if eta is None else f"{word} <t:{int(now + eta) + 1}:R>"


def _rate(steps: float) -> str:
    return f"{steps:.1f} steps/s" if steps >= 1 else f"{1 / steps:.1f} s/step"


# --- At its end -------------------------------------------------------------------------------


def done(job: Job, pieces: Sequence[Piece], *, prompt: bool = True) -> LayoutView:
    """The result: pictures, those that are kept back in words, the settings, the buttons."""
    items: list[Item[Any]] = [TextDisplay(_title(job, prompt))]
    if gallery := [_gallery_item(job, piece) for piece in pieces if piece.upload is not None]:
        items.append(MediaGallery(*gallery))
    if kept_back := withheld(job, pieces):
        items.append(TextDisplay(kept_back))
    lines = [summary.settings(job, safe), *_remarks(job, pieces)]
    items.append(TextDisplay("\n".join(f"-# {line}" for line in lines)))
    more = ActionRow(
        button("again", job.id, "Again"),
        button("edit", job.id, "Edit"),
        button("vary", job.id, "Vary"),
        button("recipe", job.id, "Recipe"),
        button("save", job.id, "Save as preset"),
    )
    rest = ActionRow(button("delete", job.id, "Delete"), button("report", job.id, "Report"))
    return layout(*items, more, rest)


def refused(job: Job, sentence: str) -> LayoutView:
    """The card of a result that Discord does not take."""
    row = ActionRow(
        button("edit", job.id, "Edit"),
        button("recipe", job.id, "Recipe"),
        button("delete", job.id, "Delete"),
    )
    return layout(TextDisplay(_title(job, prompt=False)), TextDisplay(sentence), row)


def not_done(job: Job, sentence: str, *, cancelled: bool, prompt: bool = True) -> LayoutView:
    """The card of a job without a picture."""
    row = ActionRow(
        button("retry", job.id, "Draw it after all" if cancelled else "Try again"),
        button("edit", job.id, "Edit"),
        button("delete", job.id, "Delete"),
    )
    return layout(TextDisplay(_title(job, prompt)), TextDisplay(safe(sentence, 1000)), row)


def withheld(job: Job, pieces: Sequence[Piece]) -> str | None:
    """What is said in the place of pictures that are kept back."""
    reasons = [
        summary.why_hidden(job, piece.stored)
        for piece in pieces
        if piece.treatment is Treatment.WITHHOLD
    ]
    if not reasons:
        return None
    count = "A picture is" if len(reasons) == 1 else f"{len(reasons)} pictures are"
    return (
        f"{count} withheld: {' and '.join(sorted(set(reasons)))}, and the rules here keep such "
        "pictures back from everybody. Whoever manages this server sets that rule."
    )


def _gallery_item(job: Job, piece: Piece) -> MediaGalleryItem:
    name = "" if piece.upload is None else piece.upload.name
    return MediaGalleryItem(
        f"attachment://{name}",
        description=plain(job.request.prompt, ALT_TEXT),
        spoiler=piece.treatment is not Treatment.SHOW,
    )


def _remarks(job: Job, pieces: Sequence[Piece]) -> list[str]:
    """Small print below the settings, each said once."""
    found = [
        f"Behind a spoiler because {summary.why_hidden(job, piece.stored)}."
        for piece in pieces
        if piece.treatment is Treatment.SPOILER and piece.stored.verdict in summary.WHY_HIDDEN
    ]
    if job.moderated is Verdict.CLEAR:
        found.append(REVEALED)
    for piece in pieces:
        if piece.change is not None:
            original = f" ([original]({piece.link}))" if piece.link else ""
            found.append(f"Seed {piece.stored.seed}: {piece.change}{original}.")
    if job.result is not None and job.result.hint:
        found.append(safe(job.result.hint, 300))
    return list(dict.fromkeys(found))


def _title(job: Job, prompt: bool) -> str:
    text = safe(job.request.prompt, PROMPT) if prompt else "(a prompt that AutoMod refuses)"
    return f"**{text}** · <@{job.requester}>"


def asked_by(message: discord.Message | None) -> str | None:
    """The id of who asked for the picture on a card of ours; None where it does not say.

    What people write cannot stand for it: in a title their `<` is escaped.
    """
    for part in () if message is None else message.components:
        if isinstance(part, discord.TextDisplay):
            found = _ASKED_BY.search(part.content)
            return None if found is None else found[1]
    return None


def note(text: str, *rows: Item[Any]) -> LayoutView:
    """A private answer of text, with whatever belongs below it."""
    return layout(TextDisplay(text), *rows)
