"""Where something is asked for or shown, with what Discord says of the channel now."""

from __future__ import annotations

import discord

from bot.jobs.job import Job
from bot.moderation.model import Place


def place_of(client: discord.Client, guild_id: int | None, channel_id: int) -> Place:
    """The place of a channel. One that the bot cannot see counts as not age-restricted."""
    age_restricted = _is_age_restricted(client, channel_id)
    return Place(guild_id, channel_id, age_restricted=age_restricted is True)


def place_of_job(client: discord.Client, job: Job) -> Place:
    """The place in which a job was requested and is answered. After a start, until Discord has
    sent the channel, it is what it was when the job was accepted."""
    destination = job.destination
    age_restricted = _is_age_restricted(client, destination.channel_id)
    if age_restricted is None:
        age_restricted = job.age_restricted
    return Place(destination.guild_id, destination.channel_id, age_restricted=age_restricted)


def _is_age_restricted(client: discord.Client, channel_id: int) -> bool | None:
    match client.get_channel(channel_id):
        case discord.Thread(parent=None) | None:
            return None
        case discord.Thread() as thread:
            return thread.is_nsfw()
        case discord.abc.GuildChannel() as channel:
            return bool(getattr(channel, "nsfw", False))
    return False
