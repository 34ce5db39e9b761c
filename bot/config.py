"""Settings, read from the environment and `.env`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.jobs.budgets import EVERYONE, RoleLimits


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _everyone(value: object) -> object:
    if isinstance(value, dict):
        return {EVERYONE if key == "everyone" else key: limits for key, limits in value.items()}
    return value


# Lists are written `a, b, c` in .env, not as JSON.
Numbers = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Labels = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


DEFAULT_MODEL = "sd2-depth"


class Settings(BaseSettings):
    """All settings. `.env.example` lists each with its default and a reason."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True
    )

    # Discord
    discord_token: SecretStr | None = None
    allowed_guild_ids: Numbers = ()
    direct_messages: Literal["on", "off"] = "on"
    user_install: bool = False
    message_content: bool = False

    # Model
    model: str = DEFAULT_MODEL
    models: Labels = ()
    model_memory_gib: float = Field(default=0, ge=0)
    demo_model: str = "pocket"
    device: str = Field(default="auto", pattern=r"^(auto|cuda(:\d+)?|mps|cpu)$")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    batch_rows: int = Field(default=0, ge=0)

    # Model downloads
    hf_token: SecretStr | None = None
    hf_home: Path | None = None
    hf_hub_offline: bool = False

    # Requests
    max_steps: int = Field(default=50, ge=1, le=150)
    queue_limit: int = Field(default=200, ge=1)
    queue_limit_per_user: int = Field(default=8, ge=1)
    larger_max_side: int = Field(default=2048, ge=0, le=4096)
    styles_file: Path | None = None
    gallery_channel: int | None = None
    role_weights: dict[int, int] = Field(default_factory=dict)
    role_limits: Annotated[dict[int, RoleLimits], BeforeValidator(_everyone)] = Field(
        default_factory=dict
    )
    server_seconds_a_day: float | None = Field(default=None, ge=0)

    # Moderation
    moderation: bool = True
    moderation_model: str = "open-nsfw"
    moderation_unsafe_labels: Labels = ("nsfw", "porn", "hentai", "explicit", "unsafe")
    moderation_threshold: float = Field(default=0.5, ge=0, le=1)
    moderation_age_restricted_threshold: float = Field(default=0.8, ge=0, le=1)

    # Storage
    data_dir: Path = Path("data")
    retention_hours: float = Field(default=24.0, gt=0)
    favourites_per_user: int = Field(default=50, ge=0)
    min_free_mib: int = Field(default=256, ge=0)

    # Pictures and links
    links: Literal["any", "discord", "off"] = "any"
    operator: str = Field(default="", max_length=100)
    privacy_url: str = Field(default="", pattern=r"^(https?://[!-~]{1,400})?$")
    terms_url: str = Field(default="", pattern=r"^(https?://[!-~]{1,400})?$")
    contact: str = Field(default="", pattern=r"^[!-~]{0,200}$")
    allowed_ports: Numbers = (80, 443)
    allowed_hosts: Hosts = ()
    denied_hosts: Hosts = ()
    background: str = Field(default="#ffffff", pattern=r"^#[0-9a-fA-F]{6}$")
    write_settings: bool = True

    # Demo and logs
    demo_port: int = Field(default=8080, ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    # Several GPUs
    service: str = Field(default="local", pattern=r"^(local|ray|auto|(ray://)?[\w.-]+:\d{1,5})$")
    ray_min_replicas: int | None = Field(default=None, ge=1)
    ray_max_replicas: int | None = Field(default=None, ge=1)
    ray_replica_cpus: int = Field(default=1, ge=1)

    # Monitoring
    metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"

    @model_validator(mode="after")
    def _complete_models(self) -> Self:
        """`models` holds all models, the default one first; `model` is the default one."""
        if not self.models:
            self.models = (self.model,)
        elif "model" in self.model_fields_set and self.model != self.models[0]:
            raise ValueError(
                f"MODEL={self.model} and MODELS={','.join(self.models)} name different default "
                "models: set only one of them"
            )
        self.model = self.models[0]
        return self

    def with_model(self, name: str) -> Self:
        """The settings with this model only."""
        return self.model_copy(update={"model": name, "models": (name,)})
