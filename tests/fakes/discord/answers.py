"""What a person gets to see after acting: the app's message, form, or suggestions."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.discord.clock import Changes
from tests.fakes.discord.interactions import Interaction
from tests.fakes.discord.state import Json, Message, User, nested


class Refused(Exception):
    """Discord's own app would not let the person do this: no such button, option, permission."""


@dataclass(eq=False)
class Modal:
    """A form that is open on a person's screen."""

    user: User
    interaction: Interaction = field(repr=False)
    data: Json

    @property
    def title(self) -> str:
        return str(self.data["title"])

    @property
    def fields(self) -> dict[str, Json]:
        """The inputs by their labels."""
        found = {}
        for part in self.data["components"]:
            if part["type"] == 18:
                found[part["label"]] = part["component"]
            elif part["type"] == 1:
                found |= {p.get("label", p["custom_id"]): p for p in part["components"]}
        return found

    def value(self, label: str) -> object:
        """What a field holds as the form opens: its text, or the values chosen in it."""
        part = self.fields[label]
        if part["type"] == 4:
            return part.get("value") or ""
        if part["type"] == 23:
            return bool(part.get("default"))
        if "default_values" in part:
            return [v["id"] for v in part["default_values"]]
        return [o["value"] for o in part.get("options", []) if o.get("default")]

    @property
    def text(self) -> str:
        return "\n".join(p["content"] for p in nested(self.data["components"]) if p["type"] == 10)


@dataclass(eq=False)
class Answer:
    """The app's answer to one act of one person, and all that still comes after it."""

    interaction: Interaction = field(repr=False)
    changes: Changes = field(repr=False)

    @property
    def failed(self) -> bool:
        """Whether the person reads that the application did not respond."""
        return self.interaction.answer is None

    @property
    def message(self) -> Message:
        """The first answer, or the message that was changed in place of one."""
        assert self.interaction.original is not None, "the app answered with no message"
        return self.interaction.original

    @property
    def has_message(self) -> bool:
        return self.interaction.original is not None

    @property
    def follow_ups(self) -> list[Message]:
        """The messages after the first one, deleted ones left out."""
        return [m for m in self.interaction.follow_ups if not m.deleted]

    @property
    def ephemeral(self) -> bool:
        """Whether only the person sees the first answer."""
        return self.message.ephemeral

    @property
    def text(self) -> str:
        """All that can be read on the first answer."""
        return self.message.text

    @property
    def modal(self) -> Modal:
        """The form that was opened."""
        assert self.interaction.modal is not None, "the app opened no form"
        return Modal(self.interaction.user, self.interaction, self.interaction.modal)

    @property
    def private(self) -> list[Message]:
        """Everything that only this person was told, oldest first."""
        ours = [self.interaction.original, *self.interaction.follow_ups]
        return [m for m in ours if m is not None and m.ephemeral and not m.deleted]

    async def until(
        self, condition: Callable[["Answer"], object], seconds: float = 20.0
    ) -> "Answer":
        """Wait for something about the answer, for at most so many real seconds."""
        if not await self.changes.until(lambda: condition(self), seconds):
            raise AssertionError(f"it did not become so in {seconds} s: {self.interaction}")
        return self

    async def settled(self, seconds: float = 20.0) -> Message:
        """The first answer as soon as it no longer says that the bot is thinking."""
        await self.until(lambda a: a.has_message and not a.message.loading, seconds)
        return self.message

    async def follow_up(self, number: int = 1, seconds: float = 20.0) -> Message:
        """The first (second, …) further message, waited for."""
        await self.until(lambda a: len(a.interaction.follow_ups) >= number, seconds)
        return self.interaction.follow_ups[number - 1]
