"""`/queue`, `/quota` and `/cancel`."""

from bot.client import RedrawBot
from cogs.queue._cog import Queue


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Queue(bot))
