"""The fields and types of payloads that were recorded from Discord.

They were written down from payloads in public repositories, without their values:

- interactions of an app that only a user added: mastercuber55/Fischl, `api/body.md` (2025);
- a button in a thread, and a message with a mention: vercel/chat, the sample messages of its
  Discord adapter, from a recorded server (2026);
- a form and a slash command: nyxx-discord/nyxx, tests of its interaction manager (2025);
- a forward, and a message of components with a gallery, a thumbnail and a file:
  nyxx-discord/nyxx, tests of its message manager (2024 and 2025);
- a reply: https://github.com/twilight-rs/twilight/issues/2177;
- snapshots of forwards: https://github.com/discord/discord-api-docs/issues/7193 and, in the
  message that a reply refers to, https://github.com/discord/discord-api-docs/issues/7814.

A question mark marks a field that only some of them have. Fields that have been added since the
older recordings are taken from the newer ones. A list has the shape of its items.
"""

from __future__ import annotations

from typing import Any

TEXT_OR_NULL = (str, None)
NUMBER_OR_NULL = (int, None)

USER = {
    "id": str,
    "username": str,
    "discriminator": str,
    "global_name": TEXT_OR_NULL,
    "avatar": TEXT_OR_NULL,
    "avatar_decoration_data": (dict, None),
    "clan": (dict, None),
    "collectibles": (dict, None),
    "display_name_styles": (dict, None),
    "primary_guild": (dict, None),
    "public_flags": int,
    "bot?": bool,
}
# The author's and those of mentions: they have no user.
AUTHOR = {
    "roles": list,
    "joined_at": str,
    "premium_since": TEXT_OR_NULL,
    "communication_disabled_until": TEXT_OR_NULL,
    "nick": TEXT_OR_NULL,
    "avatar": TEXT_OR_NULL,
    "banner": TEXT_OR_NULL,
    "pending": bool,
    "deaf": bool,
    "mute": bool,
    "flags": int,
}
MEMBER = AUTHOR | {
    "user": USER,
    "permissions": str,
    "collectibles": (dict, None),
    "display_name_styles": (dict, None),
    "unusual_dm_activity_until": TEXT_OR_NULL,
}
ANY_CHANNEL = {
    "id": str,
    "guild_id": str,
    "type": int,
    "name": str,
    "parent_id": TEXT_OR_NULL,
    "permissions": str,
    "rate_limit_per_user": int,
    "last_message_id": TEXT_OR_NULL,
    "flags": int,
}
TEXT_CHANNEL = ANY_CHANNEL | {"nsfw": bool, "position": int, "topic": TEXT_OR_NULL}
THREAD_CHANNEL = ANY_CHANNEL | {
    "owner_id": str,
    "message_count": int,
    "member_count": int,
    "member_ids_preview": list,
    "total_message_sent": int,
    "thread_metadata": {
        "archived": bool,
        "archive_timestamp": str,
        "auto_archive_duration": int,
        "create_timestamp": str,
        "locked": bool,
        "invitable?": bool,
    },
    "member": {
        "id": str,
        "user_id": str,
        "join_timestamp": str,
        "mute_config": (dict, None),
        "muted": bool,
        "flags": int,
    },
}
DM_CHANNEL = {
    "id": str,
    "type": int,
    "flags": int,
    "last_message_id": TEXT_OR_NULL,
    "recipient_flags": int,
    "recipients": [USER],
}
INTERACTION = {
    "id": str,
    "application_id": str,
    "type": int,
    "token": str,
    "version": int,
    "locale": str,
    "app_permissions": str,
    "attachment_size_limit": int,
    "authorizing_integration_owners": dict,
    "channel_id": str,
    "context": int,
    "data": dict,
    "entitlements": list,
}
IN_SERVER = INTERACTION | {
    "guild": {"features": list, "id": str, "locale": str},
    "guild_id": str,
    "guild_locale": str,
    "member": MEMBER,
    "entitlement_sku_ids": list,
}
ATTACHMENT = {
    "id": str,
    "filename": str,
    "size": int,
    "url": str,
    "proxy_url": str,
    "width": int,
    "height": int,
    "content_type": str,
    "content_scan_version": int,
    "placeholder": str,
    "placeholder_version": int,
}
MESSAGE = {
    "id": str,
    "channel_id": str,
    "author": USER,
    "content": str,
    "timestamp": str,
    "edited_timestamp": TEXT_OR_NULL,
    "tts": bool,
    "mention_everyone": bool,
    "mentions": list,
    "mention_roles": list,
    "attachments": [ATTACHMENT],
    "embeds": list,
    "components": list,
    "pinned": bool,
    "type": int,
    "flags": int,
}
REFERENCE = {"type": int, "message_id": str, "channel_id": str, "guild_id": str}
MEDIA = {
    "id?": str,
    "url": str,
    "proxy_url": str,
    "width": NUMBER_OR_NULL,
    "height": NUMBER_OR_NULL,
    "placeholder": TEXT_OR_NULL,
    "placeholder_version": NUMBER_OR_NULL,
    "content_scan_metadata": {"version": int, "flags": int},
    "content_type": TEXT_OR_NULL,
    "loading_state": int,
    "flags": int,
}
GALLERY = {
    "type": int,
    "id": int,
    "items": [{"media": MEDIA, "description": TEXT_OR_NULL, "spoiler": bool}],
}
CONTAINER = {
    "type": int,
    "id": int,
    "accent_color": NUMBER_OR_NULL,
    "spoiler": bool,
    "components": [GALLERY],
}
METADATA = {
    "id": str,
    "type": int,
    "user": USER,
    "authorizing_integration_owners": dict,
    "original_response_message_id?": str,
}


def differences(payload: Any, shape: Any, where: str = "") -> list[str]:
    """Where a payload differs from a recorded shape."""
    if isinstance(shape, dict):
        names = {name.rstrip("?"): part for name, part in shape.items()}
        needed = {name for name in shape if not name.endswith("?")}
        found = [f"{where}: no {name}" for name in sorted(needed - payload.keys())]
        found += [f"{where}: {name} is not recorded" for name in sorted(payload.keys() - names)]
        for name in names.keys() & payload.keys():
            found += differences(payload[name], names[name], f"{where}.{name}")
        return found
    if isinstance(shape, list):
        return [one for item in payload for one in differences(item, shape[0], f"{where}[]")]
    kinds = shape if isinstance(shape, tuple) else (shape,)
    fits = any(payload is None if kind is None else type(payload) is kind for kind in kinds)
    return [] if fits else [f"{where}: {type(payload).__name__}"]
