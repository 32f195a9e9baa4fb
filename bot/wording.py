"""Every sentence that people read, in one voice: kind, specific, with the next step."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from backends.errors import BackendError, BadRequest, Problem
from bot.commands.prompt import Lowered
from bot.jobs.job import Job
from bot.permissions import (
    Blocked,
    Excess,
    ModelNotAllowed,
    OverAllowance,
    OverBudget,
    Paused,
    Refusal,
    WordsBlocked,
)

LABELS: Final = {
    "image_size": "size",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "num_images": "images",
    "acceleration": "speed",
    "enable_prompt_expansion": "expand",
    "output_format": "format",
}
"""What people call fal's fields."""

# --- Ends of a job ----------------------------------------------------------------------------

CANCELLED: Final = "Cancelled. Nothing was drawn."
BACKEND_SILENT: Final = "The drawing stopped without an answer. Please try again."
BACKEND_GONE: Final = (
    "This job was meant for a backend that is no longer set up here. Please try again."
)
STOPPED_WITH_ATELIER: Final = "Atelier stopped while this was being drawn."
CANCELLED_ELSEWHERE: Final = "The service that draws has cancelled this request."
OUTCOME_UNKNOWN: Final = (
    "Atelier stopped just while it sent this paid request, so nobody knows whether it arrived. It "
    "may have been billed. It was not sent again; try again if you want to."
)
NOT_SHOWN: Final = "The answer could not be shown here, so nothing is drawn. Please try again."
PICTURE_GONE: Final = "This picture is no longer stored. Draw it again with its seed."
PICTURE_UNREADABLE: Final = "This picture cannot be read at the moment. Please try again."
NO_SUCH_JOB: Final = "There is no such job here; it may have been deleted."
NO_RECIPE: Final = "This picture carries no recipe, or a chat has removed it."
ENDED_SILENTLY: Final = (
    "The job has ended, but how could not be written down; is the disk full? What was drawn is "
    "kept in the data folder."
)
BROKEN_OFF: Final = (
    "How this went could not be written down; is the disk full? The job is kept, and the next "
    "Atelier goes on with it."
)
INTERNAL: Final = "Something went wrong inside Atelier; its log says what. Please try again."


def gave_up(failures: int, last: str) -> str:
    return f"This was tried {failures} times and failed each time. The last time: {last}"


def took_too_long(minutes: float) -> str:
    return f"This took longer than {minutes:.0f} minutes and was stopped. Try fewer steps."


def not_written(path: Path, error: OSError, key: str) -> str:
    return (
        f"The picture was drawn but could not be written to {path}: {_reason(error)}. It is kept "
        f"as {key}."
    )


def unusable(error: OSError) -> str:
    """What the system says about a file."""
    return f"{error.filename or 'A file'} cannot be used: {_reason(error)}."


def no_answer(error: OSError) -> str:
    return f"The answer cannot be written to standard output: {_reason(error)}."


def data_folder(folder: Path, error: OSError) -> str:
    return (
        f"The data folder {folder} cannot be used: {_reason(error)}. Make it writable for the user "
        "who runs Atelier, or name another one with ATELIER_DATA_DIR."
    )


def not_saved(error: Exception) -> str:
    return f"The picture was drawn but could not be saved. {error}"


def picture_lost(job: Job) -> str:
    return (
        f"The picture was drawn, but its file is gone. The same command with the seed "
        f"{job.request.seed} draws it again."
    )


# --- Moderation -------------------------------------------------------------------------------

MODERATORS_ONLY: Final = "Only the moderators here can do that."
NOT_BLOCKED: Final = "Moderators cannot be blocked, and nobody blocks themselves."
NOTHING_TO_REPORT: Final = "There is no picture here that could be reported."
NOBODY_ELSE_SEES_IT: Final = "Nobody but you sees this picture; Delete takes it away."
REPORTED_ALREADY: Final = "You have reported this picture already; the moderators know of it."


