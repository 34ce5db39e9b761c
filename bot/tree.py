"""The command tree, and the one handler that turns errors into replies."""

from __future__ import annotations

import logging

import discord
from discord import app_commands

from bot.errors import PersonError, Unexpected
from bot.jobs.job import new_job_id
from bot.words import say_error

log = logging.getLogger(__name__)


async def tell(interaction: discord.Interaction[discord.Client], sentence: str) -> None:
    """Say one sentence to the person alone, whatever the interaction has been answered so far."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)


async def _take_back(interaction: discord.Interaction[discord.Client]) -> None:
    """Nothing of a mistake stays in the channel.

    The first follow-up after deferring takes the deferred message's place, and with it that all
    may see it; so the message is first made an ordinary one, then deleted.
    """
    await interaction.edit_original_response(content="…")
    await interaction.delete_original_response()


async def answer_error(interaction: discord.Interaction[discord.Client], error: Exception) -> None:
    """Tell the person what happened: an expected error its sentence, a bug a reference."""
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original if isinstance(error.original, Exception) else error
    if not isinstance(error, PersonError):
        reference = new_job_id()
        log.error("unexpected error, reference %s", reference, exc_info=error)
        error = Unexpected(reference=reference)
    try:
        if interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await _take_back(interaction)
        await tell(interaction, say_error(interaction.locale, error))
    except discord.HTTPException as gone:
        log.warning("an error could not be told: %s (said: %s)", gone, error)


class RedrawTree(app_commands.CommandTree[discord.Client]):
    """Errors of every command end in `answer_error`."""

    async def on_error(
        self,
        interaction: discord.Interaction[discord.Client],
        error: app_commands.AppCommandError,
        /,
    ) -> None:
        """Called by discord.py for whatever a command raised."""
        await answer_error(interaction, error)
