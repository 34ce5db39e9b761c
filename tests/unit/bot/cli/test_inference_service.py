"""Which inference service the settings name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.cli.inference_service import inference_service
from bot.config import Settings
from bot.errors import StartError
from inference import FleetConfig, LocalService, RayService


def settings(**changes: object) -> Settings:
    return Settings(_env_file=None, model="noise", **changes)  # type: ignore[arg-type]


def test_the_default_is_one_worker_on_this_machine() -> None:
    assert type(inference_service(settings())) is LocalService


@pytest.mark.parametrize(
    ("service", "address"), [("ray", None), ("auto", "auto"), ("10.0.0.5:6379", "10.0.0.5:6379")]
)
def test_a_ray_service_gets_its_cluster_bounds_and_no_discord_token(
    service: str, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    opened = inference_service(settings(service=service, ray_min_replicas=2, ray_max_replicas=5))
    assert isinstance(opened, RayService)
    fleet = opened._config.factory_options["fleet"]
    assert fleet == FleetConfig(address=address, min_replicas=2, max_replicas=5)
    assert opened._config.environment["DISCORD_TOKEN"] is None
    # Replicas run in other folders.
    assert opened._config.cache_dir == Path("data").resolve()


def test_without_ray_the_start_fails_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartError, match=r"\.\[ray\]"):
        inference_service(settings(service="ray"))


def test_another_name_of_a_service_is_refused() -> None:
    with pytest.raises(ValidationError):
        settings(service="kubernetes")


@pytest.mark.parametrize(("gpus", "replicas"), [(0, 2), (1, 2), (3, 3), (9, 5)])
def test_the_number_of_replicas_is_that_of_the_gpus_within_the_bounds(
    gpus: int, replicas: int
) -> None:
    assert FleetConfig(min_replicas=2, max_replicas=5).replicas(gpus) == replicas
