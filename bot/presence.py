"""Shows the state of the model as the bot's activity in Discord until the model is ready."""

from __future__ import annotations

import asyncio

import discord

from inference import InferenceService, ServiceState

POLL_SECONDS = 1.0


async def show_state(client: discord.Client, service: InferenceService) -> None:
    """Update the bot's activity when the state of the model changes; runs until cancelled."""
    await client.wait_until_ready()
    shown: str | None = None
    while True:
        status = service.status
        text = "" if status.state is ServiceState.READY else status.detail
        if text != shown:
            shown = text
            await client.change_presence(
                status=discord.Status.idle if text else discord.Status.online,
                # Discord shows at most 128 characters of a custom status.
                activity=discord.CustomActivity(text[:128]) if text else None,
            )
        await asyncio.sleep(POLL_SECONDS)
