"""`/help`: the bot's functions, the stored data, and the operator."""

from bot.client import RedrawBot
from cogs.help._cog import Help


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Help(bot))
