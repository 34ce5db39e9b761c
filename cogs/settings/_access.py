"""`/settings` is for members with Manage Server."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from cogs.shared.errors import NotManager


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


class ManagersOnly:
    """Mixin of a cog: all of its commands are for managers of the server."""

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Called by discord.py before each command."""
        try:
            check_manager(interaction)
        except NotManager as error:
            # Only errors of this kind reach the tree's handler from here.
            assert isinstance(interaction.command, app_commands.Command)
            raise app_commands.CommandInvokeError(interaction.command, error) from error
        return True
