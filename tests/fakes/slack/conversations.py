"""conversations.*: where the app is, and what was said there."""

from tests.fakes.slack.asking import Asked, Method
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.state import DM, GROUP, PRIVATE, PUBLIC, Channel, Json, Message
from tests.fakes.slack.world import World

_PREFIX = {PUBLIC: "channels", PRIVATE: "groups", DM: "im", GROUP: "mpim"}
"""Scopes are given by kind of conversation."""


class Conversations:
    """The methods of conversations.*"""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages
        self.methods = {
            "conversations.info": Method(self.info, 3),
            "conversations.members": Method(self.members, 4),
            "conversations.history": Method(self.history, 3),
            "conversations.replies": Method(self.replies, 3),
            "conversations.open": Method(self.open, 3),
        }

    def info(self, asked: Asked) -> Json:
        channel = self._channel(asked, "read")
        bot = asked.team.bot
        body: Json = {
            "id": channel.id,
            "is_channel": channel.kind == PUBLIC,
            "is_group": channel.kind == PRIVATE,
            "is_private": channel.kind != PUBLIC,
            "is_im": channel.kind == DM,
            "is_mpim": channel.kind == GROUP,
            "is_archived": channel.archived,
            "context_team_id": channel.team.id,
        }
        if channel.kind == DM:
            body["user"] = next(m.id for m in channel.members if m is not bot)
        else:
            body |= {"name": channel.name, "is_member": bot in channel.members}
        if asked.flag("include_num_members"):
            body["num_members"] = len(channel.members)
        return {"channel": body}

    def members(self, asked: Asked) -> Json:
        channel = self._channel(asked, "read")
        ids = sorted(m.id for m in channel.members)
        start = int(asked.args.get("cursor") or 0)
        limit = asked.number("limit", 100)
        more = str(start + limit) if start + limit < len(ids) else ""
        return {"members": ids[start : start + limit], "response_metadata": {"next_cursor": more}}

    def history(self, asked: Asked) -> Json:
        channel = self._channel(asked, "history")
        if asked.team.bot not in channel.members:
            raise SlackError("not_in_channel")
        roots = [m for m in channel.posted if m.thread_ts in (None, m.ts) or m.broadcast]
        return self._page(asked, list(reversed(roots)))

    def replies(self, asked: Asked) -> Json:
        channel = self._channel(asked, "history")
        if asked.team.bot not in channel.members:
            raise SlackError("not_in_channel")
        root = channel.messages.get(asked.text("ts"))
        if root is None or root.ephemeral:
            raise SlackError("thread_not_found")
        thread = [m for m in channel.posted if m is root or m.thread_ts == root.ts]
        return self._page(asked, thread)

    def open(self, asked: Asked) -> Json:
        people = [self._world.user_for_bot(asked.team, u) for u in _ids(asked)]
        asked.need("im:write" if len(people) == 1 else "mpim:write")
        if any(p.deactivated for p in people):
            raise SlackError("user_disabled")
        if any(p.bot for p in people):
            raise SlackError("cannot_dm_bot")
        channel = self._world.conversation(*people)
        channel.members.add(asked.team.bot)
        return {"channel": {"id": channel.id, "is_im": channel.kind == DM}}

    def _channel(self, asked: Asked, verb: str) -> Channel:
        channel = self._world.channel_for_bot(asked.team, asked.text("channel"))
        asked.need(f"{_PREFIX[channel.kind]}:{verb}")
        return channel

    def _page(self, asked: Asked, messages: list[Message]) -> Json:
        oldest = float(asked.args.get("oldest") or 0)
        latest = float(asked.args.get("latest") or "inf")
        if asked.flag("inclusive"):
            kept = [m for m in messages if oldest <= float(m.ts) <= latest]
        else:
            kept = [m for m in messages if oldest < float(m.ts) < latest]
        start, limit = int(asked.args.get("cursor") or 0), min(asked.number("limit", 100), 999)
        page = kept[start : start + limit]
        more = start + limit < len(kept)
        metadata = asked.flag("include_all_metadata")
        return {
            "messages": [self._messages.show(m, metadata=metadata) for m in page],
            "has_more": more,
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }


def _ids(asked: Asked) -> list[str]:
    users = asked.json("users")
    ids = users if isinstance(users, list) else [u for u in asked.text("users").split(",") if u]
    return [str(i) for i in ids]
