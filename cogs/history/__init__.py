"""`/history` and `/show`: a user's earlier pictures."""

from bot.client import RedrawBot
from cogs.history._cog import History
from cogs.history._page import PageButton
from cogs.history._show import Show


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(PageButton, Show)
    await bot.add_cog(History(bot))
