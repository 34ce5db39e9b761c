"""`/defaults`."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name
from cogs.defaults._panel import draw_panel
from cogs.shared.open_button import OpenAction, Target


class Defaults(commands.Cog):
    """`/defaults` shows the user's defaults and lets them change each."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("defaults.command"),
        description=localized_name("defaults.description"),
    )
    async def defaults(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Reply with the panel."""
        await _reply(interaction)


class OpenDefaults(OpenAction):
    """Reply with the panel, for the button of `/help`."""

    target = Target.DEFAULTS

    async def act(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Reply with the panel."""
        await _reply(interaction)


async def _reply(interaction: discord.Interaction[RedrawBot]) -> None:
    services = interaction.client.services
    defaults = await services.store.user_defaults.of(interaction.user.id)
    view = draw_panel(services, defaults, str(interaction.locale))
    await interaction.response.send_message(view=view, ephemeral=True)
