"""What the bot must be allowed: its names, and whether a channel allows it."""

from __future__ import annotations

from collections.abc import Iterable

import discord

from bot.errors import RequestError


class MissingPermissions(RequestError):
    """Found before anything is made, not after."""

    text = "I am not allowed to answer here: in this channel I need {permissions}."


def in_discords_words(names: Iterable[str]) -> str:
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
        raise MissingPermissions(permissions=in_discords_words(missing))
