"""Who acts with a command, and whether they may."""

from __future__ import annotations

from typing import Any

import discord

from bot.client import RedrawBot
from bot.moderation.actions import Moderator
from bot.moderation.model import EVERYWHERE
from cogs.moderation._errors import NotModerator, NotOperator
from cogs.shared.errors import NotManager
from cogs.shared.guard import CheckedCommands

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


class ModeratorsOnly(CheckedCommands):
    """All commands are for moderators."""

    async def check_access(self, interaction: discord.Interaction[Any]) -> None:
        """See `CheckedCommands`."""
        check_moderator(interaction)


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
