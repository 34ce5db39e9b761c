"""The guard of buttons that post a stored job again, for the readers of a channel."""

from __future__ import annotations

import discord

from bot.client import RedrawBot
from bot.permissions import check_permissions
from cogs.requests.terms import check_server_place
from cogs.shared.job_buttons import check_lists


async def check_posting(
    interaction: discord.Interaction[RedrawBot], *, in_gallery: bool = False
) -> None:
    """Check that the user may have the bot post from where they act. `in_gallery`: in another
    channel, so that the bot needs no permissions here.

    Slow mode, cool-downs and budgets are for requests and are not asked.

    Raises:
        NotInThisChannel, RoleNeeded: the server does not let the user use the bot here.
        MissingPermissions: the bot may not post pictures here.
        ModerationRefusal: the user may not use the bot here.
    """
    options = await interaction.client.services.store.guild_settings.options(interaction.guild_id)
    check_server_place(options, interaction.user, interaction.channel_id or 0, interaction.channel)
    if not in_gallery:
        check_permissions(interaction)
    await check_lists(interaction)
