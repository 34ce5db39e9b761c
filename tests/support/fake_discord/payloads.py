"""Interactions and applications as JSON: https://discord.com/developers/docs/reference"""

from __future__ import annotations

from typing import Any

from tests.support.fake_discord.guild_payloads import (
    dm_payload,
    interaction_channel_payload,
    member_payload,
    user_payload,
)
from tests.support.fake_discord.message_payloads import (
    SIGNED,
    integration_owners,
    message_payload,
)
from tests.support.fake_discord.objects import Interaction
from tests.support.fake_discord.state import DiscordState

ATTACHMENT = 11
OPTION_TYPES: dict[type, int] = {str: 3, int: 4, bool: 5, float: 10, bytes: ATTACHMENT}
# https://discord.com/developers/docs/interactions/receiving-and-responding
BOT_DM, PRIVATE_CHANNEL = 1, 2
# The permissions of an app in a server to which only a user has added it:
# Embed Links, Attach Files, Mention Everyone, Use External Emojis, Create Polls.
USER_INSTALL_PERMISSIONS = 562949953863680


def command_payload(name: str, options: dict[str, Any], port: int) -> dict[str, Any]:
    """The data of a slash command. An option of type bytes is an attachment at `/cdn/{name}`."""
    attachments = {}
    given = []
    for number, (key, value) in enumerate(options.items()):
        kind = OPTION_TYPES[type(value)]
        if kind == ATTACHMENT:
            url = f"http://127.0.0.1:{port}/cdn/{key}{SIGNED}"
            attachments[str(number)] = {
                "id": str(number),
                "filename": "picture.png",
                "content_type": "image/png",
                "ephemeral": True,
                "size": len(value),
                "url": url,
                "proxy_url": url,
            }
        shown = str(number) if kind == ATTACHMENT else value
        given.append({"name": key, "value": shown, "type": kind})
    resolved = {"attachments": attachments}
    return {"id": "1", "name": name, "type": 1, "options": given, "resolved": resolved}


def interaction_payload(
    state: DiscordState, interaction: Interaction, kind: int, data: dict[str, Any]
) -> dict[str, Any]:
    """An interaction in a server or in direct messages with the bot."""
    payload: dict[str, Any] = {
        "id": str(interaction.id),
        "application_id": str(interaction.application_id),
        "type": kind,
        "data": data,
        "channel_id": str(interaction.channel_id),
        "token": interaction.token,
        "version": 1,
        "locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": integration_owners(state, interaction),
        "attachment_size_limit": state.upload_limit,
    }
    if interaction.component_message_id is not None:
        message = state.messages[interaction.component_message_id]
        payload["message"] = message_payload(state, message, interaction.application_id)
    guild = state.guild_of(interaction.channel_id)
    if guild is None:
        private = interaction.channel_id in state.private_channels
        return payload | {
            "channel": dm_payload(interaction.channel_id, interaction.user_id),
            "user": user_payload(interaction.user_id),
            "app_permissions": str(USER_INSTALL_PERMISSIONS),
            "context": PRIVATE_CHANNEL if private else BOT_DM,
        }
    installed = interaction.application_id in guild.member_roles
    channel = guild.channels[interaction.channel_id]
    members = guild.permissions(interaction.user_id, channel.id)
    bots = guild.permissions(interaction.application_id, channel.id)
    return payload | {
        "guild_id": str(guild.id),
        "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
        "guild_locale": "en-US",
        "channel": interaction_channel_payload(channel, members, interaction.user_id),
        "member": member_payload(guild, interaction.user_id) | {"permissions": str(members)},
        "app_permissions": str(bots if installed else USER_INSTALL_PERMISSIONS),
        "entitlement_sku_ids": [],
        "context": 0,
    }


def application_of(token: str) -> int:
    """The application id in a token of the fake Discord."""
    return int(token.removeprefix("token-of-"))


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


def ready_payload(application_id: int, guilds: list[int], port: int) -> dict[str, Any]:
    """The gateway's first event."""
    return {
        "v": 10,
        "user": user_payload(application_id, bot=True),
        "guilds": [{"id": str(guild_id), "unavailable": True} for guild_id in guilds],
        "session_id": "session",
        "resume_gateway_url": f"ws://127.0.0.1:{port}/",
        "application": {"id": str(application_id), "flags": 0},
    }
