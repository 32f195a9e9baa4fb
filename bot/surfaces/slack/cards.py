"""What members see of a job: the progress message, the result, the card of a failure.

At most 50 blocks a message and 3,000 characters a section. A picture that is not clear never
appears openly: it lies in a collapsed container, and neither its title nor the alt text or the
file's name says anything about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContainerBlock,
    ContextBlock,
    ImageBlock,
    InteractiveElement,
    MarkdownTextObject,
    SectionBlock,
)
from slack_sdk.models.blocks.basic_components import SlackFile

from backends.base import Verdict
from bot.jobs.job import Job, StoredPicture
from bot.policy import Treatment
from bot.surfaces import summary
from bot.surfaces.base import Drawing, Preparing, Progress, Waiting
from bot.surfaces.ids import CustomId
from bot.surfaces.slack.receipts import Where
from bot.surfaces.slack.text import bold, safe
from bot.surfaces.text import plain

Blocks = list[dict[str, Any]]

PROMPT: Final = 700
ALT_TEXT: Final = 1000
TAKEN: Final = "Taken. It starts as soon as it is its turn."
SENSITIVE: Final = "Sensitive, open to view"
NEUTRAL: Final = "A picture that may be sensitive"
"""All that is said of such a picture where it is not open: alt text, file name, notification."""
_BAR: Final = 12
REVEALED: Final = "A moderator has looked at it and revealed it."
SHOWN_ANEW: Final = "A moderator has changed how this is shown; it comes anew in a moment."


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture of a card. `file` is Slack's id of it, None where it is withheld or could not be
    brought; `change` says what was done to the file, `link` leads to it elsewhere. A withheld one
    is `offered` where its requester alone may see it.
    """

    stored: StoredPicture
    treatment: Treatment
    file: str | None
    change: str | None = None
    link: str | None = None
    offered: bool = False

    @property
    def lost(self) -> bool:
        """Whether it may be shown and is not there."""
        return self.file is None and self.treatment is not Treatment.WITHHOLD

    @property
    def shown_openly(self) -> bool:
        """Whether it, or that it is missing, stands in the message for everybody to see."""
        return self.treatment is Treatment.SHOW or self.lost


def button(verb: str, subject: str, label: str, style: str | None = None) -> ButtonElement:
    """A button that does `verb` to a job or preset, for ever. `style`: primary or danger."""
    return ButtonElement(text=label, action_id=str(CustomId(verb, subject)), style=style)


def section(text: str, accessory: InteractiveElement | None = None) -> SectionBlock:
    """A paragraph of mrkdwn, perhaps with a button or menu beside it."""
    return SectionBlock(text=MarkdownTextObject(text=text), accessory=accessory)


def small(lines: Sequence[str]) -> ContextBlock:
    """Small print."""
    return ContextBlock(elements=[MarkdownTextObject(text="\n".join(lines)[:3000])])


def rendered(blocks: Sequence[Block]) -> Blocks:
    """What goes over the wire; the library checks lengths and counts here.

    Raises:
        slack_sdk.errors.SlackObjectFormationError
    """
    return [block.to_dict() for block in blocks]


# --- While it goes on -------------------------------------------------------------------------


def face(state: Progress | None) -> str:
    """How a state looks; two that are equal look the same. None is a job that was only taken."""
    match state:
        case None:
            return TAKEN
        case Waiting(ahead=0, eta=eta):
            return f"Next in the queue{_ready(eta)}"
        case Waiting(ahead=ahead, eta=eta):
            return f"In the queue, {ahead} ahead{_ready(eta)}"
        case Preparing(what=what, fraction=fraction):
            share = "" if fraction is None else f", {fraction:.0%}"
            drawn = "" if fraction is None else f"`{bar(fraction)}` "
            return f"{drawn}{safe(what, 200)}{share}"
        case Drawing(step=step, steps=steps, rate=rate, eta=eta):
            speed = f" · {_rate(rate)}" if rate else ""
            return f"`{bar(step / steps)}` step {step}/{steps}{speed}{_ready(eta, ' · ready')}"


def bar(fraction: float) -> str:
    """A bar of fixed width; `fraction` is 0 to 1."""
    full = round(min(max(fraction, 0.0), 1.0) * _BAR)
    return "█" * full + "░" * (_BAR - full)


def progress(job: Job, where: Where, text: str) -> Blocks:
    """The message of a job that has not ended."""
    row = ActionsBlock(elements=[button("cancel", job.id, "Cancel")])
    return rendered([section(f"{title(job, where)}\n{text}"), row])


# --- At its end -------------------------------------------------------------------------------


def done(job: Job, where: Where, pieces: Sequence[Piece]) -> Blocks:
    """The result: pictures, those that are kept back in words, the settings, the buttons."""
    blocks: list[Block] = [section(title(job, where, ping=job.ping))]
    blocks += [_picture(job, piece) for piece in pieces if piece.shown_openly]
    if (closed := hidden(pieces)) is not None:
        blocks.append(closed)
    if kept_back := withheld(job, pieces):
        blocks.append(section(kept_back))
    blocks.append(small([summary.settings(job, safe), *_remarks(job, pieces)]))
    blocks += _buttons(job, pieces)
    return rendered(blocks)


