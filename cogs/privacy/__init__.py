"""`/privacy export` and `/privacy delete`."""

from bot.client import RedrawBot
from cogs.privacy._cog import Privacy


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Privacy(bot))
