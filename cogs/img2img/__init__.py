"""Redraw a picture: the command, its sources, its looks and its buttons."""

from bot.client import RedrawBot
from cogs.img2img.buttons import CancelButton
from cogs.img2img.command import Img2Img


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(CancelButton)
    await bot.add_cog(Img2Img(bot))
