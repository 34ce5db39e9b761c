"""Users, members, channels and guilds as JSON: https://discord.com/developers/docs/reference"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.fake_discord.guild import Channel, Guild


def user_payload(user_id: int, *, bot: bool = False) -> dict[str, Any]:
    """A user object."""
    return {
        "id": str(user_id),
        "username": f"user{user_id}",
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "bot": bot,
    }


def member_payload(guild: Guild, user_id: int) -> dict[str, Any]:
    """A guild member object."""
    bots = {role.bot_id for role in guild.roles.values()}
    return {
        "user": user_payload(user_id, bot=user_id in bots),
        "roles": [str(role) for role in guild.member_roles.get(user_id, ())],
        "joined_at": timestamp(0),
        "deaf": False,
        "mute": False,
        "flags": 0,
    }


def channel_payload(channel: Channel) -> dict[str, Any]:
    """A channel object of a server's channel or thread."""
    payload: dict[str, Any] = {
        "id": str(channel.id),
        "guild_id": str(channel.guild_id),
        "type": int(channel.type),
        "name": channel.name,
        "nsfw": channel.nsfw,
        "position": 0,
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
    if channel.is_thread:
        payload |= {
            "owner_id": str(channel.owner_id),
            "message_count": 1,
            "member_count": len(channel.members),
            "rate_limit_per_user": 0,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": timestamp(0),
                "locked": False,
                "invitable": False,
            },
        }
    return payload


def dm_payload(channel_id: int, user_id: int) -> dict[str, Any]:
    """A channel of direct messages."""
    return {"id": str(channel_id), "type": 1, "recipients": [user_payload(user_id)], "flags": 0}


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
