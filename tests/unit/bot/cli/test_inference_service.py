"""The settings that reach the worker process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli.inference_service import hub_environment, inference_service, local_service
from bot.config import Settings
from bot.errors import StartError
from inference import FleetConfig, LocalService


def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Settings:
    """Settings from a `.env` file only."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / ".env").write_text(text)
    return Settings(_env_file=tmp_path / ".env")


def test_the_hub_s_settings_in_env_become_environment_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"HF_TOKEN=hf_secret\nHF_HOME={tmp_path}/hub\nHF_HUB_OFFLINE=true\n"
    read = settings(tmp_path, monkeypatch, text)
    assert hub_environment(read) == {
        "HF_TOKEN": "hf_secret",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
    }
    assert "hf_secret" not in repr(read)


def test_without_settings_the_hub_s_own_defaults_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub_environment(settings(tmp_path, monkeypatch, "")) == {"HF_HUB_OFFLINE": "0"}


def test_the_worker_gets_the_hub_s_variables_and_not_the_bot_s_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "DISCORD_TOKEN=bot_secret\nHF_TOKEN=hf_secret\nMODEL=noise\nDEVICE=cuda:1\n"
    config = local_service(settings(tmp_path, monkeypatch, text))._config
    assert config.environment["DISCORD_TOKEN"] is None
    assert config.environment["HF_TOKEN"] == "hf_secret"
    assert config.device == "cuda:1"
    assert "secret" not in repr(config)


def test_the_models_and_their_memory_reach_each_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "DISCORD_TOKEN=bot_secret\nSERVICE=ray\nMODELS=noise,pocket\nMODEL_MEMORY_GIB=2\n"
    service = inference_service(settings(tmp_path, monkeypatch, text))
    assert service.model_names == ("noise", "pocket")
    assert [each.name for each in service.status.models] == ["noise", "pocket"]
    config = service._config
    assert (config.factory_options["model"], config.factory_options["other_models"]) == (
        "noise",
        ("pocket",),
    )
    assert config.model_memory == 2 * 2**30
    assert config.environment["DISCORD_TOKEN"] is None


@pytest.mark.parametrize(
    ("service", "address"),
    [
        ("ray", None),
        ("auto", "auto"),
        ("head.example.org:6379", "head.example.org:6379"),
        ("ray://10.0.0.1:6379", "10.0.0.1:6379"),
    ],
)
def test_a_fleet_is_on_the_cluster_that_the_settings_name(
    service: str, address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"MODEL=noise\nSERVICE={service}\nRAY_MIN_REPLICAS=2\nRAY_MAX_REPLICAS=4\n"
    made = inference_service(settings(tmp_path, monkeypatch, text))
    assert made._config.factory_options["fleet"] == FleetConfig(
        address=address, min_replicas=2, max_replicas=4
    )


def test_without_a_cluster_the_service_is_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = inference_service(settings(tmp_path, monkeypatch, "MODEL=noise\n"))
    assert isinstance(made, LocalService)


def test_contradicting_numbers_of_replicas_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "MODEL=noise\nSERVICE=ray\nRAY_MIN_REPLICAS=3\nRAY_MAX_REPLICAS=2\n"
    with pytest.raises(StartError, match="RAY_MIN_REPLICAS"):
        inference_service(settings(tmp_path, monkeypatch, text))


def test_a_fleet_without_ray_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StartError, match="pip install"):
        inference_service(settings(tmp_path, monkeypatch, "MODEL=noise\nSERVICE=auto\n"))
