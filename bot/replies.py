"""Sends short replies to an interaction, whatever its state."""

from __future__ import annotations

import discord


async def reply_privately(interaction: discord.Interaction[discord.Client], sentence: str) -> None:
    """Say one sentence to the person alone, whatever the interaction has been answered so far."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)


async def withdraw_public_reply(interaction: discord.Interaction[discord.Client]) -> None:
    """Nothing of a mistake stays in the channel.

    The first follow-up after deferring takes the deferred message's place, and with it that all
    may see it; so the message is first made an ordinary one, then deleted.
    """
    await interaction.edit_original_response(content="…")
    await interaction.delete_original_response()
