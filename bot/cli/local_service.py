"""Builds the `LocalService` from the bot's settings."""

from __future__ import annotations

from bot.config import Settings
from inference import LocalService


def local_service(settings: Settings) -> LocalService:
    """The service for the settings' model and device, not started yet.

    Raises:
        UnknownModel: `MODEL` is neither a catalogue name nor a folder.
    """
    return LocalService(
        model=settings.model,
        device=settings.device,
        dtype=settings.dtype,
        batch_rows=settings.batch_rows,
        cache_dir=settings.data_dir,
        # The worker process does not need the bot's secret.
        environment={"DISCORD_TOKEN": None},
    )
