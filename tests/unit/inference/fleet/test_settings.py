"""The environment variables that a fleet sets for Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference import FleetConfig, RayService


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for Ray's token, and no variable of Ray's from outside."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("USAGE_STATS_ENABLED", "AUTH_MODE", "AUTH_TOKEN", "AUTH_TOKEN_PATH"):
        monkeypatch.delenv(f"RAY_{name}", raising=False)
    return tmp_path


def settings() -> dict[str, str | None]:
    return dict(RayService(model="noise", fleet=FleetConfig())._config.environment)


def test_ray_does_not_report_its_use_and_uses_no_token() -> None:
    assert settings() == {"RAY_USAGE_STATS_ENABLED": "0"}


def test_the_operator_s_variables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert settings() == {"RAY_USAGE_STATS_ENABLED": "1", "RAY_AUTH_MODE": "disabled"}


def test_the_token_of_this_machine_is_used(home: Path) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("secret")
    assert settings()["RAY_AUTH_MODE"] == "token"


def test_a_token_in_a_variable_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert settings() == {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
