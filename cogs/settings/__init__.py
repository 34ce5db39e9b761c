"""`/settings`: what the managers of a server can set."""

from bot.client import RedrawBot
from cogs.settings._cog import Settings


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Settings(bot))
