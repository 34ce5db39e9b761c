"""What the bot must be allowed: its names, and whether a channel allows it."""

from __future__ import annotations

from collections.abc import Iterable

import discord

from bot.errors import RequestError

# What the commands need and nothing more; `python -m bot check` and the README spell them out.
PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    embed_links=True,
    read_message_history=True,
)


class MissingPermissions(RequestError):
    """Found before anything is made, not after."""

    text = "I am not allowed to answer here: in this channel I need {permissions}."


def permission_names(names: Iterable[str]) -> str:
    """discord.py's names as Discord's settings have them: `View Channels, Attach Files`."""
    # Iterating over permissions gives this one's older name.
    return ", ".join(
        "View Channels"
        if name == "read_messages"
        else name.replace("_", " ").title().replace(" In ", " in ")
        for name in names
    )


def check_permissions(interaction: discord.Interaction[discord.Client]) -> None:
    """Refuse now what could not be answered later.

    Raises:
        MissingPermissions: the bot lacks something in this channel.
    """
    if interaction.guild_id is None:
        return
    allowed = interaction.app_permissions
    thread = isinstance(interaction.channel, discord.Thread)
    send = "send_messages_in_threads" if thread else "send_messages"
    missing = [
        name for name in ("view_channel", send, "attach_files") if not getattr(allowed, name)
    ]
    if missing:
        raise MissingPermissions(permissions=permission_names(missing))


def invite_link(application_id: int | str) -> str:
    """The address that adds the bot to a server with just the permissions it needs."""
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )
