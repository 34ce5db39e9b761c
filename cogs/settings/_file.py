"""The settings of a server as a file: export, and import with all checks before any change."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sized
from dataclasses import asdict
from typing import Any, Literal

import discord
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

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
from cogs.settings._errors import NAME_CHARACTERS, Problem, SettingsFileInvalid, shown_name

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
        raise SettingsFileInvalid(problem=_invalid(error.errors()[0])) from error
    if (problem := next(_problems(file, services, guild), None)) is not None:
        raise SettingsFileInvalid(problem=problem)
    return file


def _invalid(error: ErrorDetails) -> Problem:
    """https://docs.pydantic.dev/latest/errors/validation_errors/ lists the types of errors."""
    name = ".".join(shown_name(str(part)) or '""' for part in error["loc"])[:NAME_CHARACTERS]
    context = error.get("ctx", {})
    match error["type"]:
        case "json_invalid":
            place = re.search(r"line (\d+) column (\d+)", context["error"])
            assert place is not None
            return Problem("settings.file.json", line=place[1], column=place[2])
        case "model_type" if not error["loc"]:
            return Problem("settings.file.object")
        case "missing":
            return Problem("settings.file.missing", name=name)
        case "extra_forbidden":
            return Problem("settings.file.unknown", name=name)
    for bound, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        if bound in context:
            allowed = f"{sign} {context[bound]:g}"
            return Problem("settings.file.range", name=name, range=allowed)
    return Problem("settings.file.value", name=name)


def _problems(file: SettingsFile, services: Services, guild: discord.Guild) -> Iterator[Problem]:
    options, policy = file.settings, file.moderation
    for name, listed in (("channels", options.channels), ("roles", options.roles)):
        yield from _length_problems(f"settings.{name}", listed)
    for channel_id in options.channels:
        yield from _channel_problems(guild, channel_id, USED_CHANNELS, posted_in=False)
    for posted_in in (options.gallery, policy.log_channel_id):
        if posted_in is not None:
            yield from _channel_problems(guild, posted_in, TEXT_CHANNELS, posted_in=True)
    for role_id in (*options.roles, *options.limits):
        if role_id != EVERYONE and guild.get_role(role_id) is None:
            yield Problem("settings.file.role", id=role_id)
    if guild.id in options.limits:
        yield Problem("settings.file.everyone", key=EVERYONE)
    if options.style is not None and options.style not in set(services.styles.matching("")):
        yield Problem("settings.file.style", name=shown_name(options.style))
    values = options.model_dump() | policy.model_dump()
    yield from _number_problems(values, number_bounds(services.settings))
    for limits in options.limits.values():
        yield from _number_problems(limits.model_dump(), LIMIT_BOUNDS)
        models = limits.models or ()
        yield from _length_problems("settings.limits.models", models)
        for model in models:
            if not model or services.models.find(model) is None:
                yield Problem("settings.file.model", name=shown_name(model))


def _length_problems(name: str, listed: Sized) -> Iterator[Problem]:
    if len(listed) > MAX_LISTED:
        yield Problem("settings.file.entries", name=name, most=MAX_LISTED)


def _channel_problems(
    guild: discord.Guild, channel_id: int, kinds: list[discord.ChannelType], *, posted_in: bool
) -> Iterator[Problem]:
    channel = guild.get_channel(channel_id)
    if channel is None:
        yield Problem("settings.file.channel", id=channel_id)
    elif channel.type not in kinds:
        yield Problem("settings.file.channel_kind", id=channel_id)
    elif posted_in:
        try:
            check_can_post(channel)
        except MissingPermissions as error:
            needed = error.params["permissions"]
            yield Problem("settings.file.permissions", id=channel_id, permissions=needed)


def _number_problems(
    values: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]
) -> Iterator[Problem]:
    for name, (low, high) in bounds.items():
        if values[name] is not None and not low <= values[name] <= high:
            yield Problem("settings.file.number", name=name, low=f"{low:g}", high=f"{high:g}")
