"""The bounds of a server's settings, for the panel, the commands and an imported file."""

from __future__ import annotations

import discord

from bot.config import Settings
from bot.jobs.budgets import MAX_PICTURES

SECONDS_A_DAY = 24 * 3600
MAX_COOLDOWN_SECONDS = 6 * 3600
MAX_STEPS = 150
# Shorter than this, pictures would be deleted before users can use the buttons below them.
MIN_RETENTION_HOURS = 0.1
# A select menu has at most 25 values:
# https://discord.com/developers/docs/components/reference#string-select
MAX_LISTED = 25

TEXT_CHANNELS = [discord.ChannelType.text, discord.ChannelType.news]
USED_CHANNELS = [*TEXT_CHANNELS, discord.ChannelType.forum, discord.ChannelType.voice]

# Field of `RoleLimits` → lower and upper bound.
LIMIT_BOUNDS: dict[str, tuple[float, float]] = {
    "seconds_a_day": (0, SECONDS_A_DAY),
    "cooldown_seconds": (0, MAX_COOLDOWN_SECONDS),
    "steps": (1, MAX_STEPS),
    "pictures": (1, MAX_PICTURES),
    "megapixels": (0.01, 100),
}


def number_bounds(operator: Settings) -> dict[str, tuple[float, float]]:
    """Field of `GuildOptions` or `GuildPolicy` → lower and upper bound."""
    longest = operator.retention_hours
    return {
        "strength": (0.05, 1.0),
        "retention_hours": (min(MIN_RETENTION_HOURS, longest), longest),
        "threshold": (0.0, operator.moderation_threshold),
        "age_restricted_threshold": (0.0, 1.0),
        "server_seconds": (0.0, operator.server_seconds_a_day or SECONDS_A_DAY),
    }
