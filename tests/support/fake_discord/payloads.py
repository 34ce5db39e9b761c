"""Interactions, messages and applications as JSON: https://discord.com/developers/docs/reference"""

from __future__ import annotations

import mimetypes
from typing import Any

from tests.support.fake_discord.guild_payloads import (
    channel_payload,
    dm_payload,
    member_payload,
    timestamp,
    user_payload,
)
from tests.support.fake_discord.objects import Interaction, Message
from tests.support.fake_discord.state import DiscordState

ATTACHMENT = 11
OPTION_TYPES: dict[type, int] = {str: 3, int: 4, bool: 5, float: 10, bytes: ATTACHMENT}
# Of attachment links: https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
SIGNATURE = "9f" * 32
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
            url = f"http://127.0.0.1:{port}/cdn/{key}?ex=65&is=64&hm={SIGNATURE}"
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
            "authorizing_integration_owners": (
                {"1": str(interaction.user_id)} if private else {"0": "0"}
            ),
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
        "channel": channel_payload(channel) | {"permissions": str(members)},
        "member": member_payload(guild, interaction.user_id) | {"permissions": str(members)},
        "app_permissions": str(bots if installed else USER_INSTALL_PERMISSIONS),
        "authorizing_integration_owners": (
            {"0": str(guild.id)} if installed else {"1": str(interaction.user_id)}
        ),
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


def sees_content(state: DiscordState, message: Message, bot_id: int) -> bool:
    """Whether a bot gets the content of a message.

    https://discord.com/developers/docs/events/gateway#message-content-intent
    """
    return (
        bot_id in state.content_intent
        or message.author_id == bot_id
        or bot_id in message.mentions
        or message.channel_id in state.dm_channels
    )


def message_payload(state: DiscordState, message: Message, bot_id: int) -> dict[str, Any]:
    """A message object as that bot gets it, without content where the intent is missing."""
    payload = full_message_payload(state, message)
    if message.replied_to is not None:
        replied = state.messages[message.replied_to]
        payload["message_reference"] = {
            "type": 0,
            "message_id": str(replied.id),
            "channel_id": str(replied.channel_id),
        }
        payload["referenced_message"] = (
            None if replied.deleted else message_payload(state, replied, bot_id)
        )
    if not sees_content(state, message, bot_id):
        payload |= {"content": "", "embeds": [], "attachments": [], "components": []}
        # The documents do not name snapshots; they hold the same fields, so the same rule is used.
        for snapshot in payload.get("message_snapshots", []):
            snapshot["message"] |= {"content": "", "embeds": [], "attachments": []}
    return payload


def full_message_payload(state: DiscordState, message: Message) -> dict[str, Any]:
    """A message object with its content: the target of a context menu command."""
    guild = state.guild_of(message.channel_id)
    bots = {role.bot_id for role in guild.roles.values()} if guild else set()
    payload = {
        "id": str(message.id),
        "channel_id": str(message.channel_id),
        "author": user_payload(message.author_id, bot=message.author_id in bots),
        "content": message.content,
        "timestamp": timestamp(message.created_at),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [user_payload(user, bot=user in bots) for user in message.mentions],
        "mention_roles": [str(role) for role in message.mention_roles],
        "attachments": [
            attachment_payload(state, message, number, name)
            for number, name in enumerate(message.files)
        ],
        "embeds": message.embeds,
        "pinned": False,
        "type": message.type,
        "flags": message.flags,
        "components": message.components,
    }
    if message.stickers:
        payload["sticker_items"] = message.stickers
    if message.snapshots:
        payload["message_snapshots"] = [{"message": dict(one)} for one in message.snapshots]
        payload["message_reference"] = {"type": 1, "message_id": "1", "channel_id": "1"}
    return payload


def attachment_payload(
    state: DiscordState, message: Message, number: int, name: str
) -> dict[str, Any]:
    """An attachment object."""
    url = f"{state.cdn}/attachments/{message.channel_id}/{message.id}/{name}"
    payload = {
        "id": str(number),
        "filename": name,
        "size": len(message.files[name]),
        "url": url,
        "proxy_url": url,
    }
    if name not in message.untyped and (kind := mimetypes.guess_type(name)[0]):
        payload["content_type"] = kind
    return payload
