"""Builds the inference service from the bot's settings, and finds out what its models can do."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os

from bot.config import Settings
from bot.errors import StartError
from inference import (
    MODELS,
    FleetConfig,
    LocalService,
    ModelUnavailable,
    RayService,
    download_description,
    find_models,
)

log = logging.getLogger(__name__)


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


async def fetch_descriptions(settings: Settings) -> None:
    """Download the configurations of the repositories without a catalogue entry: they decide which
    commands and settings the bot offers. If that fails, such a model is offered for redrawing.

    Raises:
        UnknownModel: a model is neither a catalogue name nor a repository nor a folder.
    """
    own = [entry for entry in find_models(settings.models) if entry.name not in MODELS]
    if any(entry.on_hub for entry in own):
        use_hub_environment(settings)
    for entry in own:
        try:
            await asyncio.to_thread(download_description, entry, settings.data_dir)
        except ModelUnavailable as error:
            log.warning(
                "it is not known what %s can do: it is offered for redrawing until the next start "
                "(%s)",
                entry.name,
                error,
            )


def local_service(settings: Settings) -> LocalService:
    """The service with one worker process on this machine, not started yet.

    Raises:
        UnknownModel: a model is neither a catalogue name nor a repository nor a folder, or is
            named twice.
    """
    return LocalService(
        model=settings.model,
        other_models=settings.models[1:],
        model_memory=int(settings.model_memory_gib * 2**30),
        device=settings.device,
        dtype=settings.dtype,
        batch_rows=settings.batch_rows,
        cache_dir=settings.data_dir,
        environment=_environment(settings),
    )


def inference_service(settings: Settings) -> LocalService | RayService:
    """The service that `SERVICE` names, not started yet.

    Raises:
        UnknownModel: as `local_service`.
        StartError: `SERVICE` needs Ray, which is not installed, or the numbers of replicas
            contradict each other.
    """
    if settings.service == "local":
        return local_service(settings)
    if importlib.util.find_spec("ray") is None:
        raise StartError(
            "SERVICE needs Ray, which is not installed: run `.venv/bin/pip install --constraint "
            "constraints.txt '.[ray]'`."
        )
    lowest, highest = settings.ray_min_replicas, settings.ray_max_replicas
    if lowest is not None and highest is not None and lowest > highest:
        raise StartError("RAY_MIN_REPLICAS must not be larger than RAY_MAX_REPLICAS.")
    return RayService(
        model=settings.model,
        other_models=settings.models[1:],
        model_memory=int(settings.model_memory_gib * 2**30),
        fleet=FleetConfig(
            address=None if settings.service == "ray" else settings.service.removeprefix("ray://"),
            min_replicas=lowest,
            max_replicas=highest,
            replica_cpus=settings.ray_replica_cpus,
        ),
        device=settings.device,
        dtype=settings.dtype,
        batch_rows=settings.batch_rows,
        cache_dir=settings.data_dir.resolve(),
        environment=_environment(settings),
    )


def _environment(settings: Settings) -> dict[str, str | None]:
    # No other process needs the bot's token.
    return {"DISCORD_TOKEN": None, **hub_environment(settings)}
