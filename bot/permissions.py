"""What the bot must be allowed in a channel, found out before anything is made."""

from __future__ import annotations

import discord

from bot.errors import RequestError


class MissingPermissions(RequestError):
    """Found before anything is made, not after."""

    text = "I am not allowed to answer here: in this channel I need {permissions}."


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
        names = ", ".join(name.replace("_", " ").title() for name in missing)
        raise MissingPermissions(permissions=names)
