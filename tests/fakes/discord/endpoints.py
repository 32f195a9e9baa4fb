"""What each route of the API does; routes.py says which method here serves it."""

from typing import TYPE_CHECKING, Any

from tests.fakes.discord import payloads, permissions
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.messages import Messages
from tests.fakes.discord.permissions import May
from tests.fakes.discord.registration import register
from tests.fakes.discord.state import FORUM, Channel, Guild, Message
from tests.fakes.discord.world import World

if TYPE_CHECKING:
    from tests.fakes.discord.rest import Asked

Answer = tuple[int, Any]

_UNSET_OF_APPLICATION = (
    "icon",
    "interactions_endpoint_url",
    "role_connections_verification_url",
    "team",
    "type",
)


class Endpoints:
    def __init__(
        self, world: World, messages: Messages, interactions: Interactions, gateway: Gateway
    ) -> None:
        self._world = world
        self._messages = messages
        self._interactions = interactions
        self._gateway = gateway

    # --- The app itself -------------------------------------------------------------------------

    def me(self, asked: "Asked") -> Answer:
        more = {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}
        return 200, payloads.user(self._world.bot) | more

    def application(self, asked: "Asked") -> Answer:
        world = self._world
        nothing = dict.fromkeys(_UNSET_OF_APPLICATION)
        return 200, nothing | {
            "id": str(world.app_id),
            "name": world.bot.name,
            "description": "",
            "verify_key": "0" * 64,
            "flags": 0,
            "flags_new": "0",
            "bot": payloads.user(world.bot),
            "bot_public": True,
            "bot_require_code_grant": False,
            "redirect_uris": [],
            "owner": payloads.user(world.owner),
            "approximate_guild_count": sum(g.has_bot for g in world.guilds.values()),
            "approximate_user_install_count": sum(u.installed for u in world.users.values()),
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "eligible_oauth2_scopes": [],
        }

    def gateway_bot(self, asked: "Asked") -> Answer:
        return 200, {
            "url": self._world.address.replace("http", "ws", 1) + "/gateway",
            "shards": self._gateway.shards,
            "session_start_limit": {
                "total": 1000,
                "remaining": 1000 - self._gateway.identified,
                "reset_after": 14_400_000,
                "max_concurrency": max(1, self._gateway.shards),
            },
        }

    def my_guilds(self, asked: "Asked") -> Answer:
        world = self._world
        after = int(asked.query.get("after", 0))
        ours = [g for g in sorted(world.guilds.values(), key=lambda g: g.id) if g.has_bot]
        return 200, [
            {
                "id": str(g.id),
                "name": g.name,
                "icon": None,
                "banner": None,
                "owner": False,
                "permissions": str(permissions.in_guild(world.bot, g)),
                "features": [],
            }
            for g in ours
            if g.id > after
        ][: int(asked.query.get("limit", 200))]

    def open_dm(self, asked: "Asked") -> Answer:
        user = self._world.users.get(int(asked.body["recipient_id"]))
        if user is None:
            raise ApiError(10013)
        return 200, payloads.channel(self._world.dm(user))

    def user(self, asked: "Asked") -> Answer:
        user = self._world.users.get(int(asked.parameters["user_id"]))
        if user is None:
            raise ApiError(10013)
        return 200, payloads.user(user)

    # --- Servers --------------------------------------------------------------------------------

    def guild(self, asked: "Asked") -> Answer:
        return 200, payloads.guild(self._guild(asked))

    def guild_channels(self, asked: "Asked") -> Answer:
        return 200, [payloads.channel(c) for c in self._guild(asked).channels if not c.is_thread]

    def guild_roles(self, asked: "Asked") -> Answer:
        guild = self._guild(asked)
        return 200, [payloads.role(r) for r in (guild.everyone, *guild.roles)]

    def member(self, asked: "Asked") -> Answer:
        member = self._guild(asked).members.get(int(asked.parameters["user_id"]))
        if member is None:
            raise ApiError(10007)
        return 200, payloads.member(member)

    # --- Channels and messages ------------------------------------------------------------------

    def channel(self, asked: "Asked") -> Answer:
        return 200, payloads.channel(self._channel(asked))

    def typing(self, asked: "Asked") -> Answer:
        self._channel(asked, May.SEND_MESSAGES)
        return 204, None

    def history(self, asked: "Asked") -> Answer:
        channel = self._channel(asked, May.READ_MESSAGE_HISTORY)
        before = int(asked.query.get("before", 1 << 63))
        after = int(asked.query.get("after", 0))
        limit = int(asked.query.get("limit", 50))
        seen = [m for m in channel.public if after < m.id < before]
        page = seen[:limit] if "after" in asked.query else seen[-limit:]
        return 200, [self._messages.show_to_bot(m) for m in reversed(page)]

    def message(self, asked: "Asked") -> Answer:
        channel = self._channel(asked, May.READ_MESSAGE_HISTORY)
        return 200, self._messages.show_to_bot(self._message(channel, asked))

    def post(self, asked: "Asked") -> Answer:
        channel = self._channel(asked)
        self._may_say(channel, asked)
        flags = int(asked.body.get("flags") or 0) & ~(1 << 6)
        message = self._messages.create(
            channel,
            self._world.bot,
            {**asked.body, "flags": flags},
            asked.uploads,
            limit=self._world.file_limit(channel),
        )
        return 200, self._messages.show(message)

    def edit(self, asked: "Asked") -> Answer:
        channel = self._channel(asked)
        message = self._message(channel, asked)
        if message.author is not self._world.bot:
            raise ApiError(50005)
        if channel.archived:
            raise ApiError(50083)
        if asked.uploads:
            self._channel(asked, May.ATTACH_FILES)
        self._messages.edit(
            message, asked.body, asked.uploads, limit=self._world.file_limit(channel)
        )
        return 200, self._messages.show(message)

    def delete(self, asked: "Asked") -> Answer:
        channel = self._channel(asked)
        message = self._message(channel, asked)
        if message.author is not self._world.bot:
            self._channel(asked, May.MANAGE_MESSAGES)
        self._world.delete_message(message)
        return 204, None

    # --- Commands -------------------------------------------------------------------------------

    def commands(self, asked: "Asked") -> Answer:
        if "guild_id" in asked.parameters:
            return 200, self._world.commands.in_guild.get(self._guild(asked).id, [])
        return 200, self._world.commands.everywhere

    def put_commands(self, asked: "Asked") -> Answer:
        if asked.parameters["application_id"] != str(self._world.app_id):
            raise ApiError(50001)
        guild = self._guild(asked) if "guild_id" in asked.parameters else None
        return 200, register(self._world, asked.body, guild)

    # --- Interactions ---------------------------------------------------------------------------

    def call_back(self, asked: "Asked") -> Answer:
        body = self._interactions.call_back(
            asked.parameters["interaction_id"],
            asked.parameters["interaction_token"],
            asked.body,
            asked.uploads,
        )
        wanted = asked.query.get("with_response", "").lower() in ("true", "1")
        return (200, body) if wanted else (204, None)

    def follow_up(self, asked: "Asked") -> Answer:
        found = self._interactions.by_webhook(*_webhook(asked))
        message = self._interactions.follow_up(found, asked.body, asked.uploads)
        return 200, self._messages.show(message)

    def answer(self, asked: "Asked") -> Answer:
        found = self._interactions.by_webhook(*_webhook(asked))
        return 200, self._messages.show(self._interactions.message_of(found, _which(asked)))

    def edit_answer(self, asked: "Asked") -> Answer:
        found = self._interactions.by_webhook(*_webhook(asked))
        message = self._interactions.edit(found, _which(asked), asked.body, asked.uploads)
        return 200, self._messages.show(message)

    def delete_answer(self, asked: "Asked") -> Answer:
        found = self._interactions.by_webhook(*_webhook(asked))
        self._world.delete_message(self._interactions.message_of(found, _which(asked)))
        return 204, None

    # --- Checks ---------------------------------------------------------------------------------

    def _guild(self, asked: "Asked") -> Guild:
        guild = self._world.guilds.get(int(asked.parameters["guild_id"]))
        if guild is None:
            raise ApiError(10004)
        if not guild.has_bot:
            raise ApiError(50001)
        return guild

    def _channel(self, asked: "Asked", *needed: int) -> Channel:
        return self._world.channel_for_bot(asked.parameters["channel_id"], *needed)

    def _message(self, channel: Channel, asked: "Asked") -> Message:
        return self._world.message_for_bot(channel, asked.parameters["message_id"])

    def _may_say(self, channel: Channel, asked: "Asked") -> None:
        if channel.kind == FORUM:
            raise ApiError(50003)
        if channel.guild is None:
            person = next(u for u in channel.people if not u.bot)
            shared = any(g.has_bot and person.id in g.members for g in self._world.guilds.values())
            if not person.takes_dms or not (shared or person.installed):
                raise ApiError(50007)
        speaks = May.SEND_MESSAGES_IN_THREADS if channel.is_thread else May.SEND_MESSAGES
        self._channel(asked, speaks)
        if asked.uploads:
            self._channel(asked, May.ATTACH_FILES)
        if channel.locked:
            raise ApiError(160005)
        channel.archived = False


def _webhook(asked: "Asked") -> tuple[str, str]:
    return asked.parameters["webhook_id"], asked.parameters["webhook_token"]


def _which(asked: "Asked") -> str:
    return asked.parameters.get("message_id", "@original")
