"""Settings: `.env.example` is complete and correct, and values are read as it says."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.cli.load_settings import load_settings
from bot.config import Settings
from bot.errors import StartError
from bot.jobs.budgets import EVERYONE, RoleLimits

EXAMPLE = Path(__file__).parents[3] / ".env.example"


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))


def settings(monkeypatch: pytest.MonkeyPatch, **env: str) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Settings(_env_file=None)


def test_the_example_lists_every_setting_and_no_other() -> None:
    assert set(example()) == {name.upper() for name in Settings.model_fields}


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, **example()) == settings(monkeypatch)


def test_every_setting_in_the_example_has_a_reason_above_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[A-Z_]+=", line):
            assert lines[number - 1].startswith("#") or re.match(r"[A-Z_]+=", lines[number - 1])


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(
        monkeypatch, ALLOWED_PORTS="80, 8080", DENIED_HOSTS="a.example,b.example", SYNC_GUILD_IDS=""
    )
    assert read.allowed_ports == (80, 8080)
    assert read.denied_hosts == ("a.example", "b.example")
    assert read.allowed_guild_ids == ()


def test_limits_are_written_by_role_or_for_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"everyone": {"steps": 20, "private": false}, "123": {"seconds_a_day": 600}}'
    read = settings(monkeypatch, ROLE_LIMITS=text, SERVER_SECONDS_A_DAY="3600")
    assert read.role_limits == {
        EVERYONE: RoleLimits(steps=20, private=False),
        123: RoleLimits(seconds_a_day=600),
    }
    assert read.server_seconds_a_day == 3600


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEVICE", "tpu"),
        ("DEVICE", "cuda:x"),
        ("MAX_STEPS", "0"),
        ("BACKGROUND", "white"),
        ("ALLOWED_PORTS", "http"),
        ("ROLE_LIMITS", '{"everyone": {"steps": 500}}'),
        ("ROLE_LIMITS", '{"everyone": {"stepz": 5}}'),
        ("ROLE_LIMITS", '{"artists": {"steps": 5}}'),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name.lower()):
        settings(monkeypatch, **{name: value})


def test_the_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch, DISCORD_TOKEN="very.secret.token")
    assert "secret" not in repr(read).replace("SecretStr", "")
    assert "very.secret.token" not in str(read.model_dump())


@pytest.mark.parametrize(
    ("env", "model", "models"),
    [
        ({}, "sd2-depth", ("sd2-depth",)),
        ({"MODEL": "noise"}, "noise", ("noise",)),
        ({"MODELS": "pocket, noise"}, "pocket", ("pocket", "noise")),
        ({"MODEL": "pocket", "MODELS": "pocket,noise"}, "pocket", ("pocket", "noise")),
    ],
)
def test_the_first_of_several_models_is_the_default(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], model: str, models: tuple[str, ...]
) -> None:
    read = settings(monkeypatch, **env)
    assert (read.model, read.models) == (model, models)


def test_two_settings_with_different_default_models_are_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL", "noise")
    monkeypatch.setenv("MODELS", "pocket,noise")
    with pytest.raises(StartError) as raised:
        load_settings()
    assert str(raised.value) == (
        "MODEL=noise and MODELS=pocket,noise name different default models: set only one of them."
    )


def test_one_model_replaces_all(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch, MODELS="pocket,noise").with_model("sd15")
    assert (read.model, read.models) == ("sd15", ("sd15",))
