"""`/help`: what the bot can do, what it keeps, and who runs it."""

from bot.client import RedrawBot
from cogs.help._cog import Help


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Help(bot))
