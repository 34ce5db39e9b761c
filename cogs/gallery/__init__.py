"""`/settings gallery` and the Share button."""

from bot.client import RedrawBot
from cogs.gallery._cog import Settings


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Settings(bot))
