"""`python -m bot run`: the real bot, from settings to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from bot.app import open_bot
from bot.cli.connection import log_in, stay_connected
from bot.cli.inference_service import fetch_descriptions, inference_service
from bot.cli.onboarding import missing_token_help
from bot.cli.signals import stop_event
from bot.client import RedrawBot
from bot.config import Settings
from bot.errors import StartError
from bot.images.allocator import return_freed_pictures
from bot.intake.sandbox.privileges import hide_memory
from bot.monitoring.endpoints import open_monitoring
from bot.monitoring.service_manager import notify, report_alive
from bot.presence import show_state
from inference import InferenceService

log = logging.getLogger(__name__)


async def run_bot(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. A second signal ends the process at once.

    Raises:
        StartError: no token, or Discord refuses the token or an intent.
        ModelUnavailable: the model cannot be loaded.
    """
    if settings.discord_token is None:
        raise StartError(missing_token_help())
    hide_memory()
    return_freed_pictures()
    await fetch_descriptions(settings)
    stop = stop_event(signal.SIGTERM, signal.SIGINT)
    async with (
        inference_service(settings) as service,
        open_bot(settings, service) as bot,
        bot,
        _monitoring(settings, bot, service),
    ):
        token = settings.discord_token.get_secret_value()
        await _until_first_ends(
            _serve(settings, bot, service, token), service.wait_failed(), stop.wait()
        )
        notify("STOPPING=1")
        log.info("stopping: waiting jobs are kept for the next start")


async def _serve(settings: Settings, bot: RedrawBot, service: InferenceService, token: str) -> None:
    await log_in(bot, token)
    if not settings.contact:
        # The operator can be found through the bot's profile.
        assert bot.user is not None
        bot.services.intake.name_contact(f"https://discord.com/users/{bot.user.id}")
    # Unanswered jobs of the last run continue as soon as the bot can send.
    async with bot.services.runner:
        await _until_first_ends(stay_connected(bot), show_state(bot, service), _report_ready(bot))


async def _report_ready(bot: RedrawBot) -> None:
    await bot.wait_until_ready()
    notify("READY=1")
    await report_alive()


def _monitoring(
    settings: Settings, bot: RedrawBot, service: InferenceService
) -> AbstractAsyncContextManager[object]:
    if not settings.metrics_port:
        return contextlib.nullcontext()
    return open_monitoring(
        bot.metrics,
        service,
        bot.is_connected,
        host=settings.metrics_host,
        port=settings.metrics_port,
    )


async def _until_first_ends(*work: Coroutine[Any, Any, object]) -> None:
    """Run all; when one ends, cancel the others and wait for their end."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
