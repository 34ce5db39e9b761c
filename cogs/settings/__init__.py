"""`/settings`: what the managers of a server can set."""

from bot.client import RedrawBot
from cogs.settings._cog import Settings
from cogs.settings._panel import SettingsItem


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(SettingsItem)
    await bot.add_cog(Settings(bot))
