"""What can go wrong while a picture is made.

    BackendError                      str(error) is a sentence for the person who asked
    ├── BadRequest                    a field is wrong or cannot be honoured; nothing was started
    ├── LoraRejected                  this LoRA cannot be used with this model
    ├── ModelUnavailable              weights missing, licence not accepted, too little memory
    ├── OutOfMemory                   this request does not fit; a smaller one may
    ├── WorkerLost       (retryable)  the drawing process died or hung
    ├── Unreachable      (retryable)  a service did not answer; nothing was submitted
    └── OutcomeUnknown                a paid request may or may not exist; never repeated by itself

No message contains a prompt, a token or a traceback.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar


class BackendError(Exception):
    """Base of the tree. `retryable` says whether the supervisor may run the same job again.

    `billed` says that the job may cost its price although no picture came of it.
    """

    retryable: ClassVar[bool] = False
    billed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One field that was refused.

    `field` is fal's name, dotted for nested ones (`loras.0.scale`); `allowed` completes the
    sentence "FIELD is VALUE; …" (for example "use 1 to 50"). `kind` and `context` are pydantic's
    error type and its context, which is also what fal's own error bodies carry.
    """

    field: str
    value: object
    allowed: str
    kind: str
    context: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def sentence(self, label: str | None = None) -> str:
        """Say it, calling the field `label` where the person knows it by another name."""
        name = label or self.field
        if self.field == "prompt" and self.kind != "missing":
            return f"{name} cannot be used as it is; {self.allowed}."
        if self.kind == "missing":
            return f"{name} is missing; {self.allowed}."
        return f"{name} is {shown(self.value)}; {self.allowed}."


class BadRequest(BackendError):
    """One or more fields were refused, all of them named."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(problem.sentence() for problem in problems))
        self.problems = problems


class LoraRejected(BackendError):
    """A LoRA file cannot be applied; `name` is what the person called it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The LoRA {name} cannot be used: {reason}")
        self.name = name


class ModelUnavailable(BackendError):
    """The model's weights are not here or could not be loaded."""


class OutOfMemory(BackendError):
    """The request does not fit into memory."""


class WorkerLost(BackendError):
    """The process that draws died or stopped answering."""

    retryable = True


class Unreachable(BackendError):
    """A remote service could not be reached, and provably nothing was submitted."""

    retryable = True


class OutcomeUnknown(BackendError):
    """A paid request was sent and its fate is unknown; it may have been billed."""

    billed = True


def shown(value: object) -> str:
    """Write a value the way people can read it in one line, at most 60 characters."""
    text = f"“{value}”" if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= 60 else f"{text[:57]}…"
