"""Redrawing a picture: `/img2img`, "Redraw this", mentions, and the buttons of a result."""

from bot.client import RedrawBot
from cogs.img2img._buttons import BUTTONS
from cogs.img2img._cog import Img2Img
from cogs.img2img._delete_reaction import DeleteReaction
from cogs.img2img._mention import Mention
from cogs.img2img._try import TrySample, TryUpload
from cogs.requests.tasks import offered_tasks


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded. The commands are offered if a configured
    model redraws pictures; the buttons and mentions also serve the other tasks."""
    bot.add_dynamic_items(*BUTTONS, TrySample, TryUpload)
    if "img2img" in offered_tasks(bot.services):
        await bot.add_cog(Img2Img(bot))
    await bot.add_cog(Mention(bot))
    await bot.add_cog(DeleteReaction(bot))
