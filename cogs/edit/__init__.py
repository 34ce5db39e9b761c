"""Editing pictures by instruction: `/edit` and "Edit this"."""

from bot.client import RedrawBot
from cogs.edit._cog import Edit
from cogs.requests.tasks import offered_tasks


async def setup(bot: RedrawBot) -> None:
    """Called by discord.py when the extension is loaded. Adds nothing if no configured model
    edits."""
    if "edit" in offered_tasks(bot.services):
        await bot.add_cog(Edit(bot))
