"""The settings of a server as a file: export, and import with all checks before any change."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import discord
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.client import Services
from bot.jobs.budgets import EVERYONE
from bot.moderation.model import GuildPolicy
from bot.store.guild_settings import GuildOptions
from cogs.settings._errors import SettingsFileInvalid

# A file with every limit for a hundred roles has about 30 kB.
MAX_BYTES = 256 * 1024


class PolicyFields(BaseModel):
    """`GuildPolicy` without the server's id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_channel_id: int | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    age_restricted_threshold: float | None = Field(default=None, ge=0, le=1)
    slow_mode_seconds: int = Field(default=0, ge=0, le=6 * 3600)
    log_pictures: bool = False


class SettingsFile(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    settings: GuildOptions = GuildOptions()
    moderation: PolicyFields = PolicyFields()

    def policy(self, guild_id: int) -> GuildPolicy:
        """The file's policy for a server."""
        return GuildPolicy(guild_id=guild_id, **self.moderation.model_dump())


def settings_file(options: GuildOptions, policy: GuildPolicy) -> str:
    """The settings as JSON."""
    values = asdict(policy)
    del values["guild_id"]
    file = SettingsFile(version=1, settings=options, moderation=PolicyFields(**values))
    return file.model_dump_json(indent=2)


def read_settings_file(data: bytes, services: Services, guild: discord.Guild) -> SettingsFile:
    """The settings of a file, checked for this server and against the operator's bounds.

    Raises:
        SettingsFileInvalid: why it cannot be used.
    """
    try:
        file = SettingsFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise SettingsFileInvalid(problem=problem[:300]) from error
    if (reason := _problem(file, services, guild)) is not None:
        raise SettingsFileInvalid(problem=reason[:300])
    return file


def _problem(file: SettingsFile, services: Services, guild: discord.Guild) -> str | None:
    options, policy, operator = file.settings, file.moderation, services.settings
    channels = (*options.channels, options.gallery, policy.log_channel_id)
    for channel_id in channels:
        if channel_id is not None and guild.get_channel(channel_id) is None:
            return f"this server has no channel {channel_id}"
    for role_id in (*options.roles, *options.limits):
        if role_id != EVERYONE and guild.get_role(role_id) is None:
            return f"this server has no role {role_id}"
    if options.style is not None and options.style not in set(services.styles.matching("")):
        return f"there is no style {options.style!r}"
    bounds = {
        "settings.retention_hours": (options.retention_hours, operator.retention_hours),
        "settings.server_seconds": (options.server_seconds, operator.server_seconds_a_day),
        "moderation.threshold": (policy.threshold, operator.moderation_threshold),
    }
    for name, (value, limit) in bounds.items():
        if value is not None and limit is not None and value > limit:
            return f"{name}: the operator's limit is {limit:g}"
    return None
