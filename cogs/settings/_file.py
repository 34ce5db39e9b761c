"""The settings of a server as a file: export, and import with all checks before any change."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal

import discord
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.client import Services
from bot.jobs.budgets import EVERYONE
from bot.moderation.model import GuildPolicy
from bot.permissions import MissingPermissions, check_can_post
from bot.store.guild_settings import GuildOptions
from cogs.settings._bounds import (
    LIMIT_BOUNDS,
    MAX_LISTED,
    TEXT_CHANNELS,
    USED_CHANNELS,
    number_bounds,
)
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
        # Some editors write a byte order mark.
        file = SettingsFile.model_validate_json(data.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        # The name of an unknown setting may have several lines.
        raise SettingsFileInvalid(problem=" ".join(problem.split())[:300]) from error
    if (reason := next(_problems(file, services, guild), None)) is not None:
        raise SettingsFileInvalid(problem=reason[:300])
    return file


def _problems(file: SettingsFile, services: Services, guild: discord.Guild) -> Iterator[str]:
    options, policy = file.settings, file.moderation
    for name, listed in (("channels", options.channels), ("roles", options.roles)):
        if len(listed) > MAX_LISTED:
            yield f"settings.{name}: at most {MAX_LISTED} are allowed"
    for channel_id in options.channels:
        yield from _channel_problems(guild, channel_id, USED_CHANNELS, posted_in=False)
    for posted_in in (options.gallery, policy.log_channel_id):
        if posted_in is not None:
            yield from _channel_problems(guild, posted_in, TEXT_CHANNELS, posted_in=True)
    for role_id in (*options.roles, *options.limits):
        if role_id != EVERYONE and guild.get_role(role_id) is None:
            yield f"this server has no role {role_id}"
    if guild.id in options.limits:
        yield f"settings.limits: the limits of all users have the key {EVERYONE}"
    if options.style is not None and options.style not in set(services.styles.matching("")):
        yield f"there is no style {options.style!r}"
    values = options.model_dump() | policy.model_dump()
    yield from _number_problems(values, number_bounds(services.settings))
    for limits in options.limits.values():
        yield from _number_problems(limits.model_dump(), LIMIT_BOUNDS)
        models = limits.models or ()
        if len(models) > MAX_LISTED:
            yield f"settings.limits.models: at most {MAX_LISTED} are allowed"
        for model in models:
            if not model or services.models.find(model) is None:
                yield f"the model {model!r} is not available here"


def _channel_problems(
    guild: discord.Guild, channel_id: int, kinds: list[discord.ChannelType], *, posted_in: bool
) -> Iterator[str]:
    channel = guild.get_channel(channel_id)
    if channel is None:
        yield f"this server has no channel {channel_id}"
    elif channel.type not in kinds:
        yield f"the channel {channel_id} is of a kind that is not possible here"
    elif posted_in:
        try:
            check_can_post(channel)
        except MissingPermissions as error:
            needed = error.params["permissions"]
            yield f"in the channel {channel_id} I need {needed}"


def _number_problems(
    values: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]
) -> Iterator[str]:
    for name, (low, high) in bounds.items():
        if values[name] is not None and not low <= values[name] <= high:
            yield f"{name} must be a number from {low:g} to {high:g}"
