"""The gallery: *Share* posts a result in the server's gallery, *Remove* deletes it there."""

from bot.client import RedrawBot
from cogs.gallery._buttons import Remove, Share


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(Share, Remove)
