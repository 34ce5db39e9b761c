"""`/moderation set`: the log's channel, the thresholds, and slow mode."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.i18n.translate import localized_name, translate
from bot.permissions import check_can_post
from bot.replies import reply_privately
from cogs.moderation._who import Interaction, ModeratorsOnly, moderator
from cogs.shared.commands import command

# Discord's own slow mode ends at six hours, too.
MAX_SLOW_SECONDS = 6 * 3600


class PolicyGroup(ModeratorsOnly, app_commands.Group):
    """For members with Manage Server."""

    def __init__(self) -> None:
        super().__init__(
            name=localized_name("moderation.set.command"),
            description=localized_name("moderation.set.description"),
        )

    @command("moderation", "set.log", "channel", "every_picture")
    async def log(
        self,
        interaction: Interaction,
        channel: discord.TextChannel | None = None,
        every_picture: bool = False,
    ) -> None:
        """Choose the log's channel, or none.

        Raises:
            MissingPermissions: the bot could not post there.
        """
        if channel is not None:
            check_can_post(channel)
        await _change(
            interaction,
            "moderation.set.log.done" if channel else "moderation.set.log.off",
            log_channel_id=channel.id if channel else None,
            log_pictures=every_picture,
        )

    @command("moderation", "set.thresholds", "ordinary", "age_restricted")
    async def thresholds(
        self,
        interaction: Interaction,
        ordinary: Range[float, 0.0, 1.0] | None = None,
        age_restricted: Range[float, 0.0, 1.0] | None = None,
    ) -> None:
        """Set both thresholds; what is left out becomes the operator's default."""
        await _change(
            interaction,
            "moderation.set.done",
            threshold=ordinary,
            age_restricted_threshold=age_restricted,
        )

    @command("moderation", "set.slow_mode", "seconds")
    async def slow_mode(
        self, interaction: Interaction, seconds: Range[int, 0, MAX_SLOW_SECONDS]
    ) -> None:
        """Set the time between two requests of a user; 0 turns it off."""
        await _change(interaction, "moderation.set.done", slow_mode_seconds=seconds)


async def _change(interaction: Interaction, sentence: str, **changes: Any) -> None:
    by = await moderator(interaction, manager=True)
    services = interaction.client.services
    await services.moderator_actions.change_policy(by, **changes)
    await reply_privately(interaction, translate(interaction.locale, sentence))
