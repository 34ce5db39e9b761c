"""Who acts with a command, and whether they may."""

from __future__ import annotations

import discord

from bot.client import RedrawBot
from bot.moderation.actions import Moderator
from bot.moderation.model import EVERYWHERE
from cogs.moderation._errors import NotManager, NotOperator

Interaction = discord.Interaction[RedrawBot]


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
