"""Who asks and where, from an interaction."""

from typing import Any, Final

import discord

from bot.jobs.job import Place
from bot.permissions import Requester

LOCAL: Final = "local"
NO_FILES: Final = (
    "I may not attach files in this channel, so the picture could not be shown. Somebody who "
    "manages it can give me the permission “Attach Files”; or ask in another channel."
)


def place(interaction: discord.Interaction[Any]) -> Place:
    """Where an interaction comes from. What the app's server install does not cover is `local`."""
    if not in_server(interaction):
        return Place(community=LOCAL, channel=_channel(interaction))
    return Place(
        community=str(interaction.guild_id),
        channel=_channel(interaction),
        age_restricted=age_restricted(interaction.channel),
    )


def requester(interaction: discord.Interaction[Any]) -> Requester:
    """Who asks. Roles and rights count only where the server has installed the app."""
    user = interaction.user
    if not in_server(interaction) or not isinstance(user, discord.Member):
        return Requester(str(user.id))
    return Requester(
        str(user.id),
        roles=frozenset(str(role.id) for role in user.roles if not role.is_default()),
        manager=interaction.permissions.manage_guild,
    )


def in_server(interaction: discord.Interaction[Any]) -> bool:
    """Whether a server has installed the app and this happens there."""
    return interaction.guild_id is not None and interaction.is_guild_integration()


def sees(interaction: discord.Interaction[Any], channel: str | None) -> bool:
    """Whether who asks can surely see this channel of the server."""
    if channel is not None and channel == _channel(interaction):
        return True
    guild, member = interaction.guild, interaction.user
    if channel is None or guild is None or not isinstance(member, discord.Member):
        return False
    found = guild.get_channel_or_thread(int(channel))
    if found is None or (isinstance(found, discord.Thread) and found.is_private()):
        return False
    if isinstance(found, discord.Thread) and found.parent is None:
        return False
    return found.permissions_for(member).view_channel


def obstacle(interaction: discord.Interaction[Any]) -> str | None:
    """Why no picture could be shown here."""
    if in_server(interaction) and not interaction.app_permissions.attach_files:
        return NO_FILES
    return None


def _channel(interaction: discord.Interaction[Any]) -> str | None:
    return None if interaction.channel_id is None else str(interaction.channel_id)


def age_restricted(channel: object) -> bool:
    """Whether a channel is known to let in adults only.

    A thread whose channel is not known is not age-restricted, nor is any unknown place.
    """
    if isinstance(channel, discord.Thread):
        return channel.parent is not None and channel.is_nsfw()
    if isinstance(
        channel,
        discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.ForumChannel,
    ):
        return channel.is_nsfw()
    return False