def not_done(job: Job, where: Where, sentence: str, *, cancelled: bool) -> Blocks:
    """The card of a job without a picture."""
    row = ActionsBlock(
        elements=[
            button("retry", job.id, "Draw it after all" if cancelled else "Try again"),
            button("edit", job.id, "Edit"),
            button("delete", job.id, "Delete"),
        ]
    )
    return rendered([section(f"{title(job, where)}\n{safe(sentence, 1000)}"), row])


def refused(job: Job, where: Where, sentence: str) -> Blocks:
    """The card of a result that Slack does not take."""
    row = ActionsBlock(
        elements=[
            button("edit", job.id, "Edit"),
            button("recipe", job.id, "Recipe"),
            button("delete", job.id, "Delete"),
        ]
    )
    return rendered([section(f"{title(job, where)}\n{sentence}"), row])


def spoken(job: Job, pieces: Sequence[Piece]) -> str:
    """What notifications and screen readers say instead of the blocks."""
    if any(piece.treatment is not Treatment.SHOW for piece in pieces):
        return NEUTRAL
    return plain(job.request.prompt, 150)


def hidden(pieces: Sequence[Piece]) -> ContainerBlock | None:
    """The closed block with all pictures that are to be opened first; None without any."""
    files = [p.file for p in pieces if p.treatment is Treatment.SPOILER and p.file is not None]
    if not files:
        return None
    return ContainerBlock(
        title=SENSITIVE,
        child_blocks=[_image(file, NEUTRAL) for file in files],
        is_collapsible=True,
        default_collapsed=True,
    )


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
        f"{count} withheld: {' and '.join(sorted(set(reasons)))}, and the rule here keeps it back."
    )


def replaced(job: Job, where: Where) -> Blocks:
    """A result in the moment before a new message takes its place; Report leads back to it where
    that moment has lasted too long."""
    row = ActionsBlock(
        elements=[button("delete", job.id, "Delete"), button("report", job.id, "Report")]
    )
    return rendered([section(f"{title(job, where)}\n{SHOWN_ANEW}"), row])


def title(job: Job, where: Where, *, ping: bool = False) -> str:
    """The prompt, and who asked; a name in words notifies nobody."""
    who = f"<@{where.user}>" if ping or not where.name else safe(where.name, 60)
    return f"{bold(job.request.prompt, PROMPT)} · {who}"


def _picture(job: Job, piece: Piece) -> Block:
    if piece.file is not None:
        return _image(piece.file, plain(job.request.prompt, ALT_TEXT) or "A picture")
    if piece.link is not None:
        return section(f"Slack has not taken this picture. It is here: {piece.link}")
    return section("Slack has not taken this picture. Whoever asked for it finds it with `/queue`.")


def _image(file: str | None, alt_text: str) -> ImageBlock:
    return ImageBlock(alt_text=alt_text, slack_file=SlackFile(id=file))


def _buttons(job: Job, pieces: Sequence[Piece]) -> list[Block]:
    second = [button("delete", job.id, "Delete"), button("report", job.id, "Report")]
    if job.place.private:
        second.append(button("share", job.id, "Share"))
    if any(piece.offered for piece in pieces):
        second.append(button("fetch", job.id, "Send to me"))
    first = [
        button("again", job.id, "Again"),
        button("edit", job.id, "Edit"),
        button("vary", job.id, "Vary"),
        button("recipe", job.id, "Recipe"),
        button("save", job.id, "Save as preset"),
    ]
    return [ActionsBlock(elements=first), ActionsBlock(elements=second)]


def _remarks(job: Job, pieces: Sequence[Piece]) -> list[str]:
    """Small print below the settings, each said once."""
    found = [
        f"Hidden because {summary.why_hidden(job, piece.stored)}."
        for piece in pieces
        if piece.treatment is Treatment.SPOILER and piece.stored.verdict in summary.WHY_HIDDEN
    ]
    if job.moderated is Verdict.CLEAR:
        found.append(REVEALED)
    found += [f"Seed {p.stored.seed}: {p.change}." for p in pieces if p.change is not None]
    if job.result is not None and job.result.hint:
        found.append(safe(job.result.hint, 300))
    return list(dict.fromkeys(found))


def _ready(eta: float | None, words: str = ", ready") -> str:
    return "" if eta is None else f"{words} in about {_seconds(eta)}"


def _seconds(eta: float) -> str:
    return f"{max(1, round(eta))} s" if eta < 90 else f"{round(eta / 60)} min"


def _rate(steps_a_second: float) -> str:
    if steps_a_second >= 1:
        return f"{steps_a_second:.1f} steps/s"
    return f"{1 / steps_a_second:.1f} s/step"
