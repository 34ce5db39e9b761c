"""`/settings` is for members with Manage Server."""

from __future__ import annotations

from typing import Any

import discord

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


class ManagersOnly(CheckedCommands):
    """All commands are for managers of the server."""

    async def check_access(self, interaction: discord.Interaction[Any]) -> None:
        """See `CheckedCommands`."""
        check_manager(interaction)
