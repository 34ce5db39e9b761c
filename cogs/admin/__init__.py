"""`/admin`: commands for the application's owners."""

from bot.client import RedrawBot
from cogs.admin._cog import Admin


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Admin(bot))
