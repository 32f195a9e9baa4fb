"""State as JSON, in the shapes that Discord sends."""

from datetime import UTC, datetime

from tests.fakes.discord import permissions
from tests.fakes.discord.clock import Clock
from tests.fakes.discord.state import (
    DM,
    EPHEMERAL,
    FORUM,
    GROUP,
    PRIVATE_THREAD,
    Attachment,
    Channel,
    Guild,
    Json,
    Member,
    Message,
    Role,
    User,
)

_SPOILER = 1 << 3
_UNSET_OF_GUILD = (
    "icon",
    "description",
    "home_header",
    "splash",
    "discovery_splash",
    "banner",
    "application_id",
    "afk_channel_id",
    "widget_channel_id",
    "vanity_url_code",
    "rules_channel_id",
    "safety_alerts_channel_id",
    "public_updates_channel_id",
    "incidents_data",
)
_LONG_AGO = "2024-01-01T00:00:00.000000+00:00"


def user(who: User) -> Json:
    return {
        "id": str(who.id),
        "username": who.name.lower().replace(" ", "_"),
        "global_name": who.name if not who.bot else None,
        "discriminator": "0" if not who.bot else "0001",
        "avatar": None,
        "banner": None,
        "accent_color": None,
        "avatar_decoration_data": None,
        "primary_guild": None,
        "public_flags": 0,
        "flags": 0,
        **({"bot": True} if who.bot else {}),
    }


def member(who: Member, *, bare: bool = False) -> Json:
    """`bare` leaves the user out, as resolved members do."""
    body: Json = {
        "avatar": None,
        "banner": None,
        "communication_disabled_until": "2100-01-01T00:00:00+00:00" if who.timed_out else None,
        "flags": 0,
        "joined_at": _LONG_AGO if who.joined is None else _time(who.joined),
        "nick": who.nick,
        "pending": False,
        "premium_since": None,
        "roles": [str(r.id) for r in who.roles],
    }
    return body if bare else {**body, "user": user(who.user), "mute": False, "deaf": False}


