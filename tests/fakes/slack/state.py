"""What Slack remembers: people, channels, messages, files, views. Plain data."""

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, UnidentifiedImageError

from tests.fakes.discord.clock import Changes

Json = dict[str, Any]

PUBLIC, PRIVATE, DM, GROUP = "channel", "private", "im", "mpim"
"""Kinds of channels."""

SHOWN_FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif"}
"""Formats of pictures (Pillow's names) that an image block shows, with Slack's file types."""


@dataclass(eq=False)
class Team:
    """A workspace in which the app is installed. `scopes` are those of its bot token."""

    id: str
    name: str
    domain: str
    bot_token: str = field(repr=False)
    scopes: set[str] = field(repr=False)
    bot_id: str
    bot: "User" = field(init=False, repr=False)
    usergroups: list[Json] = field(default_factory=list, repr=False)
    token_error: str | None = None
    """What every call with the bot token is answered, `token_revoked` for example."""


@dataclass(eq=False)
class User:
    """A person or the bot. `guest` sees only the channels that they are in."""

    id: str
    name: str
    team: Team = field(repr=False)
    admin: bool = False
    owner: bool = False
    guest: bool = False
    bot: bool = False
    deactivated: bool = False
    locale: str = "en-US"


@dataclass(eq=False)
class Channel:
    """A channel or conversation. `refusal` is the error that every post of the app gets there."""

    id: str
    kind: str
    name: str
    team: Team = field(repr=False)
    members: set[User] = field(default_factory=set, repr=False)
    archived: bool = False
    refusal: str | None = None
    messages: dict[str, "Message"] = field(default_factory=dict, repr=False)

    @property
    def public(self) -> bool:
        return self.kind == PUBLIC

    def seen_by(self, user: User) -> bool:
        """Whether this person can open the channel."""
        return user in self.members or (self.public and not user.guest and user.team is self.team)

    @property
    def posted(self) -> list["Message"]:
        """The messages that everybody here sees, oldest first."""
        return [m for m in self.messages.values() if not m.deleted and not m.ephemeral]


@dataclass(eq=False)
class File:
    """A file on its way: `reserved`, `uploaded` (bytes are here), `complete` or `deleted`."""

    id: str
    team: Team = field(repr=False)
    name: str
    length: int
    alt: str | None = None
    user: "User | None" = field(default=None, repr=False)
    """Who has uploaded it; without, the app."""
    title: str = ""
    state: str = "reserved"
    data: bytes = field(default=b"", repr=False)
    ready_at: float = 0.0
    """When its processing ends, on the fake's clock."""
    shares: dict[str, list[str]] = field(default_factory=dict)
    """Channels in which it has been shared, with the messages that did so."""

    @functools.cached_property
    def image(self) -> Image.Image | None:
        """The decoded picture; None for anything else. Looked at once the bytes are here."""
        try:
            with Image.open(io.BytesIO(self.data)) as image:
                image.load()
                return _named(image)
        except (UnidentifiedImageError, OSError):
            return None

    @property
    def shows(self) -> bool:
        """Whether an image block shows it at all: webp, for one, it does not."""
        return self.image is not None and self.image.format in SHOWN_FORMATS


@dataclass(eq=False)
class Message:
    """A message in its present state. `versions` holds every text and blocks that it ever had."""

    ts: str
    channel: Channel
    user: User = field(repr=False)
    changes: Changes = field(repr=False)
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: Json | None = None
    files: list[File] = field(default_factory=list)
    only_for: User | None = field(default=None, repr=False)
    edited: bool = False
    deleted: bool = False
    offered: dict[tuple[str, str], list[Json]] = field(default_factory=dict, repr=False)
    """The suggestions that external selects have shown, by block and action id."""
    versions: list[Json] = field(default_factory=list, repr=False)

    @property
    def ephemeral(self) -> bool:
        return self.only_for is not None

    @property
    def buttons(self) -> dict[str, Json]:
        """The buttons by what is written on them."""
        return {
            p["text"]["text"]: p
            for p in nested(self.blocks)
            if p.get("type") in ("button", "workflow_button")
        }

    async def until(
        self, condition: Callable[["Message"], object], seconds: float = 20.0
    ) -> "Message":
        """Wait for the message to be so; fails with its present state after real `seconds`."""
        if not await self.changes.until(lambda: condition(self), seconds, about=self):
            raise AssertionError(f"the message did not become so in {seconds} s; it is {self}")
        return self


