"""`/settings gallery`: the channel in which users can share their pictures."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name, translate
from bot.replies import reply_privately


@app_commands.default_permissions(manage_guild=True)
@app_commands.guild_only()
class Settings(
    commands.GroupCog,
    group_name=localized_name("settings.command"),
    group_description=localized_name("settings.description"),
):
    """`/settings`, for members with Manage Server."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("settings.gallery.command"),
        description=localized_name("settings.gallery.description"),
    )
    @app_commands.describe(channel=localized_name("settings.gallery.option.channel"))
    async def gallery(
        self,
        interaction: discord.Interaction[RedrawBot],
        channel: discord.TextChannel | None = None,
    ) -> None:
        """Set the gallery's channel, or none."""
        assert interaction.guild_id is not None
        chosen = channel.id if channel else None
        await self.bot.services.store.guild_settings.set_gallery(interaction.guild_id, chosen)
        sentence = (
            translate(interaction.locale, "settings.gallery.set", channel=channel.mention)
            if channel
            else translate(interaction.locale, "settings.gallery.unset")
        )
        await reply_privately(interaction, sentence)
