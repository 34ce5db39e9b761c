"""Short replies to an interaction in any state."""

from __future__ import annotations

import discord


async def reply_privately(interaction: discord.Interaction[discord.Client], sentence: str) -> None:
    """Reply with an ephemeral sentence, whether or not the interaction has been answered."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)


async def withdraw_public_reply(interaction: discord.Interaction[discord.Client]) -> None:
    """Remove the public "thinking…" message of a deferred interaction.

    The first follow-up after deferring replaces the deferred message and would be public, too; so
    the message is first edited and then deleted.
    """
    await interaction.edit_original_response(content="…")
    await interaction.delete_original_response()