def role(one: Role) -> Json:
    return {
        "id": str(one.id),
        "name": one.name,
        "permissions": str(one.permissions),
        "position": one.position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def channel(one: Channel, *, seen_by: User | None = None) -> Json:
    """A channel; `seen_by` adds that person's permissions, as interactions do."""
    body: Json = {"id": str(one.id), "type": one.kind, "flags": 0}
    body["last_message_id"] = str(max(one.messages)) if one.messages else None
    if one.kind in (DM, GROUP):
        body["recipients"] = [user(u) for u in one.people if not u.bot or one.kind == GROUP]
        if one.kind == GROUP:
            body |= {"name": one.name or None, "icon": None}
            body["owner_id"] = str(one.owner.id) if one.owner else None
        return body
    assert one.guild is not None
    body |= {"guild_id": str(one.guild.id), "name": one.name, "rate_limit_per_user": 0}
    body["parent_id"] = str(one.parent.id) if one.parent is not None else None
    if seen_by is not None:
        body["permissions"] = str(permissions.in_channel(seen_by, one))
    if one.is_thread:
        body |= {
            "owner_id": str(one.owner.id if one.owner else one.guild.owner.id),
            "message_count": len(one.messages),
            "member_count": 1,
            "total_message_sent": len(one.messages),
            "thread_metadata": {
                "archived": one.archived,
                "locked": one.locked,
                "archive_timestamp": _LONG_AGO,
                "auto_archive_duration": 1440,
                **({"invitable": True} if one.kind == PRIVATE_THREAD else {}),
            },
        }
        return body
    body |= {
        "position": one.guild.channels.index(one) if one in one.guild.channels else 0,
        "nsfw": one.nsfw,
        "topic": None,
        "permission_overwrites": [
            {
                "id": str(o.target.id),
                "type": 0 if isinstance(o.target, Role) else 1,
                "allow": str(o.allow),
                "deny": str(o.deny),
            }
            for o in one.overwrites
        ],
    }
    if one.kind == FORUM:
        body |= {"available_tags": [], "default_forum_layout": 0}
        body |= {"default_sort_order": None, "default_reaction_emoji": None}
    return body


def guild(one: Guild) -> Json:
    """A server as REST gives it."""
    tier = 3 if one.file_limit > 50 << 20 else 2 if one.file_limit > 10 << 20 else 0
    nothing = dict.fromkeys(_UNSET_OF_GUILD)
    return nothing | {
        "id": str(one.id),
        "name": one.name,
        "owner_id": str(one.owner.id),
        "region": "deprecated",
        "afk_timeout": 300,
        "system_channel_id": one.system_channel and str(one.system_channel.id),
        "system_channel_flags": 0,
        "widget_enabled": False,
        "verification_level": 0,
        "roles": [role(r) for r in (one.everyone, *one.roles)],
        "default_message_notifications": 0,
        "mfa_level": 0,
        "explicit_content_filter": 0,
        "max_presences": 500000,
        "max_members": 500000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "premium_tier": tier,
        "premium_subscription_count": 0,
        "preferred_locale": one.locale,
        "premium_progress_bar_enabled": False,
        "nsfw": False,
        "nsfw_level": 0,
        "features": [],
        "emojis": [],
        "stickers": [],
    }


def guild_create(one: Guild, bot: User, *, entered: bool = False) -> Json:
    """A server as the gateway announces it: with channels, threads and the bot itself.

    One that the bot has just `entered` was never unavailable, so that is not said.
    """
    seen = [c for c in one.channels if permissions.in_channel(bot, c)]
    me = member(one.members[bot.id])
    return guild(one) | {
        "joined_at": me["joined_at"],
        "large": False,
        **({} if entered else {"unavailable": False}),
        "member_count": len(one.members),
        "members": [me],
        "channels": [channel(c) for c in one.channels if not c.is_thread],
        "threads": [channel(c) for c in seen if c.is_thread and not c.archived],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def attachment(one: Attachment) -> Json:
    pixels = one.pixels
    body: Json = {
        "id": str(one.id),
        "filename": one.filename,
        "size": one.size,
        "url": one.url,
        "proxy_url": one.url,
    }
    if one.content_type:
        body["content_type"] = one.content_type
    if pixels is not None:
        body |= {"width": pixels[0], "height": pixels[1]}
    if one.description:
        body["description"] = one.description
    if one.spoiler:
        body["flags"] = _SPOILER
    if one.ephemeral:
        body["ephemeral"] = True
    return body


def message(one: Message, clock: Clock, mentions: list[User] | None = None) -> Json:
    body: Json = {
        "id": str(one.id),
        "type": 0,
        "channel_id": str(one.channel.id),
        "author": user(one.author),
        "content": one.content,
        "embeds": one.embeds,
        "components": one.components,
        "attachments": [attachment(a) for a in one.attachments],
        "mentions": [user(u) for u in mentions or []],
        "mention_roles": [],
        "mention_everyone": "everyone" in one.pinged,
        "pinned": False,
        "tts": False,
        "timestamp": clock.iso(one.created),
        "edited_timestamp": clock.iso(one.edited) if one.edited is not None else None,
        "flags": one.flags,
    }
    if one.nonce is not None:
        body["nonce"] = one.nonce
    if one.author.bot:
        body["application_id"] = str(one.author.id)
    if one.interaction is not None:
        body["type"] = 20 if one.interaction["type"] == 2 else 0
        body["interaction_metadata"] = one.interaction
        body["webhook_id"] = str(one.author.id)
    if one.reply_to is not None:
        body["type"] = 19
        body["message_reference"] = {
            "type": 0,
            "channel_id": str(one.channel.id),
            "message_id": str(one.reply_to),
        }
    if one.flags & EPHEMERAL:
        body["edited_timestamp"] = None
    return body


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
