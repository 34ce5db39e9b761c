"""The settings that reach the worker process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli.inference_service import hub_environment, local_service
from bot.config import Settings


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
