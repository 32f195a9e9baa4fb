"""What a person gets to see after acting: private words, messages, a form, suggestions."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.discord.clock import Changes
from tests.fakes.slack.delivery import Envelope
from tests.fakes.slack.interactions import Act
from tests.fakes.slack.state import Message, View, read


class Refused(Exception):
    """Slack's own app would not let the person do this: no such button, option, command."""


@dataclass(eq=False)
class Answer:
    """The app's answer to one act of one person, and all that still comes after it."""

    act: Act = field(repr=False)
    changes: Changes = field(repr=False)

    @property
    def envelope(self) -> Envelope:
        """How the app was told."""
        assert self.act.envelope is not None
        return self.act.envelope

    @property
    def failed(self) -> bool:
        """Whether the person reads an error: no answer in 3 seconds, or one that Slack refuses."""
        return self.envelope.timed_out or self.act.trouble is not None

    @property
    def private(self) -> list[Message]:
        """Everything that only this person was told since, oldest first."""
        if self.act.channel is None:
            return []
        return [
            m
            for m in self.act.channel.messages.values()
            if m.only_for is self.act.user and not m.deleted and float(m.ts) >= self.act.at
        ]

    @property
    def text(self) -> str:
        """All that can be read of what only this person was told."""
        shown = ["\n".join(read(m.blocks)) if m.blocks else m.text for m in self.private]
        return "\n".join(shown)

    @property
    def has_modal(self) -> bool:
        return self.act.modal is not None

    @property
    def modal(self) -> View:
        """The form that was opened, or pushed on top of another."""
        assert self.act.modal is not None, "the app opened no form"
        return self.act.modal

    @property
    def errors(self) -> dict[str, str]:
        """What the person reads below the fields of the form that was sent, by block id."""
        return self.act.view.errors if self.act.view is not None else {}

    async def until(
        self, condition: Callable[["Answer"], object], seconds: float = 20.0
    ) -> "Answer":
        """Wait for something about the answer, for at most so many real seconds."""
        if not await self.changes.until(lambda: condition(self), seconds):
            raise AssertionError(f"it did not become so in {seconds} s: {self.act}")
        return self
