"""Short replies to an interaction in any state; refusals are retried as answers are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord

from bot.backoff import Backoff
from bot.delivery.error_policy import ErrorAction, action_for, describe, retry_after

log = logging.getLogger(__name__)

T = TypeVar("T")
Interaction = discord.Interaction[Any]

# Between attempts, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
# An interaction token is valid for 15 minutes.
GIVE_UP_SECONDS = 15 * 60.0
# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
ALREADY_ACKNOWLEDGED = 40060


async def reply_privately(interaction: Interaction, sentence: str) -> None:
    """Reply with an ephemeral sentence, whether or not the interaction has been answered."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)


async def refuse(
    interaction: Interaction, sentence: str, button: discord.ui.Button[Any] | None = None
) -> None:
    """Reply with an ephemeral sentence, and perhaps a button, in place of the answer.

    Broken connections and Discord's temporary errors are retried. If no reply is possible, the log
    says so. A follow-up that arrived although its connection broke is sent again, so that the user
    may see it twice: Discord accepts a nonce for the messages of a bot, but not for follow-ups
    (https://discord.com/developers/docs/resources/webhook#execute-webhook).
    """
    view: discord.ui.View = discord.utils.MISSING
    if button is not None:
        # discord.py keeps a button that it dispatches itself for as long as the reply can be used.
        view = discord.ui.View(timeout=GIVE_UP_SECONDS if button.is_dispatchable() else None)
        view.add_item(button)
    try:
        if not interaction.response.is_done():
            try:
                await _retrying(
                    lambda: interaction.response.send_message(sentence, ephemeral=True, view=view)
                )
            except discord.HTTPException as error:
                if error.code != ALREADY_ACKNOWLEDGED:
                    raise
                # An earlier request arrived although its connection broke.
                await _replace_deferred(interaction, sentence, view)
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await _replace_deferred(interaction, sentence, view)
        else:
            await _retrying(lambda: interaction.followup.send(sentence, ephemeral=True, view=view))
    except Exception as error:  # noqa: BLE001 - nothing is left to try
        log.warning("a refusal could not be sent: %s (it was: %s)", describe(error), sentence)


async def _replace_deferred(interaction: Interaction, sentence: str, view: discord.ui.View) -> None:
    """Replace the "thinking…" message.

    The first follow-up after deferring takes that message's place, and its visibility. A public one
    is therefore edited first and deleted last; if no ephemeral reply is possible, it holds the
    sentence.
    """
    original = await _retrying(lambda: interaction.edit_original_response(content="…"))
    if original.flags.ephemeral:
        await _retrying(lambda: interaction.edit_original_response(content=sentence, view=view))
        return
    try:
        await _retrying(lambda: interaction.followup.send(sentence, ephemeral=True, view=view))
    except Exception as error:  # noqa: BLE001 - the error policy has no other route for it
        log.warning("an ephemeral refusal could not be sent: %s", describe(error))
        await _edit_as_bot(interaction, original, sentence)
        return
    await _retrying(interaction.delete_original_response)


async def _edit_as_bot(
    interaction: Interaction, original: discord.InteractionMessage, sentence: str
) -> None:
    channel = interaction.client.get_partial_messageable(
        original.channel.id, guild_id=interaction.guild_id
    )
    message = channel.get_partial_message(original.id)
    await _retrying(lambda: message.edit(content=sentence))


async def _retrying(request: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request as the error policy says.

    Raises:
        Exception: an error that is not temporary, or one that lasts.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    began = time.monotonic()
    while True:
        try:
            return await request()
        except Exception as error:
            temporary = action_for(error, as_bot=False) in (
                ErrorAction.RETRY,
                ErrorAction.RETRY_BRIEFLY,
            )
            if not temporary or time.monotonic() - began > GIVE_UP_SECONDS:
                raise
            await asyncio.sleep(max(backoff.next(), retry_after(error)))
