"""`/history`, `/favourites` and `/show`: earlier pictures."""

from bot.client import RedrawBot
from cogs.history._cog import History, OpenHistory
from cogs.history._favourite import Favourite
from cogs.history._page import TurnPage
from cogs.history._show import Back, Related, Show


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(TurnPage, Show, Favourite, OpenHistory, Back, Related)
    await bot.add_cog(History(bot))
