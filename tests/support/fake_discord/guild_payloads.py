"""Users, members, channels and guilds as JSON: https://discord.com/developers/docs/reference"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.fake_discord.guild import Channel, ChannelType, Guild


def user_payload(user_id: int, *, bot: bool = False) -> dict[str, Any]:
    """A user object. Only bots have the field `bot`."""
    return {
        "id": str(user_id),
        "username": f"user{user_id}",
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "avatar_decoration_data": None,
        "clan": None,
        "collectibles": None,
        "display_name_styles": None,
        "primary_guild": None,
        "public_flags": 0,
        **({"bot": True} if bot else {}),
    }


def member_payload(guild: Guild, user_id: int) -> dict[str, Any]:
    """A guild member object, as REST routes and interactions have it."""
    bots = {role.bot_id for role in guild.roles.values()}
    return author_payload(guild, user_id) | {
        "user": user_payload(user_id, bot=user_id in bots),
        "collectibles": None,
        "display_name_styles": None,
        "unusual_dm_activity_until": None,
    }


def author_payload(guild: Guild, user_id: int) -> dict[str, Any]:
    """The member object of a message's author and mentions, which has no user."""
    return {
        "roles": [str(role) for role in guild.member_roles.get(user_id, ())],
        "joined_at": timestamp(0),
        "premium_since": None,
        "communication_disabled_until": None,
        "nick": None,
        "avatar": None,
        "banner": None,
        "pending": False,
        "deaf": False,
        "mute": False,
        "flags": 0,
    }


def interaction_channel_payload(channel: Channel, permissions: int, user_id: int) -> dict[str, Any]:
    """The channel of an interaction. It has no overwrites, and a thread is not marked as age-
    restricted: that is its parent's."""
    payload = channel_payload(channel) | {"permissions": str(permissions)}
    for name in ("permission_overwrites", *(("nsfw", "position") if channel.is_thread else ())):
        del payload[name]
    if channel.is_thread and user_id in channel.members:
        payload["member"] = {
            "id": str(channel.id),
            "user_id": str(user_id),
            "join_timestamp": timestamp(0),
            "mute_config": None,
            "muted": False,
            "flags": 0,
        }
    return payload


def channel_payload(channel: Channel) -> dict[str, Any]:
    """A channel object of a server's channel or thread."""
    payload: dict[str, Any] = {
        "id": str(channel.id),
        "guild_id": str(channel.guild_id),
        "type": int(channel.type),
        "name": channel.name,
        "nsfw": channel.nsfw,
        "position": 0,
        "flags": 0,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "parent_id": str(channel.parent_id) if channel.parent_id else None,
        "permission_overwrites": [
            {
                "id": str(overwrite.id),
                "type": int(overwrite.member),
                "allow": str(int(overwrite.allow)),
                "deny": str(int(overwrite.deny)),
            }
            for overwrite in channel.overwrites
        ],
    }
    if not channel.is_thread:
        return payload | {"topic": None}
    metadata = {
        "archived": False,
        "auto_archive_duration": 1440,
        "archive_timestamp": timestamp(0),
        "create_timestamp": timestamp(0),
        "locked": False,
    }
    if channel.type is ChannelType.PRIVATE_THREAD:
        metadata["invitable"] = False
    return payload | {
        "owner_id": str(channel.owner_id),
        "message_count": 1,
        "total_message_sent": 1,
        "member_count": len(channel.members),
        "member_ids_preview": [str(member) for member in channel.members],
        "thread_metadata": metadata,
    }


def dm_payload(channel_id: int, user_id: int) -> dict[str, Any]:
    """A channel of direct messages."""
    return {
        "id": str(channel_id),
        "type": 1,
        "recipients": [user_payload(user_id)],
        "recipient_flags": 0,
        "last_message_id": None,
        "flags": 0,
    }


def guild_payload(guild: Guild, bot_id: int) -> dict[str, Any]:
    """The GUILD_CREATE event for a bot without the members intent."""
    channels = [c for c in guild.channels.values() if not c.is_thread]
    threads = [c for c in guild.channels.values() if c.is_thread]
    return {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": str(guild.owner_id),
        "roles": [
            {
                "id": str(role.id),
                "name": role.name,
                "permissions": str(int(role.permissions)),
                "position": 0 if role.id == guild.id else 1,
                "color": 0,
                "hoist": False,
                "managed": role.bot_id is not None,
                "mentionable": False,
                "tags": {"bot_id": str(role.bot_id)} if role.bot_id else {},
            }
            for role in guild.roles.values()
        ],
        "members": [member_payload(guild, bot_id)],
        "channels": [channel_payload(channel) for channel in channels],
        "threads": [
            channel_payload(thread) for thread in threads if guild.permissions(bot_id, thread.id)
        ],
        "member_count": len(guild.member_roles),
        "joined_at": timestamp(0),
        "large": False,
        "unavailable": False,
        "emojis": [],
        "stickers": [],
        "features": [],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "preferred_locale": "en-US",
        "premium_tier": 0,
        "nsfw_level": 0,
        "verification_level": 0,
        "explicit_content_filter": 0,
        "default_message_notifications": 0,
        "mfa_level": 0,
        "afk_timeout": 0,
        "system_channel_flags": 0,
    }


def timestamp(seconds: float) -> str:
    """ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
