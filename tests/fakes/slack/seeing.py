"""What one person sees of messages and views: the test of what was said, hidden or broken."""

from dataclasses import dataclass, field

from PIL.Image import Image

from tests.fakes.slack.state import (
    Channel,
    File,
    Json,
    Message,
    User,
    View,
    collapsed,
    read,
)
from tests.fakes.slack.world import World


@dataclass(frozen=True)
class Picture:
    """A picture's place on the screen. A broken one shows its alt text and a torn frame."""

    alt: str
    collapsed: bool
    broken: bool
    file: File | None = field(repr=False)
    url: str | None = None
    """Where it comes from, for a picture that is no file of Slack's."""

    @property
    def data(self) -> bytes:
        """The file's bytes. Fails for a picture that is not seen."""
        assert self.file is not None, f"{self} is no file of Slack's"
        assert not self.broken, f"{self} is broken"
        return self.file.data

    @property
    def image(self) -> Image:
        """The decoded picture."""
        assert self.data
        assert self.file is not None
        assert self.file.image is not None
        return self.file.image


@dataclass(frozen=True)
class Seen:
    """A message as one person sees it."""

    message: Message = field(repr=False)
    text: str
    """All that can be read without opening anything; buttons are left out."""
    hidden_text: str
    """What collapsed containers say once they are opened."""
    pictures: tuple[Picture, ...]
    """All pictures, those in collapsed containers too."""
    buttons: tuple[str, ...]
    private: bool
    """Whether nobody else sees the message."""

    @property
    def notification(self) -> str:
        """What push notifications, previews and screen readers say of it."""
        return self.message.text

    @property
    def open_pictures(self) -> tuple[Picture, ...]:
        """The pictures that are seen without a click."""
        return tuple(p for p in self.pictures if not p.collapsed and not p.broken)


class Eyes:
    """Knows what is shown to whom."""

    def __init__(self, world: World) -> None:
        self._world = world

    def channel(self, user: User, channel: Channel) -> list[Seen]:
        """What this person sees in a channel, threads included, oldest first."""
        if not channel.seen_by(user):
            return []
        return [
            self.message(user, m)
            for m in channel.messages.values()
            if not m.deleted and m.only_for in (None, user)
        ]

    def message(self, user: User, message: Message) -> Seen:
        """One message as this person sees it. With blocks, `text` is for notifications only."""
        if message.blocks:
            outside = list(read(message.blocks, opened=False))
            inside = list(read(message.blocks))
            for line in outside:
                inside.remove(line)
        else:
            outside, inside = [message.text], []
        pictures = list(self._pictures(user, message.blocks, message.channel))
        pictures += [
            Picture(
                f.alt or "", collapsed=False, broken=not self._visible(f, message.channel), file=f
            )
            for f in message.files
            if f.image is not None
        ]
        return Seen(
            message=message,
            text="\n".join(outside),
            hidden_text="\n".join(inside),
            pictures=tuple(pictures),
            buttons=tuple(message.buttons),
            private=message.ephemeral,
        )

    def view(self, view: View) -> tuple[Picture, ...]:
        """The pictures of a modal or Home tab."""
        return tuple(self._pictures(view.user, view.blocks, None))

    def files(self, user: User, channel: Channel) -> list[File]:
        """The channel's files, as its Files tab lists them with names and previews."""
        shared = [f for f in self._world.files.values() if channel.id in f.shares]
        return [f for f in shared if f.state == "complete"] if channel.seen_by(user) else []

    def _pictures(self, user: User, blocks: list[Json], channel: Channel | None) -> list[Picture]:
        found: list[Picture] = []

        def walk(parts: list[Json], closed: bool) -> None:
            for part in parts:
                if part.get("type") == "image":
                    found.append(self._picture(user, part, channel, closed))
                for key in ("elements", "child_blocks"):
                    inner = [p for p in part.get(key, []) if isinstance(p, dict)]
                    walk(inner, closed or collapsed(part))
                if isinstance(part.get("accessory"), dict):
                    walk([part["accessory"]], closed)

        walk(blocks, closed=False)
        return found

    def _picture(self, user: User, part: Json, channel: Channel | None, closed: bool) -> Picture:
        alt = str(part.get("alt_text", ""))
        if "image_url" in part:
            return Picture(alt, closed, broken=False, file=None, url=part["image_url"])
        file = self._world.file_named(part["slack_file"])
        if file is None:
            return Picture(alt, closed, broken=True, file=None)
        # In a modal there is no conversation: the viewer must have the file from elsewhere.
        places = [channel] if channel is not None else self._open_to(user)
        seen = any(self._visible(file, place) for place in places)
        return Picture(alt, closed, broken=not seen, file=file)

    def _open_to(self, user: User) -> list[Channel]:
        return [c for c in self._world.channels.values() if c.seen_by(user)]

    def _visible(self, file: File, channel: Channel) -> bool:
        return file.state == "complete" and channel.id in file.shares and file.shows
