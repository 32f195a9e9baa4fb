"""Everything that the fake Discord holds, and how a test sets its scene."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.discord import permissions
from tests.fakes.discord.clock import Changes, Clock, Snowflakes
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.limits import Limits
from tests.fakes.discord.permissions import ORDINARY
from tests.fakes.discord.state import (
    DM,
    FORUM,
    GROUP,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    TEXT,
    Attachment,
    Channel,
    Guild,
    Json,
    Member,
    Message,
    Overwrite,
    Role,
    User,
)


@dataclass
class Commands:
    """The commands that the app has registered, for everybody and for single servers."""

    everywhere: list[Json] = field(default_factory=list)
    in_guild: dict[int, list[Json]] = field(default_factory=dict)
    puts: int = 0
    """How often the app has sent its whole set."""


class World:
    """State, and the test's hands to shape it. What it announces goes to `announce`."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.clock = Clock(self.changes)
        self.ids = Snowflakes(self.clock)
        self.limits = Limits(self.clock)
        self.announce: Callable[[str, Json, Guild | None], None] = lambda event, data, guild: None
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.files: dict[int, Attachment] = {}
        self.commands = Commands()
        self.violations: deque[str] = deque(maxlen=200)
        """What broke Discord's rules, in sentences. A test ends with none."""
        self.address = ""
        self.reads_messages = False
        """Whether the app was granted the privileged intent for what people write."""
        self.app_id = self.ids.next()
        self.owner = self.user("Owner")
        self.bot = User(self.app_id, "Atelier", bot=True)
        self.users[self.bot.id] = self.bot

    # --- Setting the scene ----------------------------------------------------------------------

    def user(self, name: str, *, installed: bool = False, locale: str = "en-US") -> User:
        """A new person. `installed`: has added the app to the own account."""
        user = User(self.ids.next(), name, installed=installed, locale=locale)
        self.users[user.id] = user
        return user

    def guild(
        self,
        name: str = "Home",
        *,
        members: tuple[User, ...] = (),
        owner: User | None = None,
        has_bot: bool = True,
        everyone: int = ORDINARY,
    ) -> Guild:
        """A new server with one channel, `general`. Without `has_bot` the app is not in it.

        Servers go to the shards in turn, in the order in which they were made.
        """
        identity = self.ids.next(place=len(self.guilds))
        owner = owner or self.owner
        guild = Guild(identity, name, owner, Role(identity, "@everyone", everyone, 0))
        guild.has_bot = has_bot
        self.guilds[identity] = guild
        for user in (owner, *members, *((self.bot,) if has_bot else ())):
            guild.members[user.id] = Member(user)
        self.text(guild, "general")
        if has_bot:
            self.announce("GUILD_CREATE", {}, guild)
        return guild

    def join(self, guild: Guild, user: User, *roles: Role) -> Member:
        """A person enters a server, or has just these roles there from now on."""
        member = guild.members.setdefault(user.id, Member(user))
        member.roles = list(roles)
        if user is self.bot:
            self.announce("GUILD_MEMBER_UPDATE", {"member": member}, guild)
        return member

    def install(self, guild: Guild) -> None:
        """The app and its bot enter a server."""
        guild.has_bot = True
        guild.members[self.bot.id] = Member(self.bot, joined=self.clock.now())
        self.announce("GUILD_CREATE", {}, guild)

    def expel(self, guild: Guild) -> None:
        """The app and its bot leave a server."""
        self.announce("GUILD_DELETE", {}, guild)
        guild.has_bot = False
        guild.members.pop(self.bot.id, None)

    def role(self, guild: Guild, name: str, permissions_: int = 0) -> Role:
        """A new role that gives these permissions."""
        role = Role(self.ids.next(), name, permissions_, len(guild.roles) + 1)
        guild.roles.append(role)
        self.announce("GUILD_ROLE_CREATE", {"role": role}, guild)
        return role

    def text(self, guild: Guild, name: str, *, nsfw: bool = False) -> Channel:
        """A new channel; `nsfw` makes it age-restricted."""
        return self._channel(Channel(self.ids.next(), TEXT, name, guild, nsfw=nsfw))

    def forum(self, guild: Guild, name: str, *, nsfw: bool = False) -> Channel:
        return self._channel(Channel(self.ids.next(), FORUM, name, guild, nsfw=nsfw))

    def thread(
        self, parent: Channel, name: str, *, by: User | None = None, private: bool = False
    ) -> Channel:
        """A thread of a channel, or a post of a forum."""
        kind = PRIVATE_THREAD if private else PUBLIC_THREAD
        guild = parent.guild
        assert guild is not None
        return self._channel(
            Channel(self.ids.next(), kind, name, guild, parent, owner=by or guild.owner)
        )

    def dm(self, *people: User) -> Channel:
        """The conversation of one person with the bot, or of several people without it."""
        among = [*people, self.bot] if len(people) == 1 else list(people)
        for channel in self.channels.values():
            if channel.kind in (DM, GROUP) and set(channel.people) == set(among):
                return channel
        kind = DM if len(among) == 2 else GROUP
        channel = Channel(self.ids.next(), kind, people=among, owner=people[0])
        self.channels[channel.id] = channel
        return channel

    def allow(self, channel: Channel, target: Role | User, allow: int = 0, deny: int = 0) -> None:
        """Set what a channel gives or takes from a role or one member."""
        channel.overwrites = [o for o in channel.overwrites if o.target is not target]
        channel.overwrites.append(Overwrite(target, int(allow), int(deny)))
        self.announce("CHANNEL_UPDATE", {"channel": channel}, channel.guild)

    def set_nsfw(self, channel: Channel, nsfw: bool) -> None:
        """Make a channel age-restricted, or open it."""
        channel.nsfw = nsfw
        self.announce("CHANNEL_UPDATE", {"channel": channel}, channel.guild)

    def delete_channel(self, channel: Channel) -> None:
        self.channels.pop(channel.id, None)
        if channel.guild is not None:
            channel.guild.channels.remove(channel)
        event = "THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE"
        self.announce(event, {"channel": channel}, channel.guild)

    def delete_message(self, message: Message) -> None:
        """A person deletes a message."""
        message.deleted = True
        gone: dict[str, Any] = {"id": str(message.id), "channel_id": str(message.channel.id)}
        if message.channel.guild is not None:
            gone["guild_id"] = str(message.channel.guild.id)
        if not message.ephemeral:
            self.announce("MESSAGE_DELETE", gone, message.channel.guild)
        self.changes.tell(message)

    def _channel(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        assert channel.guild is not None
        channel.guild.channels.append(channel)
        event = "THREAD_CREATE" if channel.is_thread else "CHANNEL_CREATE"
        self.announce(event, {"channel": channel}, channel.guild)
        return channel

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait for anything to be true; fails after so many real seconds."""
        assert await self.changes.until(condition, seconds), f"not true within {seconds} s"

    # --- Looking up -----------------------------------------------------------------------------

    def channel_for_bot(self, identity: str, *needed: int) -> Channel:
        """The channel if the bot may see it, and may do what is needed there."""
        channel = self.channels.get(int(identity))
        if channel is None:
            raise ApiError(10003)
        granted = permissions.in_channel(self.bot, channel)
        if not granted & permissions.May.VIEW_CHANNEL:
            raise ApiError(50001)
        if any(not granted & need for need in needed):
            raise ApiError(50013)
        return channel

    def message_for_bot(self, channel: Channel, identity: str) -> Message:
        """The message if it exists for the bot; an ephemeral one never does."""
        message = channel.messages.get(int(identity)) if identity.isdecimal() else None
        if message is None or message.deleted or message.ephemeral:
            raise ApiError(10008)
        return message

    def file_limit(self, channel: Channel) -> int:
        """Bytes that one file may have there."""
        return channel.guild.file_limit if channel.guild is not None else 10 * 1024 * 1024
