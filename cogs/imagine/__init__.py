"""Drawing from text: `/imagine`."""

from bot.client import RedrawBot
from cogs.imagine._cog import Imagine
from cogs.requests.tasks import offered_tasks


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded. Adds nothing if no configured model draws
    from text."""
    if "text2img" in offered_tasks(bot.services):
        await bot.add_cog(Imagine(bot))
