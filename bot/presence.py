"""Shows the state of the model as the bot's activity in Discord until the model is ready."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import discord

from inference import InferenceService, ServiceState

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
# The gateway takes at most 5 changes in 20 seconds, and the progress of a download changes all the
# time: https://discord.com/developers/docs/events/gateway-events#update-presence
PROGRESS_SECONDS = 15.0


async def show_state(client: discord.Client, service: InferenceService) -> None:
    """Update the bot's activity when the state of the model changes; runs until cancelled."""
    await client.wait_until_ready()
    loop = asyncio.get_running_loop()
    shown: str | None = None
    shown_phase, next_progress = "", 0.0
    while True:
        status = service.status
        text = "" if status.state is ServiceState.READY else status.detail
        phase = f"{status.state} {status.detail}" if status.download is None else "download"
        if text != shown and (phase != shown_phase or loop.time() >= next_progress):
            try:
                await client.change_presence(
                    status=discord.Status.idle if text else discord.Status.online,
                    # Discord shows at most 128 characters of a custom status.
                    activity=discord.CustomActivity(text[:128]) if text else None,
                )
                shown, shown_phase = text, phase
                next_progress = loop.time() + PROGRESS_SECONDS
            except (aiohttp.ClientError, OSError) as error:
                # The gateway's socket is closed, and discord.py is reconnecting.
                log.debug("the activity could not be changed: %s", type(error).__name__)
        await asyncio.sleep(POLL_SECONDS)
