"""What a user sees, as JSON for the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.cli.demo.simulation import Simulation

# Older messages are not shown: the demo is a short conversation.
SHOWN_MESSAGES = 60
EXCERPT_CHARACTERS = 80
# https://discord.com/developers/docs/components/reference#component-object-component-types
STRING_SELECT, ROLE_SELECT, CHANNEL_SELECT = 3, 6, 8
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
            for other in simulation.channels_of(user).values()
        },
        "messages": [_message(simulation, message, by_id) for message in messages],
    }


def server_view(simulation: Simulation) -> dict[str, Any]:
    """Channels, users with their direct messages, and the bot."""
    return {
        "bot": {"id": str(simulation.env.backend.bot_user.id), "name": "Redraw"},
        "channels": [
            {"id": str(channel.id), "name": channel.name}
            for channel in simulation.channels.values()
        ],
        "users": [
            {
                "id": str(user.id),
                "name": user.name,
                "direct": str(simulation.direct[user.id].id),
            }
            for user in simulation.users.values()
        ],
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
        "components": [
            _component(simulation, component.to_dict()) for component in message.components
        ],
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


def chosen(simulation: Simulation, values: Sequence[str]) -> list[Any]:
    """The values of a menu as the simulation takes them; see `_entity_menu`."""
    found: list[Any] = []
    for value in values:
        kind, _, id_ = value.partition(":")
        if kind == "channel" and id_.isdecimal():
            found.append(simulation.channels[int(id_)])
        elif kind == "role":
            found.append(simulation.env.guild.roles[id_])
        else:
            found.append(value)
    return found


def _component(simulation: Simulation, value: Any) -> Any:
    """A component with the addresses of uploaded files replaced by those of the page."""
    if isinstance(value, dict):
        if value.get("type") in (ROLE_SELECT, CHANNEL_SELECT):
            value = _entity_menu(simulation, value)
        return {
            key: page_url(item)
            if key == "url" and isinstance(item, str)
            else _component(simulation, item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_component(simulation, item) for item in value]
    return value


def _entity_menu(simulation: Simulation, menu: dict[str, Any]) -> dict[str, Any]:
    """A menu of channels or roles as one of texts. The page knows menus of that kind only."""
    selected = {str(default["id"]) for default in menu.get("default_values", [])}
    if menu["type"] == CHANNEL_SELECT:
        entities = [(f"channel:{c.id}", c.id, f"#{c.name}") for c in simulation.channels.values()]
    else:
        guild = simulation.env.guild
        entities = [
            (f"role:{name}", role.id, f"@{name}")
            for name, role in guild.roles.items()
            if role.id != guild.default_role.id
        ]
    options = [
        {"value": value, "label": label, "default": str(id_) in selected}
        for value, id_, label in entities
    ]
    most = min(menu.get("max_values", 1), len(options))
    return menu | {"type": STRING_SELECT, "options": options, "max_values": most}