def too_many_reports(most: int) -> str:
    return (
        f"You have reported {most} pictures within an hour, which is the limit. Please talk to a "
        "moderator."
    )


# --- Refusals ---------------------------------------------------------------------------------


def problems(found: Iterable[Problem]) -> str:
    """One sentence a problem, with the names that people type."""
    return " ".join(problem.sentence(_label(problem.field)) for problem in found)


def error(error: BackendError) -> str:
    """What to tell the requester about a backend's error."""
    if isinstance(error, BadRequest):
        return problems(error.problems)
    return str(error)


def quota(quota: str, limit: float, resets_at: float | None) -> str:
    """Why a job was not taken."""
    jobs = f"{limit:g} job{'' if limit == 1 else 's'}"
    match quota:
        case "requester_queued":
            return f"You already have {jobs} waiting, which is the limit here. Wait for one to end."
        case "community_queued":
            return f"{jobs} are waiting here, which is the limit. Please try again in a while."
        case "requester_per_day":
            return f"You have used your {jobs} of today. The next day begins {_when(resets_at)}."
        case "community_per_day":
            return f"The {jobs} of today are used up here. The next day begins {_when(resets_at)}."
        case "community_budget":
            return (
                f"Today's ${limit:.2f} for pictures do not cover this one as well. The next day"
                f" begins {_when(resets_at)}."
            )
        case _:
            return f"{jobs} are waiting, which is all that fit. Please try again in a while."


def refusal(why: Refusal) -> str:
    """Why somebody may not have this drawn here."""
    match why:
        case Blocked():
            return "You cannot generate pictures here; the moderators have blocked you."
        case Paused(reason=reason):
            return f"Generating is paused here. {reason}".rstrip()
        case ModelNotAllowed(model=model, allowed=allowed):
            return f"You cannot use {model} here; use {' or '.join(allowed)}."
        case OverAllowance(excesses=excesses):
            return " ".join(_excess(excess) for excess in excesses)
        case OverBudget(price=price, budget=budget):
            cost = f"This would cost ${price:.3f}, and today's" if price >= 0.001 else "Today's"
            return f"{cost} ${budget:.2f} are used up here. A new day begins at 00:00 UTC."
        case WordsBlocked(words=words):
            quoted = ", ".join(f"“{word}”" for word in words)
            return f"The prompt has words that are not allowed here: {quoted}. Leave them out."


def not_composed(error: Exception, by_default: str | None) -> str:
    """Why presets and LoRAs do not come together; who named no preset is told of the default."""
    if by_default is None:
        return str(error)
    return f"{error} The preset {by_default} is your default here; choose another one, or none."


def trigger_words(added: Sequence[str]) -> str:
    """What was added to a prompt."""
    return f"Added the LoRAs' trigger words: {', '.join(added)}."


def missing_loras(names: Sequence[str]) -> str:
    """What a preset would have liked to use."""
    return f"Drawn without {', '.join(names)}, which is not here."


def heavy_loras(lowered: Lowered, command: str) -> str:
    """The offer to lower the scales of many strong LoRAs."""
    return (
        f"{len(lowered.loras)} LoRAs with scales of {lowered.total:g} in all often spoil each "
        f"other. Lowered: {command}"
    )


def _excess(excess: Excess) -> str:
    match excess.field:
        case "image_size":
            return f"{excess.asked:.1f} megapixels are too many; use up to {excess.limit:g} here."
        case "num_inference_steps":
            return f"steps is {excess.asked:g}; use up to {excess.limit:g} here."
        case "num_images":
            return f"images is {excess.asked:g}; use up to {excess.limit:g} here."


def _label(field: str) -> str:
    first, *rest = field.split(".")
    if first == "loras" and len(rest) == 2:
        return f"the {rest[1]} of LoRA {int(rest[0]) + 1}" if rest[0].isdigit() else field
    return ".".join([LABELS.get(first, first), *rest])


def _when(at: float | None) -> str:
    return "soon" if at is None else f"at {datetime.fromtimestamp(at, UTC):%H:%M} UTC"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
