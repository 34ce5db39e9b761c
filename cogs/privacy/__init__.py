"""`/privacy export` and `/privacy delete`."""

from bot.client import RedrawBot
from cogs.privacy._cog import Privacy
from cogs.privacy._delete import EraseButton


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(EraseButton)
    await bot.add_cog(Privacy(bot))
