"""Checks of `/settings`: the member's permission Manage Server, and the bot's permissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from bot.permissions import check_can_post
from cogs.shared.errors import NotManager
from cogs.shared.guard import CheckedCommands


def check_manager(interaction: discord.Interaction[Any]) -> discord.Guild:
    """Let members with Manage Server go on; returns their server.

    Raises:
        NotManager: the user is none of them.
    """
    member, guild = interaction.user, interaction.guild
    allowed = isinstance(member, discord.Member) and member.guild_permissions.manage_guild
    if not allowed or guild is None:
        raise NotManager
    return guild


def channel_to_post_in(guild: discord.Guild, values: Sequence[str]) -> int | None:
    """The chosen channel, in which the bot will post; None if none is chosen.

    Raises:
        MissingPermissions: the bot could not post there.
    """
    channel = guild.get_channel(int(values[0])) if values else None
    if channel is None:
        return None
    check_can_post(channel)
    return channel.id


class ManagersOnly(CheckedCommands):
    """All commands are for managers of the server."""

    async def check_access(self, interaction: discord.Interaction[Any]) -> None:
        """See `CheckedCommands`."""
        check_manager(interaction)
