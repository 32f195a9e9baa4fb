"""What Discord remembers: people, servers, channels, messages. Plain data, with what tests ask."""

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, UnidentifiedImageError

from tests.fakes.discord.clock import Changes

Json = dict[str, Any]

MIB = 1024 * 1024
EPHEMERAL, LOADING, V2 = 1 << 6, 1 << 7, 1 << 15
"""Flags of messages."""

TEXT, DM, GROUP, PUBLIC_THREAD, PRIVATE_THREAD, FORUM = 0, 1, 3, 11, 12, 15
"""Types of channels."""


@dataclass(eq=False)
class User:
    """A person, or the bot. `installed`: this person has the app on their own account."""

    id: int
    name: str
    bot: bool = False
    locale: str = "en-US"
    installed: bool = False
    takes_dms: bool = True


@dataclass(eq=False)
class Role:
    """`permissions` are what it gives its members in the whole server."""

    id: int
    name: str
    permissions: int
    position: int = 1


@dataclass(eq=False)
class Overwrite:
    """What a channel gives or takes from a role or one member."""

    target: "Role | User"
    allow: int = 0
    deny: int = 0


@dataclass(eq=False)
class Member:
    user: User
    roles: list[Role] = field(default_factory=list)
    nick: str | None = None
    timed_out: bool = False
    joined: float | None = None
    """When, in seconds since 1970; None is long ago."""


@dataclass(eq=False)
class Guild:
    """A server. `has_bot`: the app is installed with its bot. `file_limit` is bytes per file."""

    id: int
    name: str
    owner: User = field(repr=False)
    everyone: Role = field(repr=False)
    roles: list[Role] = field(default_factory=list, repr=False)
    members: dict[int, Member] = field(default_factory=dict, repr=False)
    channels: list["Channel"] = field(default_factory=list, repr=False)
    has_bot: bool = True
    file_limit: int = 10 * MIB
    locale: str = "en-US"
    system_channel: "Channel | None" = field(default=None, repr=False)
    """Where Discord itself tells who has come."""

    def channel(self, name: str) -> "Channel":
        """The channel or thread of this name."""
        return next(c for c in self.channels if c.name == name)


@dataclass(frozen=True)
class Refusal:
    """What a channel answers to what the bot says: AutoMod's 200000, say, or 20009.

    With `words`, only messages in whose text they occur are refused.
    """

    code: int
    text: str
    status: int = 400
    words: str = ""


@dataclass(eq=False)
class Channel:
    """A channel, thread, forum or conversation. Tests set `refusal` to have messages rejected."""

    id: int
    kind: int
    name: str = ""
    guild: Guild | None = field(default=None, repr=False)
    parent: "Channel | None" = field(default=None, repr=False)
    nsfw: bool = False
    overwrites: list[Overwrite] = field(default_factory=list)
    people: list[User] = field(default_factory=list)
    owner: User | None = None
    archived: bool = False
    locked: bool = False
    messages: dict[int, "Message"] = field(default_factory=dict, repr=False)
    refusal: Refusal | None = None

    @property
    def is_thread(self) -> bool:
        return self.kind in (PUBLIC_THREAD, PRIVATE_THREAD)

    @property
    def age_restricted(self) -> bool:
        """Whether adults only are let in; a thread's parent decides for it."""
        return self.parent.age_restricted if self.parent is not None else self.nsfw

    def seen_by(self, user: User) -> list["Message"]:
        """The messages that this person sees, oldest first."""
        return [m for m in self.messages.values() if not m.deleted and m.visible_to(user)]

    @property
    def public(self) -> list["Message"]:
        """The messages that everybody here sees, oldest first."""
        return [m for m in self.messages.values() if not m.deleted and not m.ephemeral]


@dataclass(eq=False)
class Attachment:
    """A file that was sent, with its bytes."""

    id: int
    filename: str
    data: bytes = field(repr=False)
    url: str
    content_type: str | None = None
    description: str | None = None
    spoiler: bool = False
    ephemeral: bool = False

    @property
    def size(self) -> int:
        return len(self.data)

    @functools.cached_property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height of a picture; None for anything else."""
        try:
            with Image.open(io.BytesIO(self.data)) as image:
                return image.size
        except (UnidentifiedImageError, OSError):
            return None


@dataclass(frozen=True)
class File:
    """A file from a person's disk."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Picture:
    """A picture as a member sees it: behind a spoiler or not, with its alt text."""

    attachment: Attachment | None
    url: str
    spoiler: bool
    alt: str | None


@dataclass(eq=False)
class Message:
    """A message in its present state. `versions` holds every state that people could see."""

    id: int
    channel: Channel
    author: User = field(repr=False)
    changes: Changes = field(repr=False)
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    nonce: str | int | None = None
    created: float = 0.0
    edited: float | None = None
    deleted: bool = False
    only_for: User | None = field(default=None, repr=False)
    interaction: Json | None = field(default=None, repr=False)
    reply_to: int | None = None
    pinged: set[str] = field(default_factory=set)
    """Who was ever pinged by it: ids of people and roles, or `everyone`."""
    versions: list[Json] = field(default_factory=list, repr=False)

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether it still says that the bot is thinking."""
        return bool(self.flags & LOADING)

    @property
    def v2(self) -> bool:
        return bool(self.flags & V2)

    def visible_to(self, user: User) -> bool:
        return not self.ephemeral or self.only_for is user

    def parts(self) -> Iterator[Json]:
        """Every component, those inside others too, in the order of the screen."""
        yield from nested(self.components)

    @property
    def text(self) -> str:
        """All that can be read on it, buttons left out."""
        shown = [self.content, *(p["content"] for p in self.parts() if p["type"] == 10)]
        shown += [str(e.get(k, "")) for e in self.embeds for k in ("title", "description")]
        return "\n".join(s for s in shown if s)

    @property
    def pictures(self) -> list[Picture]:
        """What is shown as a picture. V2 shows nothing but what its components name."""
        if not self.v2:
            return [
                Picture(a, a.url, a.spoiler, a.description)
                for a in self.attachments
                if a.pixels is not None
            ]
        found = []
        for part in self.parts():
            items = part["items"] if part["type"] == 12 else [part] if part["type"] == 11 else []
            for item in items:
                media = item["media"]
                attachment = next(
                    (a for a in self.attachments if str(a.id) == media.get("attachment_id")), None
                )
                found.append(
                    Picture(attachment, media["url"], item["spoiler"], item["description"])
                )
        return found

    @property
    def buttons(self) -> dict[str, Json]:
        """The buttons by what is written on them (or their emoji)."""
        return {
            p.get("label") or p.get("emoji", {}).get("name", ""): p
            for p in self.parts()
            if p["type"] == 2
        }

    async def until(
        self, condition: Callable[["Message"], object], seconds: float = 20.0
    ) -> "Message":
        """Wait for the message to be so; fails with its present state after real `seconds`."""
        if not await self.changes.until(lambda: condition(self), seconds, about=self):
            raise AssertionError(f"the message did not become so in {seconds} s; it is {self}")
        return self


def nested(components: list[Json]) -> Iterator[Json]:
    """Components with all that they hold, in order."""
    for part in components:
        yield part
        yield from nested(part.get("components", []))
        for single in ("accessory", "component"):
            if single in part:
                yield from nested([part[single]])
