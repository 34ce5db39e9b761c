"""Messages as JSON, with the fields of recorded messages.

The fields, their types and where they are missing are those of messages that other projects have
recorded from Discord; `tests/unit/support/fake_discord/test_recorded_fields.py` names the sources.
"""

from __future__ import annotations

import io
import mimetypes
from typing import Any

from PIL import Image

from tests.support.fake_discord.guild_payloads import timestamp, user_payload
from tests.support.fake_discord.objects import Interaction, Message
from tests.support.fake_discord.state import DiscordState
from tests.support.fake_discord.validation import (
    CONTAINER,
    FILE,
    MEDIA_GALLERY,
    THUMBNAIL,
    Component,
)

# Of attachment links: https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
SIGNATURE = "9f" * 32
SIGNED = f"?ex=69012345&is=68ffd1c5&hm={SIGNATURE}&"
COMMAND, COMPONENT = 2, 3
LOADED = 2
# In the message that a reply refers to, snapshots have fewer fields.
# https://github.com/discord/discord-api-docs/issues/7814
SNAPSHOT_FIELDS_IN_REPLIES = (
    "attachments",
    "content",
    "edited_timestamp",
    "embeds",
    "flags",
    "timestamp",
)


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
        if guild := state.guild_of(replied.channel_id):
            payload["message_reference"]["guild_id"] = str(guild.id)
        payload["referenced_message"] = (
            None if replied.deleted else _referenced(state, replied, bot_id)
        )
    return _stripped(state, message, payload, bot_id)


def _referenced(state: DiscordState, message: Message, bot_id: int) -> dict[str, Any]:
    """The message that another one replies to, without the one that it replies to itself."""
    payload = full_message_payload(state, message)
    for snapshot in payload.get("message_snapshots", []):
        kept = snapshot["message"].items()
        snapshot["message"] = {k: v for k, v in kept if k in SNAPSHOT_FIELDS_IN_REPLIES}
    return _stripped(state, message, payload, bot_id)


def _stripped(
    state: DiscordState, message: Message, payload: dict[str, Any], bot_id: int
) -> dict[str, Any]:
    if not sees_content(state, message, bot_id):
        payload |= {"content": "", "embeds": [], "attachments": [], "components": []}
        # The documents do not name snapshots; they hold the same fields, so the same rule is used.
        for snapshot in payload.get("message_snapshots", []):
            snapshot["message"] |= {"content": "", "embeds": [], "attachments": []}
    return payload


def full_message_payload(state: DiscordState, message: Message) -> dict[str, Any]:
    """A message object with its content: the target of a context menu command."""
    bots = state.bots
    shown_by_components = _attachments_in(message.components)
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
            attachment_payload(state, message, name)
            for name in message.files
            if name not in shown_by_components
        ],
        "embeds": message.embeds,
        "pinned": False,
        "type": message.type,
        "flags": message.flags,
        "components": [resolved(state, message, component) for component in message.components],
    }
    if message.stickers:
        payload["sticker_items"] = message.stickers
    if message.snapshots:
        payload["message_snapshots"] = [{"message": dict(one)} for one in message.snapshots]
        payload["message_reference"] = {
            "type": 1,
            "message_id": "1",
            "channel_id": "1",
            "guild_id": "1",
        }
    if message.interaction is not None:
        payload |= _of_interaction(state, message, message.interaction)
    return payload


def _of_interaction(
    state: DiscordState, message: Message, interaction: Interaction
) -> dict[str, Any]:
    """The fields of a message that responds to an interaction."""
    metadata = {
        "id": str(interaction.id),
        "type": COMMAND if interaction.component_message_id is None else COMPONENT,
        "user": user_payload(interaction.user_id),
        "authorizing_integration_owners": integration_owners(state, interaction),
    }
    if interaction.message_id not in (None, message.id):
        metadata["original_response_message_id"] = str(interaction.message_id)
    application = str(interaction.application_id)
    return {
        "application_id": application,
        "webhook_id": application,
        "interaction_metadata": metadata,
    }


def integration_owners(state: DiscordState, interaction: Interaction) -> dict[str, str]:
    """By whom the application was added, where the interaction was used."""
    guild = state.guild_of(interaction.channel_id)
    if guild is not None and interaction.application_id in guild.member_roles:
        return {"0": str(guild.id)}
    if guild is None and interaction.channel_id not in state.private_channels:
        return {"0": "0"}
    return {"1": str(interaction.user_id)}


def attachment_payload(state: DiscordState, message: Message, name: str) -> dict[str, Any]:
    """An attachment object. Only pictures have dimensions."""
    media = _media(state, message, name)
    payload = {
        "id": media["id"],
        "filename": name,
        "size": len(message.files[name]),
        "url": media["url"],
        "proxy_url": media["proxy_url"],
        "content_scan_version": 1,
    }
    optional = ("width", "height", "placeholder", "placeholder_version", "content_type")
    return payload | {key: media[key] for key in optional if media[key] is not None}


def _media(state: DiscordState, message: Message, name: str) -> dict[str, Any]:
    """An uploaded file as a resolved media item of a component."""
    width, height = _size(message.files[name])
    url = f"{state.cdn}/attachments/{message.channel_id}/{message.id}/{name}{SIGNED}"
    typed = name not in message.untyped
    return {
        "id": str(message.id + 1 + list(message.files).index(name)),
        "url": url,
        "proxy_url": url,
        "width": width,
        "height": height,
        "placeholder": None if width is None else "GSkKFwQ7d3dgiXiHeKZXWJd2eL+Y94wK",
        "placeholder_version": None if width is None else 1,
        "content_scan_metadata": {"version": 1, "flags": 0},
        "content_type": mimetypes.guess_type(name)[0] if typed else None,
        "loading_state": LOADED,
        "flags": 0,
    }


def _size(data: bytes) -> tuple[int | None, int | None]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size
    except OSError:
        return None, None


def resolved(state: DiscordState, message: Message, component: Component) -> Component:
    """A component as Discord returns it: with defaults, and with media in place of file names."""
    shown = dict(component)
    if "components" in shown:
        shown["components"] = [resolved(state, message, one) for one in shown["components"]]
    if "accessory" in shown:
        shown["accessory"] = resolved(state, message, shown["accessory"])
    kind = shown["type"]
    if kind == CONTAINER:
        return {"accent_color": None, "spoiler": False} | shown
    if kind == MEDIA_GALLERY:
        shown["items"] = [_with_media(state, message, item) for item in shown["items"]]
    elif kind == THUMBNAIL:
        shown = _with_media(state, message, shown)
    elif kind == FILE:
        shown = _with_media(state, message, shown, "file")
    return shown


def _with_media(
    state: DiscordState, message: Message, item: dict[str, Any], key: str = "media"
) -> dict[str, Any]:
    name = item[key]["url"].removeprefix("attachment://")
    media = _media(state, message, name) if name in message.files else item[key]
    return {"description": None, "spoiler": False} | item | {key: media}


def _attachments_in(components: list[Component]) -> set[str]:
    """The names of files that components show; the message does not list them as attachments."""
    names = set()
    for component in components:
        items = component.get("items", [component])
        for item in items:
            media = item.get("media") or item.get("file") or {}
            names.add(media.get("url", "").removeprefix("attachment://"))
        accessory = [component["accessory"]] if "accessory" in component else []
        names |= _attachments_in([*component.get("components", []), *accessory])
    return names
