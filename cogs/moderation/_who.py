"""Who acts with a command, and whether they may."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.client import RedrawBot
from bot.moderation.actions import Moderator
from bot.moderation.model import EVERYWHERE
from cogs.moderation._errors import NotModerator, NotOperator
from cogs.shared.errors import NotManager

Interaction = discord.Interaction[RedrawBot]


def check_moderator(interaction: discord.Interaction[Any]) -> None:
    """Let members with Manage Messages in the whole server go on.

    What moderation's commands and buttons do holds in every channel of the server, and Discord also
    lets a member pass who has the permission in one channel only, by an overwrite.

    Raises:
        NotModerator: anybody else.
    """
    member = interaction.user
    if not isinstance(member, discord.Member) or not member.guild_permissions.manage_messages:
        raise NotModerator


class ModeratorsOnly:
    """Mixin of a cog or a group of commands: all of them are for moderators."""

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Called by discord.py before each command."""
        try:
            check_moderator(interaction)
        except NotModerator as error:
            # Only errors of this kind reach the tree's handler from here.
            assert isinstance(interaction.command, app_commands.Command)
            raise app_commands.CommandInvokeError(interaction.command, error) from error
        return True


async def moderator(
    interaction: Interaction, *, everywhere: bool = False, manager: bool = False
) -> Moderator:
    """The member as a moderator of this server, or of every server.

    Raises:
        NotOperator: `everywhere`, and the user does not own the application.
        NotManager: `manager`, and the member lacks Manage Server.
    """
    assert interaction.guild_id is not None
    if everywhere:
        if not await interaction.client.is_owner(interaction.user):
            raise NotOperator
        return Moderator(EVERYWHERE, interaction.user.id)
    if manager and not interaction.permissions.manage_guild:
        raise NotManager
    return Moderator(interaction.guild_id, interaction.user.id)
