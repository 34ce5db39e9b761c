"""Guards of components and commands: where the bot may work, who may act, and replies to errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands

from bot.commands.allowed_places import check_place
from bot.commands.command_tree import handle_error
from bot.errors import UserError


async def run_guarded(
    interaction: discord.Interaction[Any],
    action: Callable[[discord.Interaction[Any]], Awaitable[None]],
    *,
    anywhere: bool = False,
) -> None:
    """Run the action of a button or menu; an error becomes a reply, as with commands.

    `anywhere`: also in a server or direct message where the operator does not let the bot work.
    """
    try:
        if not anywhere:
            check_place(interaction.client.services.settings, interaction.guild_id)
        await action(interaction)
    except Exception as error:  # noqa: BLE001 - the one handler decides what the user reads
        await handle_error(interaction, error)


class CheckedCommands:
    """Mixin of a cog or a group of commands: `check_access` decides who may use all of them."""

    async def check_access(self, interaction: discord.Interaction[Any]) -> None:
        """Check the user of a command.

        Raises:
            UserError: the user may not use it.
        """
        raise NotImplementedError

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Called by discord.py before each command."""
        try:
            await self.check_access(interaction)
        except UserError as error:
            # Only errors of this kind reach the tree's handler from here.
            assert isinstance(interaction.command, app_commands.Command)
            raise app_commands.CommandInvokeError(interaction.command, error) from error
        return True
