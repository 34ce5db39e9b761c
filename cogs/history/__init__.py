"""`/history` and `/show`."""

from bot.client import RedrawBot
from cogs.history._cog import History, PageButton


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(PageButton)
    await bot.add_cog(History(bot))
