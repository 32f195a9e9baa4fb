"""Writing messages: bodies become state, with what Slack checks on the way."""

import copy
from typing import Any

from tests.fakes.slack import rules
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.state import (
    DM,
    GROUP,
    PRIVATE,
    PUBLIC,
    SHOWN_FORMATS,
    Channel,
    File,
    Json,
    Message,
    Team,
    User,
    nested,
)
from tests.fakes.slack.world import World

_LONGEST_POST, _LONGEST_EDIT = 40_000, 4_000
"""Characters of `text`; Slack cuts a longer post and refuses a longer edit."""

_EVENTS = {
    PUBLIC: ("message.channels", "channel"),
    PRIVATE: ("message.groups", "group"),
    DM: ("message.im", "im"),
    GROUP: ("message.mpim", "mpim"),
}
"""What messages in kinds of conversations are called in subscriptions and in events."""


class Messages:
    """Creates, edits, deletes and serialises messages."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create(
        self,
        channel: Channel,
        user: User,
        body: Json,
        *,
        only_for: User | None = None,
        shares: bool = True,
        where: str = "message",
    ) -> Message:
        """A new message. `shares`: pictures in its blocks become the channel's from now on."""
        blocks, text = self._content(body, channel.team, where)
        if len(text) > _LONGEST_POST:
            self._world.violate(where, [f"text has {len(text)} characters and is cut"])
        thread = body.get("thread_ts")
        if thread is not None:
            parent = channel.messages.get(str(thread))
            if parent is None:
                raise SlackError("thread_not_found")
            if parent.ephemeral:
                raise SlackError("cannot_reply_to_message")
            thread = parent.thread_ts or parent.ts
        message = Message(
            ts=self._world.new_ts(),
            channel=channel,
            user=user,
            changes=self._world.changes,
            thread_ts=thread,
            broadcast=bool(body.get("reply_broadcast")),
            metadata=self._metadata(body),
            only_for=only_for,
        )
        message.text, message.blocks = text[:_LONGEST_POST], blocks
        channel.messages[message.ts] = message
        if shares and only_for is None:
            self._share(message)
        self._keep(message)
        if only_for is None:
            self._tell(message, self.show(message))
        return message

    def attach(self, channel: Channel, user: User, body: Json, files: list[File]) -> Message:
        """A message that carries files beside its text, as an upload into a channel makes it."""
        message = self.create(channel, user, body, where="files.completeUploadExternal")
        message.files = files
        for file in files:
            file.shares.setdefault(channel.id, []).append(message.ts)
        self._world.changes.tell(message)
        return message

    def edit(self, message: Message, body: Json, *, where: str = "chat.update") -> None:
        """Change a message. Text without blocks removes the blocks; no edit shares a file."""
        before = self.show(message)
        if "text" in body or "blocks" in body:
            blocks, text = self._content(body, message.channel.team, where)
            if len(text) > _LONGEST_EDIT:
                raise SlackError("msg_too_long")
            message.edited = message.edited or not blocks
            message.text, message.blocks = text, blocks
        if "metadata" in body:
            message.metadata = self._metadata(body) if body["metadata"] else None
        self._keep(message)
        if not message.ephemeral:
            changed = {"message": self.show(message), "previous_message": before}
            self._tell(message, changed | {"subtype": "message_changed", "hidden": True})

    def delete(self, message: Message) -> None:
        """Take a message away from everybody."""
        before = self.show(message)
        message.deleted = True
        self._world.changes.tell(message)
        if not message.ephemeral:
            gone = {"deleted_ts": message.ts, "previous_message": before, "hidden": True}
            self._tell(message, gone | {"subtype": "message_deleted"})

    def show(self, message: Message, *, metadata: bool = False) -> Json:
        """A message as Slack gives it back: with keys in its blocks that it takes from nobody."""
        team = message.channel.team
        body: Json = {
            "type": "message",
            "user": message.user.id,
            "ts": message.ts,
            "text": message.text,
            "team": team.id,
        }
        if message.user.bot:
            body |= {"bot_id": team.bot_id, "app_id": self._world.app_id}
        if message.blocks:
            body["blocks"] = self._decorated(message.blocks)
        if message.files:
            body["files"] = [{"id": f.id, "name": f.name} for f in message.files]
            body["subtype"] = "file_share"
        replies = [
            m for m in message.channel.posted if m.thread_ts == message.ts and m is not message
        ]
        if message.thread_ts or replies:
            body["thread_ts"] = message.thread_ts or message.ts
        if replies:
            body |= {"reply_count": len(replies), "latest_reply": replies[-1].ts}
        if message.metadata and metadata:
            body["metadata"] = message.metadata
        if message.edited:
            body["edited"] = {"user": message.user.id, "ts": message.ts}
        if message.ephemeral:
            body["is_ephemeral"] = True
        return body

    def check_files(self, blocks: list[Json], team: Team, where: str) -> None:
        """Refuse pictures by files that are not (yet) there for this workspace's bot."""
        problems = []
        for number, block in enumerate(blocks):
            for part in nested([block]):
                file = self._file(part)
                if "slack_file" not in part:
                    continue
                known = file is not None and file.team is team and file.state == "complete"
                if file is None or not known or self._world.clock.now() < file.ready_at:
                    problems.append(
                        f"invalid slack file [json-pointer:/blocks/{number}/slack_file]"
                    )
                elif not file.shows:
                    kinds = ", ".join(SHOWN_FORMATS.values())
                    self._world.violate(where, [f"{file.name} is none of {kinds}: it shows broken"])
        if problems:
            raise SlackError("invalid_blocks", problems)

    # --- Inside ---------------------------------------------------------------------------------

    def _content(self, body: Json, team: Team, where: str) -> tuple[list[Json], str]:
        blocks, text = body.get("blocks") or [], str(body.get("text") or "")
        if problems := rules.of_blocks(blocks):
            self._world.violate(where, problems)
            raise SlackError("invalid_blocks", problems)
        if not blocks and not text:
            self._world.violate(where, ["neither text nor blocks"])
            raise SlackError("no_text")
        self.check_files(blocks, team, where)
        return self._identified(blocks), text

    def _identified(self, blocks: list[Json]) -> list[Json]:
        """Blocks with the ids that Slack gives to those without."""
        copied = copy.deepcopy(blocks)
        for block in copied:
            block.setdefault("block_id", self._world.new_id("b"))
            for inner in block.get("child_blocks", []):
                inner.setdefault("block_id", self._world.new_id("b"))
        return copied

    def _metadata(self, body: Json) -> Json | None:
        metadata = body.get("metadata")
        if metadata is None:
            return None
        if not rules.of_metadata(metadata):
            raise SlackError("invalid_metadata_format")
        return dict(metadata)

    def _share(self, message: Message) -> None:
        for part in nested(message.blocks):
            file = self._file(part)
            if file is not None:
                shares = file.shares.setdefault(message.channel.id, [])
                if message.ts not in shares:
                    shares.append(message.ts)

    def _file(self, part: Json) -> File | None:
        named = part.get("slack_file")
        if not isinstance(named, dict):
            return None
        return self._world.file_named(named)

    def _decorated(self, blocks: list[Json]) -> list[Json]:
        copied = copy.deepcopy(blocks)
        for part in nested(copied):
            file = self._file(part)
            if file is not None and file.image is not None:
                width, height = file.image.size
                part |= {"image_width": width, "image_height": height, "is_animated": False}
                part["image_bytes"] = len(file.data)
                part["fallback"] = f"{width}x{height}px image"
        return copied

    def _keep(self, message: Message) -> None:
        message.versions.append({"text": message.text, "blocks": message.blocks})
        self._world.changes.tell(message)

    def _tell(self, message: Message, event: dict[str, Any]) -> None:
        channel = message.channel
        kind, shown = _EVENTS[channel.kind]
        if channel.team.bot in channel.members:
            where = {"channel": channel.id, "channel_type": shown, "event_ts": message.ts}
            self._world.announce(
                channel.team, kind, {"type": "message", "ts": message.ts} | event | where
            )
