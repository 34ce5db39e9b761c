"""`python -m bot run`: run the bot on Discord until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal

import aiohttp
import discord

from bot.app import open_bot
from bot.cli.local_service import local_service
from bot.cli.onboarding import missing_token_help
from bot.cli.signals import stop_event
from bot.client import RedrawBot
from bot.config import Settings
from bot.errors import StartError
from bot.presence import show_state
from inference import InferenceService

log = logging.getLogger(__name__)


async def run_bot(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. A second signal ends the process at once.

    Raises:
        StartError: there is no token, Discord refuses it, or a privileged intent is off.
        ModelUnavailable: the model cannot be loaded.
    """
    if settings.discord_token is None:
        raise StartError(missing_token_help())
    async with (
        local_service(settings) as service,
        open_bot(settings, service) as bot,
        bot,
    ):
        await _log_in(bot, settings.discord_token.get_secret_value())
        # Resumes the jobs of the last run; needs a client that can send.
        async with bot.services.runner:
            await _serve(bot, service)
            log.info("stopping: waiting jobs are kept for the next start")


async def _log_in(bot: RedrawBot, token: str) -> None:
    try:
        await bot.login(token)
    except discord.LoginFailure as error:
        raise StartError(
            "Discord does not accept DISCORD_TOKEN: make a new one at "
            'https://discord.com/developers/applications, "Bot", "Reset Token".'
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise StartError(
            "Discord cannot be reached: check this machine's internet connection."
        ) from error


async def _serve(bot: RedrawBot, service: InferenceService) -> None:
    """Return at a signal; raise when the connection or the model fails for good."""
    stop = stop_event(signal.SIGTERM, signal.SIGINT)
    work = {
        asyncio.create_task(bot.connect(), name="gateway"),
        asyncio.create_task(show_state(bot, service), name="presence"),
        asyncio.create_task(stop.wait(), name="signal"),
        asyncio.create_task(service.wait_failed(), name="model"),
    }
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except discord.PrivilegedIntentsRequired as error:
        raise StartError(
            "MESSAGE_CONTENT is on, but the message content intent is off: turn it on at "
            'https://discord.com/developers/applications, "Bot", or set MESSAGE_CONTENT=false.'
        ) from error
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
