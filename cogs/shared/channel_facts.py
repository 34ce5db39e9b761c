"""Collects from Discord what the access policy needs to know about a channel and a job."""

from __future__ import annotations

import discord

from bot.client import RedrawBot
from bot.jobs.job import Job
from cogs.shared.access import AccessRule, ChannelFacts, Decision, JobFacts, decide
from cogs.shared.errors import AgeRestricted, JobNotFound, NotOwner, SourceElsewhere

Interaction = discord.Interaction[RedrawBot]


async def check_access(interaction: Interaction, job: Job, rule: AccessRule) -> None:
    """Check that the user may use an action with this rule on the job.

    Raises:
        JobNotFound: the user may not see the job.
        NotOwner: the user may see the job, but the action is for others.
        AgeRestricted: the job belongs to an age-restricted channel and the reply would not.
    """
    raise_refusal(decide(rule, await job_facts(interaction, job)))


def raise_refusal(decision: Decision) -> None:
    """Raise the error of a decision other than `ALLOWED`."""
    match decision:
        case Decision.NOT_FOUND:
            raise JobNotFound
        case Decision.NOT_OWNER:
            raise NotOwner
        case Decision.AGE_RESTRICTED:
            raise AgeRestricted
        case Decision.ELSEWHERE:
            raise SourceElsewhere


async def job_facts(interaction: Interaction, job: Job) -> JobFacts:
    """The facts about a stored job for the interaction's user."""
    here = channel_here(interaction)
    bot, user = interaction.client, interaction.user
    owner = job.user_id == user.id
    origin: ChannelFacts | None = here
    if job.destination.channel_id != here.id:
        # The owner needs no permissions there, and a direct message has no other reader.
        reader = None if owner else user
        known = job.destination.guild_id is not None
        origin = await channel_facts(bot, reader, job.destination.channel_id) if known else None
    sources: list[ChannelFacts | None] = []
    for channel_id in job.source_channel_ids if not owner else ():
        elsewhere = channel_id != here.id
        sources.append(await channel_facts(bot, user, channel_id) if elsewhere else here)
    return JobFacts(
        owner=owner,
        here=here,
        origin=origin,
        sources=tuple(source for source in sources if source is not None),
        sources_known=None not in sources,
        sources_here=job.destination.channel_id == here.id and job.source_channel_ids <= {here.id},
        private=job.destination.private,
        age_restricted=job.age_restricted,
    )


def channel_here(interaction: Interaction) -> ChannelFacts:
    """The channel in which the user acts. Discord has checked that they can see it."""
    assert interaction.channel_id is not None
    granted = interaction.permissions
    return ChannelFacts(
        id=interaction.channel_id,
        guild_id=interaction.guild_id,
        view_channel=True,
        read_message_history=True,
        manage_messages=granted.manage_messages,
        manage_threads=granted.manage_threads,
        private_thread=_is_private_thread(interaction.channel),
        thread_member=True,
        age_restricted=_is_age_restricted(interaction.channel),
    )


def channel_of_message(message: discord.Message) -> ChannelFacts:
    """The channel of a message that the bot received, for its author."""
    channel = message.channel
    granted = discord.Permissions.none()
    if isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        assert isinstance(message.author, discord.Member)
        granted = channel.permissions_for(message.author)
    return ChannelFacts(
        id=channel.id,
        guild_id=message.guild.id if message.guild else None,
        view_channel=True,
        # The author sees the channel's new messages; older ones only with this permission.
        read_message_history=message.guild is None or granted.read_message_history,
        manage_messages=granted.manage_messages,
        manage_threads=granted.manage_threads,
        private_thread=_is_private_thread(channel),
        thread_member=True,
        age_restricted=_is_age_restricted(channel),
    )


async def channel_facts(
    bot: RedrawBot, user: discord.User | discord.Member | None, channel_id: int
) -> ChannelFacts | None:
    """Another channel as the user finds it; None if the bot cannot see it.

    Without a user, all permissions are missing, which saves requests. A direct message is open to
    its two members only, who act in it.
    """
    channel = await fetch_channel(bot, channel_id)
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return None
    granted = await _permissions(channel, user)
    private_thread = _is_private_thread(channel)
    thread_member = False
    if user and private_thread and granted.view_channel and not granted.manage_threads:
        thread_member = await _is_thread_member(channel, user.id)
    return ChannelFacts(
        id=channel.id,
        guild_id=channel.guild.id,
        view_channel=granted.view_channel,
        read_message_history=granted.read_message_history,
        manage_messages=granted.manage_messages,
        manage_threads=granted.manage_threads,
        private_thread=private_thread,
        thread_member=thread_member,
        age_restricted=_is_age_restricted(channel),
    )


async def fetch_channel(
    bot: RedrawBot, channel_id: int
) -> discord.abc.GuildChannel | discord.abc.PrivateChannel | discord.Thread | None:
    """The channel from the cache or from Discord; None if the bot cannot see it."""
    channel = bot.get_channel(channel_id)
    if channel is not None:
        return channel
    try:
        return await bot.fetch_channel(channel_id)
    except (discord.HTTPException, discord.InvalidData):
        return None


async def _permissions(
    channel: discord.abc.GuildChannel | discord.Thread, user: discord.User | discord.Member | None
) -> discord.Permissions:
    """The user's permissions; none for a user who is not a member of the server.

    Those of a thread are its parent channel's; without them where the bot cannot see the parent.
    """
    if user is None:
        return discord.Permissions.none()
    try:
        if not isinstance(user, discord.Member) or user.guild.id != channel.guild.id:
            user = await channel.guild.fetch_member(user.id)
        return channel.permissions_for(user)
    except (discord.HTTPException, discord.ClientException):
        return discord.Permissions.none()


async def _is_thread_member(channel: object, user_id: int) -> bool:
    """`Thread.permissions_for` gives the parent's permissions and ignores the membership."""
    assert isinstance(channel, discord.Thread)
    try:
        await channel.fetch_member(user_id)
    except discord.HTTPException:
        return False
    return True


def _is_private_thread(channel: object) -> bool:
    return (
        isinstance(channel, discord.Thread) and channel.type is discord.ChannelType.private_thread
    )


def _is_age_restricted(channel: object) -> bool:
    """Also True for a thread whose parent channel the bot cannot see."""
    if isinstance(channel, discord.Thread):
        return channel.parent is None or channel.is_nsfw()
    is_nsfw = getattr(channel, "is_nsfw", None)
    return bool(is_nsfw and is_nsfw())
