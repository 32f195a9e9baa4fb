"""Who may do what where, computed as Discord documents it."""

import enum

from tests.fakes.discord.state import DM, GROUP, Channel, Guild, Role, User


class May(enum.IntFlag):
    """The permissions that matter to a bot like ours, with Discord's bits."""

    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38
    MODERATE_MEMBERS = 1 << 40
    USE_EXTERNAL_APPS = 1 << 50


EVERYTHING = (1 << 53) - 1
ORDINARY = int(
    May.VIEW_CHANNEL
    | May.SEND_MESSAGES
    | May.EMBED_LINKS
    | May.ATTACH_FILES
    | May.READ_MESSAGE_HISTORY
    | May.ADD_REACTIONS
    | May.USE_EXTERNAL_EMOJIS
    | May.USE_APPLICATION_COMMANDS
    | May.CREATE_PUBLIC_THREADS
    | May.SEND_MESSAGES_IN_THREADS
    | May.USE_EXTERNAL_APPS
)
"""What a new server's @everyone has."""

_SAID = int(May.EMBED_LINKS | May.ATTACH_FILES | May.MENTION_EVERYONE)
_SILENCED = int(May.VIEW_CHANNEL | May.READ_MESSAGE_HISTORY)


def in_guild(user: User, guild: Guild) -> int:
    """What a member may do in the whole server; nothing for others."""
    member = guild.members.get(user.id)
    if member is None:
        return 0
    if guild.owner is user:
        return EVERYTHING
    granted = guild.everyone.permissions
    for role in member.roles:
        granted |= role.permissions
    return EVERYTHING if granted & May.ADMINISTRATOR else granted


def in_channel(user: User, channel: Channel) -> int:
    """What a person may do in a channel, its overwrites and those of a thread's parent counted."""
    guild = channel.guild
    if guild is None:
        return ORDINARY if user in channel.people else 0
    granted = in_guild(user, guild)
    if granted == EVERYTHING or not granted:
        return granted
    ruling = channel.parent if channel.is_thread and channel.parent is not None else channel
    granted = _overwritten(granted, user, guild, ruling)
    if not granted & May.VIEW_CHANNEL:
        return 0
    speaks = May.SEND_MESSAGES_IN_THREADS if channel.is_thread else May.SEND_MESSAGES
    if not granted & speaks:
        granted &= ~_SAID
    if guild.members[user.id].timed_out:
        granted &= _SILENCED
    return granted


def of_app(bot: User, channel: Channel) -> int:
    """`app_permissions` of an interaction: the bot's own, or what anybody's app has there."""
    if channel.guild is None:
        extra = May.USE_EXTERNAL_EMOJIS if bot in channel.people else 0
        return int(May.ATTACH_FILES | May.EMBED_LINKS | May.MENTION_EVERYONE | extra)
    if bot.id in channel.guild.members:
        return in_channel(bot, channel)
    return _overwritten(channel.guild.everyone.permissions, bot, channel.guild, channel)


def is_private(channel: Channel) -> bool:
    """Whether it belongs to no server."""
    return channel.kind in (DM, GROUP)


def _overwritten(granted: int, user: User, guild: Guild, channel: Channel) -> int:
    member = guild.members.get(user.id)
    roles = member.roles if member is not None else []
    allow = deny = 0
    for overwrite in channel.overwrites:
        if overwrite.target is guild.everyone:
            granted = granted & ~overwrite.deny | overwrite.allow
        elif isinstance(overwrite.target, Role) and overwrite.target in roles:
            allow |= overwrite.allow
            deny |= overwrite.deny
    granted = granted & ~deny | allow
    for overwrite in channel.overwrites:
        if overwrite.target is user:
            granted = granted & ~overwrite.deny | overwrite.allow
    return granted
