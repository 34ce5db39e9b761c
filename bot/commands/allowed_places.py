"""Where the operator lets the bot work: in which servers, and in direct messages or not."""

from __future__ import annotations

from bot.config import Settings
from bot.errors import RequestError


class ServerNotAllowed(RequestError):
    """The server is not in `ALLOWED_GUILD_IDS`."""

    text = "This bot is not available in this server."


class DirectMessagesOff(RequestError):
    """`DIRECT_MESSAGES` is off."""

    text = "This bot does not work in direct messages. Please use it in a server."


def check_place(settings: Settings, guild_id: int | None) -> None:
    """Check that the operator lets the bot work in a server, or None for direct messages.

    Raises:
        ServerNotAllowed, DirectMessagesOff: it may not.
    """
    if guild_id is None:
        if settings.direct_messages == "off":
            raise DirectMessagesOff
    elif settings.allowed_guild_ids and guild_id not in settings.allowed_guild_ids:
        raise ServerNotAllowed
