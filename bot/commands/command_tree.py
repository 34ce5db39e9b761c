"""The command tree and the error handler that turns errors into replies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import discord
from discord import app_commands

from bot.errors import RequestError, Unexpected, UserError
from bot.i18n.error_text import translate_error
from bot.jobs.job import new_job_id
from bot.moderation.appeal_button import appeal_button
from bot.replies import refuse

log = logging.getLogger(__name__)


class CommandNotOffered(RequestError):
    """Discord's client still showed a command that the bot no longer has, or has changed."""

    text = "This command is no longer available here. Type `/` to see the commands."


async def handle_error(
    interaction: discord.Interaction[Any],
    error: Exception,
    button: discord.ui.Button[Any] | None = None,
) -> None:
    """Reply to an error: an expected one with its sentence, a bug with a reference to the log.

    The reply has the `button`, unless the error can be appealed. The interaction's client is a
    `RedrawBot`, which this module cannot import: it uses the tree.
    """
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        error = CommandNotOffered()
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original if isinstance(error.original, Exception) else error
    if not isinstance(error, UserError):
        reference = new_job_id()
        log.error("unexpected error, reference %s", reference, exc_info=error)
        error = Unexpected(reference=reference)
    interaction.client.metrics.request_refused(error)
    sentence = translate_error(interaction.locale, error)
    await refuse(interaction, sentence, appeal_button(error, str(interaction.locale)) or button)


class RedrawTree(app_commands.CommandTree[discord.Client]):
    """Passes the errors of every command to `handle_error`.

    `check_place` raises a `UserError` for a server, or None for direct messages, where the operator
    does not let the bot work.
    """

    check_place: Callable[[int | None], None]

    async def interaction_check(self, interaction: discord.Interaction[discord.Client], /) -> bool:
        """discord.py calls this before every command and autocompletion."""
        try:
            self.check_place(interaction.guild_id)
        except UserError as error:
            if interaction.type is not discord.InteractionType.autocomplete:
                await handle_error(interaction, error)
            return False
        return True

    async def on_error(
        self,
        interaction: discord.Interaction[discord.Client],
        error: app_commands.AppCommandError,
        /,
    ) -> None:
        """discord.py calls this with the error of a command."""
        await handle_error(interaction, error)
