"""What a user sees, as JSON for the page."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.cli.demo.simulation import Simulation

# Older messages are not shown: the demo is a short conversation.
SHOWN_MESSAGES = 60
EXCERPT_CHARACTERS = 80
# simcord's address of an uploaded file; the server gives its content out under /files/.
_UPLOADED = re.compile(r"^https://cdn\.simcord\.invalid/attachments/(.+)$")


def channel_view(
    simulation: Simulation, user: MemberActor, channel: ChannelHandle
) -> dict[str, Any]:
    """The newest messages of a channel, as the user sees them, and each channel's newest message.

    Components keep the form of Discord's API:
    https://discord.com/developers/docs/components/reference
    """
    messages = simulation.history(user, channel)[-SHOWN_MESSAGES:]
    by_id = {message.id: message for message in messages}
    return {
        "user": str(user.id),
        "channel": str(channel.id),
        "newest": {
            str(other.id): str(history[-1].id)
            if (history := simulation.history(user, other))
            else "0"
            for other in simulation.channels.values()
        },
        "messages": [_message(simulation, message, by_id) for message in messages],
    }


def server_view(simulation: Simulation) -> dict[str, Any]:
    """Channels, users and the bot."""
    return {
        "bot": {"id": str(simulation.env.backend.bot_user.id), "name": "Redraw"},
        "channels": [
            {"id": str(channel.id), "name": channel.name}
            for channel in simulation.channels.values()
        ],
        "users": [{"id": str(user.id), "name": user.name} for user in simulation.users.values()],
    }


def page_url(url: str) -> str:
    """The address under which the page finds an uploaded file."""
    uploaded = _UPLOADED.match(url)
    return f"/files/{quote(uploaded[1])}" if uploaded else url


def _message(
    simulation: Simulation, message: discord.Message, by_id: dict[int, discord.Message]
) -> dict[str, Any]:
    metadata = message.interaction_metadata
    return {
        "id": str(message.id),
        "author": {
            "id": str(message.author.id),
            "name": message.author.display_name,
            "bot": message.author.bot,
        },
        "content": message.content,
        "at": message.created_at.isoformat(),
        "edited": message.edited_at is not None and not message.author.bot,
        "private": message.flags.ephemeral,
        "loading": message.flags.loading,
        "command": (
            {"user": metadata.user.display_name, "name": simulation.command_of(message)}
            if metadata
            else None
        ),
        "reply": _reply(message, by_id),
        "attachments": [
            {
                "name": attachment.filename,
                "url": page_url(attachment.url),
                "picture": (attachment.content_type or "").startswith("image/"),
                "alt": attachment.description or attachment.filename,
            }
            # In a message of components, these are shown where the components name them.
            for attachment in ([] if message.flags.components_v2 else message.attachments)
        ],
        "components": [_component(component.to_dict()) for component in message.components],
    }


def _reply(message: discord.Message, by_id: dict[int, discord.Message]) -> dict[str, Any] | None:
    if message.reference is None or message.reference.message_id is None:
        return None
    replied = by_id.get(message.reference.message_id)
    return {
        "id": str(message.reference.message_id),
        "author": replied.author.display_name if replied else None,
        "excerpt": replied.content[:EXCERPT_CHARACTERS] if replied else "",
    }


def _component(value: Any) -> Any:
    """A component with the addresses of uploaded files replaced by those of the page."""
    if isinstance(value, dict):
        return {
            key: page_url(item) if key == "url" and isinstance(item, str) else _component(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_component(item) for item in value]
    return value
