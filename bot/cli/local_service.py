"""Builds the `LocalService` from the bot's settings."""

from __future__ import annotations

import os

from bot.config import Settings
from inference import LocalService


def hub_environment(settings: Settings) -> dict[str, str]:
    """The environment variables of the model hub's client, as the settings have them.

    https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    """
    variables = {"HF_HUB_OFFLINE": str(int(settings.hf_hub_offline))}
    if settings.hf_home is not None:
        variables["HF_HOME"] = str(settings.hf_home.expanduser().resolve())
    if settings.hf_token is not None:
        variables["HF_TOKEN"] = settings.hf_token.get_secret_value()
    return variables


def use_hub_environment(settings: Settings) -> None:
    """Set the variables in this process. Call it before `huggingface_hub` is imported."""
    os.environ.update(hub_environment(settings))


def local_service(settings: Settings) -> LocalService:
    """The service for the settings' model and device, not started yet.

    Raises:
        UnknownModel: `MODEL` is neither a catalogue name nor a repository nor a folder.
    """
    return LocalService(
        model=settings.model,
        device=settings.device,
        dtype=settings.dtype,
        batch_rows=settings.batch_rows,
        cache_dir=settings.data_dir,
        # The worker process does not need the bot's token.
        environment={"DISCORD_TOKEN": None, **hub_environment(settings)},
    )
