"""`/defaults`: a user's own defaults for requests."""

from bot.client import RedrawBot
from cogs.defaults._cog import Defaults, OpenDefaults
from cogs.defaults._notify import Notify
from cogs.defaults._panel import DefaultMenu


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(DefaultMenu, Notify, OpenDefaults)
    await bot.add_cog(Defaults(bot))
