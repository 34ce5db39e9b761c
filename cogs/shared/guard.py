"""Runs what a component does where the bot may work, and replies to its errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord

from bot.commands.allowed_places import check_place
from bot.commands.command_tree import handle_error


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
