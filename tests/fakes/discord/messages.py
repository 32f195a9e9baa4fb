"""Writing messages: bodies become state, with everything that Discord checks on the way."""

import mimetypes
import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.discord import payloads, rules
from tests.fakes.discord.components import Placing
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.permissions import May, in_channel
from tests.fakes.discord.state import (
    EPHEMERAL,
    LOADING,
    V2,
    Attachment,
    Channel,
    Json,
    Message,
    User,
    nested,
)
from tests.fakes.discord.world import World

_MENTION = re.compile(r"<@(&?)!?(\d+)>|@(everyone|here)")
_HIDDEN_BY_NAME = "SPOILER_"
_SETTABLE = EPHEMERAL | V2 | 1 << 2 | 1 << 12


@dataclass(frozen=True)
class Upload:
    """A file that came with a request: its place in `files[n]`, its name and its bytes."""

    place: int
    filename: str
    data: bytes


class Messages:
    """Creates, edits and serialises messages."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._nonces: dict[tuple[int, str], Message] = {}

    def create(
        self,
        channel: Channel,
        author: User,
        body: Json,
        uploads: list[Upload],
        *,
        limit: int,
        only_for: User | None = None,
        interaction: Json | None = None,
    ) -> Message:
        """A new message; with a repeated enforced nonce, the one that is already there."""
        key = (channel.id, str(body["nonce"])) if body.get("nonce") is not None else None
        if key is not None and body.get("enforce_nonce") and key in self._nonces:
            known = self._nonces[key]
            if self._world.clock.now() - known.created < 300:
                return known
        message = Message(
            id=self._world.ids.next(),
            channel=channel,
            author=author,
            changes=self._world.changes,
            created=self._world.clock.now(),
            only_for=only_for,
            interaction=interaction,
            nonce=body.get("nonce"),
            flags=int(body.get("flags") or 0) & _SETTABLE,
        )
        message.reply_to = _answered(channel, body.get("message_reference"))
        self._apply(message, body, uploads, limit)
        channel.messages[message.id] = message
        if key is not None:
            self._nonces[key] = message
        self._publish("MESSAGE_CREATE", message)
        return message

    def thinking(
        self, channel: Channel, *, ephemeral: bool, only_for: User, interaction: Json
    ) -> Message:
        """The message of a deferral, which says that the bot is thinking."""
        message = Message(
            id=self._world.ids.next(),
            channel=channel,
            author=self._world.bot,
            changes=self._world.changes,
            created=self._world.clock.now(),
            flags=LOADING | (EPHEMERAL if ephemeral else 0),
            only_for=only_for,
            interaction=interaction,
        )
        channel.messages[message.id] = message
        self._publish("MESSAGE_CREATE", message)
        return message

    def edit(self, message: Message, body: Json, uploads: list[Upload], *, limit: int) -> Message:
        """Change a message. Deferred ones stop thinking."""
        was_loading = message.loading
        self._apply(message, body, uploads, limit)
        if not was_loading:
            message.edited = self._world.clock.now()
        self._publish("MESSAGE_UPDATE", message)
        return message

    def attach(self, data: bytes, filename: str, channel: Channel, **more: Any) -> Attachment:
        """Keep a file and give it an address."""
        identity = self._world.ids.next()
        url = f"{self._world.address}/attachments/{channel.id}/{identity}/{filename}?ex=1&is=1&hm=1"
        kind = mimetypes.guess_type(filename)[0]
        kept = Attachment(identity, filename, data, url, kind, **more)
        self._world.files[identity] = kept
        return kept

    def show(self, message: Message) -> Json:
        return payloads.message(message, self._world.clock)

    def show_to_bot(self, message: Message) -> Json:
        """The message as the bot gets it: without the intent, other people's words are left out."""
        shown = self.show(message)
        private = message.channel.guild is None or message.author is self._world.bot
        called = f"<@{self._world.bot.id}>" in message.content
        if not (private or called or self._world.reads_messages):
            shown |= {"content": "", "embeds": [], "attachments": [], "components": []}
        return shown

    # --- Inside ---------------------------------------------------------------------------------

    def _apply(self, message: Message, body: Json, uploads: list[Upload], limit: int) -> None:
        """Check everything first, then change the message: a refused edit leaves it as it was."""
        v2 = rules.becomes_v2(message.flags, body)
        problems = rules.of_message(body, v2=v2)
        content = body.get("content", message.content)
        embeds = body.get("embeds", message.embeds)
        if v2 and (content or embeds) and not problems:
            problems.append("content and embeds must be emptied when IS_COMPONENTS_V2 is set")
        if problems:
            raise ApiError(50035, problems=problems)
        attachments = self._attachments(message, body, uploads, limit)
        components = body.get("components", message.components)
        placed = Placing(self._world.ids, attachments).all(components or [])
        if not (content or embeds or placed or attachments or body.get("poll")):
            raise ApiError(50006)
        said = [content or "", *(p["content"] for p in nested(placed) if p["type"] == 10)]
        self._refuse(message, "\n".join(said))
        message.content, message.embeds = content or "", [_embed(e) for e in embeds or []]
        message.attachments, message.components = attachments, placed
        message.flags = message.flags & ~LOADING | int(body.get("flags") or 0) & V2
        message.pinged |= self._pings(message, body.get("allowed_mentions"))
        message.versions.append(self.show(message))

    def _attachments(
        self, message: Message, body: Json, uploads: list[Upload], limit: int
    ) -> list[Attachment]:
        for upload in uploads:
            if len(upload.data) > limit:
                raise ApiError(40005)
        named = body.get("attachments")
        kept = list(message.attachments) if named is None else []
        left = {u.place: u for u in uploads}
        for entry in named or []:
            known = next((a for a in message.attachments if a.id == int(entry["id"])), None)
            if known is not None:
                if "description" in entry:
                    known.description = entry["description"]
                if "is_spoiler" in entry:
                    known.spoiler = bool(entry["is_spoiler"])
                kept.append(known)
            elif int(entry["id"]) in left:
                kept.append(self._keep(left.pop(int(entry["id"])), entry, message))
            else:
                raise ApiError(50035, problems=[f"attachments: {entry['id']} is unknown"])
        kept += [self._keep(upload, {}, message) for upload in left.values()]
        if len(kept) > 10:
            raise ApiError(50035, problems=[f"attachments: {len(kept)}; at most 10"])
        return kept

    def _keep(self, upload: Upload, entry: Json, message: Message) -> Attachment:
        name = entry.get("filename") or upload.filename
        return self.attach(
            upload.data,
            name,
            message.channel,
            description=entry.get("description"),
            spoiler=bool(entry.get("is_spoiler")) or name.startswith(_HIDDEN_BY_NAME),
            ephemeral=message.ephemeral,
        )

    def _refuse(self, message: Message, said: str) -> None:
        refusal = message.channel.refusal
        if refusal is None or message.author is not self._world.bot:
            return
        if refusal.words in said:
            raise ApiError(refusal.code, refusal.text, status=refusal.status)

    def _pings(self, message: Message, allowed: Json | None) -> set[str]:
        parse = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse", []))
        users = {str(u) for u in (allowed or {}).get("users") or []}
        roles = {str(r) for r in (allowed or {}).get("roles") or []}
        channel = message.channel
        may = in_channel(message.author, channel) if channel.guild is not None else 0
        everybody = bool(may & May.MENTION_EVERYONE)
        pinged = set()
        for role, identity, everyone in _MENTION.findall(message.text):
            if everyone:
                wanted = "everyone" in parse and everybody
            elif role:
                wanted = everybody and ("roles" in parse or identity in roles)
            else:
                wanted = "users" in parse or identity in users
            if wanted:
                pinged.add(identity or "everyone")
        return pinged

    def _publish(self, event: str, message: Message) -> None:
        if not message.ephemeral:
            shown = self.show_to_bot(message)
            if message.channel.guild is not None:
                shown["guild_id"] = str(message.channel.guild.id)
            self._world.announce(event, shown, message.channel.guild)
        self._world.changes.tell(message)


def _answered(channel: Channel, reference: Json | None) -> int | None:
    """The message that a reply answers; it must exist unless the bot said that it need not."""
    if reference is None:
        return None
    found = channel.messages.get(int(reference["message_id"]))
    if found is not None and not found.deleted and not found.ephemeral:
        return found.id
    if reference.get("fail_if_not_exists", True):
        raise ApiError(50035, problems=["message_reference: Unknown message"])
    return None


def _embed(embed: Json) -> Json:
    return {"type": "rich", **{k: v for k, v in embed.items() if v is not None}}
