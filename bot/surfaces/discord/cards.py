"""What members see of a job: the progress message, the result card, the card of a failure.

Everything here is Components V2: at most 40 components and 4,000 characters a message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from discord import ButtonStyle, MediaGalleryItem
from discord.ui import ActionRow, Button, Item, LayoutView, MediaGallery, TextDisplay

from backends.base import Verdict
from bot.jobs.job import Job, StoredPicture
from bot.policy import Treatment
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
_PREVIEW: Final = "preview.jpg"
_BAR: Final = 12
_WHY: Final = {
    Verdict.FLAGGED: "the checker flagged it",
    Verdict.UNCHECKED: "nothing could check it",
}


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
    if kept_back := withheld(pieces):
        items.append(TextDisplay(kept_back))
    lines = [settings(job), *_remarks(job, pieces)]
    items.append(TextDisplay("\n".join(f"-# {line}" for line in lines)))
    buttons = (
        button("again", job.id, "Again"),
        button("edit", job.id, "Edit"),
        button("vary", job.id, "Vary"),
        button("recipe", job.id, "Recipe"),
        button("delete", job.id, "Delete"),
    )
    return layout(*items, ActionRow(*buttons))


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


def settings(job: Job) -> str:
    """The settings that repeat the picture, in one line."""
    request, result = job.request, job.result
    size = str(request.image_size)
    if result is not None and result.pictures:
        size = f"{result.pictures[0].width}x{result.pictures[0].height}"
    parts = [
        f"seed {request.seed}",
        size,
        f"{request.num_inference_steps} steps",
        f"guidance {request.guidance_scale:g}",
        *(f"{safe(lora.path, 60)}:{lora.scale:g}" for lora in request.loras[:8]),
        *([f"{len(request.loras) - 8} more LoRAs"] if len(request.loras) > 8 else []),
        *([safe(job.preset, 120)] if job.preset else []),
        request.model,
    ]
    if result is not None:
        parts.append(f"{result.seconds:.1f} s")
        cost = job.price if result.cost is None else result.cost
        if cost > 0:
            parts.append(f"${cost:.3f}")
    return " · ".join(parts)


def withheld(pieces: Sequence[Piece]) -> str | None:
    """What is said in the place of pictures that are kept back."""
    reasons = [_WHY[p.stored.verdict] for p in pieces if p.treatment is Treatment.WITHHOLD]
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
        f"Behind a spoiler because {_WHY[piece.stored.verdict]}."
        for piece in pieces
        if piece.treatment is Treatment.SPOILER and piece.stored.verdict in _WHY
    ]
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


def note(text: str, *rows: Item[Any]) -> LayoutView:
    """A private answer of text, with whatever belongs below it."""
    return layout(TextDisplay(text), *rows)
