"""Redraw a picture: the ways to ask for it, what it looks like, and what its buttons do."""

from bot.client import RedrawBot
from cogs.img2img import actions as actions  # fills in what the buttons do
from cogs.img2img.command import Img2Img
from cogs.img2img.mention import Mention
from cogs.shared.job_buttons import JobButton


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(JobButton)
    await bot.add_cog(Img2Img(bot))
    await bot.add_cog(Mention(bot))
