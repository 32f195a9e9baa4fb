"""Messages on SimCord as one person sees them."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import discord
from discord.components import MediaGalleryComponent, SectionComponent
from simcord import ChannelHandle, MemberActor, UserHandle

PATIENCE_S: Final = 30.0


@dataclass(frozen=True)
class Picture:
    """A picture as a member sees it."""

    spoiler: bool
    alt: str


class Card:
    """A message as one person sees it, now."""

    def __init__(
        self, reader: MemberActor | UserHandle, number: int, channel: ChannelHandle
    ) -> None:
        self.reader = reader
        self.id = number
        self.channel = channel

    @property
    def message(self) -> discord.Message | None:
        """None once it is gone, or if it is for somebody else's eyes."""
        seen = self.channel.history(viewer=self.reader)
        return next((message for message in seen if message.id == self.id), None)

    @property
    def parts(self) -> Iterator[Any]:
        """Every component, nested ones included."""
        message = self.message
        return walk(message.components if message else [])

    @property
    def text(self) -> str:
        """All that can be read on it, but for its buttons."""
        return "\n".join(part.content for part in self.parts if hasattr(part, "content"))

    @property
    def pictures(self) -> list[Picture]:
        galleries = [part for part in self.parts if isinstance(part, MediaGalleryComponent)]
        return [
            Picture(item.spoiler, item.description or "")
            for gallery in galleries
            for item in gallery.items
        ]

    @property
    def files(self) -> list[str]:
        """The names of all files that were sent with it."""
        message = self.message
        return [file.filename for file in message.attachments] if message else []

    @property
    def said(self) -> str:
        """Its plain content, which messages with components do not have."""
        message = self.message
        return message.content if message else ""

    async def read_file(self) -> bytes:
        """The only file that was sent with it."""
        message = self.message
        assert message is not None
        [file] = message.attachments
        return await file.read()

    @property
    def buttons(self) -> list[str]:
        return [part.label or "" for part in self.parts if isinstance(part, discord.Button)]

    def beside(self, label: str) -> list[str]:
        """The texts that have a button with this label at their side."""
        return ["\n".join(texts) for texts, button in self.sided if button.label == label]

    @property
    def sided(self) -> list[tuple[list[str], discord.Button]]:
        """Texts with the button at their side."""
        return [
            ([child.content for child in part.children], part.accessory)
            for part in self.parts
            if isinstance(part, SectionComponent) and isinstance(part.accessory, discord.Button)
        ]

    @property
    def menus(self) -> list[discord.SelectMenu]:
        return [part for part in self.parts if isinstance(part, discord.SelectMenu)]

    @property
    def offered(self) -> list[str]:
        """What its menus offer, by what can be read there."""
        return [option.label for menu in self.menus for option in menu.options]

    @property
    def private(self) -> bool:
        message = self.message
        return message is not None and message.flags.ephemeral

    @property
    def calls(self) -> list[int]:
        """The ids of the people whom it has pinged."""
        stored = self.channel._env.backend.get_message(self.channel.id, self.id)
        assert not stored.mention_everyone
        return list(stored.ping_user_ids)

    @property
    def thinking(self) -> bool:
        """Whether it only says that the bot is thinking."""
        message = self.message
        return message is not None and message.flags.loading

    @property
    def gone(self) -> bool:
        return self.message is None

    async def becomes(self, condition: Callable[["Card"], object]) -> "Card":
        """This card as soon as it is so."""
        await eventually(lambda: condition(self), lambda: f"it reads {self.text!r}")
        return self

    async def finished(self) -> "Card":
        """This card as soon as its job has come to an end that people can read."""
        return await self.becomes(lambda c: "Again" in c.buttons or "Edit" in c.buttons)


def walk(components: Iterable[Any]) -> Iterator[Any]:
    """These components with all that is inside them."""
    for part in components:
        yield part
        yield from walk(getattr(part, "children", ()))
        if (accessory := getattr(part, "accessory", None)) is not None:
            yield accessory


async def eventually(condition: Callable[[], object], why: Callable[[], str] = str) -> None:
    """Wait until it is so."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"it did not become so in {PATIENCE_S} s: {why()}") from None
