"""Who may act on a job: the access rules of the buttons and commands."""

from __future__ import annotations

from enum import Enum, auto

import discord

from bot.client import RedrawBot
from bot.jobs.job import Job
from cogs.shared.errors import JobNotFound, NotOwner

Interaction = discord.Interaction[RedrawBot]


class AccessRule(Enum):
    """Who may use an action. Every button declares one."""

    VIEWER = auto()
    """Everybody who may see the job: the owner, and for public jobs the readers of its channel."""
    OWNER_OR_MODERATOR = auto()
    """The owner, and members with Manage Messages in the job's server."""


def check_access(interaction: Interaction, job: Job, rule: AccessRule) -> None:
    """Check that the user may act on the job.

    Raises:
        JobNotFound: the rule is `VIEWER` and the user may not see the job.
        NotOwner: the rule is `OWNER_OR_MODERATOR` and the user is neither.
    """
    match rule:
        case AccessRule.VIEWER:
            if not may_see(interaction, job):
                raise JobNotFound
        case AccessRule.OWNER_OR_MODERATOR:
            if not may_manage(interaction, job):
                raise NotOwner


def may_manage(interaction: Interaction, job: Job) -> bool:
    """Whether the user owns the job or has Manage Messages in its server."""
    return interaction.user.id == job.user_id or (
        interaction.guild_id is not None
        and interaction.guild_id == job.destination.guild_id
        and interaction.permissions.manage_messages
    )


def may_see(interaction: Interaction, job: Job) -> bool:
    """Whether the user owns the job, or can read the channel of a job that is not private."""
    if interaction.user.id == job.user_id:
        return True
    destination = job.destination
    if destination.private:
        return False
    if destination.channel_id == interaction.channel_id:
        return True
    if destination.guild_id is None or destination.guild_id != interaction.guild_id:
        return False
    channel = interaction.client.get_channel(destination.channel_id)
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return False
    if not isinstance(interaction.user, discord.Member):
        return False
    allowed = channel.permissions_for(interaction.user)
    return allowed.view_channel and allowed.read_message_history