@dataclass(eq=False)
class View:
    """A modal that is or was open on a person's screen, or a Home tab."""

    id: str
    user: User
    data: Json
    hash: str
    changes: Changes = field(repr=False)
    root: "View | None" = field(default=None, repr=False)
    previous: "View | None" = field(default=None, repr=False)
    is_open: bool = True
    errors: dict[str, str] = field(default_factory=dict)
    """What the person reads below the fields after a refused submit, by block id."""
    offered: dict[tuple[str, str], list[Json]] = field(default_factory=dict, repr=False)
    """The suggestions that external selects have shown, by block and action id."""
    chosen: dict[tuple[str, str], Json] = field(default_factory=dict, repr=False)
    """What is filled in, by block and action id, as it stands in `state.values`."""

    @property
    def title(self) -> str:
        return str(self.data.get("title", {}).get("text", ""))

    @property
    def blocks(self) -> list[Json]:
        return list(self.data["blocks"])

    @property
    def text(self) -> str:
        """All that can be read on it, labels and hints included, buttons left out."""
        return "\n".join(read(self.blocks))

    @property
    def buttons(self) -> dict[str, Json]:
        return {p["text"]["text"]: p for p in nested(self.blocks) if p.get("type") == "button"}

    @property
    def fields(self) -> dict[str, Json]:
        """The input blocks by their labels."""
        return {b["label"]["text"]: b for b in self.blocks if b["type"] == "input"}

    async def until(self, condition: Callable[["View"], object], seconds: float = 20.0) -> "View":
        """Wait for the view to be so; fails with its present state after real `seconds`."""
        if not await self.changes.until(lambda: condition(self), seconds, about=self):
            raise AssertionError(f"the view did not become so in {seconds} s; it is {self}")
        return self


def nested(blocks: list[Json]) -> Iterator[Json]:
    """Blocks with all blocks and elements that they hold, in the order of the screen."""
    for part in blocks:
        yield part
        for several in ("elements", "child_blocks"):
            inner = part.get(several)
            if isinstance(inner, list):
                yield from nested([p for p in inner if isinstance(p, dict)])
        for single in ("accessory", "element"):
            if isinstance(part.get(single), dict):
                yield from nested([part[single]])


def read(blocks: list[Json], *, opened: bool = True) -> Iterator[str]:
    """What is written on blocks. Not `opened`, collapsed containers show their title only."""
    for part in blocks:
        for key in ("title", "subtitle", "label", "hint", "text", "description"):
            written = part.get(key)
            if part.get("type") == "button":
                continue
            if isinstance(written, dict) and isinstance(written.get("text"), str):
                yield written["text"]
            elif isinstance(written, str):
                yield written
        yield from (f["text"] for f in part.get("fields", []) if "text" in f)
        if opened or not collapsed(part):
            for several in ("elements", "child_blocks"):
                inner = [p for p in part.get(several, []) if isinstance(p, dict)]
                yield from read(inner, opened=opened)
        if isinstance(part.get("accessory"), dict):
            yield from read([part["accessory"]], opened=opened)


def collapsed(block: Json) -> bool:
    """Whether a block is a container that is closed until somebody opens it."""
    return bool(
        block.get("type") == "container"
        and block.get("is_collapsible")
        and block.get("default_collapsed")
    )


def _named(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.format = image.format
    return copy
