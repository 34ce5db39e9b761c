"""The bot's permissions: their names, the check before a reply, and the invite link."""

from __future__ import annotations

from collections.abc import Iterable

import discord

from bot.errors import RequestError

# Only what the commands need; `python -m bot check` and the README list them.
PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    embed_links=True,
    read_message_history=True,
)


class MissingPermissions(RequestError):
    """The bot lacks permissions in this channel; found before the request is accepted."""

    text = "I am not allowed to reply here. In this channel I need {permissions}."


def permission_names(names: Iterable[str]) -> str:
    """discord.py's names as in Discord's settings: `View Channels, Attach Files`."""
    # Iterating over permissions gives the older name of this one.
    return ", ".join(
        "View Channels"
        if name == "read_messages"
        else name.replace("_", " ").title().replace(" In ", " in ")
        for name in names
    )


def check_permissions(interaction: discord.Interaction[discord.Client]) -> None:
    """Check that the bot can answer in this channel.

    A command that the user installed for themselves works in servers without the bot, too. Replies
    to its interactions need neither View Channel nor Send Messages there.

    Raises:
        MissingPermissions: it cannot.
    """
    if interaction.guild_id is None:
        return
    allowed = interaction.app_permissions
    thread = isinstance(interaction.channel, discord.Thread)
    send = "send_messages_in_threads" if thread else "send_messages"
    needed = ["view_channel", send, "attach_files"]
    if interaction.is_user_integration() and not interaction.is_guild_integration():
        needed = ["attach_files"]
    missing = [name for name in needed if not getattr(allowed, name)]
    if missing:
        raise MissingPermissions(permissions=permission_names(missing))


def check_can_post(channel: discord.abc.GuildChannel) -> None:
    """Check that the bot can post files in a channel of a server.

    Raises:
        MissingPermissions: it cannot.
    """
    allowed = channel.permissions_for(channel.guild.me)
    needed = ("view_channel", "send_messages", "attach_files")
    missing = [name for name in needed if not getattr(allowed, name)]
    if missing:
        raise MissingPermissions(permissions=permission_names(missing))


def invite_link(application_id: int | str) -> str:
    """The URL that adds the bot to a server with the permissions that it needs."""
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )
