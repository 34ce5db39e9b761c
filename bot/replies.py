"""Short replies to an interaction in any state; refusals are retried as answers are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord

from bot.backoff import Backoff
from bot.delivery.error_policy import (
    BRIEF_RETRIES,
    ErrorAction,
    action_for,
    describe,
    retry_after,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
Interaction = discord.Interaction[Any]

# Between attempts, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
# How long the event of a new message is waited for before it is sent again, and the response after
# the event. discord.py repeats a request by itself after a second.
EVENT_SECONDS, RESPONSE_SECONDS = 2.0, 0.5
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
    says so.
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
            except discord.InteractionResponded:
                # It arrived, but the response to it could not be parsed.
                return
            except discord.HTTPException as error:
                if error.code != ALREADY_ACKNOWLEDGED:
                    raise
                # An earlier request arrived although its connection broke.
                await _replace_deferred(interaction, sentence, view)
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await _replace_deferred(interaction, sentence, view)
        else:
            await _follow_up(interaction, sentence, view)
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
        await _follow_up(interaction, sentence, view)
    except Exception as error:  # noqa: BLE001 - the error policy has no other route for it
        log.warning("an ephemeral refusal could not be sent: %s", describe(error))
        await _edit_as_bot(interaction, original, sentence)
        return
    await _retrying(interaction.delete_original_response)


async def _follow_up(interaction: Interaction, sentence: str, view: discord.ui.View) -> None:
    """Send an ephemeral follow-up, and send it again only if it did not arrive.

    A request may be carried out although its connection breaks, and Discord accepts no nonce for
    follow-ups (https://github.com/discord/discord-api-docs/pull/6647). But it sends the event of
    each new message to the bot that wrote it; for an ephemeral one, as that of a direct message
    (https://github.com/discord/discord-api-docs/issues/4557). After that event no request is sent.
    Where the event does not come, the sentence may be shown twice.
    """

    def is_sent(message: discord.Message) -> bool:
        about = message.interaction_metadata
        return about is not None and about.id == interaction.id and message.content == sentence

    arrival = asyncio.create_task(interaction.client.wait_for("message", check=is_sent))
    sending = asyncio.create_task(
        _retrying(
            lambda: interaction.followup.send(sentence, ephemeral=True, view=view),
            least_pause=EVENT_SECONDS,
        )
    )
    try:
        await asyncio.wait({arrival, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not arrival.done():
            await sending
            return
        # The response may still come.
        await asyncio.wait({sending}, timeout=RESPONSE_SECONDS)
        answered = sending.done() and sending.exception() is None
        if view is not discord.utils.MISSING and not answered:
            # Without the response, discord.py does not know the message of the button.
            sent = arrival.result().id
            await _retrying(lambda: interaction.followup.edit_message(sent, view=view))
    finally:
        for task in (arrival, sending):
            task.cancel()
        await asyncio.gather(arrival, sending, return_exceptions=True)


async def _edit_as_bot(
    interaction: Interaction, original: discord.InteractionMessage, sentence: str
) -> None:
    channel = interaction.client.get_partial_messageable(
        original.channel.id, guild_id=interaction.guild_id
    )
    message = channel.get_partial_message(original.id)
    await _retrying(lambda: message.edit(content=sentence))


async def _retrying(request: Callable[[], Awaitable[T]], *, least_pause: float = 0.0) -> T:
    """Repeat a request as the error policy says. Pauses are at least `least_pause` seconds.

    Raises:
        Exception: an error that is not temporary, or one that lasts.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    began = time.monotonic()
    unparsed = 0
    while True:
        try:
            return await request()
        except discord.InteractionResponded:
            raise
        except Exception as error:
            action = action_for(error, as_bot=False)
            unparsed += action is ErrorAction.RETRY_BRIEFLY
            brief = action is ErrorAction.RETRY_BRIEFLY and unparsed <= BRIEF_RETRIES
            temporary = action is ErrorAction.RETRY or brief
            if not temporary or time.monotonic() - began > GIVE_UP_SECONDS:
                raise
            await asyncio.sleep(max(backoff.next(), retry_after(error), least_pause))
