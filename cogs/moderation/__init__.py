"""`/moderation`, the moderation log's buttons, *Report* and *Appeal*."""

from bot.client import RedrawBot
from cogs.moderation._case_buttons import BUTTONS, Appeal
from cogs.moderation._cog import Moderation
from cogs.moderation._report import Report, ReportMenu


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.add_dynamic_items(*BUTTONS, Appeal, Report)
    await bot.add_cog(Moderation(bot))
    await bot.add_cog(ReportMenu(bot))
