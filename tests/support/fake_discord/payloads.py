"""Discord's objects as JSON: https://discord.com/developers/docs/reference"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.fake_discord.state import Interaction, Message

ALL_PERMISSIONS = str((1 << 50) - 1)
ATTACHMENT = 11
OPTION_TYPES: dict[type, int] = {str: 3, int: 4, bool: 5, float: 10, bytes: ATTACHMENT}


def command_payload(name: str, options: dict[str, Any], port: int) -> dict[str, Any]:
    """The data of a slash command. An option of type bytes is an attachment at `/cdn/{name}`."""
    attachments = {}
    given = []
    for number, (key, value) in enumerate(options.items()):
        kind = OPTION_TYPES[type(value)]
        if kind == ATTACHMENT:
            url = f"http://127.0.0.1:{port}/cdn/{key}"
            attachments[str(number)] = {
                "id": str(number),
                "filename": "picture.png",
                "content_type": "image/png",
                "size": len(value),
                "url": url,
                "proxy_url": url,
            }
        shown = str(number) if kind == ATTACHMENT else value
        given.append({"name": key, "value": shown, "type": kind})
    resolved = {"attachments": attachments}
    return {"id": "1", "name": name, "type": 1, "options": given, "resolved": resolved}


def interaction_payload(
    interaction: Interaction, command: dict[str, Any], upload_limit: int
) -> dict[str, Any]:
    """An interaction in a server's text channel."""
    return {
        "id": str(interaction.id),
        "application_id": str(interaction.application_id),
        "type": 2,
        "data": command,
        "guild_id": "7",
        "channel_id": str(interaction.channel_id),
        "channel": {
            "id": str(interaction.channel_id),
            "type": 0,
            "name": "pictures",
            "position": 0,
            "permission_overwrites": [],
            "permissions": ALL_PERMISSIONS,
        },
        "member": {
            "user": user_payload(interaction.user_id),
            "roles": [],
            "joined_at": timestamp(0),
            "permissions": ALL_PERMISSIONS,
            "deaf": False,
            "mute": False,
            "flags": 0,
        },
        "token": interaction.token,
        "version": 1,
        "app_permissions": ALL_PERMISSIONS,
        "locale": "en-US",
        "guild_locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {"0": "7"},
        "context": 0,
        "attachment_size_limit": upload_limit,
    }


def application_of(token: str) -> int:
    """The application id in a token of the fake Discord."""
    return int(token.removeprefix("token-of-"))


def timestamp(seconds: float) -> str:
    """ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


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


def application_payload(application_id: int) -> dict[str, Any]:
    """An application object."""
    return {
        "id": str(application_id),
        "name": "redraw",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "",
        "flags": 0,
        "team": None,
        "owner": user_payload(1),
    }


def ready_payload(application_id: int, port: int) -> dict[str, Any]:
    """The gateway's first event."""
    return {
        "op": 0,
        "t": "READY",
        "s": 1,
        "d": {
            "v": 10,
            "user": user_payload(application_id, bot=True),
            "guilds": [],
            "session_id": "session",
            "resume_gateway_url": f"ws://127.0.0.1:{port}/",
            "application": {"id": str(application_id), "flags": 0},
        },
    }


def message_payload(message: Message) -> dict[str, Any]:
    """A message object."""
    return {
        "id": str(message.id),
        "channel_id": str(message.channel_id),
        "author": user_payload(message.author_id, bot=True),
        "content": message.content,
        "timestamp": timestamp(message.created_at),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [
            {
                "id": str(number),
                "filename": name,
                "size": len(data),
                "url": f"https://cdn.invalid/{name}",
                "proxy_url": f"https://cdn.invalid/{name}",
            }
            for number, (name, data) in enumerate(message.files.items())
        ],
        "embeds": [],
        "pinned": False,
        "type": 0,
        "flags": message.flags,
        "components": message.components,
    }
