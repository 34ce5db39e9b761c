"""Shows the state of the model as the bot's activity in Discord until the model is ready."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import discord

from inference import InferenceService, ServiceState

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


async def show_state(client: discord.Client, service: InferenceService) -> None:
    """Update the bot's activity when the state of the model changes; runs until cancelled."""
    await client.wait_until_ready()
    shown: str | None = None
    while True:
        status = service.status
        text = "" if status.state is ServiceState.READY else status.detail
        if text != shown:
            try:
                await client.change_presence(
                    status=discord.Status.idle if text else discord.Status.online,
                    # Discord shows at most 128 characters of a custom status.
                    activity=discord.CustomActivity(text[:128]) if text else None,
                )
                shown = text
            except (aiohttp.ClientError, OSError) as error:
                # The gateway's socket is closed, and discord.py is reconnecting.
                log.debug("the activity could not be changed: %s", type(error).__name__)
        await asyncio.sleep(POLL_SECONDS)
